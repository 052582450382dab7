//! Rings again for every row that is due and did not move (design, rule 1).
//!
//! A doorbell is missing if the row was rung before the oldest job that still waits in its queue: its own does not wait any
//! more, so it was taken, and whoever took it did not finish. A queue that is merely long is left alone; ringing once more
//! would only make it longer. So is one that is paused. The price: while one project's jobs wait for long, another's lost
//! doorbell is not missed until those are done.
//!
//! A row whose job is in somebody's hands is left alone too: were the job one that kills its worker, every new doorbell would
//! kill another. Such a job is dead after its third start, and from then on nothing rings for its row until an operator
//! retries or discards it. Whatever happens to the row next rings by itself, once for each fact.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{CreateScheduledRun, DeliverWebhook, FinaliseRun, Job, RefreshRun, SendEmail, operate, queue, ring};
use crate::db;
use crate::error::Result;

/// A doorbell is given this long before anybody worries, in seconds.
const PATIENCE_SECONDS: i64 = 5;

/// Rings for everything that is due without progress, and returns how often.
///
/// # Errors
/// If the database fails; tables that were swept before that are done.
pub async fn sweep(pool: &PgPool) -> Result<usize> {
    let mut rung = 0;
    rung += table(
        pool,
        |run_id| RefreshRun { run_id },
        |job| job.run_id,
        async |tx, before, except| db::run_refreshes::take_overdue(tx, before, except).await,
    )
    .await?;
    rung += table(
        pool,
        |run_id| FinaliseRun { run_id },
        |job| job.run_id,
        async |tx, before, except| db::test_runs::take_unfinalised(tx, before, except).await,
    )
    .await?;
    rung += table(
        pool,
        |execution_id| CreateScheduledRun { execution_id },
        |job| job.execution_id,
        async |tx, before, except| db::schedule_executions::take_overdue(tx, before, except).await,
    )
    .await?;
    rung += table(
        pool,
        |notification_id| SendEmail { notification_id },
        |job| job.notification_id,
        async |tx, before, except| db::notifications::take_overdue(tx, before, except).await,
    )
    .await?;
    rung += table(
        pool,
        |delivery_id| DeliverWebhook { delivery_id },
        |job| job.delivery_id,
        async |tx, before, except| db::webhook_deliveries::take_overdue(tx, before, except).await,
    )
    .await?;
    Ok(rung)
}

async fn table<J: Job>(
    pool: &PgPool,
    job: impl Fn(Uuid) -> J,
    id: impl Fn(J) -> Uuid,
    take_overdue: impl AsyncFnOnce(&mut PgConnection, DateTime<Utc>, &[Uuid]) -> sqlx::Result<Vec<Uuid>>,
) -> Result<usize> {
    let mut tx = pool.begin().await?;
    if db::paused_queues::exists(&mut *tx, J::QUEUE).await? {
        return Ok(0);
    }
    let except = operate::not_to_double(&mut *tx, J::QUEUE).await?;
    // What cannot be read is no row's doorbell.
    let except: Vec<Uuid> = except.iter().filter_map(|payload| serde_json::from_slice(payload).ok()).map(id).collect();
    let patience = db::now(&mut *tx).await? - TimeDelta::seconds(PATIENCE_SECONDS);
    let before = queue::oldest_waiting(&mut *tx, J::QUEUE).await?.map_or(patience, |oldest| oldest.min(patience));
    let overdue = take_overdue(&mut tx, before, &except).await?;
    for id in &overdue {
        ring(&mut tx, &job(*id)).await?;
    }
    tx.commit().await?;
    if !overdue.is_empty() {
        tracing::info!(queue = J::QUEUE, rows = overdue.len(), "rang again for rows that did not move");
        metrics::counter!("testrun_jobs_rung_again_total", "queue" => J::QUEUE).increment(overdue.len() as u64);
    }
    Ok(overdue.len())
}
