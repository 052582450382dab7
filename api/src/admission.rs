//! What is let in when more comes than can be done: ingest before lists before reports, and a quick 503 for the rest.
//!
//! Without it everybody would wait for a database connection until nobody gets an answer in time. A refusal costs next to
//! nothing: it comes before the token is looked up and before a body is read that is not here yet; where it is certain at
//! once, even before the route is known ([`Door`]). Health and metrics are never refused.

mod door;
mod slots;

pub use door::Door;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::app::{AppState, MAX_BULK_BODY};
use crate::error::ApiError;
use slots::{Busy, Class, Patience, Slot, Slots};

/// Bodies up to this size, in bytes, are read before a slot is taken, so that a slow client holds none.
const SMALL_BODY: usize = 32 * 1024;
/// Larger bodies that may be under way together, in bytes. What becomes of a body on its way to the database takes several
/// times its size.
const LARGE_BODIES: usize = 32 * 1024 * 1024;
/// How long a large body waits for others to be done.
const BODY_PATIENCE: Duration = Duration::from_millis(500);

/// Routes that read a run as a whole.
const REPORTS: [&str; 2] = ["/api/v1/test-runs/{run_id}/report", "/api/v1/test-runs/{run_id}/summary"];
/// Routes whose answers do not end.
const STREAMS: [&str; 2] = ["/api/v1/events", "/api/v1/ws"];

/// Lets requests in.
#[derive(Debug, Clone)]
pub struct Admission {
    slots: Slots,
    /// In KiB.
    large_bodies: Arc<Semaphore>,
    /// The least that a large body counts, in KiB: so few of them are under way at once that they leave slots to others,
    /// however slowly they come in.
    large_body_share: usize,
    streams: Arc<Semaphore>,
}

impl Admission {
    /// Lets `in_progress` requests in at once, at least two, and `streams` streams.
    #[must_use]
    pub fn new(in_progress: usize, streams: usize) -> Self {
        metrics::counter!("testrun_http_rejected_total", "class" => "body").increment(0);
        metrics::counter!("testrun_http_rejected_total", "class" => "stream").increment(0);
        metrics::gauge!("testrun_http_streams").set(0);
        Self {
            slots: Slots::new(in_progress, Patience::default()),
            large_bodies: Arc::new(Semaphore::new(LARGE_BODIES / 1024)),
            large_body_share: (LARGE_BODIES / 1024) / (in_progress / 2).clamp(2, LARGE_BODIES / SMALL_BODY),
            streams: Arc::new(Semaphore::new(streams.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// Lets everything in.
    pub(crate) fn unlimited() -> Self {
        let bodies = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        Self { large_bodies: bodies, large_body_share: 0, ..Self::new(1_000_000, Semaphore::MAX_PERMITS) }
    }

    /// Room for a body of so many bytes; none is taken for a small one.
    async fn room(&self, length: usize) -> Result<Option<OwnedSemaphorePermit>, Busy> {
        if length <= SMALL_BODY {
            return Ok(None);
        }
        let kibibytes = length.min(MAX_BULK_BODY).div_ceil(1024).max(self.large_body_share);
        let permits = u32::try_from(kibibytes).unwrap_or(u32::MAX);
        match timeout(BODY_PATIENCE, Arc::clone(&self.large_bodies).acquire_many_owned(permits)).await {
            Ok(Ok(permit)) => Ok(Some(permit)),
            Ok(Err(_)) | Err(_) => Err(Busy),
        }
    }
}

/// What a request is about to do; `None` for a stream, which [`OpenStream`] looks after.
fn class(request: &Request) -> Option<Class> {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    match *request.method() {
        _ if STREAMS.contains(&route) => None,
        Method::GET | Method::HEAD if REPORTS.contains(&route) => Some(Class::Report),
        Method::GET | Method::HEAD => Some(Class::List),
        _ => Some(Class::Ingest),
    }
}

/// Gives each request its slot, or refuses it.
pub(crate) async fn layer(State(admission): State<Admission>, request: Request, next: Next) -> Response {
    let Some(class) = class(&request) else { return next.run(request).await };
    if admission.slots.is_full(class) {
        return refuse(class.as_str());
    }
    let (request, length) = with_small_body(request).await;
    let Ok(room) = admission.room(length).await else { return refuse("body") };
    let Ok(slot) = admission.slots.enter(class).await else { return refuse(class.as_str()) };
    let response = next.run(request).await;
    drop(room);
    match class {
        // It is read from the database while it is sent.
        Class::Report => holding(response, slot),
        Class::Ingest | Class::List => response,
    }
}

fn refuse(class: &'static str) -> Response {
    metrics::counter!("testrun_http_rejected_total", "class" => class).increment(1);
    ApiError::Busy.into_response()
}

/// Reads a small body to its end, and tells how large the body may be, in bytes.
async fn with_small_body(request: Request) -> (Request, usize) {
    let is_chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
    match content_length(request.headers()) {
        None if !is_chunked => return (request, 0),
        Some(length) if length > SMALL_BODY => return (request, length),
        Some(_) | None => {}
    }
    let (parts, body) = request.into_parts();
    let mut rest = body.into_data_stream();
    let (mut begun, mut read) = (Vec::new(), 0);
    while read <= SMALL_BODY {
        let Some(chunk) = rest.next().await else {
            return (Request::from_parts(parts, joined(begun)), read);
        };
        read += chunk.as_ref().map_or(0, Bytes::len);
        let is_broken = chunk.is_err();
        begun.push(chunk);
        if is_broken {
            break;
        }
    }
    // Nobody said how large it is, so it may be as large as any.
    let may_be = if read > SMALL_BODY { MAX_BULK_BODY } else { read };
    (Request::from_parts(parts, Body::from_stream(stream::iter(begun).chain(rest))), may_be)
}

/// How large the body is said to be, in bytes.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The parts as one body, without a copy where there is but one.
fn joined(mut parts: Vec<Result<Bytes, axum::Error>>) -> Body {
    match (parts.pop(), parts.is_empty()) {
        (None, _) => Body::empty(),
        (Some(Ok(only)), true) => Body::from(only),
        (Some(last), _) => Body::from_stream(stream::iter(parts.into_iter().chain([last]))),
    }
}

/// The same answer, which holds the slot until it is sent, or nobody wants it any more.
fn holding(response: Response, slot: Slot) -> Response {
    response.map(|body| Body::new(Held { body, _slot: slot }))
}

/// A body with a slot. Not a stream of its parts: compression asks once more after the last one, which not every stream
/// stands.
struct Held {
    body: Body,
    _slot: Slot,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream's place. As an extractor it comes before all that look at the database.
#[derive(Debug)]
pub(crate) struct OpenStream {
    _permit: OwnedSemaphorePermit,
}

impl FromRequestParts<AppState> for OpenStream {
    type Rejection = ApiError;

    async fn from_request_parts(_: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let Ok(permit) = Arc::clone(&app.admission.streams).try_acquire_owned() else {
            metrics::counter!("testrun_http_rejected_total", "class" => "stream").increment(1);
            return Err(ApiError::Busy);
        };
        metrics::gauge!("testrun_http_streams").increment(1);
        Ok(Self { _permit: permit })
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        metrics::gauge!("testrun_http_streams").decrement(1);
    }
}
