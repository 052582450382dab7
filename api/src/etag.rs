//! `ETag` and `If-None-Match`: a client that has the current representation of a resource is told so without it.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};

use crate::error::ApiError;

/// Gives the JSON answer of a GET its tag, and answers 304 if the client has it.
///
/// The tag is weak: it stands for the resource, whatever the transfer's compression.
pub(crate) async fn layer(request: Request, next: Next) -> Response {
    if request.method() != Method::GET {
        return next.run(request).await;
    }
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == "application/json");
    if response.status() != StatusCode::OK || !is_json {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // JSON answers are in memory already.
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return ApiError::internal("an answer could not be read").into_response();
    };
    let tag = tag(&bytes);
    set(&mut parts.headers, &tag);
    if known.is_some_and(|known| matches(&known, &tag)) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        set(response.headers_mut(), &tag);
        return response;
    }
    Response::from_parts(parts, Body::from(bytes))
}

fn tag(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes)[..16].iter().fold("W/\"".to_owned(), |mut tag, byte| {
        // Writing to a string cannot fail.
        let _ = write!(tag, "{byte:02x}");
        tag
    }) + "\""
}

fn set(headers: &mut HeaderMap, tag: &str) {
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    // A cache may keep it, but has to ask whether it is current.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
}

/// Weak comparison (RFC 9110, 13.1.2): `*`, or any of the listed tags.
fn matches(known: &HeaderValue, tag: &str) -> bool {
    let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    known.to_str().is_ok_and(|known| known.trim() == "*" || known.split(',').any(|one| strong(one) == strong(tag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly_and_lists_are_understood() {
        let tag = tag(b"body");
        for known in ["*".to_owned(), tag.clone(), format!("\"x\", {tag}"), tag.replace("W/", "")] {
            assert!(matches(&HeaderValue::from_str(&known).expect("a header"), &tag), "{known}");
        }
        assert!(!matches(&HeaderValue::from_static("\"x\""), &tag));
    }
}
