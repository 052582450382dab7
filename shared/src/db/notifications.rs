//! Table `notifications`: one mail to one recipient about one ended run, or about one disablement of a webhook.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::domain::notification::{NotificationKind, NotificationStatus};

/// Inserts a row per recipient who has none, and returns the new ones' ids.
///
/// # Errors
/// If the database fails.
pub async fn insert(
    db: impl PgExecutor<'_>,
    run_id: Uuid,
    kind: NotificationKind,
    recipients: &[String],
) -> sqlx::Result<Vec<Uuid>> {
    let ids: Vec<Uuid> = recipients.iter().map(|_| Uuid::now_v7()).collect();
    sqlx::query_scalar!(
        "-- notifications.insert
         INSERT INTO notifications (id, test_run_id, kind, recipient)
         SELECT new.id, $1, $2, new.recipient
         FROM unnest($3::uuid[], $4::text[]) AS new (id, recipient)
         ON CONFLICT (test_run_id, kind, recipient) DO NOTHING
         RETURNING id",
        run_id,
        kind as NotificationKind,
        &ids,
        recipients,
    )
    .fetch_all(db)
    .await
}

/// Inserts a row about a disabled webhook for its maker; or, if that one is no member of the project any more, for each of
/// the project's admins. Returns the new ones' ids.
///
/// # Errors
/// If the database fails.
pub async fn insert_webhook_disabled(db: impl PgExecutor<'_>, webhook_id: Uuid) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "-- notifications.insert_webhook_disabled
         WITH member AS (
             SELECT w.id AS webhook_id, w.disabled_at, u.email, m.role, m.user_id = w.created_by AS is_maker
             FROM webhooks w JOIN project_members m USING (project_id) JOIN users u ON u.id = m.user_id
             WHERE w.id = $1 AND NOT w.is_enabled
         )
         INSERT INTO notifications (id, kind, webhook_id, webhook_disabled_at, recipient)
         SELECT gen_random_uuid(), $2, webhook_id, disabled_at, email
         FROM member
         WHERE is_maker OR (role = 'admin' AND NOT EXISTS (SELECT 1 FROM member WHERE is_maker))
         ON CONFLICT (webhook_id, webhook_disabled_at, recipient) DO NOTHING
         RETURNING id",
        webhook_id,
        NotificationKind::WebhookDisabled as NotificationKind,
    )
    .fetch_all(db)
    .await
}

/// A mail that was claimed for sending.
#[derive(Debug, Clone)]
pub struct ClaimedNotification {
    /// The row, which also makes the Message-ID.
    pub id: Uuid,
    /// The run it is about, if it is about one.
    pub test_run_id: Option<Uuid>,
    /// The webhook it is about otherwise.
    pub webhook_id: Option<Uuid>,
    /// When that was disabled.
    pub webhook_disabled_at: Option<DateTime<Utc>>,
    /// What it is about.
    pub kind: NotificationKind,
    /// The address.
    pub recipient: String,
    /// This attempt's number; only its holder may write the outcome.
    pub attempt: i32,
    /// When the mail became due; the Date of every attempt.
    pub created_at: DateTime<Utc>,
}

/// Claims a mail that is due, for `lease_seconds`; `None` if it is not due, or somebody else is sending it.
///
/// # Errors
/// If the database fails.
pub async fn claim(db: impl PgExecutor<'_>, id: Uuid, lease_seconds: f64) -> sqlx::Result<Option<ClaimedNotification>> {
    sqlx::query_as!(
        ClaimedNotification,
        r#"-- notifications.claim
         UPDATE notifications
         SET status = 'sending', attempt = attempt + 1, lease_until = now() + make_interval(secs => $2)
         WHERE id = $1
             AND ((status = 'pending' AND next_attempt_at <= now()) OR (status = 'sending' AND lease_until < now()))
         RETURNING id, test_run_id, webhook_id, webhook_disabled_at, kind AS "kind: NotificationKind", recipient, attempt,
             created_at"#,
        id,
        lease_seconds,
    )
    .fetch_optional(db)
    .await
}

/// Notes that attempt number `attempt` was accepted by the mail server. Returns whether the row was still its own.
///
/// # Errors
/// If the database fails.
pub async fn set_sent(db: impl PgExecutor<'_>, id: Uuid, attempt: i32) -> sqlx::Result<bool> {
    sqlx::query!(
        "-- notifications.set_sent
         UPDATE notifications
         SET status = 'sent', sent_at = now(), lease_until = NULL, last_error = NULL
         WHERE id = $1 AND attempt = $2 AND status = 'sending'",
        id,
        attempt,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// Notes that attempt number `attempt` failed and when the next one is due; without a delay there is none.
///
/// Returns the next due time, or `None` if the row was not its own any more or is given up.
///
/// # Errors
/// If the database fails.
pub async fn set_failed(
    db: impl PgExecutor<'_>,
    id: Uuid,
    attempt: i32,
    error: &str,
    retry_after_seconds: Option<f64>,
) -> sqlx::Result<Option<DateTime<Utc>>> {
    let next = sqlx::query_scalar!(
        "-- notifications.set_failed
         UPDATE notifications
         SET status = CASE WHEN $4::float8 IS NULL THEN 'failed' ELSE 'pending' END, lease_until = NULL, last_error = $3,
             next_attempt_at = coalesce(now() + make_interval(secs => $4), next_attempt_at), rung_at = clock_timestamp()
         WHERE id = $1 AND attempt = $2 AND status = 'sending'
         RETURNING CASE WHEN status = 'pending' THEN next_attempt_at END",
        id,
        attempt,
        error,
        retry_after_seconds,
    )
    .fetch_optional(db)
    .await?;
    Ok(next.flatten())
}

/// Where a mail is on its way; `None` if there is no such mail.
///
/// # Errors
/// If the database fails.
pub async fn status(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<NotificationStatus>> {
    sqlx::query_scalar!(
        r#"-- notifications.status
         SELECT status AS "status: NotificationStatus" FROM notifications WHERE id = $1"#,
        id,
    )
    .fetch_optional(db)
    .await
}

/// Makes a mail due now that waits or was given up. Returns whether it could: not while it is being sent, nor after.
///
/// # Errors
/// If the database fails.
pub async fn make_due(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<bool> {
    sqlx::query!(
        "-- notifications.make_due
         UPDATE notifications
         SET status = 'pending', lease_until = NULL, next_attempt_at = now(), rung_at = clock_timestamp()
         WHERE id = $1 AND (status IN ('pending', 'failed') OR (status = 'sending' AND lease_until < now()))",
        id,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// Gives a mail up that nobody is sending.
///
/// # Errors
/// If the database fails.
pub async fn give_up(db: impl PgExecutor<'_>, id: Uuid, reason: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "-- notifications.give_up
         UPDATE notifications
         SET status = 'failed', lease_until = NULL, last_error = $2
         WHERE id = $1 AND (status = 'pending' OR (status = 'sending' AND lease_until < now()))",
        id,
        reason,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Mails that should have been sent by now, but for some, noted as rung again. A retry was rung for at its due time.
///
/// # Errors
/// If the database fails.
pub async fn take_overdue(
    db: impl PgExecutor<'_>,
    rung_before: DateTime<Utc>,
    except: &[Uuid],
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "-- notifications.take_overdue
         UPDATE notifications
         SET rung_at = clock_timestamp()
         WHERE id IN (
             SELECT id FROM notifications
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
