//! Shows that a worker is alive, and takes jobs out of dead ones' hands.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sqlx::PgExecutor;
use tokio_util::sync::CancellationToken;

use super::hands::Start;
use super::worker::Worker;
use crate::ops::Readiness;

/// How often a worker says that it is alive.
pub const HEARTBEAT: Duration = Duration::from_secs(5);
/// How many heartbeats it may miss before its jobs are given to others: 15 s.
pub const MISSED_HEARTBEATS: u32 = 3;

/// For how long the jobs of a worker that is not heard of are still its own.
pub(super) const ORPHANED_AFTER: Duration = HEARTBEAT.saturating_mul(MISSED_HEARTBEATS);

/// Beats until `stop`, and gives the jobs of others that do not to whoever is free.
pub(super) async fn keep_alive(worker: Arc<Worker>, readiness: Readiness, stop: CancellationToken) {
    let mut last_beat: Option<Instant> = None;
    while !stop.is_cancelled() {
        match beat(&worker, last_beat).await {
            Ok(()) => {
                if last_beat.replace(Instant::now()).is_none() {
                    // Nothing could be claimed before.
                    worker.bell.notify_one();
                }
                if !worker.is_claim_failing.load(Ordering::Relaxed) {
                    readiness.beat(worker.queue);
                }
                let _ = tokio::time::timeout(HEARTBEAT, stop.cancelled()).await;
            }
            Err(error) => worker.database_failed("the heartbeat failed", &error).await,
        }
    }
}

async fn beat(worker: &Worker, last_beat: Option<Instant>) -> sqlx::Result<()> {
    show_alive(&worker.db, worker).await?;
    // After an outage of the database everybody looks dead. Whoever is back first leaves the others time to beat, too.
    if last_beat.is_none_or(|last| last.elapsed() > HEARTBEAT * 2) {
        return Ok(());
    }
    let rescued = rescue(&worker.db, worker, worker.hands.starts()).await?;
    if rescued > 0 {
        tracing::warn!(queue = worker.queue, jobs = rescued, "took over jobs that were in the hands of lost workers");
        metrics::counter!("testrun_jobs_rescued_total", "queue" => worker.queue).increment(rescued);
        worker.bell.notify_one();
    }
    Ok(())
}

async fn show_alive(db: impl PgExecutor<'_>, worker: &Worker) -> sqlx::Result<()> {
    sqlx::query(
        "-- jobs.show_alive
         INSERT INTO apalis.workers (id, worker_type, storage_name, last_seen, started_at)
         VALUES ($1, $2, 'testrun', now(), now())
         ON CONFLICT (id) DO UPDATE SET last_seen = now()",
    )
    .bind(&worker.name)
    .bind(worker.queue)
    .execute(db)
    .await
    .map(|_| ())
}

/// Makes jobs wait again whose worker is gone or silent. Their lost start stays counted.
///
/// So are jobs of this worker that it knows nothing of: they were claimed for it, and the answer never came. That start is
/// taken back, as there was none. (`IS NOT DISTINCT FROM` keeps the planner from the index over all jobs of a type, finished
/// ones included.) `in_hand` was looked up before, so only jobs that were claimed long before then count.
async fn rescue(db: impl PgExecutor<'_>, worker: &Worker, in_hand: Vec<Start>) -> sqlx::Result<u64> {
    let (ids, starts): (Vec<String>, Vec<i32>) = in_hand.into_iter().unzip();
    let rescued = sqlx::query(
        "-- jobs.rescue
         UPDATE apalis.jobs
         SET status = 'Pending', lock_by = NULL, lock_at = NULL,
             attempts = CASE WHEN lock_by = $2 THEN attempts - 1 ELSE attempts END
         WHERE id = ANY (ARRAY(
             SELECT j.id FROM apalis.jobs j
             WHERE j.status = 'Running' AND j.job_type IS NOT DISTINCT FROM $1 AND (
                 NOT EXISTS (
                     SELECT 1 FROM apalis.workers w
                     WHERE w.id = j.lock_by AND w.last_seen > now() - make_interval(secs => $5)
                 )
                 OR (j.lock_by = $2 AND j.lock_at < now() - make_interval(secs => $5) AND NOT EXISTS (
                     SELECT 1 FROM unnest($3::text[], $4::int[]) AS h (id, attempts)
                     WHERE h.id = j.id AND h.attempts = j.attempts
                 ))
             )
             FOR UPDATE OF j SKIP LOCKED
         ))",
    )
    .bind(worker.queue)
    .bind(&worker.name)
    .bind(ids)
    .bind(starts)
    .bind(ORPHANED_AFTER.as_secs_f64())
    .execute(db)
    .await?;
    Ok(rescued.rows_affected())
}

/// Says that the worker is gone: what it did not finish is anybody's at the next heartbeat.
pub(super) async fn resign(db: impl PgExecutor<'_>, worker: &str) -> sqlx::Result<()> {
    sqlx::query(
        "-- jobs.resign
         UPDATE apalis.workers SET last_seen = 'epoch' WHERE id = $1",
    )
    .bind(worker)
    .execute(db)
    .await
    .map(|_| ())
}
