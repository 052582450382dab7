//! Table `test_run_results`.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::types::Json;
use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

use super::events::EventRow;
use super::execution_history::HistoryRow;
use super::test_run_items::DerivedRow;
use crate::domain::page::Page;
use crate::domain::test_run_item::Outcome;
use crate::domain::test_run_result::TestRunResult;

macro_rules! columns {
    () => {
        "t.id, t.test_run_id, t.test_run_item_id, t.test_case_id, t.iteration_number, t.data_row_index, t.data_row_values, \
         t.status, t.started_at, t.completed_at, t.duration_ms, t.total_steps, t.passed_steps, t.failed_steps, \
         t.skipped_steps, t.pass_rate, t.total_checkpoints, t.passed_checkpoints, t.failed_checkpoints, \
         t.checkpoint_pass_rate, t.total_pre_scripts, t.passed_pre_scripts, t.failed_pre_scripts, t.total_post_scripts, \
         t.passed_post_scripts, t.failed_post_scripts, t.total_on_demand_scripts, t.passed_on_demand_scripts, \
         t.failed_on_demand_scripts, t.pre_script_aborted, t.total_accessibility_violations, t.accessibility_results, \
         t.error_message, t.error_step_number, t.error_screenshot_path, t.initial_url, t.final_url, t.results_folder, \
         t.report_path, t.retry_attempt, t.racing_stats, t.environment_info, t.captured_downloads, t.downloads_folder, \
         t.created_at"
    };
}

/// A result to store.
#[derive(Debug, Serialize)]
pub struct ResultRow {
    /// The columns that clients see.
    #[serde(flatten)]
    pub result: TestRunResult,
    /// The counts that the client stated itself, by column: rows that come later do not change them.
    pub stated_counts: Option<BTreeMap<&'static str, i32>>,
}

/// What results of one run write, and what follows from them.
#[derive(Debug, Default)]
pub struct Changes<'a> {
    /// The results.
    pub results: Vec<&'a ResultRow>,
    /// Entries in their cases' histories, new or brought up to date.
    pub history: Vec<&'a HistoryRow>,
    /// What all this makes of items, each of them once.
    pub items: Vec<&'a DerivedRow>,
    /// That items are finished.
    pub events: Vec<&'a EventRow>,
}

/// Stores these changes, and notes that the run's counts have to be recomputed, as [`super::run_refreshes::insert`] does. In
/// one statement, since the items stay locked during each round trip. Returns whether nobody had noted it before.
///
/// # Errors
/// If an attempt exists; who submits checks that before, with the items locked.
pub async fn save(db: impl PgExecutor<'_>, run_id: Uuid, changes: &Changes<'_>) -> sqlx::Result<bool> {
    // The condition on the items' run makes the planner expect few of them, so that it looks them up by the index.
    sqlx::query_scalar!(
        r#"-- test_run_results.save
         WITH history AS (
             INSERT INTO test_execution_history
             SELECT * FROM jsonb_populate_recordset(NULL::test_execution_history, $3)
             ON CONFLICT (test_run_result_id) DO UPDATE
             SET total_steps = EXCLUDED.total_steps, passed_steps = EXCLUDED.passed_steps,
                 failed_steps = EXCLUDED.failed_steps, pass_rate = EXCLUDED.pass_rate
         ), items AS (
             UPDATE test_run_items i
             SET status = n.status, started_at = n.started_at, completed_at = n.completed_at, duration_ms = n.duration_ms,
                 total_steps = n.total_steps, passed_steps = n.passed_steps, failed_steps = n.failed_steps,
                 skipped_steps = n.skipped_steps, total_checkpoints = n.total_checkpoints,
                 passed_checkpoints = n.passed_checkpoints, failed_checkpoints = n.failed_checkpoints,
                 is_data_driven = n.is_data_driven, total_iterations = n.total_iterations,
                 passed_iterations = n.passed_iterations, failed_iterations = n.failed_iterations,
                 retry_attempt = n.retry_attempt, max_retries_exhausted = n.max_retries_exhausted,
                 error_message = n.error_message, error_screenshot_path = n.error_screenshot_path,
                 results_folder = coalesce(n.results_folder, i.results_folder),
                 is_announced = i.is_announced OR n.is_announced, updated_at = now()
             FROM jsonb_populate_recordset(NULL::test_run_items, $4) n
             WHERE n.test_run_id = $1 AND i.id = n.id
         ), results AS (
             INSERT INTO test_run_results SELECT * FROM jsonb_populate_recordset(NULL::test_run_results, $2)
         ), events AS (
             INSERT INTO events (id, project_id, type, test_run_id, data)
             SELECT id, project_id, type, test_run_id, data FROM jsonb_populate_recordset(NULL::events, $5)
         ), refresh AS (
             INSERT INTO run_refreshes (run_id) VALUES ($1) ON CONFLICT (run_id) DO NOTHING RETURNING run_id
         )
         SELECT EXISTS (SELECT 1 FROM refresh) AS "is_new!""#,
        run_id,
        Json(&changes.results) as _,
        Json(&changes.history) as _,
        Json(&changes.items) as _,
        Json(&changes.events) as _,
    )
    .fetch_one(db)
    .await
}

/// The project's result with this id.
///
/// # Errors
/// If the database fails.
pub async fn get(db: impl PgExecutor<'_>, project_id: Uuid, id: Uuid) -> sqlx::Result<Option<TestRunResult>> {
    sqlx::query_as(concat!(
        "-- test_run_results.get\nSELECT ",
        columns!(),
        " FROM test_run_results t JOIN test_runs r ON r.id = t.test_run_id \
          WHERE r.project_id = $1 AND r.deleted_at IS NULL AND t.id = $2"
    ))
    .bind(project_id)
    .bind(id)
    .fetch_optional(db)
    .await
}

/// Whether the project has a result with this id.
///
/// # Errors
/// If the database fails.
pub async fn exists(db: impl PgExecutor<'_>, project_id: Uuid, id: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"-- test_run_results.exists
         SELECT EXISTS (
             SELECT 1 FROM test_run_results t JOIN test_runs r ON r.id = t.test_run_id
             WHERE r.project_id = $1 AND r.deleted_at IS NULL AND t.id = $2
         ) AS "exists!""#,
        project_id,
        id,
    )
    .fetch_one(db)
    .await
}

/// A page of a run's results, in the order in which they came.
///
/// # Errors
/// If the database fails.
pub async fn list_of_run(db: impl PgExecutor<'_>, run_id: Uuid, page: Page) -> sqlx::Result<Vec<TestRunResult>> {
    sqlx::query_as(concat!(
        "-- test_run_results.list_of_run\nSELECT ",
        columns!(),
        " FROM test_run_results t WHERE t.test_run_id = $1 ORDER BY t.created_at, t.id LIMIT $2 OFFSET $3"
    ))
    .bind(run_id)
    .bind(page.limit)
    .bind(page.offset)
    .fetch_all(db)
    .await
}

/// How many results a run has.
///
/// # Errors
/// If the database fails.
pub async fn count_of_run(db: impl PgExecutor<'_>, run_id: Uuid) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- test_run_results.count_of_run
         SELECT count(*) AS "count!" FROM test_run_results WHERE test_run_id = $1"#,
        run_id,
    )
    .fetch_one(db)
    .await
}

/// What locked items need to know of all their results, each with its item's id.
///
/// # Errors
/// If the database fails.
pub async fn outcomes(db: impl PgExecutor<'_>, item_ids: &[Uuid]) -> sqlx::Result<Vec<(Uuid, Outcome)>> {
    // As in `test_run_items::lock_behind_gate`: planned once for all, and each item's results by the index.
    let rows: Vec<OutcomeRow> = sqlx::query_as(
        "-- test_run_results.outcomes
         SELECT t.*
         FROM jsonb_array_elements_text($1) AS item (id), LATERAL (
             SELECT test_run_item_id, id, iteration_number, retry_attempt, status, started_at, completed_at, duration_ms,
                 total_steps, passed_steps, failed_steps, skipped_steps,
                 total_checkpoints, passed_checkpoints, failed_checkpoints,
                 error_message, error_screenshot_path, results_folder, created_at
             FROM test_run_results
             WHERE test_run_item_id = item.id::uuid
             OFFSET 0
         ) t",
    )
    .bind(Json(item_ids))
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.test_run_item_id, row.outcome)).collect())
}

/// See [`outcomes`].
#[derive(FromRow)]
struct OutcomeRow {
    test_run_item_id: Uuid,
    #[sqlx(flatten)]
    outcome: Outcome,
}

/// Passes the gate before the results of the run that a result belongs to, see [`super::test_runs::pass_gate`].
///
/// # Errors
/// If the database fails.
pub async fn pass_gate(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "-- test_run_results.pass_gate
         SELECT pg_advisory_xact_lock_shared(hashtextextended(test_run_id::text, 0)) FROM test_run_results WHERE id = $1",
        id,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Counts the steps of a result anew. A count that the client stated stays; a total at least covers its parts.
///
/// # Errors
/// If the database fails.
pub async fn recount_steps(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "-- test_run_results.recount_steps
         WITH counted AS (
             SELECT count(*)::integer AS total, (count(*) FILTER (WHERE status = 'passed'))::integer AS passed,
                 (count(*) FILTER (WHERE status = 'failed'))::integer AS failed,
                 (count(*) FILTER (WHERE status = 'skipped'))::integer AS skipped
             FROM test_step_results
             WHERE test_run_result_id = $1
         ), parts AS (
             SELECT coalesce((r.stated_counts ->> 'total_steps')::integer, c.total) AS total,
                 coalesce((r.stated_counts ->> 'passed_steps')::integer, c.passed) AS passed,
                 coalesce((r.stated_counts ->> 'failed_steps')::integer, c.failed) AS failed,
                 coalesce((r.stated_counts ->> 'skipped_steps')::integer, c.skipped) AS skipped
             FROM test_run_results r, counted c
             WHERE r.id = $1
         ), summed AS (
             SELECT greatest(total, passed + failed + skipped) AS total, passed, failed, skipped FROM parts
         )
         UPDATE test_run_results t
         SET total_steps = s.total, passed_steps = s.passed, failed_steps = s.failed, skipped_steps = s.skipped,
             pass_rate = coalesce(round(100.0 * s.passed / nullif(s.total, 0), 2), 0)
         FROM summed s
         WHERE t.id = $1",
        id,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Counts the checkpoints of a result anew; see [`recount_steps`].
///
/// # Errors
/// If the database fails.
pub async fn recount_checkpoints(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "-- test_run_results.recount_checkpoints
         WITH counted AS (
             SELECT count(*)::integer AS total, (count(*) FILTER (WHERE status = 'passed'))::integer AS passed,
                 (count(*) FILTER (WHERE status = 'failed'))::integer AS failed
             FROM checkpoint_results
             WHERE test_run_result_id = $1
         ), parts AS (
             SELECT coalesce((r.stated_counts ->> 'total_checkpoints')::integer, c.total) AS total,
                 coalesce((r.stated_counts ->> 'passed_checkpoints')::integer, c.passed) AS passed,
                 coalesce((r.stated_counts ->> 'failed_checkpoints')::integer, c.failed) AS failed
             FROM test_run_results r, counted c
             WHERE r.id = $1
         ), summed AS (
             SELECT greatest(total, passed + failed) AS total, passed, failed FROM parts
         )
         UPDATE test_run_results t
         SET total_checkpoints = s.total, passed_checkpoints = s.passed, failed_checkpoints = s.failed,
             checkpoint_pass_rate = coalesce(round(100.0 * s.passed / nullif(s.total, 0), 2), 0)
         FROM summed s
         WHERE t.id = $1",
        id,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Counts the scripts of a result anew; see [`recount_steps`].
///
/// # Errors
/// If the database fails.
pub async fn recount_scripts(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "-- test_run_results.recount_scripts
         WITH counted AS (
             SELECT k.kind,
                 coalesce((r.stated_counts ->> ('total_' || k.kind || '_scripts'))::integer, count(s.id)::integer) AS total,
                 coalesce((r.stated_counts ->> ('passed_' || k.kind || '_scripts'))::integer,
                     (count(s.id) FILTER (WHERE s.status = 'passed'))::integer) AS passed,
                 coalesce((r.stated_counts ->> ('failed_' || k.kind || '_scripts'))::integer,
                     (count(s.id) FILTER (WHERE s.status = 'failed'))::integer) AS failed,
                 coalesce(bool_or(k.kind = 'pre' AND s.status = 'failed' AND s.is_critical), FALSE) AS aborted
             FROM test_run_results r
             CROSS JOIN (VALUES ('pre', 'pre_execution'), ('post', 'post_execution'), ('on_demand', 'on_demand')) AS k (kind, type)
             LEFT JOIN script_results s ON s.test_run_result_id = r.id AND s.script_type = k.type
             WHERE r.id = $1
             GROUP BY k.kind, r.stated_counts
         )
         UPDATE test_run_results t
         SET total_pre_scripts = greatest(pre.total, pre.passed + pre.failed),
             passed_pre_scripts = pre.passed, failed_pre_scripts = pre.failed,
             total_post_scripts = greatest(post.total, post.passed + post.failed),
             passed_post_scripts = post.passed, failed_post_scripts = post.failed,
             total_on_demand_scripts = greatest(other.total, other.passed + other.failed),
             passed_on_demand_scripts = other.passed, failed_on_demand_scripts = other.failed,
             pre_script_aborted = t.pre_script_aborted OR pre.aborted
         FROM counted pre, counted post, counted other
         WHERE t.id = $1 AND pre.kind = 'pre' AND post.kind = 'post' AND other.kind = 'on_demand'",
        id,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// A page of an item's results, by iteration and attempt.
///
/// # Errors
/// If the database fails.
pub async fn list_of_item(db: impl PgExecutor<'_>, item_id: Uuid, page: Page) -> sqlx::Result<Vec<TestRunResult>> {
    sqlx::query_as(concat!(
        "-- test_run_results.list_of_item\nSELECT ",
        columns!(),
        " FROM test_run_results t WHERE t.test_run_item_id = $1 \
          ORDER BY t.iteration_number NULLS FIRST, t.retry_attempt, t.id LIMIT $2 OFFSET $3"
    ))
    .bind(item_id)
    .bind(page.limit)
    .bind(page.offset)
    .fetch_all(db)
    .await
}

/// How many results an item has.
///
/// # Errors
/// If the database fails.
pub async fn count_of_item(db: impl PgExecutor<'_>, item_id: Uuid) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- test_run_results.count_of_item
         SELECT count(*) AS "count!" FROM test_run_results WHERE test_run_item_id = $1"#,
        item_id,
    )
    .fetch_one(db)
    .await
}
