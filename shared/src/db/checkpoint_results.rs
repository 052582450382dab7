//! Table `checkpoint_results`.

use sqlx::PgExecutor;
use sqlx::types::Json;
use uuid::Uuid;

use crate::domain::checkpoint_result::CheckpointResult;
use crate::domain::checkpoint_result::CheckpointStatus;
use crate::domain::page::Page;

macro_rules! columns {
    () => {
        "id, test_run_result_id, test_step_result_id, checkpoint_name, checkpoint_type, status, selector, profile, \
         expected_properties, actual_properties, failed_properties, property_verifications, screenshot_index, \
         baseline_screenshot_path, actual_screenshot_path, diff_screenshot_path, diff_percentage, error_message, created_at"
    };
}

/// Inserts checkpoints in one statement.
///
/// # Errors
/// If the database fails.
pub async fn insert(db: impl PgExecutor<'_>, rows: &[CheckpointResult]) -> sqlx::Result<()> {
    sqlx::query!(
        "-- checkpoint_results.insert
         INSERT INTO checkpoint_results SELECT * FROM jsonb_populate_recordset(NULL::checkpoint_results, $1)",
        Json(rows) as _,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// A page of a result's checkpoints, narrowed by what is given.
///
/// # Errors
/// If the database fails.
pub async fn list(
    db: impl PgExecutor<'_>,
    result_id: Uuid,
    status: Option<CheckpointStatus>,
    page: Page,
) -> sqlx::Result<Vec<CheckpointResult>> {
    sqlx::query_as(concat!(
        "-- checkpoint_results.list\nSELECT ",
        columns!(),
        " FROM checkpoint_results WHERE test_run_result_id = $1 AND ($2 IS NULL OR status = $2) \
          ORDER BY created_at, id LIMIT $3 OFFSET $4"
    ))
    .bind(result_id)
    .bind(status)
    .bind(page.limit)
    .bind(page.offset)
    .fetch_all(db)
    .await
}

/// How many there are.
///
/// # Errors
/// If the database fails.
pub async fn count(db: impl PgExecutor<'_>, result_id: Uuid, status: Option<CheckpointStatus>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- checkpoint_results.count
         SELECT count(*) AS "count!" FROM checkpoint_results
         WHERE test_run_result_id = $1 AND ($2::varchar IS NULL OR status = $2)"#,
        result_id,
        status as Option<CheckpointStatus>,
    )
    .fetch_one(db)
    .await
}
