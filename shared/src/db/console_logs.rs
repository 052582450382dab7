//! Table `console_logs`.

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::domain::console_log::ConsoleLog;
use crate::domain::console_log::LogLevel;
use crate::domain::page::Page;

macro_rules! columns {
    () => {
        "id, test_run_result_id, log_level, message, source, line_number, column_number, stack_trace, step_index, timestamp, \
         created_at"
    };
}

/// Inserts console lines in one statement.
///
/// # Errors
/// If the database fails.
pub async fn insert(db: impl PgExecutor<'_>, rows: &[ConsoleLog]) -> sqlx::Result<()> {
    sqlx::query!(
        "-- console_logs.insert
         INSERT INTO console_logs ( id, test_run_result_id, log_level, message, source, line_number, column_number,
             stack_trace, step_index, timestamp, created_at)
         SELECT * FROM unnest( $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::integer[],
             $8::text[], $9::integer[], $10::timestamptz[], $11::timestamptz[])",
        column!(rows.id) as _,
        column!(rows.test_run_result_id) as _,
        column!(rows.log_level.as_str()) as _,
        column!(rows.message) as _,
        column!(rows.source) as _,
        column!(rows.line_number) as _,
        column!(rows.column_number) as _,
        column!(rows.stack_trace) as _,
        column!(rows.step_index) as _,
        column!(rows.timestamp) as _,
        column!(rows.created_at) as _,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// A page of a result's console lines, narrowed by what is given.
///
/// # Errors
/// If the database fails.
pub async fn list(
    db: impl PgExecutor<'_>,
    result_id: Uuid,
    log_level: Option<LogLevel>,
    step_index: Option<i32>,
    page: Page,
) -> sqlx::Result<Vec<ConsoleLog>> {
    sqlx::query_as(concat!(
        "-- console_logs.list\nSELECT ",
        columns!(),
        " FROM console_logs WHERE test_run_result_id = $1 AND ($2 IS NULL OR log_level = $2) AND ($3 IS NULL OR step_index = $3) \
          ORDER BY timestamp, id LIMIT $4 OFFSET $5"
    ))
    .bind(result_id)
    .bind(log_level)
    .bind(step_index)
    .bind(page.limit)
    .bind(page.offset)
    .fetch_all(db)
    .await
}

/// How many there are.
///
/// # Errors
/// If the database fails.
pub async fn count(
    db: impl PgExecutor<'_>,
    result_id: Uuid,
    log_level: Option<LogLevel>,
    step_index: Option<i32>,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- console_logs.count
         SELECT count(*) AS "count!" FROM console_logs
         WHERE test_run_result_id = $1 AND ($2::varchar IS NULL OR log_level = $2) AND ($3::integer IS NULL OR step_index = $3)"#,
        result_id,
        log_level as Option<LogLevel>,
        step_index,
    )
    .fetch_one(db)
    .await
}

/// Deletes console lines that came in more than `age_seconds` ago, at most `limit`, and returns how many.
///
/// # Errors
/// If the database fails.
pub async fn prune(db: impl PgExecutor<'_>, age_seconds: f64, limit: i64) -> sqlx::Result<u64> {
    sqlx::query!(
        "-- console_logs.prune
         DELETE FROM console_logs
         WHERE id IN (
             SELECT id FROM console_logs
             WHERE created_at < now() - make_interval(secs => $1)
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
