//! What is deleted once it is old enough, a few rows at a time: nobody waits for a lock, and nothing else for the disk.

use std::time::Duration;

use sqlx::PgPool;
use testrun_shared::config::Keep;
use testrun_shared::db;
use testrun_shared::jobs::prune as jobs;
use tokio_util::sync::CancellationToken;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How many rows one transaction deletes.
const BATCH: u64 = 2000;
/// The pause between two of them.
const PAUSE: Duration = Duration::from_millis(50);
/// How long the rows of a deleted run are kept: time to notice a mistake.
const KEEP_DELETED: Duration = DAY;

/// How long what is kept.
#[derive(Debug, Clone, clap::Args)]
pub struct RetentionConfig {
    /// How long runs are kept after their end, with all that is below them: `forever`, or a number with d, h, m or s
    #[arg(long, env = "TESTRUN_RETENTION_RUNS", default_value = "forever", value_parser = Keep::at_least(DAY))]
    pub retention_runs: Keep,

    /// How long console and network logs are kept: `forever`, or a number with d, h, m or s
    #[arg(long, env = "TESTRUN_RETENTION_LOGS", default_value = "forever", value_parser = Keep::at_least(HOUR))]
    pub retention_logs: Keep,

    /// How long test cases' history and the executions of schedules whose run is gone are kept: `forever`, or a number
    /// with d, h, m or s
    #[arg(long, env = "TESTRUN_RETENTION_HISTORY", default_value = "forever", value_parser = Keep::at_least(DAY))]
    pub retention_history: Keep,

    /// How long events are kept for streams that resume, and with them the deliveries of webhooks: `forever`, or a number
    /// with d, h, m or s
    #[arg(long, env = "TESTRUN_RETENTION_EVENTS", default_value = "7d", value_parser = Keep::at_least(HOUR))]
    pub retention_events: Keep,

    /// How long answers to requests with an Idempotency-Key are kept, at least the 24h for which they are repeated:
    /// `forever`, or a number with d, h, m or s
    #[arg(long, env = "TESTRUN_RETENTION_IDEMPOTENCY_KEYS", default_value = "24h", value_parser = Keep::at_least(DAY))]
    pub retention_idempotency_keys: Keep,

    /// How long jobs are kept that are done: `forever`, or a number with d, h, m or s
    #[arg(long, env = "TESTRUN_RETENTION_DONE_JOBS", default_value = "24h", value_parser = Keep::at_least(Duration::ZERO))]
    pub retention_done_jobs: Keep,

    /// How long jobs are kept that were given up; after that their rows are tried again: `forever`, or a number with d, h,
    /// m or s
    #[arg(long, env = "TESTRUN_RETENTION_DEAD_JOBS", default_value = "14d", value_parser = Keep::at_least(HOUR))]
    pub retention_dead_jobs: Keep,
}

/// Deletes what is older than it is to be kept, until there is none left or `shutdown`. What fails keeps nothing else from
/// being deleted.
///
/// # Errors
/// The last failure, if there was one.
pub async fn prune(pool: &PgPool, keep: &RetentionConfig, shutdown: &CancellationToken) -> testrun_shared::Result<()> {
    let limit = BATCH.cast_signed();
    let mut outcome = Ok(());
    let mut done = |what: &'static str, deleted: sqlx::Result<u64>| match deleted {
        Ok(0) => {}
        Ok(rows) => {
            tracing::info!(what, rows, "deleted what was kept long enough");
            metrics::counter!("testrun_pruned_rows_total", "table" => what).increment(rows);
        }
        Err(error) => {
            tracing::warn!(what, error = %error, "could not be deleted, the next hour tries again");
            outcome = Err(error);
        }
    };
    if let Some(age) = keep.retention_done_jobs.seconds() {
        done("done_jobs", batches(shutdown, || jobs::done(pool, age, limit)).await);
    }
    if let Some(age) = keep.retention_dead_jobs.seconds() {
        done("dead_jobs", batches(shutdown, || jobs::dead(pool, age, limit)).await);
    }
    // After the jobs, which name them.
    done("workers", batches(shutdown, || jobs::workers(pool, limit)).await);
    if let Some(age) = keep.retention_idempotency_keys.seconds() {
        done("idempotency_keys", batches(shutdown, || db::idempotency_keys::prune(pool, age, limit)).await);
    }
    if let Some(age) = keep.retention_events.seconds() {
        done("events", batches(shutdown, || db::events::prune(pool, age, limit)).await);
    }
    if let Some(age) = keep.retention_logs.seconds() {
        done("console_logs", batches(shutdown, || db::console_logs::prune(pool, age, limit)).await);
        done("network_logs", batches(shutdown, || db::network_logs::prune(pool, age, limit)).await);
    }
    done("test_runs", runs(pool, keep.retention_runs, shutdown).await);
    // After the runs: an execution stays as long as its run.
    if let Some(age) = keep.retention_history.seconds() {
        done("test_execution_history", batches(shutdown, || db::execution_history::prune(pool, age, limit)).await);
        done("schedule_executions", batches(shutdown, || db::schedule_executions::prune(pool, age, limit)).await);
    }
    Ok(outcome?)
}

/// Deletes runs that were deleted a day ago or are old enough, one by one, and returns how many.
async fn runs(pool: &PgPool, keep: Keep, shutdown: &CancellationToken) -> sqlx::Result<u64> {
    let mut runs = 0;
    while !shutdown.is_cancelled() {
        let expired = db::test_runs::hide_expired(pool, KEEP_DELETED.as_secs_f64(), keep.seconds()).await?;
        let Some(run) = expired else { break };
        loop {
            let rows = db::test_runs::purge_below(pool, run, BATCH.cast_signed()).await?;
            if rows == 0 {
                db::test_runs::purge(pool, run).await?;
                runs += 1;
                break;
            }
            if shutdown.is_cancelled() {
                return Ok(runs);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(runs)
}

/// Repeats a statement that deletes at most [`BATCH`] rows until it finds fewer, and returns how many there were.
async fn batches<F: Future<Output = sqlx::Result<u64>>>(
    shutdown: &CancellationToken,
    delete: impl Fn() -> F,
) -> sqlx::Result<u64> {
    let mut all = 0;
    while !shutdown.is_cancelled() {
        let rows = delete().await?;
        all += rows;
        if rows < BATCH {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(all)
}
