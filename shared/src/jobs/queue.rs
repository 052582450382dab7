//! The queue's table, `apalis.jobs`.
//!
//! Its SQL is checked by tests only: the table is another library's, and its migrations run beside ours.

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, PgConnection, PgExecutor};
use ulid::Ulid;
use uuid::Uuid;

use super::Job;
use crate::error::Result;
use crate::telemetry::trace;

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
