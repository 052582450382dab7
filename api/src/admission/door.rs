//! Where requests come in.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use axum::http::{HeaderValue, Method, Request, header};
use axum::response::Response;
use futures_util::future::Either;
use tower::Service;
use uuid::Uuid;

use super::{Admission, Class, refuse};
use crate::app::REQUEST_ID;
use crate::observe;

/// Turns away what changes something while there is no room for it, before anybody traces, measures or routes it: when twice
/// as much comes as can be done, half of the requests are refused, and every millisecond that this takes is one less for the
/// others. Whatever else is refused is refused further in, by the layer of this module.
#[derive(Debug, Clone)]
pub struct Door<S> {
    admission: Admission,
    inner: S,
}

impl<S> Door<S> {
    pub(crate) fn new(admission: Admission, inner: S) -> Self {
        Self { admission, inner }
    }

    /// Whether this request gets no slot for certain. Reading ones are looked at inside, where their class is known, and those
    /// of other sites' pages, which may only see an answer whose headers say so.
    fn turns_away<B>(&self, request: &Request<B>) -> bool {
        !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS)
            && request.uri().path().starts_with("/api/v1/")
            && !request.headers().contains_key(header::ORIGIN)
            && self.admission.slots.is_full(Class::Ingest)
    }
}

impl<S, B> Service<Request<B>> for Door<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if !self.turns_away(&request) {
            return Either::Right(self.inner.call(request));
        }
        let mut response = refuse(Class::Ingest.as_str());
        observe::count_unrouted(request.method(), response.status());
        let given = request.headers().get(REQUEST_ID).cloned();
        if let Some(id) = given.or_else(|| HeaderValue::try_from(Uuid::new_v4().to_string()).ok()) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        Either::Left(ready(Ok(response)))
    }
}
