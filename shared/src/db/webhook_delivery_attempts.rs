//! Table `webhook_delivery_attempts`.

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::domain::webhook::WebhookDeliveryAttempt;

/// Attempts that are shown of a delivery.
const SHOWN: i64 = 100;

/// Keeps what an attempt sent back.
///
/// # Errors
/// If the database fails.
pub async fn insert(db: impl PgExecutor<'_>, delivery_id: Uuid, attempt: &WebhookDeliveryAttempt) -> sqlx::Result<()> {
    sqlx::query!(
        "-- webhook_delivery_attempts.insert
         INSERT INTO webhook_delivery_attempts (delivery_id, attempt, started_at, duration_ms, response_status,
             response_body, error)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        delivery_id,
        attempt.attempt,
        attempt.started_at,
        attempt.duration_ms,
        attempt.response_status,
        attempt.response_body,
        attempt.error,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// The latest attempts of a delivery, first to last.
///
/// # Errors
/// If the database fails.
pub async fn list(db: impl PgExecutor<'_>, delivery_id: Uuid) -> sqlx::Result<Vec<WebhookDeliveryAttempt>> {
    sqlx::query_as!(
        WebhookDeliveryAttempt,
        "-- webhook_delivery_attempts.list
         SELECT * FROM (
             SELECT attempt, started_at, duration_ms, response_status, response_body, error
             FROM webhook_delivery_attempts
             WHERE delivery_id = $1
             ORDER BY attempt DESC
             LIMIT $2
         ) AS latest
         ORDER BY attempt",
        delivery_id,
        SHOWN,
    )
    .fetch_all(db)
    .await
}
