//! What is deleted of the queue's tables once nobody needs it.
//!
//! Its SQL is checked by tests only, like that of `queue.rs`.

use sqlx::PgExecutor;

/// Deletes finished jobs that ended more than `age_seconds` ago, at most `limit`, and returns how many.
///
/// # Errors
/// If the database fails.
pub async fn done(db: impl PgExecutor<'_>, age_seconds: f64, limit: i64) -> sqlx::Result<u64> {
    sqlx::query(
        "-- jobs.prune_done
         DELETE FROM apalis.jobs
         WHERE id IN (
             SELECT id FROM apalis.jobs
             WHERE status = 'Done' AND done_at < now() - make_interval(secs => $1)
             ORDER BY done_at
             LIMIT $2
             FOR UPDATE SKIP LOCKED
         )",
    )
    .bind(age_seconds)
    .bind(limit)
    .execute(db)
    .await
    .map(|done| done.rows_affected())
}

/// Deletes dead jobs that were given up more than `age_seconds` ago, at most `limit`, and returns how many.
///
/// # Errors
/// If the database fails.
pub async fn dead(db: impl PgExecutor<'_>, age_seconds: f64, limit: i64) -> sqlx::Result<u64> {
    sqlx::query(
        "-- jobs.prune_dead
         DELETE FROM apalis.jobs
         WHERE id IN (
             SELECT id FROM apalis.jobs
             WHERE status IN ('Failed', 'Killed') AND done_at < now() - make_interval(secs => $1)
             LIMIT $2
             FOR UPDATE SKIP LOCKED
         )",
    )
    .bind(age_seconds)
    .bind(limit)
    .execute(db)
    .await
    .map(|done| done.rows_affected())
}

/// Deletes workers that were not seen for an hour and that no job names, at most `limit`, and returns how many.
///
/// # Errors
/// If the database fails.
pub async fn workers(db: impl PgExecutor<'_>, limit: i64) -> sqlx::Result<u64> {
    sqlx::query(
        "-- jobs.prune_workers
         DELETE FROM apalis.workers
         WHERE id IN (
             SELECT id FROM apalis.workers w
             WHERE last_seen < now() - interval '1 hour'
                 AND NOT EXISTS (SELECT 1 FROM apalis.jobs j WHERE j.lock_by = w.id)
             LIMIT $1
             FOR UPDATE SKIP LOCKED
         )",
    )
    .bind(limit)
    .execute(db)
    .await
    .map(|done| done.rows_affected())
}
