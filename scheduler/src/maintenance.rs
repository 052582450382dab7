//! What has to be looked after: lost doorbells, silent runs, finished jobs, and whether everything adds up.

use std::time::Duration;

use sqlx::PgPool;
use testrun_shared::db::invariants::{self, Finding};
use testrun_shared::domain::recurrence::ZONE_DATA_VERSION;
use testrun_shared::jobs::{CreateScheduledRun, DeliverWebhook, FinaliseRun, Job as _, RefreshRun, SendEmail};
use testrun_shared::{actions, db, jobs, ops};

/// The queues that are shown although nothing is in them.
const QUEUES: [&str; 5] =
    [CreateScheduledRun::QUEUE, RefreshRun::QUEUE, FinaliseRun::QUEUE, SendEmail::QUEUE, DeliverWebhook::QUEUE];

/// How long the rows of a deleted run are kept: time to notice a mistake.
const KEEP_DELETED: Duration = Duration::from_secs(24 * 3600);

/// How far back the invariant checks look: whatever changed is looked at by several of them.
const CHECKED_WINDOW: Duration = Duration::from_secs(5 * 60);

/// How long events are kept for streams that resume, and with them the deliveries of webhooks.
const KEEP_EVENTS: Duration = Duration::from_secs(7 * 24 * 3600);
/// How many events are deleted at once.
const EVENTS_A_BATCH: u64 = 10_000;

/// Rings again for everything that is due and did not move.
pub(crate) async fn sweep(pool: &PgPool) -> testrun_shared::Result<()> {
    jobs::sweep::sweep(pool).await.map(|_| ())
}

/// Fails runs that no client worked on for longer than `limit`.
pub(crate) async fn fail_silent_runs(pool: &PgPool, limit: Duration) -> testrun_shared::Result<()> {
    actions::test_runs::fail_silent(pool, limit).await.map(|_| ())
}

/// Computes due times anew that older zone data than ours left behind.
pub(crate) async fn apply_zone_data(pool: &PgPool) -> testrun_shared::Result<()> {
    let recomputed = actions::zone_data::recompute(pool).await?;
    if recomputed > 0 {
        let version = ZONE_DATA_VERSION;
        tracing::info!(version, schedules = recomputed, "next due times computed anew by this zone data");
    }
    Ok(())
}

/// Shows how the queues stand. Every scheduler shows the same, so that they are seen as long as one of them lives.
pub(crate) async fn measure_queues(pool: &PgPool) -> testrun_shared::Result<()> {
    let depths = jobs::depth(pool).await?;
    let empty = QUEUES.iter().filter(|queue| depths.iter().all(|depth| depth.queue != **queue));
    for queue in empty {
        show(&jobs::QueueDepth {
            queue: (*queue).to_owned(),
            available: 0,
            scheduled: 0,
            running: 0,
            dead: 0,
            oldest_seconds: 0.0,
        });
    }
    depths.iter().for_each(show);
    ops::measure_pool(pool);
    Ok(())
}

fn show(depth: &jobs::QueueDepth) {
    let count = |jobs: i64| f64::from(u32::try_from(jobs).unwrap_or(u32::MAX));
    metrics::gauge!("testrun_jobs_available", "queue" => depth.queue.clone()).set(count(depth.available));
    metrics::gauge!("testrun_jobs_scheduled", "queue" => depth.queue.clone()).set(count(depth.scheduled));
    metrics::gauge!("testrun_jobs_running", "queue" => depth.queue.clone()).set(count(depth.running));
    metrics::gauge!("testrun_jobs_dead", "queue" => depth.queue.clone()).set(count(depth.dead));
    metrics::gauge!("testrun_jobs_oldest_seconds", "queue" => depth.queue.clone()).set(depth.oldest_seconds);
}

/// Checks what must always be so for what changed lately, and tells of it: in a metric for each check that must be 0, and in
/// the log.
///
/// # Errors
/// If the database cannot be asked at all. A check that fails by itself is logged and counted.
pub async fn check_invariants(pool: &PgPool) -> testrun_shared::Result<()> {
    let findings = invariants::check_alone(pool, CHECKED_WINDOW.as_secs_f64()).await?;
    // Where another scheduler is at it, that one tells.
    let Some(findings) = findings else {
        invariants::CHECKS.iter().for_each(|check| tell(check.name, 0));
        return Ok(());
    };
    for (check, finding) in findings {
        match finding {
            Ok(Finding { violations, examples, .. }) => {
                tell(check, violations);
                if violations > 0 {
                    tracing::error!(check, violations, examples = examples.join(" "), "an invariant is violated");
                }
            }
            Err(error) => {
                metrics::counter!("testrun_invariant_check_failures_total", "check" => check).increment(1);
                tracing::warn!(check, error = %error, "an invariant could not be checked");
            }
        }
    }
    Ok(())
}

fn tell(check: &'static str, violations: i64) {
    // At most 10,000.
    metrics::gauge!("testrun_invariant_violations", "check" => check)
        .set(f64::from(u32::try_from(violations).unwrap_or(u32::MAX)));
}

/// Clears away what nobody can see any more: finished jobs, workers that are gone, answers under old idempotency keys, old
/// events and the rows of runs that were deleted a day ago.
pub(crate) async fn prune(pool: &PgPool) -> testrun_shared::Result<()> {
    let mut conn = pool.acquire().await?;
    let jobs = jobs::prune(&mut conn).await?;
    let keys = db::idempotency_keys::prune(&mut *conn).await?;
    let mut events = 0;
    loop {
        let deleted = db::events::prune(&mut *conn, KEEP_EVENTS.as_secs_f64(), EVENTS_A_BATCH.cast_signed()).await?;
        events += deleted;
        if deleted < EVENTS_A_BATCH {
            break;
        }
    }
    let mut runs = 0;
    // One run at a time: its rows may be many, and nobody is to wait for their locks.
    while db::test_runs::purge(&mut *conn, KEEP_DELETED.as_secs_f64(), 1).await? == 1 {
        runs += 1;
    }
    tracing::debug!(jobs, keys, events, runs, "pruned");
    Ok(())
}
