//! Requests that the browser made.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::masking;
use super::validation::{MAX_LOG_LINES, between, count, duration, filled, instant, some_rows, text};

/// A request as stored and as shown.
#[derive(Debug, Clone, Serialize, Deserialize, FromRow, ToSchema)]
pub struct NetworkLog {
    /// The request's id.
    pub id: Uuid,
    /// The result it belongs to.
    pub test_run_result_id: Uuid,
    /// Where it went.
    pub url: String,
    /// For example `GET`.
    pub method: String,
    /// The answer's status.
    pub status_code: Option<i32>,
    /// The status in words.
    pub status_text: Option<String>,
    /// With `Authorization` and `Cookie` masked.
    pub request_headers: Option<Value>,
    /// With `Set-Cookie` masked.
    pub response_headers: Option<Value>,
    /// The beginning of the body.
    pub request_body_preview: Option<String>,
    /// The beginning of the body.
    pub response_body_preview: Option<String>,
    /// The answer's media type.
    pub content_type: Option<String>,
    /// Bytes.
    pub content_length: Option<i64>,
    /// For example `document`, `script`, `fetch`.
    pub resource_type: Option<String>,
    /// When it was sent.
    pub timestamp: DateTime<Utc>,
    /// Milliseconds.
    pub duration_ms: Option<i64>,
    /// Milliseconds to the first byte.
    pub ttfb_ms: Option<i64>,
    /// What went wrong.
    pub error_message: Option<String>,
    /// During which step.
    pub step_index: Option<i32>,
    /// When the server got it.
    pub created_at: DateTime<Utc>,
}

/// One request of the body that adds requests.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
pub struct NewNetworkLog {
    /// 1 to 2,000 characters.
    #[garde(custom(filled(2_000)))]
    #[schema(min_length = 1, max_length = 2000)]
    pub url: String,
    /// 1 to 10 characters.
    #[garde(custom(filled(10)))]
    #[schema(min_length = 1, max_length = 10, example = "GET")]
    pub method: String,
    /// 0 to 999.
    #[garde(custom(between(0, 999)))]
    #[schema(minimum = 0, maximum = 999)]
    pub status_code: Option<i32>,
    /// At most 100 characters.
    #[garde(custom(text(100)))]
    #[schema(max_length = 100)]
    pub status_text: Option<String>,
    /// `Authorization` and `Cookie` are masked before they are stored.
    #[garde(skip)]
    pub request_headers: Option<Value>,
    /// `Set-Cookie` is masked before it is stored.
    #[garde(skip)]
    pub response_headers: Option<Value>,
    /// The beginning of the body.
    #[garde(custom(text(1_000_000)))]
    #[schema(max_length = 1000000)]
    pub request_body_preview: Option<String>,
    /// The beginning of the body.
    #[garde(custom(text(1_000_000)))]
    #[schema(max_length = 1000000)]
    pub response_body_preview: Option<String>,
    /// At most 200 characters.
    #[garde(custom(text(200)))]
    #[schema(max_length = 200)]
    pub content_type: Option<String>,
    /// Bytes.
    #[garde(custom(between(0, i64::MAX)))]
    #[schema(minimum = 0)]
    pub content_length: Option<i64>,
    /// At most 50 characters.
    #[garde(custom(text(50)))]
    #[schema(max_length = 50)]
    pub resource_type: Option<String>,
    /// When it was sent.
    #[garde(custom(instant))]
    pub timestamp: DateTime<Utc>,
    /// Milliseconds.
    #[garde(custom(duration))]
    #[schema(minimum = 0)]
    pub duration_ms: Option<i64>,
    /// Milliseconds to the first byte.
    #[garde(custom(duration))]
    #[schema(minimum = 0)]
    pub ttfb_ms: Option<i64>,
    /// What went wrong.
    #[garde(custom(text(1_000_000)))]
    #[schema(max_length = 1000000)]
    pub error_message: Option<String>,
    /// During which step.
    #[garde(custom(count))]
    #[schema(minimum = 0)]
    pub step_index: Option<i32>,
}

/// The body that adds requests.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
pub struct NewNetworkLogs {
    /// 1 to 10,000 requests.
    #[garde(custom(some_rows(MAX_LOG_LINES)), dive)]
    #[schema(min_items = 1, max_items = 10000)]
    pub logs: Vec<NewNetworkLog>,
}

impl NewNetworkLog {
    /// The row to store.
    #[must_use]
    pub fn into_row(self, test_run_result_id: Uuid, now: DateTime<Utc>) -> NetworkLog {
        NetworkLog {
            id: Uuid::now_v7(),
            test_run_result_id,
            url: self.url,
            method: self.method,
            status_code: self.status_code,
            status_text: self.status_text,
            request_headers: self.request_headers.map(masking::headers),
            response_headers: self.response_headers.map(masking::headers),
            request_body_preview: self.request_body_preview,
            response_body_preview: self.response_body_preview,
            content_type: self.content_type,
            content_length: self.content_length,
            resource_type: self.resource_type,
            timestamp: self.timestamp,
            duration_ms: self.duration_ms,
            ttfb_ms: self.ttfb_ms,
            error_message: self.error_message,
            step_index: self.step_index,
            created_at: now,
        }
    }
}
