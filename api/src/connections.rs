//! The clients' connections. axum's own loop has no time-outs: a slow or silent client would keep its connection, and its
//! answer in memory, for as long as it likes.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::Response;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Service, ServiceExt as _, service_fn};

use crate::admission::Door;

/// How long clients may take. A request as a whole has the time-out that is set in `app.rs`.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// From the last answer, or the beginning of the connection, to the last byte of a request's head.
    pub head: Duration,
    /// Without taking anything of an answer.
    pub stalled: Duration,
    /// After the stop, to notice it: whoever spreads requests over several services looks only now and then which of them
    /// are ready. Until then connections are taken as ever, and each is closed with its next answer.
    pub farewell: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { head: Duration::from_secs(75), stalled: Duration::from_secs(30), farewell: Duration::ZERO }
    }
}

/// What may be left of a refused body, in bytes, for its connection to be kept.
const LARGE: u64 = 64 * 1024;

/// How long to wait when the process has no descriptor left for another connection.
const EXHAUSTED: Duration = Duration::from_millis(500);

/// Serves connections until `stop` and its farewell, then takes no more and returns once the requests that are under way
/// have their answers.
pub async fn serve(listener: TcpListener, service: Door<Router>, patience: Patience, stop: impl Future<Output = ()>) {
    let (open, leaving, stopping) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
    let mut stop = pin!(async {
        stop.await;
        leaving.cancel();
        tokio::time::sleep(patience.farewell).await;
    });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let (service, leaving) = (service.clone(), leaving.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (is_large, leaving) = (is_large(&request), leaving.clone());
                    let answer = service.clone().oneshot(request);
                    async move {
                        let response = answer.await?;
                        let is_last = leaving.is_cancelled() || is_large && !response.status().is_success();
                        Ok(if is_last { last(response) } else { response })
                    }
                });
                open.spawn(connection(stream, service, patience, stopping.clone()));
            }
            Err(error) => pause_after(&error).await,
        }
    }
    drop(listener);
    stopping.cancel();
    open.close();
    open.wait().await;
}

/// Whether so much comes that the connection ends with a refusal, instead of waiting for what nobody reads. The client has to
/// be told: it would send its next request into nothing.
fn is_large(request: &Request<Incoming>) -> bool {
    request.body().size_hint().exact().is_none_or(|size| size > LARGE)
}

/// An answer after which the client has to open another connection, to another service if it is wise.
fn last(mut response: Response) -> Response {
    // That one's connection is not HTTP's any more.
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn connection<S>(stream: TcpStream, service: S, patience: Patience, stopping: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Clone + Send,
{
    // Answers are written whole: nothing is gained by waiting for more.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone at once");
        return;
    }
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(patience.stalled));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(patience.head);
    let served =
        http.serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(service)).with_upgrades();
    let mut served = pin!(served);
    let mut told = false;
    let ended = loop {
        tokio::select! {
            ended = served.as_mut() => break ended,
            () = stopping.cancelled(), if !told => {
                served.as_mut().graceful_shutdown();
                told = true;
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// A client that is gone already is no reason to wait; being out of descriptors is.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};

    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::error!(%error, "cannot accept connections");
        tokio::time::sleep(EXHAUSTED).await;
    }
}
