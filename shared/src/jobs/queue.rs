//! The queue's table, `apalis.jobs`.
//!
//! Its SQL is checked by tests only: the table is another library's, and its migrations run beside ours.

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, FromRow, PgConnection, PgExecutor};
use ulid::Ulid;
use uuid::Uuid;

use super::Job;
use crate::error::Result;
use crate::telemetry::trace;

/// Finished jobs are kept this long, in hours.
const KEEP_DONE_HOURS: i32 = 24;
/// Dead jobs are kept this long, in hours: time enough to look at them after the holidays.
const KEEP_DEAD_HOURS: i32 = 14 * 24;

/// Rings for a worker now, or rather when the caller's transaction commits; if it rolls back, nobody hears.
///
/// # Errors
/// If the database fails.
pub async fn ring<J: Job>(conn: &mut PgConnection, job: &J) -> Result<()> {
    insert(conn, job, None).await
}

/// Rings at a later time.
///
/// # Errors
/// If the database fails.
pub async fn ring_at<J: Job>(conn: &mut PgConnection, job: &J, at: DateTime<Utc>) -> Result<()> {
    insert(conn, job, Some(at)).await
}

/// The job carries the project of the row that it names, and the trace in which it was rung for.
///
/// Not apalis's own `push_tasks`: that takes the time from the caller's clock and cuts it to whole seconds.
async fn insert<J: Job>(conn: &mut PgConnection, job: &J, at: Option<DateTime<Utc>>) -> Result<()> {
    let payload =
        serde_json::to_vec(job).unwrap_or_else(|error| unreachable!("a struct of ids is always JSON: {error}"));
    let statement = format!(
        "-- jobs.ring
         INSERT INTO apalis.jobs
             (id, job_type, job, status, attempts, max_attempts, run_at, is_scheduled, priority, metadata, project_id)
         SELECT $2, $3, $4, 'Pending', 0, 1, coalesce($5, now()), coalesce($5 > now(), FALSE), 0,
             CASE WHEN $6::text IS NOT NULL THEN hstore($7::text, $6) END, coalesce(({}), $8)",
        J::PROJECT_OF_ROW
    );
    // A constant of the program, put together from constants.
    sqlx::query(AssertSqlSafe(statement))
        .bind(job.row_id())
        .bind(Ulid::generate().to_string())
        .bind(J::QUEUE)
        .bind(payload)
        .bind(at)
        .bind(trace::current().map(|trace| trace.to_string()))
        .bind(trace::TRACEPARENT)
        .bind(Uuid::nil())
        .execute(conn)
        .await?;
    Ok(())
}

/// How a queue stands.
#[derive(Debug, Clone, FromRow)]
pub struct QueueDepth {
    /// The queue's name.
    pub queue: String,
    /// Jobs that are due and wait for a worker.
    pub available: i64,
    /// Jobs that are due later.
    pub scheduled: i64,
    /// Jobs that workers have in hand.
    pub running: i64,
    /// Jobs that were given up.
    pub dead: i64,
    /// Seconds that the oldest available job has waited.
    pub oldest_seconds: f64,
}

/// How each queue with jobs stands.
///
/// # Errors
/// If the database fails.
pub async fn depth(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<QueueDepth>> {
    sqlx::query_as(
        "-- jobs.depth
         SELECT job_type AS queue,
             count(*) FILTER (WHERE status = 'Pending' AND run_at <= now()) AS available,
             count(*) FILTER (WHERE status = 'Pending' AND run_at > now()) AS scheduled,
             count(*) FILTER (WHERE status IN ('Queued', 'Running')) AS running,
             count(*) FILTER (WHERE status IN ('Failed', 'Killed')) AS dead,
             coalesce(extract(epoch FROM now() - min(run_at) FILTER (WHERE status = 'Pending' AND run_at <= now())), 0)::float8
                 AS oldest_seconds
         FROM apalis.jobs
         GROUP BY job_type
         ORDER BY job_type",
    )
    .fetch_all(db)
    .await
}

/// A job that was given up.
#[derive(Debug, Clone, FromRow)]
pub struct DeadJob {
    /// The job's id.
    pub id: String,
    /// The queue's name.
    pub queue: String,
    /// What it carried, as text.
    pub payload: String,
    /// How often it was started.
    pub attempts: i32,
    /// Why it was given up.
    pub reason: Option<String>,
    /// When it was given up.
    pub done_at: Option<DateTime<Utc>>,
}

/// The newest dead jobs, at most `limit`.
///
/// # Errors
/// If the database fails.
pub async fn dead(db: impl PgExecutor<'_>, limit: i64) -> sqlx::Result<Vec<DeadJob>> {
    sqlx::query_as(
        "-- jobs.dead
         SELECT id, job_type AS queue, encode(job, 'escape') AS payload, attempts, 
             regexp_replace(last_result ->> 'Err', '^AbortError: ', '') AS reason, done_at
         FROM apalis.jobs
         WHERE status IN ('Failed', 'Killed')
         ORDER BY done_at DESC NULLS LAST, id DESC
         LIMIT $1",
    )
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Deletes finished jobs after a day, dead ones after two weeks, and workers that are gone and hold no job, at most
/// 10,000 of each at a time. Returns how many rows went.
///
/// # Errors
/// If the database fails.
pub async fn prune(conn: &mut PgConnection) -> sqlx::Result<u64> {
    let jobs = sqlx::query(
        "-- jobs.prune
         DELETE FROM apalis.jobs
         WHERE id IN (
             SELECT id FROM apalis.jobs
             WHERE (status = 'Done' AND done_at < now() - make_interval(hours => $1))
                OR (status IN ('Failed', 'Killed') AND done_at < now() - make_interval(hours => $2))
             LIMIT 10000
         )",
    )
    .bind(KEEP_DONE_HOURS)
    .bind(KEEP_DEAD_HOURS)
    .execute(&mut *conn)
    .await?;
    let workers = sqlx::query(
        "-- jobs.prune_workers
         DELETE FROM apalis.workers w
         WHERE last_seen < now() - interval '1 hour'
             AND NOT EXISTS (SELECT 1 FROM apalis.jobs j WHERE j.lock_by = w.id)",
    )
    .execute(&mut *conn)
    .await?;
    Ok(jobs.rows_affected() + workers.rows_affected())
}

/// When the oldest waiting job of a queue is due; `None` if none waits.
pub(super) async fn oldest_waiting(db: impl PgExecutor<'_>, queue: &str) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar(
        "-- jobs.oldest_waiting
         SELECT min(run_at) FROM apalis.jobs WHERE job_type = $1 AND status = 'Pending' AND run_at <= now()",
    )
    .bind(queue)
    .fetch_one(db)
    .await
}
