//! Table `paused_queues`: no job of these is started.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

/// A queue whose jobs are not started.
#[derive(Debug, Clone)]
pub struct PausedQueue {
    /// The queue's name.
    pub queue: String,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    pub paused_at: DateTime<Utc>,
    /// The user whose token did it; none for the command line.
    pub paused_by: Option<Uuid>,
}

/// The queues that are paused.
///
/// # Errors
/// If the database fails.
pub async fn list(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<PausedQueue>> {
    sqlx::query_as!(
        PausedQueue,
        "-- paused_queues.list
         SELECT queue, reason, paused_at, paused_by FROM paused_queues ORDER BY queue"
    )
    .fetch_all(db)
    .await
}

/// Whether a queue is paused.
///
/// # Errors
/// If the database fails.
pub async fn exists(db: impl PgExecutor<'_>, queue: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"-- paused_queues.exists
         SELECT EXISTS (SELECT 1 FROM paused_queues WHERE queue = $1) AS "paused!""#,
        queue,
    )
    .fetch_one(db)
    .await
}

/// Has no job of a queue started from now on. One that is paused stays so, with the new reason if there is one.
///
/// # Errors
/// If the database fails.
pub async fn insert(db: impl PgExecutor<'_>, queue: &str, reason: Option<&str>, by: Option<Uuid>) -> sqlx::Result<()> {
    sqlx::query!(
        "-- paused_queues.insert
         INSERT INTO paused_queues (queue, reason, paused_by)
         VALUES ($1, $2, $3)
         ON CONFLICT (queue) DO UPDATE SET reason = coalesce(EXCLUDED.reason, paused_queues.reason)",
        queue,
        reason,
        by,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Has the jobs of a queue started again. Returns whether it was paused.
///
/// # Errors
/// If the database fails.
pub async fn delete(db: impl PgExecutor<'_>, queue: &str) -> sqlx::Result<bool> {
    sqlx::query!("-- paused_queues.delete\nDELETE FROM paused_queues WHERE queue = $1", queue)
        .execute(db)
        .await
        .map(|done| done.rows_affected() == 1)
}
