//! What a run is locked with, and by whom: the gate of its results, its row, and what a result has to know of it.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

use super::ItemCounts;
use crate::domain::test_run::RunStatus;
use crate::domain::test_run_item::RetryPolicy;

/// Locks a run so that its status stays as it is, and returns that status; `None` if the project has no such run.
///
/// Only against other writers of the run: results, whose foreign key holds the row's KEY SHARE lock, go on. A stronger
/// lock here would deadlock with a result that holds its item and still has to check its run.
///
/// # Errors
/// If the database fails.
pub async fn lock(db: impl PgExecutor<'_>, project_id: Uuid, id: Uuid) -> sqlx::Result<Option<RunStatus>> {
    sqlx::query_scalar!(
        r#"-- test_runs.lock
         SELECT status AS "status: RunStatus"
         FROM test_runs
         WHERE project_id = $1 AND id = $2 AND deleted_at IS NULL
         FOR NO KEY UPDATE"#,
        project_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// Passes the gate before a run's results. Whoever writes one passes it before it locks the item.
///
/// Many pass at once, but nobody passes a refresh that waits there or works. The lock of the run's row could not do that:
/// the foreign keys of ever new results would pass a waiting refresh, and one that had to wait for a refresh would hold
/// its item meanwhile, which whoever stops the run needs.
///
/// # Errors
/// If the database fails.
pub async fn pass_gate(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("-- test_runs.pass_gate\nSELECT pg_advisory_xact_lock_shared(hashtextextended($1::uuid::text, 0))", id)
        .execute(db)
        .await
        .map(|_| ())
}

/// Closes the gate before a run's results until the transaction ends: returns once all that passed it are committed.
///
/// # Errors
/// If the database fails.
pub async fn close_gate(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("-- test_runs.close_gate\nSELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text, 0))", id)
        .execute(db)
        .await
        .map(|_| ())
}

/// Locks a run against results too, and returns its status and how its items stood when they were counted last, once
/// every result that was being written is committed.
///
/// This is what makes the counts that are taken next complete (design, rule 5). Behind the gate there is nobody to wait
/// for but those who stop, cancel or change the run.
///
/// # Errors
/// If the database fails.
pub async fn lock_against_results(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<(RunStatus, ItemCounts)>> {
    let row = sqlx::query!(
        r#"-- test_runs.lock_against_results
         SELECT status AS "status: RunStatus", total_tests, passed_tests, failed_tests, skipped_tests, no_run_tests
         FROM test_runs
         WHERE id = $1
         FOR UPDATE"#,
        id,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|run| {
        let counts = ItemCounts {
            total: run.total_tests,
            passed: run.passed_tests,
            failed: run.failed_tests,
            skipped: run.skipped_tests,
            no_run: run.no_run_tests,
        };
        (run.status, counts)
    }))
}

/// What a result has to know of its run.
#[derive(Debug, Clone, FromRow)]
pub struct RunGuard {
    /// Results are accepted only while the run is running.
    #[sqlx(rename = "run_status")]
    pub status: RunStatus,
    /// When failed items are tried again.
    #[sqlx(flatten)]
    pub retry: RetryPolicy,
    /// For the case's history.
    pub run_name: String,
    /// Whether a schedule made it.
    pub is_scheduled: bool,
    /// The database's clock.
    pub now: DateTime<Utc>,
}

/// The columns of a [`RunGuard`].
macro_rules! guard_columns {
    () => {
        "r.status AS run_status, r.retry_on_failure, r.retry_count, r.run_name, \
         EXISTS (SELECT 1 FROM schedule_executions e WHERE e.test_run_id = r.id) AS is_scheduled, clock_timestamp() AS now"
    };
}

pub(in crate::db) use guard_columns;

/// Reads what a result has to know of its run, as committed now.
///
/// # Errors
/// If the database fails.
pub async fn guard(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<RunGuard> {
    sqlx::query_as(concat!("-- test_runs.guard\nSELECT ", guard_columns!(), " FROM test_runs r WHERE r.id = $1"))
        .bind(id)
        .fetch_one(db)
        .await
}
