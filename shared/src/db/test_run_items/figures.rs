//! What the items of a run add up to, and the first of those that failed.

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::db::test_runs::ItemCounts;
use crate::domain::summary::{ItemFigures, RunFigures};
use crate::domain::test_run_item::ItemStatus;

/// Counts a run's items by status.
///
/// # Errors
/// If the database fails.
pub async fn count(db: impl PgExecutor<'_>, run_id: Uuid) -> sqlx::Result<ItemCounts> {
    sqlx::query_as!(
        ItemCounts,
        r#"-- test_run_items.count
         SELECT count(*)::integer AS "total!",
             (count(*) FILTER (WHERE status = 'passed'))::integer AS "passed!",
             (count(*) FILTER (WHERE status = 'failed'))::integer AS "failed!",
             (count(*) FILTER (WHERE status = 'skipped'))::integer AS "skipped!",
             (count(*) FILTER (WHERE status = 'no_run'))::integer AS "no_run!"
         FROM test_run_items
         WHERE test_run_id = $1"#,
        run_id,
    )
    .fetch_one(db)
    .await
}

/// The figures of a run, counted from its items now.
///
/// # Errors
/// If the database fails.
pub async fn figures(db: impl PgExecutor<'_>, run_id: Uuid) -> sqlx::Result<RunFigures> {
    sqlx::query_as!(
        RunFigures,
        r#"-- test_run_items.figures
         SELECT count(*) AS "total_tests!",
             count(*) FILTER (WHERE status = 'passed') AS "passed_tests!",
             count(*) FILTER (WHERE status = 'failed') AS "failed_tests!",
             count(*) FILTER (WHERE status = 'skipped') AS "skipped_tests!",
             count(*) FILTER (WHERE status = 'no_run') AS "no_run_tests!",
             coalesce(round(100.0 * count(*) FILTER (WHERE status = 'passed') / nullif(count(*), 0), 2), 0) AS "pass_rate!",
             coalesce(sum(total_steps), 0)::bigint AS "total_steps!",
             coalesce(sum(passed_steps), 0)::bigint AS "passed_steps!",
             coalesce(sum(failed_steps), 0)::bigint AS "failed_steps!",
             coalesce(sum(total_checkpoints), 0)::bigint AS "total_checkpoints!",
             coalesce(sum(passed_checkpoints), 0)::bigint AS "passed_checkpoints!",
             coalesce(sum(failed_checkpoints), 0)::bigint AS "failed_checkpoints!"
         FROM test_run_items
         WHERE test_run_id = $1"#,
        run_id,
    )
    .fetch_one(db)
    .await
}

/// Every item of a run with its test case's name, in execution order, at most 10,000.
///
/// # Errors
/// If the database fails.
pub async fn item_figures(db: impl PgExecutor<'_>, run_id: Uuid) -> sqlx::Result<Vec<ItemFigures>> {
    sqlx::query_as!(
        ItemFigures,
        r#"-- test_run_items.item_figures
         SELECT i.id, c.name AS test_case_name, i.status AS "status: ItemStatus", i.duration_ms,
             coalesce(round(100.0 * i.passed_steps / nullif(i.total_steps, 0), 2), 0) AS "pass_rate!", i.error_message
         FROM test_run_items i JOIN test_cases c ON c.id = i.test_case_id
         WHERE i.test_run_id = $1
         ORDER BY i.execution_order
         LIMIT 10000"#,
        run_id,
    )
    .fetch_all(db)
    .await
}

/// A failed item, for a mail.
#[derive(Debug, Clone)]
pub struct FailedItem {
    /// The test case's name.
    pub test_case_name: String,
    /// What went wrong, its first 2,000 characters.
    pub error_message: Option<String>,
}

/// The first failed items of a run, in execution order.
///
/// # Errors
/// If the database fails.
pub async fn first_failures(db: impl PgExecutor<'_>, run_id: Uuid, limit: i64) -> sqlx::Result<Vec<FailedItem>> {
    sqlx::query_as!(
        FailedItem,
        "-- test_run_items.first_failures
         SELECT c.name AS test_case_name, left(i.error_message, 2000) AS error_message
         FROM test_run_items i JOIN test_cases c ON c.id = i.test_case_id
         WHERE i.test_run_id = $1 AND i.status = 'failed'
         ORDER BY i.execution_order
         LIMIT $2",
        run_id,
        limit,
    )
    .fetch_all(db)
    .await
}
