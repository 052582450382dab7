//! Extractors: the only place that knows axum's own, so that every refusal has our shape and names the field.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, OptionalFromRequest, Request};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use garde::Validate;
use serde::de::DeserializeOwned;
use testrun_shared::auth;
use testrun_shared::domain::identity::Role;
use testrun_shared::error::FieldError;

use crate::app::{AppState, MAX_BULK_BODY};
use crate::decode::{capitalised, decode};
use crate::error::ApiError;
use crate::observe;

/// Whoever sent the request. A request that changes something needs at least the role `member`, whatever its handler
/// says, so that no handler can forget it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller(pub(crate) auth::Caller);

/// Marks a request that was taken out of its token's bucket.
#[derive(Debug, Clone, Copy)]
struct Charged;

impl FromRequestParts<AppState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        // A header that is not text cannot be a token of ours.
        let header = parts.headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or("?"));
        let caller = state.authenticator.authenticate(header).await?;
        observe::tell_project(caller.project_id);
        // A request is charged once, however many extractors ask who sent it.
        if parts.extensions.insert(Charged).is_none() {
            state.rate_limit.check(caller.token_id).map_err(ApiError::TooMany)?;
        }
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            caller.require(Role::Member)?;
        }
        Ok(Self(caller))
    }
}

/// A body that was read, decoded and checked against its type's rules.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T, S> FromRequest<S> for Json<T>
where
    T: DeserializeOwned + Validate<Context = ()>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(&request) {
            return Err(ApiError::UnsupportedMediaType);
        }
        let bytes = read(request, state).await?;
        Ok(Self(decode(&bytes).map_err(ApiError::invalid)?))
    }
}

/// A body that may be left out altogether.
impl<T, S> OptionalFromRequest<S> for Json<T>
where
    T: DeserializeOwned + Validate<Context = ()>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, ApiError> {
        let declared = request.headers().contains_key(header::CONTENT_TYPE);
        let json = is_json(&request);
        let bytes = read(request, state).await?;
        match (bytes.is_empty(), json || !declared) {
            (true, _) => Ok(None),
            (false, true) => Ok(Some(Self(decode(&bytes).map_err(ApiError::invalid)?))),
            (false, false) => Err(ApiError::UnsupportedMediaType),
        }
    }
}

fn is_json(request: &Request) -> bool {
    let value = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    let limit = request.extensions().get::<BodyLimit>().map_or(crate::app::MAX_BODY, |limit| limit.0);
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge(limit),
        _ => ApiError::invalid(vec![FieldError::new("body", "Could not be read to its end")]),
    })
}

/// The limit of the route, for the message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimit(usize);

/// Lets a route take a bulk body.
pub(crate) fn bulk(
    router: utoipa_axum::router::OpenApiRouter<AppState>,
) -> utoipa_axum::router::OpenApiRouter<AppState> {
    router.layer(axum::extract::DefaultBodyLimit::max(MAX_BULK_BODY)).layer(axum::Extension(BodyLimit(MAX_BULK_BODY)))
}

const WHOLE_NUMBER: &str = "Must be a whole number";

/// The name of a parameter in a route's pattern, by its place.
fn parameter(pattern: &str, index: usize) -> &str {
    pattern.split('{').skip(1).filter_map(|rest| rest.split('}').next()).nth(index).unwrap_or("path")
}

/// The parameters of a path.
#[derive(Debug)]
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        use axum::extract::path::ErrorKind;
        use axum::extract::rejection::PathRejection;

        let pattern = parts.extensions.get::<MatchedPath>().cloned();
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => {
                let error = match error.into_kind() {
                    ErrorKind::DeserializeError { key, message, .. } => FieldError::new(key, capitalised(&message)),
                    // All parameters but ids are whole numbers; ids are refused by their own type, above.
                    ErrorKind::ParseErrorAtKey { key, .. } => FieldError::new(key, WHOLE_NUMBER),
                    ErrorKind::ParseErrorAtIndex { index, .. } => {
                        let pattern = pattern.as_ref().map_or("", MatchedPath::as_str);
                        FieldError::new(parameter(pattern, index), WHOLE_NUMBER)
                    }
                    ErrorKind::InvalidUtf8InPathParam { key } => FieldError::new(key, "Must be UTF-8"),
                    // A type's own words, which name no parameter: that of a path with one.
                    ErrorKind::Message(message) => {
                        let pattern = pattern.as_ref().map_or("", MatchedPath::as_str);
                        FieldError::new(parameter(pattern, 0), capitalised(&message))
                    }
                    other => FieldError::new("path", capitalised(&other.to_string())),
                };
                Err(ApiError::invalid(vec![error]))
            }
            Err(other) => Err(ApiError::internal(other.to_string())),
        }
    }
}
