//! What has to be looked after: lost doorbells, silent runs, and whether everything adds up.

use std::time::Duration;

use sqlx::PgPool;
use testrun_shared::db::invariants::{self, Finding};
use testrun_shared::domain::queue::QueueState;
use testrun_shared::domain::recurrence::ZONE_DATA_VERSION;
use testrun_shared::{actions, jobs, ops};

/// How far back the invariant checks look: whatever changed is looked at by several of them.
const CHECKED_WINDOW: Duration = Duration::from_secs(5 * 60);

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
    actions::queues::states(pool).await?.iter().for_each(show);
    ops::measure_pool(pool);
    Ok(())
}

fn show(queue: &QueueState) {
    let count = |jobs: i64| f64::from(u32::try_from(jobs).unwrap_or(u32::MAX));
    metrics::gauge!("testrun_jobs_available", "queue" => queue.queue.clone()).set(count(queue.available));
    metrics::gauge!("testrun_jobs_scheduled", "queue" => queue.queue.clone()).set(count(queue.scheduled));
    metrics::gauge!("testrun_jobs_running", "queue" => queue.queue.clone()).set(count(queue.running));
    metrics::gauge!("testrun_jobs_dead", "queue" => queue.queue.clone()).set(count(queue.dead));
    metrics::gauge!("testrun_jobs_oldest_seconds", "queue" => queue.queue.clone()).set(queue.oldest_seconds);
    metrics::gauge!("testrun_queue_paused", "queue" => queue.queue.clone()).set(f64::from(u8::from(queue.is_paused)));
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
