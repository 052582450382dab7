//! Tables `webhooks` and `webhook_deliveries`.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;
use uuid::Uuid;

/// Inserts a delivery of each event for each enabled webhook of its project that wants it, and returns their ids. A webhook
/// that names no type wants all that are not frequent.
///
/// # Errors
/// If the database fails.
pub async fn insert_deliveries(
    db: impl PgExecutor<'_>,
    event_ids: &[Uuid],
    is_frequent: bool,
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "-- webhook_deliveries.insert
         INSERT INTO webhook_deliveries (id, webhook_id, event_id)
         SELECT gen_random_uuid(), w.id, e.id
         FROM events e JOIN webhooks w USING (project_id)
         WHERE e.id = ANY($1) AND w.is_enabled
             AND CASE WHEN w.event_types = '{}' THEN NOT $2 ELSE e.type = ANY(w.event_types) END
         ON CONFLICT (event_id, webhook_id) DO NOTHING
         RETURNING id",
        event_ids,
        is_frequent,
    )
    .fetch_all(db)
    .await
}

/// A delivery that was claimed for sending.
#[derive(Debug, Clone)]
pub struct ClaimedDelivery {
    /// The row, which is also the `webhook-id` of every attempt.
    pub id: Uuid,
    /// Where it goes.
    pub url: String,
    /// What it is signed with.
    pub secret: Vec<u8>,
    /// This attempt's number; only its holder may write the outcome.
    pub attempt: i32,
    /// The event's id.
    pub event_id: Uuid,
    /// The event's type.
    pub event_type: String,
    /// The event's project.
    pub project_id: Uuid,
    /// When the event happened.
    pub event_at: DateTime<Utc>,
    /// What happened.
    pub data: Value,
}

/// Claims a delivery that is due, for `lease_seconds`; `None` if it is not due, or somebody else is at it.
///
/// # Errors
/// If the database fails.
pub async fn claim_delivery(
    db: impl PgExecutor<'_>,
    id: Uuid,
    lease_seconds: f64,
) -> sqlx::Result<Option<ClaimedDelivery>> {
    sqlx::query_as!(
        ClaimedDelivery,
        "-- webhook_deliveries.claim
         UPDATE webhook_deliveries d
         SET status = 'sending', attempt = d.attempt + 1, lease_until = now() + make_interval(secs => $2)
         FROM webhooks w, events e
         WHERE d.id = $1 AND w.id = d.webhook_id AND e.id = d.event_id
             AND ((d.status = 'pending' AND d.next_attempt_at <= now()) OR (d.status = 'sending' AND d.lease_until < now()))
         RETURNING d.id, w.url, w.secret, d.attempt, e.id AS event_id, e.type AS event_type, e.project_id,
             e.created_at AS event_at, e.data",
        id,
        lease_seconds,
    )
    .fetch_optional(db)
    .await
}

/// Notes that attempt number `attempt` was accepted.
///
/// # Errors
/// If the database fails.
pub async fn set_delivered(db: impl PgExecutor<'_>, id: Uuid, attempt: i32, status: i32) -> sqlx::Result<()> {
    sqlx::query!(
        "-- webhook_deliveries.set_delivered
         UPDATE webhook_deliveries
         SET status = 'delivered', delivered_at = now(), lease_until = NULL, response_status = $3, last_error = NULL
         WHERE id = $1 AND attempt = $2 AND status = 'sending'",
        id,
        attempt,
        status,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Notes that attempt number `attempt` failed and when the next one is due; without a delay there is none.
///
/// Returns the next due time, or `None` if the row was not its own any more or is given up.
///
/// # Errors
/// If the database fails.
pub async fn set_delivery_failed(
    db: impl PgExecutor<'_>,
    id: Uuid,
    attempt: i32,
    response_status: Option<i32>,
    error: &str,
    retry_after_seconds: Option<f64>,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    let next = sqlx::query_scalar!(
        "-- webhook_deliveries.set_failed
         UPDATE webhook_deliveries
         SET status = CASE WHEN $5::float8 IS NULL THEN 'failed' ELSE 'pending' END, lease_until = NULL,
             response_status = $3, last_error = $4,
             next_attempt_at = coalesce(now() + make_interval(secs => $5), next_attempt_at), rung_at = clock_timestamp()
         WHERE id = $1 AND attempt = $2 AND status = 'sending'
         RETURNING CASE WHEN status = 'pending' THEN next_attempt_at END",
        id,
        attempt,
        response_status,
        error,
        retry_after_seconds,
    )
    .fetch_optional(db)
    .await?;
    Ok(next.flatten())
}

/// Deliveries that should have been made by now, noted as rung again. A retry was rung for at its due time.
///
/// # Errors
/// If the database fails.
pub async fn take_overdue_deliveries(db: impl PgExecutor<'_>, rung_before: DateTime<Utc>) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "-- webhook_deliveries.take_overdue
         UPDATE webhook_deliveries
         SET rung_at = clock_timestamp()
         WHERE id IN (
             SELECT id FROM webhook_deliveries
             WHERE status IN ('pending', 'sending') AND coalesce(lease_until < now(), TRUE)
                 AND greatest(next_attempt_at, rung_at) < $1
             ORDER BY next_attempt_at
             LIMIT 500
             FOR NO KEY UPDATE SKIP LOCKED
         )
         RETURNING id",
        rung_before,
    )
    .fetch_all(db)
    .await
}
