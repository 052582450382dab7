//! A real receiver of webhooks on the loopback interface that keeps what it is sent and fails as it is told to.
//!
//! HTTP/1.1 by hyper over our own sockets, so that a connection can be left hanging or be reset.

mod journal;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header::RETRY_AFTER};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use journal::Journal;
pub use journal::ReceivedRequest;

/// Most bytes of a body that are taken; no delivery is as long.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// What the receiver does with a request, once it has all of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reply {
    /// Answers 200.
    #[default]
    Accept,
    /// Answers with this status, for example 500 or 410, and no body.
    Status(u16),
    /// Answers 429 with `Retry-After` in seconds.
    Busy {
        /// How long it wants to be left alone, in seconds.
        seconds: u32,
    },
    /// Never answers, and keeps the connection open until the client closes it.
    Hang,
    /// Resets the connection (`RST`) without an answer.
    Reset,
}

impl Reply {
    /// Whether the sender has a right to take the delivery for accepted.
    #[must_use]
    pub fn accepts(self) -> bool {
        matches!(self, Self::Accept | Self::Status(200..=299))
    }
}

/// Decides what is done with a request. It may look at the request's number, attempt, path and everything else.
type Decide = dyn Fn(&ReceivedRequest) -> Reply + Send + Sync;

/// A running receiver with a journal; it stops, and its connections close, when it is dropped.
#[derive(Debug)]
pub struct WebhookReceiver {
    address: SocketAddr,
    journal: Arc<watch::Sender<Journal>>,
    /// Holds the accepting task, which holds one task for each connection: a `JoinSet` aborts its tasks when dropped.
    _acceptor: JoinSet<()>,
}

impl WebhookReceiver {
    /// Starts a receiver on a free port of 127.0.0.1 that accepts everything.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        Self::start_with(|_| Reply::Accept).await
    }

    /// Starts a receiver that does with each request what `decide` says.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start_with(decide: impl Fn(&ReceivedRequest) -> Reply + Send + Sync + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let journal = Arc::new(watch::Sender::new(Journal::default()));
        let mut acceptor = JoinSet::new();
        acceptor.spawn(accept(listener, Arc::clone(&journal), Arc::new(decide)));
        Ok(Self { address, journal, _acceptor: acceptor })
    }

    /// Where to deliver, with this path: `/hook`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests received up to now, in the order of their arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.journal.borrow().requests.clone()
    }

    /// Waits until `count` requests have come, and returns all that have.
    ///
    /// # Errors
    /// When that takes longer than `within`.
    pub async fn wait_for(&self, count: usize, within: Duration) -> anyhow::Result<Vec<ReceivedRequest>> {
        let mut changes = self.journal.subscribe();
        let seen = timeout(within, changes.wait_for(|journal| journal.requests.len() >= count)).await;
        let requests = self.requests();
        anyhow::ensure!(
            seen.is_ok_and(|seen| seen.is_ok()),
            "waited {within:?} for {count} requests; there were {}: {requests:?}",
            requests.len()
        );
        Ok(requests)
    }
}

/// Does with the requests for each path, in the order of their arrival, what the list says, and accepts all that follow.
pub fn script(replies: impl Into<Vec<Reply>>) -> impl Fn(&ReceivedRequest) -> Reply + Send + Sync + 'static {
    let replies = replies.into();
    move |request| replies.get(request.number).copied().unwrap_or_default()
}

async fn accept(listener: TcpListener, journal: Arc<watch::Sender<Journal>>, decide: Arc<Decide>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (journal, decide) = (Arc::clone(&journal), Arc::clone(&decide));
        connections.spawn(async move {
            // A client that goes away in the middle of a word is nothing that a test of the client can act on.
            let _ = serve(stream, journal, decide).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, journal: Arc<watch::Sender<Journal>>, decide: Arc<Decide>) -> io::Result<()> {
    let stream = stream.into_std()?;
    // A second handle: hyper closes the first one, and how the last one closes is ours to say.
    let last = stream.try_clone()?;
    let service = service_fn(|request| answer(request, &journal, &*decide));
    let served = http1::Builder::new().serve_connection(TokioIo::new(TcpStream::from_std(stream)?), service).await;
    if served.is_err_and(|error| error.is_user()) {
        TcpStream::from_std(last)?.set_zero_linger()?;
    }
    Ok(())
}

async fn answer(
    request: Request<Incoming>,
    journal: &watch::Sender<Journal>,
    decide: &Decide,
) -> Result<Response<Body>, ResetWanted> {
    let arrived_at = SystemTime::now();
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(Body::new(body), MAX_BODY).await.map_err(|_| ResetWanted)?;
    let request = ReceivedRequest {
        number: 0,
        attempt: 0,
        arrived_at,
        path: head.uri.to_string(),
        headers: head.headers,
        body: body.to_vec(),
        reply: Reply::Accept,
    };
    let mut reply = Reply::Accept;
    journal.send_modify(|journal| reply = journal.keep(request, decide));
    let mut response = Response::new(Body::empty());
    match reply {
        Reply::Accept => {}
        Reply::Status(status) => *response.status_mut() = StatusCode::from_u16(status).map_err(|_| ResetWanted)?,
        Reply::Busy { seconds } => {
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        Reply::Hang => std::future::pending().await,
        Reply::Reset => return Err(ResetWanted),
    }
    Ok(response)
}

/// Makes hyper drop the connection.
#[derive(Debug)]
struct ResetWanted;

impl std::fmt::Display for ResetWanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection is to be reset")
    }
}

impl std::error::Error for ResetWanted {}

#[cfg(test)]
mod tests;
