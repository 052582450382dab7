//! What operators ask of the queue's table and do with it: how queues stand, and jobs that were given up.
//!
//! Its SQL is checked by tests only, like that of `queue.rs`.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, PgExecutor, Postgres, QueryBuilder};

use crate::domain::page::Page;
use crate::domain::queue::{JobFilter, JobStatus, QueuedJob};

/// How a queue stands.
#[derive(Debug, Clone, Default, FromRow)]
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
         WHERE status <> 'Done'
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

/// A job's status in the words of operators. 'Failed' and 'Killed' are both final here: no job is given a second attempt.
const STATUS: &str = "(CASE
        WHEN status = 'Pending' AND run_at <= now() THEN 'available'
        WHEN status = 'Pending' THEN 'scheduled'
        WHEN status IN ('Queued', 'Running') THEN 'running'
        WHEN status = 'Done' THEN 'done'
        ELSE 'dead'
    END)::varchar";

fn select(name: &str) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(format!("-- jobs.{name}\n"));
    query
        .push("SELECT id, job_type AS queue, ")
        .push(STATUS)
        .push(" AS status, encode(job, 'escape') AS payload, attempts, ")
        .push("regexp_replace(last_result ->> 'Err', '^AbortError: ', '') AS reason, run_at, lock_at AS started_at, ")
        .push("lock_by AS worker, done_at AS ended_at FROM apalis.jobs ");
    query
}

fn push_where(query: &mut QueryBuilder<Postgres>, filter: &JobFilter) {
    query.push(match filter.status {
        None => " WHERE status <> 'Done'",
        Some(JobStatus::Available) => " WHERE status = 'Pending' AND run_at <= now()",
        Some(JobStatus::Scheduled) => " WHERE status = 'Pending' AND run_at > now()",
        Some(JobStatus::Running) => " WHERE status IN ('Queued', 'Running')",
        Some(JobStatus::Dead) => " WHERE status IN ('Failed', 'Killed')",
        Some(JobStatus::Done) => " WHERE status = 'Done'",
    });
    if let Some(queue) = &filter.queue {
        query.push(" AND job_type = ").push_bind(queue.clone());
    }
}

/// A page of jobs: those that ended or are due last come first.
///
/// # Errors
/// If the database fails.
pub async fn list(db: impl PgExecutor<'_>, filter: &JobFilter, page: Page) -> sqlx::Result<Vec<QueuedJob>> {
    let mut query = select("list");
    push_where(&mut query, filter);
    query.push(" ORDER BY coalesce(done_at, run_at) DESC, id DESC LIMIT ").push_bind(page.limit);
    query.push(" OFFSET ").push_bind(page.offset);
    query.build_query_as().fetch_all(db).await
}

/// How many jobs the filter lets through.
///
/// # Errors
/// If the database fails.
pub async fn count(db: impl PgExecutor<'_>, filter: &JobFilter) -> sqlx::Result<i64> {
    let mut query = QueryBuilder::new("-- jobs.count\nSELECT count(*) FROM apalis.jobs");
    push_where(&mut query, filter);
    query.build_query_scalar().fetch_one(db).await
}

/// Locks a job and returns it with the bytes that it carries; `None` if there is none with this id.
pub(crate) async fn lock(conn: &mut PgConnection, id: &str) -> sqlx::Result<Option<(QueuedJob, Vec<u8>)>> {
    let mut query = select("lock");
    query.push("WHERE id = ").push_bind(id).push(" FOR UPDATE");
    let job: Option<QueuedJob> = query.build_query_as().fetch_optional(&mut *conn).await?;
    let Some(job) = job else { return Ok(None) };
    let payload = sqlx::query_scalar("-- jobs.payload\nSELECT job FROM apalis.jobs WHERE id = $1");
    let payload = payload.bind(id).fetch_one(conn).await?;
    Ok(Some((job, payload)))
}

/// Makes a locked job due now, as if it had never been started, and returns it.
pub(crate) async fn revive(conn: &mut PgConnection, id: &str) -> sqlx::Result<QueuedJob> {
    sqlx::query(
        "-- jobs.revive
         UPDATE apalis.jobs
         SET status = 'Pending', attempts = 0, run_at = now(), is_scheduled = FALSE, lock_at = NULL, lock_by = NULL, done_at = NULL,
             last_result = jsonb_build_object('Retried', 'by an operator')
         WHERE id = $1",
    )
    .bind(id)
    .execute(&mut *conn)
    .await?;
    let mut query = select("revived");
    query.push("WHERE id = ").push_bind(id);
    query.build_query_as().fetch_one(conn).await
}

/// Deletes a locked job.
pub(crate) async fn delete(conn: &mut PgConnection, id: &str) -> sqlx::Result<()> {
    sqlx::query("-- jobs.delete\nDELETE FROM apalis.jobs WHERE id = $1").bind(id).execute(conn).await.map(|_| ())
}

/// What the jobs of a queue carry that are in somebody's hands, wait for another start or were retried, or are dead: few at
/// any time.
///
/// Whoever looks for lost doorbells must not ring one more for these. The first will be heard, however long ago their rows
/// were rung for; a dead one did harm, or could not do what it was for, as often as it may.
pub(super) async fn not_to_double(db: impl PgExecutor<'_>, queue: &str) -> sqlx::Result<Vec<Vec<u8>>> {
    sqlx::query_scalar(
        "-- jobs.not_to_double
         SELECT DISTINCT job FROM apalis.jobs
         WHERE job_type = $1 AND status <> 'Done'
             AND (status IN ('Queued', 'Running', 'Failed', 'Killed') OR (status = 'Pending' AND (attempts > 0 OR last_result IS NOT NULL)))",
    )
    .bind(queue)
    .fetch_all(db)
    .await
}
