//! The one way in which errors become answers (specification, Error Responses).

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use testrun_shared::Error;
use testrun_shared::error::FieldError;
use tower_http::request_id::RequestId;
use utoipa::{IntoResponses, ToSchema};

/// How many wrong fields an answer names at most: it is to be read, and to be no larger than what was sent.
pub(crate) const MAX_ERRORS: usize = 1_000;

/// What every error looks like.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// What is wrong, in a sentence.
    #[schema(example = "Validation error")]
    detail: String,
    /// With status 400: each wrong field, at most 1,000 of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// With status 500: the id to look for in the server's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

impl ErrorBody {
    fn new(detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), errors: Vec::new(), request_id: None }
    }
}

/// An error on its way to the client.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// What the shared code said.
    Domain(Error),
    /// The body is larger than the route takes.
    TooLarge(usize),
    /// The body is not declared to be JSON.
    UnsupportedMediaType,
    /// The token sends more than it may; seconds until it may again.
    TooMany(u64),
    /// More is under way than the service can do; a request of this kind has to wait outside.
    Busy,
    /// The database could not be reached; the log says why.
    DatabaseUnavailable,
    /// No such route.
    NoRoute,
    /// The route does not take this method.
    MethodNotAllowed,
    /// Something of ours broke; the text is for the log.
    Internal(String),
    /// No error at all: the answer that the request's `Idempotency-Key` has already.
    Stored(Box<Response>),
}

impl ApiError {
    /// Something of ours broke; the text is for the log.
    pub(crate) fn internal(reason: impl Into<String>) -> Self {
        Self::Internal(reason.into())
    }

    /// A 400 for these fields.
    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        Self::Domain(Error::Invalid(errors))
    }
}

impl<E: Into<Error>> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self::Domain(error.into())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::Domain(error) => domain(error),
            Self::TooLarge(limit) => answer(
                StatusCode::PAYLOAD_TOO_LARGE,
                &ErrorBody::new(format!("The body must be at most {limit} bytes")),
            ),
            Self::UnsupportedMediaType => answer(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                &ErrorBody::new("The body must be sent with Content-Type: application/json"),
            ),
            Self::TooMany(seconds) => {
                let mut response = answer(
                    StatusCode::TOO_MANY_REQUESTS,
                    &ErrorBody::new("The token sends too many requests; try again later"),
                );
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
                response
            }
            Self::Busy => unavailable("The service has more to do than it can; try again"),
            Self::DatabaseUnavailable => unavailable("The database is not available; try again"),
            Self::NoRoute => answer(StatusCode::NOT_FOUND, &ErrorBody::new("No such path; see /docs")),
            Self::MethodNotAllowed => {
                answer(StatusCode::METHOD_NOT_ALLOWED, &ErrorBody::new("The path does not take this method; see /docs"))
            }
            Self::Internal(reason) => internal(&reason),
            Self::Stored(response) => *response,
        }
    }
}

fn domain(error: Error) -> Response {
    match error {
        Error::NotFound { .. } => answer(StatusCode::NOT_FOUND, &ErrorBody::new(error.to_string())),
        Error::Conflict(detail) => answer(StatusCode::CONFLICT, &ErrorBody::new(detail)),
        Error::InvalidState(detail) => answer(StatusCode::UNPROCESSABLE_ENTITY, &ErrorBody::new(detail)),
        Error::Invalid(mut errors) => {
            errors.truncate(MAX_ERRORS);
            answer(StatusCode::BAD_REQUEST, &ErrorBody { errors, ..ErrorBody::new("Validation error") })
        }
        Error::Unauthenticated(detail) => {
            let mut response = answer(StatusCode::UNAUTHORIZED, &ErrorBody::new(detail));
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            response
        }
        error if error.is_of_deleted_project() => domain(Error::unknown_token()),
        Error::Forbidden(detail) => answer(StatusCode::FORBIDDEN, &ErrorBody::new(detail)),
        error if is_unavailable(&error) => {
            tracing::warn!(error = %error, "the database is not available");
            ApiError::DatabaseUnavailable.into_response()
        }
        // Whoever writes checks what it refers to before; it can only have gone meanwhile.
        Error::Database(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => {
            let detail = "What the request refers to was deleted at the same time; look again";
            answer(StatusCode::CONFLICT, &ErrorBody::new(detail))
        }
        Error::Database(_) | Error::Queue(_) => internal(&error.to_string()),
    }
}

/// Whether the database could not be reached, as opposed to having refused something.
pub(crate) fn is_unavailable(error: &Error) -> bool {
    let Error::Database(error) = error else { return false };
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => true,
        // 57P01 to 57P03: the server is shutting down or starting up; 53300: too many connections.
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| matches!(code.as_ref(), "57P01" | "57P02" | "57P03" | "53300"))
        }
        _ => false,
    }
}

fn unavailable(detail: &str) -> Response {
    let mut response = answer(StatusCode::SERVICE_UNAVAILABLE, &ErrorBody::new(detail));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn internal(reason: &str) -> Response {
    tracing::error!(reason, "internal error");
    answer(StatusCode::INTERNAL_SERVER_ERROR, &ErrorBody::new("Internal server error"))
}

fn answer(status: StatusCode, body: &ErrorBody) -> Response {
    (status, Json(body)).into_response()
}

pub(crate) async fn fallback() -> ApiError {
    ApiError::NoRoute
}

pub(crate) async fn method_not_allowed() -> ApiError {
    ApiError::MethodNotAllowed
}

/// Gives answers that the layers below made without our shape that shape, and a 500 the request's id.
pub(crate) async fn with_request_id(request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().and_then(|id| id.header_value().to_str().ok()).map(str::to_owned);
    let response = next.run(request).await;
    match response.status() {
        StatusCode::INTERNAL_SERVER_ERROR => {
            let body = ErrorBody { request_id: id, ..ErrorBody::new("Internal server error") };
            answer(StatusCode::INTERNAL_SERVER_ERROR, &body)
        }
        StatusCode::SERVICE_UNAVAILABLE if !response.headers().contains_key(header::CONTENT_TYPE) => {
            tracing::warn!("the request took too long");
            unavailable("The request took too long; try again")
        }
        _ => response,
    }
}

/// What any operation may answer besides its own statuses.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers in the OpenAPI document; nothing constructs it")]
pub(crate) enum CommonErrors {
    /// A field, parameter or the body as a whole breaks a rule.
    #[response(status = 400)]
    Invalid(ErrorBody),
    /// The token is missing, malformed, unknown, revoked or expired.
    #[response(status = 401)]
    Unauthenticated(ErrorBody),
    /// The token's role is too low.
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// The token sends too many requests. Try again after `Retry-After` seconds.
    #[response(status = 429)]
    TooMany(ErrorBody),
    /// Something of ours broke.
    #[response(status = 500)]
    Internal(ErrorBody),
    /// The service has more to do than it can, the database is not available, or the request took too long. Try again
    /// after `Retry-After` seconds.
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

/// What an operation with a body may answer besides.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers in the OpenAPI document; nothing constructs it")]
pub(crate) enum BodyErrors {
    /// The body is too large.
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// The body is not declared to be JSON.
    #[response(status = 415)]
    UnsupportedMediaType(ErrorBody),
}
