//! The application: its state, its routes in the specification's order, and what surrounds them.

use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware;
use axum::response::IntoResponse as _;
use sqlx::PgPool;
use testrun_shared::auth::Authenticator;
use testrun_shared::ops::{self, Readiness};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower::util::option_layer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use crate::admission::{self, Admission, Door};
use crate::error::{ApiError, fallback, method_not_allowed, with_request_id};
use crate::etag;
use crate::feed::Feeds;
use crate::group_commit::GroupCommit;
use crate::idempotency;
use crate::observe;
use crate::openapi;
use crate::rate_limit::RateLimit;
use crate::routes;

/// Largest body of most requests, in bytes.
pub(crate) const MAX_BODY: usize = 1024 * 1024;
/// Largest body of a request that carries many rows, in bytes.
pub(crate) const MAX_BULK_BODY: usize = 16 * 1024 * 1024;
/// Longest time that a request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What handlers work with.
#[derive(Debug, Clone)]
pub struct AppState {
    /// The database.
    pub db: PgPool,
    /// Tells callers by their tokens.
    pub authenticator: Authenticator,
    /// Whether the service should get requests.
    pub readiness: Readiness,
    /// How many requests a token may send.
    pub rate_limit: RateLimit,
    /// How many requests are let in at once.
    pub admission: Admission,
    /// Whose pages may call the API; none unless set.
    pub cors_origins: Vec<HeaderValue>,
    /// Where results are stored together.
    pub results: GroupCommit,
    /// New events.
    pub feeds: Feeds,
    /// Ends what would not end by itself, such as streams.
    pub stopping: CancellationToken,
}

impl AppState {
    /// A state over this database, without limits and closed to other sites' pages.
    #[must_use]
    pub fn new(db: PgPool, readiness: Readiness) -> Self {
        Self {
            authenticator: Authenticator::new(db.clone()),
            results: GroupCommit::new(db.clone()),
            feeds: Feeds::new(db.clone()),
            db,
            readiness,
            rate_limit: RateLimit::new(0),
            admission: Admission::unlimited(),
            cors_origins: Vec::new(),
            stopping: CancellationToken::new(),
        }
    }
}

/// Every route of the API, with its description.
pub(crate) fn api() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(openapi::base())
        .nest("/api/v1", routes::test_runs::router())
        .nest("/api/v1", routes::reports::router())
        .nest("/api/v1", routes::test_run_items::router())
        .nest("/api/v1", routes::test_run_results::router())
        .nest("/api/v1", routes::test_step_results::router())
        .nest("/api/v1", routes::checkpoint_results::router())
        .nest("/api/v1", routes::console_logs::router())
        .nest("/api/v1", routes::network_logs::router())
        .nest("/api/v1", routes::schedules::router())
        .nest("/api/v1", routes::script_results::router())
        .nest("/api/v1", routes::events::router())
        .nest("/api/v1", routes::websocket::router())
        .nest("/api/v1", routes::test_cases::router())
        .nest("/api/v1", routes::test_scripts::router())
        .nest("/api/v1", routes::projects::router())
        .nest("/api/v1", routes::users::router())
        .nest("/api/v1", routes::tokens::router())
        .nest("/api/v1", routes::webhooks::router())
        .nest("/api/v1", routes::unsubscribe::router())
        .nest("/api/v1", routes::queues::router())
        .nest("/api/v1", routes::jobs::router())
}

/// The whole service.
pub fn service(state: AppState) -> Door<Router> {
    Door::new(state.admission.clone(), router(state))
}

fn router(state: AppState) -> Router {
    let (api, document) = api().split_for_parts();
    let around = ServiceBuilder::new()
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
        .layer(middleware::from_fn(observe::trace_context))
        // Whatever makes a 5xx logs it, once; a refusal under load is no line in the log.
        .layer(TraceLayer::new_for_http().make_span_with(observe::span).on_failure(()))
        .layer(middleware::from_fn(observe::measure))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(middleware::from_fn(with_request_id))
        .layer(CatchPanicLayer::custom(|_| ApiError::internal("a handler panicked").into_response()))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, REQUEST_TIMEOUT))
        .layer(option_layer(cors(&state.cors_origins)))
        .layer(CompressionLayer::new())
        .layer(DefaultBodyLimit::max(MAX_BODY));
    let inner = ServiceBuilder::new()
        .layer(middleware::from_fn_with_state(state.admission.clone(), admission::layer))
        .layer(middleware::from_fn(etag::layer))
        .layer(middleware::from_fn_with_state(state.clone(), idempotency::layer));
    Router::new()
        .merge(api.layer(inner).with_state(state.clone()))
        .merge(ops::router(state.readiness))
        .merge(SwaggerUi::new("/docs").url("/openapi.json", openapi::complete(document)))
        .fallback(fallback)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(around)
}

/// Closed unless origins are set: then their pages may call the API with a token, and see our headers.
fn cors(origins: &[HeaderValue]) -> Option<CorsLayer> {
    let layer = CorsLayer::new()
        .allow_origin(origins.to_vec())
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH, HeaderName::from_static("idempotency-key")])
        .expose_headers([ETAG, LINK, RETRY_AFTER, REQUEST_ID, HeaderName::from_static("idempotency-replayed")]);
    (!origins.is_empty()).then_some(layer)
}

/// A response whose body is this error.
pub(crate) type ApiResult<T> = Result<T, ApiError>;
