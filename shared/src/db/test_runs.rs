//! Table `test_runs`.

use chrono::{DateTime, Utc};
use sqlx::postgres::Postgres;
use sqlx::{PgExecutor, QueryBuilder};
use uuid::Uuid;

use crate::domain::page::Page;
use crate::domain::test_run::{NewTestRun, RunSort, RunStatus, SortOrder, TestRun, TestRunFilter};

macro_rules! columns {
    () => {
        "id, run_name, run_number, project_id, created_by, suite_path, suite_name, status, scheduled_at, started_at, \
         completed_at, duration_ms, total_tests, passed_tests, failed_tests, skipped_tests, no_run_tests, pass_rate, \
         parallel_enabled, parallel_count, retry_count, retry_on_failure, browser_name, browser_version, os_name, \
         os_version, viewport_width, viewport_height, results_folder, report_path, tags, notes, failure_reason, \
         created_at, updated_at"
    };
}

mod figures;
mod locks;
mod removal;
mod states;

pub use figures::*;
pub use locks::*;
pub use removal::*;
pub use states::*;

/// What else a new run needs besides its body.
#[derive(Debug, Clone, Copy)]
pub struct RunOrigin {
    /// The project.
    pub project_id: Uuid,
    /// Whose token created it.
    pub created_by: Uuid,
    /// From `projects::next_run_number`.
    pub run_number: i32,
    /// `pending`, or `queued` for a schedule's run.
    pub status: RunStatus,
    /// The due time of a schedule's run.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// How many items are inserted with it.
    pub total_tests: i32,
}

/// Inserts a run and returns its id.
///
/// # Errors
/// If the database fails.
pub async fn insert(db: impl PgExecutor<'_>, run: &NewTestRun, origin: RunOrigin) -> sqlx::Result<Uuid> {
    let default_name = format!("Run_{:03}", origin.run_number);
    sqlx::query_scalar!(
        "-- test_runs.insert
         INSERT INTO test_runs (
             id, run_name, run_number, project_id, created_by, suite_path, suite_name, status, scheduled_at,
             parallel_enabled, parallel_count, retry_on_failure, retry_count, results_folder, tags, notes, total_tests
         )
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
         RETURNING id",
        Uuid::now_v7(),
        run.run_name.as_deref().unwrap_or(&default_name),
        origin.run_number,
        origin.project_id,
        origin.created_by,
        run.suite_path.as_deref(),
        run.suite_name,
        origin.status as RunStatus,
        origin.scheduled_at,
        run.parallel_enabled.unwrap_or(false),
        run.parallel_count.unwrap_or(1),
        run.retry_on_failure.unwrap_or(false),
        run.retry_count.unwrap_or(0),
        run.results_folder,
        run.tags.as_deref(),
        run.notes,
        origin.total_tests,
    )
    .fetch_one(db)
    .await
}

/// The project's run with this id, unless it was deleted.
///
/// # Errors
/// If the database fails.
pub async fn get(db: impl PgExecutor<'_>, project_id: Uuid, id: Uuid) -> sqlx::Result<Option<TestRun>> {
    sqlx::query_as(concat!(
        "-- test_runs.get\nSELECT ",
        columns!(),
        " FROM test_runs WHERE project_id = $1 AND id = $2 AND deleted_at IS NULL"
    ))
    .bind(project_id)
    .bind(id)
    .fetch_optional(db)
    .await
}

/// The run with this id, for workers, who know no project.
///
/// # Errors
/// If the database fails.
pub async fn find(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<TestRun>> {
    sqlx::query_as(concat!("-- test_runs.find\nSELECT ", columns!(), " FROM test_runs WHERE id = $1"))
        .bind(id)
        .fetch_optional(db)
        .await
}

/// A page of the project's runs.
///
/// # Errors
/// If the database fails.
pub async fn list(
    db: impl PgExecutor<'_>,
    project_id: Uuid,
    filter: &TestRunFilter,
    page: Page,
) -> sqlx::Result<Vec<TestRun>> {
    let mut query = QueryBuilder::new(concat!("-- test_runs.list\nSELECT ", columns!(), " FROM test_runs"));
    push_where(&mut query, project_id, filter);
    // `id` breaks ties, so that pages neither repeat nor lose a row.
    query.push(match (filter.sort_by.unwrap_or(RunSort::CreatedAt), filter.sort_order.unwrap_or(SortOrder::Desc)) {
        (RunSort::CreatedAt, SortOrder::Desc) => " ORDER BY created_at DESC, id DESC",
        (RunSort::CreatedAt, SortOrder::Asc) => " ORDER BY created_at, id",
        (RunSort::StartedAt, SortOrder::Desc) => " ORDER BY started_at DESC NULLS LAST, id DESC",
        (RunSort::StartedAt, SortOrder::Asc) => " ORDER BY started_at NULLS LAST, id",
        (RunSort::PassRate, SortOrder::Desc) => " ORDER BY pass_rate DESC, id DESC",
        (RunSort::PassRate, SortOrder::Asc) => " ORDER BY pass_rate, id",
    });
    query.push(" LIMIT ").push_bind(page.limit).push(" OFFSET ").push_bind(page.offset);
    query.build_query_as().fetch_all(db).await
}

/// How many of the project's runs the filter lets through.
///
/// # Errors
/// If the database fails.
pub async fn count(db: impl PgExecutor<'_>, project_id: Uuid, filter: &TestRunFilter) -> sqlx::Result<i64> {
    let mut query = QueryBuilder::new("-- test_runs.count\nSELECT count(*) FROM test_runs");
    push_where(&mut query, project_id, filter);
    query.build_query_scalar().fetch_one(db).await
}

fn push_where(query: &mut QueryBuilder<Postgres>, project_id: Uuid, filter: &TestRunFilter) {
    query.push(" WHERE deleted_at IS NULL AND project_id = ").push_bind(project_id);
    if let Some(status) = filter.status {
        query.push(" AND status = ").push_bind(status);
    }
    if let Some(suite) = &filter.suite_path {
        let depth = i32::try_from(suite.len()).unwrap_or(i32::MAX);
        query.push(" AND suite_path[1:").push_bind(depth).push("] = ").push_bind(suite.clone());
    }
    if let Some(from) = filter.from {
        query.push(" AND created_at >= ").push_bind(from);
    }
    if let Some(before) = filter.before {
        query.push(" AND created_at < ").push_bind(before);
    }
    if let Some(user) = filter.created_by {
        query.push(" AND created_by = ").push_bind(user);
    }
    if let Some(tags) = &filter.tags {
        query.push(" AND tags @> ").push_bind(tags.clone());
    }
    if let Some(search) = &filter.search {
        query.push(" AND run_name ILIKE '%' || ").push_bind(super::escape_like(search)).push(" || '%'");
    }
}

/// Stores the columns of a locked run that clients may change.
///
/// # Errors
/// If the database fails.
pub async fn save(db: impl PgExecutor<'_>, run: &TestRun) -> sqlx::Result<()> {
    sqlx::query!(
        "-- test_runs.save
         UPDATE test_runs
         SET run_name = $2, suite_path = $3, suite_name = $4, parallel_enabled = $5, parallel_count = $6,
             retry_on_failure = $7, retry_count = $8, browser_name = $9, browser_version = $10, os_name = $11,
             os_version = $12, viewport_width = $13, viewport_height = $14, results_folder = $15, tags = $16, notes = $17,
             updated_at = now()
         WHERE id = $1",
        run.id,
        run.run_name,
        run.suite_path.as_deref(),
        run.suite_name,
        run.parallel_enabled,
        run.parallel_count,
        run.retry_on_failure,
        run.retry_count,
        run.browser_name,
        run.browser_version,
        run.os_name,
        run.os_version,
        run.viewport_width,
        run.viewport_height,
        run.results_folder,
        run.tags.as_deref(),
        run.notes,
    )
    .execute(db)
    .await
    .map(|_| ())
}
