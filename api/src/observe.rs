//! What is told of a request: its trace, its log lines' context, its metrics.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use testrun_shared::telemetry::trace::{self, TRACEPARENT, TraceParent};
use tower_http::request_id::RequestId;
use tracing::field::{Empty, display};
use uuid::Uuid;

/// The route of a request that no route is for. Its path is the client's choice and must not become a metric's label.
const UNMATCHED: &str = "unmatched";

/// Goes on in the client's trace, or begins one, and has whatever the request causes belong to it.
pub(crate) async fn trace_context(mut request: Request, next: Next) -> Response {
    let trace = given(&request).map_or_else(TraceParent::begin, TraceParent::child);
    request.extensions_mut().insert(trace);
    trace::scope(trace, next.run(request)).await
}

/// The client's place in its trace. A header that comes twice says nothing.
fn given(request: &Request) -> Option<TraceParent> {
    let mut headers = request.headers().get_all(TRACEPARENT).iter();
    let only = headers.next().filter(|_| headers.next().is_none())?;
    only.to_str().ok()?.trim().parse().ok()
}

/// The context of a request's log lines. Its level is the highest, so that no filter takes it from an error's line. The
/// route is the pattern: paths have ids in them, and what a client makes up.
pub(crate) fn span<B>(request: &axum::http::Request<B>) -> tracing::Span {
    let extensions = request.extensions();
    let id = extensions.get::<RequestId>().and_then(|id| id.header_value().to_str().ok()).unwrap_or_default();
    let trace = extensions.get::<TraceParent>().map(|trace| trace.trace_id()).unwrap_or_default();
    let route = extensions.get::<MatchedPath>().map_or(UNMATCHED, MatchedPath::as_str);
    let span = tracing::error_span!(
        "request",
        request_id = id,
        trace_id = trace,
        method = method(request.method()),
        route,
        project_id = Empty,
        run_id = Empty
    );
    if let Some(run_id) = run_id(route, request.uri().path()) {
        span.record("run_id", display(run_id));
    }
    span
}

/// The run in a path whose pattern has one.
fn run_id(route: &str, path: &str) -> Option<Uuid> {
    let (_, id) = route.split('/').zip(path.split('/')).find(|(parameter, _)| *parameter == "{run_id}")?;
    id.parse().ok()
}

/// Has the log lines of a request tell whose it is.
pub(crate) fn tell_project(project_id: Uuid) {
    tracing::Span::current().record("project_id", display(project_id));
}

/// Has the log lines of a request tell which run it is about, where the path does not.
pub(crate) fn tell_run(run_id: Uuid) {
    tracing::Span::current().record("run_id", display(run_id));
}

/// Counts and times a request.
pub(crate) async fn measure(request: Request, next: Next) -> Response {
    let method = method(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or(UNMATCHED, MatchedPath::as_str).to_owned();
    let (in_flight, began) = (InFlight::new(), Instant::now());
    let response = next.run(request).await;
    drop(in_flight);
    let status = response.status().as_str().to_owned();
    metrics::histogram!("testrun_http_request_duration_seconds", "method" => method, "route" => route.clone())
        .record(began.elapsed());
    metrics::counter!("testrun_http_requests_total", "method" => method, "route" => route, "status" => status)
        .increment(1);
    response
}

/// Counts a request that was answered before its route was known.
pub(crate) fn count_unrouted(request: &Method, status: StatusCode) {
    let (method, status) = (method(request), status.as_str().to_owned());
    metrics::counter!("testrun_http_requests_total", "method" => method, "route" => UNMATCHED, "status" => status)
        .increment(1);
}

/// The method as a label; clients may make up others.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// A request without an answer. A client that leaves ends it as well.
struct InFlight;

impl InFlight {
    fn new() -> Self {
        metrics::gauge!("testrun_http_requests_in_flight").increment(1);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        metrics::gauge!("testrun_http_requests_in_flight").decrement(1);
    }
}
