//! Table `test_step_results`.

use sqlx::PgExecutor;
use sqlx::types::Json;
use uuid::Uuid;

use crate::domain::test_step_result::TestStepResult;

/// Inserts steps in one statement.
///
/// # Errors
/// Constraint [`super::constraints::STEP_NUMBER`] if a number is taken.
pub async fn insert(db: impl PgExecutor<'_>, steps: &[TestStepResult]) -> sqlx::Result<()> {
    sqlx::query!(
        "-- test_step_results.insert
         INSERT INTO test_step_results SELECT * FROM jsonb_populate_recordset(NULL::test_step_results, $1)",
        Json(steps) as _,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Which steps of a result have these numbers.
///
/// # Errors
/// If the database fails.
pub async fn ids_by_number(
    db: impl PgExecutor<'_>,
    result_id: Uuid,
    numbers: &[i32],
) -> sqlx::Result<Vec<(i32, Uuid)>> {
    let rows = sqlx::query!(
        "-- test_step_results.ids_by_number
         SELECT step_number, id FROM test_step_results WHERE test_run_result_id = $1 AND step_number = ANY($2)",
        result_id,
        numbers,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.step_number, row.id)).collect())
}

/// Whether a step belongs to this result.
///
/// # Errors
/// If the database fails.
pub async fn belongs(db: impl PgExecutor<'_>, result_id: Uuid, id: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"-- test_step_results.belongs
         SELECT EXISTS (SELECT 1 FROM test_step_results WHERE test_run_result_id = $1 AND id = $2) AS "belongs!""#,
        result_id,
        id,
    )
    .fetch_one(db)
    .await
}
