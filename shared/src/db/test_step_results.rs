//! Table `test_step_results`.

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::domain::page::Page;
use crate::domain::test_run_result::ResultStatus;
use crate::domain::test_step_result::TestStepResult;

macro_rules! columns {
    () => {
        "id, test_run_result_id, step_number, action, description, status, started_at, completed_at, duration_ms, selector, \
         element_html, input_value, screenshot_path, screenshot_url, error_message, error_stack_trace, playwright_code, \
         window_id, window_title, created_at"
    };
}

/// Inserts steps in one statement.
///
/// # Errors
/// Constraint [`super::constraints::STEP_NUMBER`] if a number is taken.
pub async fn insert(db: impl PgExecutor<'_>, rows: &[TestStepResult]) -> sqlx::Result<()> {
    sqlx::query!(
        "-- test_step_results.insert
         INSERT INTO test_step_results ( id, test_run_result_id, step_number, action, description, status, started_at,
             completed_at, duration_ms, selector, element_html, input_value, screenshot_path, screenshot_url, error_message,
             error_stack_trace, playwright_code, window_id, window_title, created_at)
         SELECT * FROM unnest( $1::uuid[], $2::uuid[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::timestamptz[],
             $8::timestamptz[], $9::bigint[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
             $16::text[], $17::text[], $18::text[], $19::text[], $20::timestamptz[])",
        column!(rows.id) as _,
        column!(rows.test_run_result_id) as _,
        column!(rows.step_number) as _,
        column!(rows.action) as _,
        column!(rows.description) as _,
        column!(rows.status.as_str()) as _,
        column!(rows.started_at) as _,
        column!(rows.completed_at) as _,
        column!(rows.duration_ms) as _,
        column!(rows.selector) as _,
        column!(rows.element_html) as _,
        column!(rows.input_value) as _,
        column!(rows.screenshot_path) as _,
        column!(rows.screenshot_url) as _,
        column!(rows.error_message) as _,
        column!(rows.error_stack_trace) as _,
        column!(rows.playwright_code) as _,
        column!(rows.window_id) as _,
        column!(rows.window_title) as _,
        column!(rows.created_at) as _,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// The numbers and ids of those steps of a result that have one of these numbers or ids.
///
/// # Errors
/// If the database fails.
pub async fn named(
    db: impl PgExecutor<'_>,
    result_id: Uuid,
    numbers: &[i32],
    ids: &[Uuid],
) -> sqlx::Result<Vec<(i32, Uuid)>> {
    let rows = sqlx::query!(
        "-- test_step_results.named
         SELECT step_number, id
         FROM test_step_results
         WHERE test_run_result_id = $1 AND (step_number = ANY($2) OR id = ANY($3))",
        result_id,
        numbers,
        ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.step_number, row.id)).collect())
}

/// A page of a result's steps, by number, narrowed to a status if one is given.
///
/// # Errors
/// If the database fails.
pub async fn list(
    db: impl PgExecutor<'_>,
    result_id: Uuid,
    status: Option<ResultStatus>,
    page: Page,
) -> sqlx::Result<Vec<TestStepResult>> {
    sqlx::query_as(concat!(
        "-- test_step_results.list\nSELECT ",
        columns!(),
        " FROM test_step_results WHERE test_run_result_id = $1 AND ($2 IS NULL OR status = $2) \
          ORDER BY step_number LIMIT $3 OFFSET $4"
    ))
    .bind(result_id)
    .bind(status)
    .bind(page.limit)
    .bind(page.offset)
    .fetch_all(db)
    .await
}

/// How many steps of a result have this status, or how many there are.
///
/// # Errors
/// If the database fails.
pub async fn count(db: impl PgExecutor<'_>, result_id: Uuid, status: Option<ResultStatus>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- test_step_results.count
         SELECT count(*) AS "count!"
         FROM test_step_results
         WHERE test_run_result_id = $1 AND ($2::varchar IS NULL OR status = $2)"#,
        result_id,
        status as Option<ResultStatus>,
    )
    .fetch_one(db)
    .await
}

/// A result's step with this number.
///
/// # Errors
/// If the database fails.
pub async fn get(db: impl PgExecutor<'_>, result_id: Uuid, step_number: i32) -> sqlx::Result<Option<TestStepResult>> {
    sqlx::query_as(concat!(
        "-- test_step_results.get\nSELECT ",
        columns!(),
        " FROM test_step_results WHERE test_run_result_id = $1 AND step_number = $2"
    ))
    .bind(result_id)
    .bind(step_number)
    .fetch_optional(db)
    .await
}
