//! Table `webhook_deliveries`.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::domain::page::Page;
use crate::domain::webhook::{DeliveryStatus, SigningKey, WebhookDelivery};

macro_rules! select {
    () => {
        "SELECT d.id, d.webhook_id, d.event_id, e.type AS event_type, e.test_run_id, d.status, d.attempt AS attempt_count, \
             CASE WHEN d.status = 'pending' THEN d.next_attempt_at END AS next_attempt_at, d.response_status, d.last_error, \
             d.delivered_at, d.created_at \
         FROM webhook_deliveries d JOIN events e ON e.id = d.event_id "
    };
}

/// Inserts a delivery of each event for each enabled webhook of its project that wants it, and returns their ids. A webhook
/// that names no type wants all that are not frequent.
///
/// A webhook that is being deleted is waited for: without its lock the reference to it would fail, and the fact with it.
///
/// # Errors
/// If the database fails.
pub async fn insert_wanted(
    db: impl PgExecutor<'_>,
    event_ids: &[Uuid],
    is_frequent: bool,
    retry_plan: &[i32],
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "-- webhook_deliveries.insert_wanted
         WITH wanting AS (
             SELECT w.id, e.id AS event_id
             FROM events e JOIN webhooks w USING (project_id)
             WHERE e.id = ANY($1) AND w.is_enabled
                 AND CASE WHEN w.event_types = '{}' THEN NOT $2 ELSE e.type = ANY(w.event_types) END
             ORDER BY w.id
             FOR KEY SHARE OF w
         )
         INSERT INTO webhook_deliveries (id, webhook_id, event_id, retry_plan)
         SELECT gen_random_uuid(), id, event_id, $3 FROM wanting
         ON CONFLICT (event_id, webhook_id) DO NOTHING
         RETURNING id",
        event_ids,
        is_frequent,
        retry_plan,
    )
    .fetch_all(db)
    .await
}

/// Inserts a delivery of an event for one webhook, whatever that wants, and returns its id.
///
/// # Errors
/// If the database fails.
pub async fn insert(
    db: impl PgExecutor<'_>,
    webhook_id: Uuid,
    event_id: Uuid,
    retry_plan: &[i32],
) -> sqlx::Result<Uuid> {
    sqlx::query_scalar!(
        "-- webhook_deliveries.insert
         INSERT INTO webhook_deliveries (id, webhook_id, event_id, retry_plan)
         VALUES (gen_random_uuid(), $1, $2, $3)
         RETURNING id",
        webhook_id,
        event_id,
        retry_plan,
    )
    .fetch_one(db)
    .await
}

/// A delivery that was claimed for sending.
#[derive(Debug, Clone)]
pub struct ClaimedDelivery {
    /// The row, which is also the `webhook-id` of every attempt.
    pub id: Uuid,
    /// Whom it goes to.
    pub webhook_id: Uuid,
    /// Where it goes.
    pub url: String,
    /// Whether it is to go at all.
    pub is_enabled: bool,
    /// What it is signed with.
    pub secret: SigningKey,
    /// What it is signed with as well, while receivers change over.
    pub previous_secret: Option<SigningKey>,
    /// This attempt's number; only its holder may write the outcome.
    pub attempt: i32,
    /// When this attempt began.
    pub started_at: DateTime<Utc>,
    /// Seconds until the next attempt if this one fails; none after the last.
    pub pause_seconds: Option<i32>,
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
pub async fn claim(db: impl PgExecutor<'_>, id: Uuid, lease_seconds: f64) -> sqlx::Result<Option<ClaimedDelivery>> {
    sqlx::query_as!(
        ClaimedDelivery,
        r#"-- webhook_deliveries.claim
         UPDATE webhook_deliveries d
         SET status = 'sending', attempt = d.attempt + 1, lease_until = now() + make_interval(secs => $2)
         FROM webhooks w, events e
         WHERE d.id = $1 AND w.id = d.webhook_id AND e.id = d.event_id
             AND ((d.status = 'pending' AND d.next_attempt_at <= now()) OR (d.status = 'sending' AND d.lease_until < now()))
         RETURNING d.id, d.webhook_id, w.url, w.is_enabled, w.secret AS "secret: SigningKey",
             CASE WHEN w.previous_secret_expires_at > now() THEN w.previous_secret END AS "previous_secret?: SigningKey",
             d.attempt, now() AS "started_at!", d.retry_plan[d.attempt - d.attempts_before_plan] AS "pause_seconds?",
             e.id AS event_id, e.type AS event_type, e.project_id, e.created_at AS event_at, e.data"#,
        id,
        lease_seconds,
    )
    .fetch_optional(db)
    .await
}

/// Notes that attempt number `attempt` was accepted. Returns whether the row was its own.
///
/// # Errors
/// If the database fails.
pub async fn set_delivered(db: impl PgExecutor<'_>, id: Uuid, attempt: i32, status: Option<i32>) -> sqlx::Result<bool> {
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
    .map(|done| done.rows_affected() == 1)
}

/// Notes that attempt number `attempt` failed and when the next one is due; without a pause there is none.
///
/// Returns when that is, or that there is none; nothing if the row was not its own any more.
///
/// # Errors
/// If the database fails.
pub async fn set_failed(
    db: impl PgExecutor<'_>,
    id: Uuid,
    attempt: i32,
    response_status: Option<i32>,
    error: &str,
    pause_seconds: Option<f64>,
) -> sqlx::Result<Option<Option<DateTime<Utc>>>> {
    sqlx::query_scalar!(
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
        pause_seconds,
    )
    .fetch_optional(db)
    .await
}

/// Gives up a webhook's deliveries that wait.
///
/// # Errors
/// If the database fails.
pub async fn stop_pending(db: impl PgExecutor<'_>, webhook_id: Uuid, error: &str) -> sqlx::Result<u64> {
    sqlx::query!(
        "-- webhook_deliveries.stop_pending
         UPDATE webhook_deliveries SET status = 'failed', last_error = $2 WHERE webhook_id = $1 AND status = 'pending'",
        webhook_id,
        error,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected())
}

/// Makes a webhook's delivery due now, with a plan of its own. Returns whether it could: not while it is being sent.
///
/// # Errors
/// If the database fails.
pub async fn restart(db: impl PgExecutor<'_>, webhook_id: Uuid, id: Uuid, retry_plan: &[i32]) -> sqlx::Result<bool> {
    sqlx::query!(
        "-- webhook_deliveries.restart
         UPDATE webhook_deliveries
         SET status = 'pending', delivered_at = NULL, next_attempt_at = now(), rung_at = clock_timestamp(),
             retry_plan = $3, attempts_before_plan = attempt
         WHERE webhook_id = $1 AND id = $2 AND status <> 'sending'",
        webhook_id,
        id,
        retry_plan,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// Where a delivery is on its way, and whether its webhook is enabled; `None` if there is no such delivery.
///
/// # Errors
/// If the database fails.
pub async fn status(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<(DeliveryStatus, bool)>> {
    let row = sqlx::query!(
        r#"-- webhook_deliveries.status
         SELECT d.status AS "status: DeliveryStatus", w.is_enabled
         FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook_id
         WHERE d.id = $1"#,
        id,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.status, row.is_enabled)))
}

/// Makes a delivery due now that waits or was given up, with a plan of its own. Returns whether it could: not while it is
/// being sent, nor after it was accepted.
///
/// # Errors
/// If the database fails.
pub async fn make_due(db: impl PgExecutor<'_>, id: Uuid, retry_plan: &[i32]) -> sqlx::Result<bool> {
    sqlx::query!(
        "-- webhook_deliveries.make_due
         UPDATE webhook_deliveries
         SET status = 'pending', lease_until = NULL, next_attempt_at = now(), rung_at = clock_timestamp(),
             retry_plan = $2, attempts_before_plan = attempt
         WHERE id = $1 AND (status IN ('pending', 'failed') OR (status = 'sending' AND lease_until < now()))",
        id,
        retry_plan,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// Gives a delivery up that nobody is making.
///
/// # Errors
/// If the database fails.
pub async fn give_up(db: impl PgExecutor<'_>, id: Uuid, reason: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "-- webhook_deliveries.give_up
         UPDATE webhook_deliveries
         SET status = 'failed', lease_until = NULL, last_error = $2
         WHERE id = $1 AND (status = 'pending' OR (status = 'sending' AND lease_until < now()))",
        id,
        reason,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// A webhook's delivery with this id.
///
/// # Errors
/// If the database fails.
pub async fn get(db: impl PgExecutor<'_>, webhook_id: Uuid, id: Uuid) -> sqlx::Result<Option<WebhookDelivery>> {
    sqlx::query_as(concat!("-- webhook_deliveries.get\n", select!(), "WHERE d.webhook_id = $1 AND d.id = $2"))
        .bind(webhook_id)
        .bind(id)
        .fetch_optional(db)
        .await
}

/// A page of a webhook's deliveries, newest first, narrowed to a status if one is given.
///
/// # Errors
/// If the database fails.
pub async fn list(
    db: impl PgExecutor<'_>,
    webhook_id: Uuid,
    status: Option<DeliveryStatus>,
    page: Page,
) -> sqlx::Result<Vec<WebhookDelivery>> {
    sqlx::query_as(concat!(
        "-- webhook_deliveries.list\n",
        select!(),
        "WHERE d.webhook_id = $1 AND ($2 IS NULL OR d.status = $2) ORDER BY d.created_at DESC, d.id DESC LIMIT $3 OFFSET $4"
    ))
    .bind(webhook_id)
    .bind(status)
    .bind(page.limit)
    .bind(page.offset)
    .fetch_all(db)
    .await
}

/// How many deliveries of a webhook have this status, or how many there are.
///
/// # Errors
/// If the database fails.
pub async fn count(db: impl PgExecutor<'_>, webhook_id: Uuid, status: Option<DeliveryStatus>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- webhook_deliveries.count
         SELECT count(*) AS "count!"
         FROM webhook_deliveries
         WHERE webhook_id = $1 AND ($2::varchar IS NULL OR status = $2)"#,
        webhook_id,
        status as Option<DeliveryStatus>,
    )
    .fetch_one(db)
    .await
}

/// Deliveries that should have been made by now, but for some, noted as rung again. A retry was rung for at its due time.
///
/// # Errors
/// If the database fails.
pub async fn take_overdue(
    db: impl PgExecutor<'_>,
    rung_before: DateTime<Utc>,
    except: &[Uuid],
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "-- webhook_deliveries.take_overdue
         UPDATE webhook_deliveries
         SET rung_at = clock_timestamp()
         WHERE id IN (
             SELECT id FROM webhook_deliveries
             WHERE status IN ('pending', 'sending') AND coalesce(lease_until < now(), TRUE)
                 AND greatest(next_attempt_at, rung_at) < $1 AND id <> ALL($2)
             ORDER BY next_attempt_at
             LIMIT 500
             FOR NO KEY UPDATE SKIP LOCKED
         )
         RETURNING id",
        rung_before,
        except,
    )
    .fetch_all(db)
    .await
}
