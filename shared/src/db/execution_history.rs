//! Table `test_execution_history`.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::domain::execution_history::{HistoryStatistics, TestExecutionHistory};
use crate::domain::page::Page;
use crate::domain::test_run_result::ResultStatus;

/// An execution to write down, by the table's columns. That happens together with what it follows from, see
/// [`super::test_run_results::save`].
#[derive(Debug, Serialize)]
pub struct HistoryRow {
    /// Its own id.
    pub id: Uuid,
    /// The test case.
    pub test_case_id: Uuid,
    /// The run.
    pub test_run_id: Uuid,
    /// The deciding result, which has one entry.
    pub test_run_result_id: Uuid,
    /// How it ended.
    pub status: ResultStatus,
    /// When it was executed.
    pub executed_at: DateTime<Utc>,
    /// Milliseconds.
    pub duration_ms: i64,
    /// Steps.
    pub total_steps: i32,
    /// Steps that passed.
    pub passed_steps: i32,
    /// Steps that failed.
    pub failed_steps: i32,
    /// `passed_steps ÷ total_steps × 100`, two decimals.
    pub pass_rate: Decimal,
    /// What went wrong.
    pub error_message: Option<String>,
    /// The run's name.
    pub run_name: String,
    /// Whether a schedule made the run.
    pub is_scheduled: bool,
    /// When it was written down.
    pub created_at: DateTime<Utc>,
}

/// A page of a test case's executions, newest first.
///
/// # Errors
/// If the database fails.
pub async fn list(db: impl PgExecutor<'_>, test_case_id: Uuid, page: Page) -> sqlx::Result<Vec<TestExecutionHistory>> {
    sqlx::query_as!(
        TestExecutionHistory,
        r#"-- test_execution_history.list
         SELECT id, test_run_id, test_run_result_id, run_name, status AS "status: ResultStatus", executed_at, duration_ms,
             total_steps, passed_steps, failed_steps, pass_rate, error_message, is_scheduled, created_at
         FROM test_execution_history
         WHERE test_case_id = $1
         ORDER BY executed_at DESC, id DESC
         LIMIT $2 OFFSET $3"#,
        test_case_id,
        page.limit,
        page.offset,
    )
    .fetch_all(db)
    .await
}

/// Figures over all executions of a test case.
///
/// # Errors
/// If the database fails.
pub async fn statistics(db: impl PgExecutor<'_>, test_case_id: Uuid) -> sqlx::Result<HistoryStatistics> {
    sqlx::query_as!(
        HistoryStatistics,
        r#"-- test_execution_history.statistics
         SELECT count(*) AS "total_executions!",
             count(*) FILTER (WHERE status = 'passed') AS "passed!",
             count(*) FILTER (WHERE status = 'failed') AS "failed!",
             count(*) FILTER (WHERE status = 'skipped') AS "skipped!",
             coalesce(round(100.0 * count(*) FILTER (WHERE status = 'passed') / nullif(count(*), 0), 2), 0)
                 AS "overall_pass_rate!",
             coalesce(round(avg(duration_ms)), 0)::bigint AS "avg_duration_ms!"
         FROM test_execution_history
         WHERE test_case_id = $1"#,
        test_case_id,
    )
    .fetch_one(db)
    .await
}

/// Deletes what was executed more than `age_seconds` ago, at most `limit`, and returns how many.
///
/// # Errors
/// If the database fails.
pub async fn prune(db: impl PgExecutor<'_>, age_seconds: f64, limit: i64) -> sqlx::Result<u64> {
    sqlx::query!(
        "-- test_execution_history.prune
         DELETE FROM test_execution_history
         WHERE id IN (
             SELECT id FROM test_execution_history
             WHERE executed_at < now() - make_interval(secs => $1)
             ORDER BY executed_at
             LIMIT $2
             FOR UPDATE SKIP LOCKED
         )",
        age_seconds,
        limit,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected())
}
