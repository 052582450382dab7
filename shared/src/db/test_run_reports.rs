//! Tables `test_run_reports` and `test_run_report_parts`, and the rows that a report shows.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::domain::test_run_item::ItemStatus;

/// A report that is stored whole.
#[derive(Debug, Clone, Copy)]
pub struct StoredReport {
    /// Which rendering its parts belong to.
    pub rendering: i64,
    /// How many parts it has, numbered from 0.
    pub parts: i32,
    /// Its length.
    pub bytes: i64,
}

/// The stored report of a run that was last changed at `run_updated_at`; `None` if there is none, or an older one.
///
/// # Errors
/// If the database fails.
pub async fn current(
    db: impl PgExecutor<'_>,
    run_id: Uuid,
    run_updated_at: DateTime<Utc>,
) -> sqlx::Result<Option<StoredReport>> {
    sqlx::query_as!(
        StoredReport,
        "-- test_run_reports.current
         SELECT rendering, parts, bytes FROM test_run_reports WHERE test_run_id = $1 AND run_updated_at = $2",
        run_id,
        run_updated_at,
    )
    .fetch_optional(db)
    .await
}

/// A part of a rendering; `None` if a newer one took its place.
///
/// # Errors
/// If the database fails.
pub async fn part(db: impl PgExecutor<'_>, run_id: Uuid, rendering: i64, part: i32) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "-- test_run_reports.part
         SELECT html FROM test_run_report_parts WHERE test_run_id = $1 AND rendering = $2 AND part = $3",
        run_id,
        rendering,
        part,
    )
    .fetch_optional(db)
    .await
}

/// The number of a new rendering, higher than all before.
///
/// # Errors
/// If the database fails.
pub async fn next_rendering(db: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"SELECT nextval('test_run_renderings') AS "rendering!""#).fetch_one(db).await
}

/// Stores a part of a rendering.
///
/// # Errors
/// If the run is gone, or the database fails.
pub async fn insert_part(
    db: impl PgExecutor<'_>,
    run_id: Uuid,
    rendering: i64,
    part: i32,
    html: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- test_run_reports.insert_part
         INSERT INTO test_run_report_parts (test_run_id, rendering, part, html) VALUES ($1, $2, $3, $4)",
        run_id,
        rendering,
        part,
        html,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Makes a rendering whose parts are all stored the run's report, unless a newer one is that already.
///
/// # Errors
/// If the database fails.
pub async fn publish(
    db: impl PgExecutor<'_>,
    run_id: Uuid,
    run_updated_at: DateTime<Utc>,
    report: StoredReport,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- test_run_reports.publish
         INSERT INTO test_run_reports AS r (test_run_id, rendering, run_updated_at, parts, bytes)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (test_run_id) DO UPDATE
         SET rendering = excluded.rendering, run_updated_at = excluded.run_updated_at, parts = excluded.parts,
             bytes = excluded.bytes, rendered_at = excluded.rendered_at
         WHERE r.rendering < excluded.rendering",
        run_id,
        report.rendering,
        run_updated_at,
        report.parts,
        report.bytes,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Deletes the parts of renderings older than the run's report, finished or not.
///
/// A rendering that is still under way and older will not become the report any more; a newer one is left alone.
///
/// # Errors
/// If the database fails.
pub async fn delete_older_parts(db: impl PgExecutor<'_>, run_id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "-- test_run_reports.delete_older_parts
         DELETE FROM test_run_report_parts p
         USING test_run_reports r
         WHERE r.test_run_id = $1 AND p.test_run_id = $1 AND p.rendering < r.rendering",
        run_id,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// A failed item, with what its deciding result says. Long texts are cut at `text_limit` characters.
#[derive(Debug, Clone)]
pub struct FailureRow {
    /// The item's place.
    pub execution_order: i32,
    /// The test case's name.
    pub test_case_name: String,
    /// The test case's suite, from the root down.
    pub suite: String,
    /// When the first attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// Milliseconds.
    pub duration_ms: i64,
    /// Whether results came with iteration numbers.
    pub is_data_driven: bool,
    /// Iterations that passed.
    pub passed_iterations: i32,
    /// Iterations in all.
    pub total_iterations: i32,
    /// The attempt that decided; 0 is the first.
    pub retry_attempt: i32,
    /// What went wrong.
    pub message: Option<String>,
    /// How many characters the whole message has.
    pub message_length: Option<i32>,
    /// The result that decided, or the first failed iteration's.
    pub result_id: Option<Uuid>,
    /// Its iteration.
    pub iteration_number: Option<i32>,
    /// The step that failed.
    pub step_number: Option<i32>,
    /// What the step did.
    pub step_action: Option<String>,
    /// The step in words.
    pub step_description: Option<String>,
    /// How long the step took, in milliseconds.
    pub step_duration_ms: Option<i64>,
    /// What went wrong in the step.
    pub step_message: Option<String>,
    /// How many characters the step's whole message has.
    pub step_message_length: Option<i32>,
    /// A label; the server never opens it.
    pub screenshot_path: Option<String>,
}

/// The failed items of a run behind this place, in execution order.
///
/// The page is taken before the results are looked up, so that a page costs the same wherever it is.
///
/// # Errors
/// If the database fails.
pub async fn failures(
    db: impl PgExecutor<'_>,
    run_id: Uuid,
    after: i32,
    limit: i64,
    text_limit: i32,
) -> sqlx::Result<Vec<FailureRow>> {
    sqlx::query_as!(
        FailureRow,
        r#"-- test_run_reports.failures
         SELECT i.execution_order, c.name AS test_case_name, left(array_to_string(c.suite_path, ' › '), 500) AS "suite!",
             i.started_at, i.duration_ms, i.is_data_driven, i.passed_iterations, i.total_iterations, i.retry_attempt,
             left(i.error_message, $4) AS message, char_length(i.error_message) AS message_length,
             t.id AS "result_id?", t.iteration_number,
             coalesce(s.step_number, t.error_step_number) AS step_number, s.action AS "step_action?",
             left(s.description, $4) AS step_description, s.duration_ms AS "step_duration_ms?",
             left(s.error_message, $4) AS step_message, char_length(s.error_message) AS step_message_length,
             coalesce(i.error_screenshot_path, t.error_screenshot_path, s.screenshot_path, s.screenshot_url) AS screenshot_path
         FROM (
             SELECT * FROM test_run_items
             WHERE test_run_id = $1 AND status = 'failed' AND execution_order > $2
             ORDER BY execution_order
             LIMIT $3
         ) AS i
         JOIN test_cases c ON c.id = i.test_case_id
         LEFT JOIN LATERAL (
             SELECT r.id, r.iteration_number, r.error_step_number, r.error_screenshot_path
             FROM test_run_results r
             WHERE r.test_run_item_id = i.id AND r.status = 'failed' AND r.retry_attempt = i.retry_attempt
                 AND NOT EXISTS (
                     SELECT 1 FROM test_run_results later
                     WHERE later.test_run_item_id = i.id
                         AND later.iteration_number IS NOT DISTINCT FROM r.iteration_number
                         AND later.retry_attempt > r.retry_attempt
                 )
             ORDER BY r.iteration_number
             LIMIT 1
         ) AS t ON TRUE
         LEFT JOIN LATERAL (
             SELECT s.step_number, s.action, s.description, s.duration_ms, s.error_message, s.screenshot_path,
                 s.screenshot_url
             FROM test_step_results s
             WHERE s.test_run_result_id = t.id AND (s.status = 'failed' OR s.step_number = t.error_step_number)
             ORDER BY s.step_number IS NOT DISTINCT FROM t.error_step_number DESC, s.step_number
             LIMIT 1
         ) AS s ON TRUE
         ORDER BY i.execution_order"#,
        run_id,
        after,
        limit,
        text_limit,
    )
    .fetch_all(db)
    .await
}

/// An item in the table of all items.
#[derive(Debug, Clone)]
pub struct ItemRow {
    /// The item's place.
    pub execution_order: i32,
    /// The test case's name.
    pub test_case_name: String,
    /// The test case's suite, from the root down.
    pub suite: String,
    /// Where the item is in its life.
    pub status: ItemStatus,
    /// Milliseconds.
    pub duration_ms: i64,
    /// Steps that passed.
    pub passed_steps: i32,
    /// Steps in all.
    pub total_steps: i32,
    /// Checkpoints that passed.
    pub passed_checkpoints: i32,
    /// Checkpoints in all.
    pub total_checkpoints: i32,
    /// Whether results came with iteration numbers.
    pub is_data_driven: bool,
    /// Iterations that passed.
    pub passed_iterations: i32,
    /// Iterations in all.
    pub total_iterations: i32,
    /// The attempt that decided; 0 is the first.
    pub retry_attempt: i32,
}

/// The items of a run behind this place, in execution order; the page is taken first, as in [`failures`].
///
/// # Errors
/// If the database fails.
pub async fn items(db: impl PgExecutor<'_>, run_id: Uuid, after: i32, limit: i64) -> sqlx::Result<Vec<ItemRow>> {
    sqlx::query_as!(
        ItemRow,
        r#"-- test_run_reports.items
         SELECT i.execution_order, c.name AS test_case_name, left(array_to_string(c.suite_path, ' › '), 500) AS "suite!",
             i.status AS "status: ItemStatus", i.duration_ms, i.passed_steps, i.total_steps, i.passed_checkpoints,
             i.total_checkpoints, i.is_data_driven, i.passed_iterations, i.total_iterations, i.retry_attempt
         FROM (
             SELECT * FROM test_run_items
             WHERE test_run_id = $1 AND execution_order > $2
             ORDER BY execution_order
             LIMIT $3
         ) AS i
         JOIN test_cases c ON c.id = i.test_case_id
         ORDER BY i.execution_order"#,
        run_id,
        after,
        limit,
    )
    .fetch_all(db)
    .await
}
