//! Table `script_results`.

use sqlx::PgExecutor;
use sqlx::types::Json;
use uuid::Uuid;

use crate::domain::script_result::ScriptResult;

/// Inserts script results in one statement.
///
/// # Errors
/// If the database fails.
pub async fn insert(db: impl PgExecutor<'_>, rows: &[ScriptResult]) -> sqlx::Result<()> {
    sqlx::query!(
        "-- script_results.insert
         INSERT INTO script_results SELECT * FROM jsonb_populate_recordset(NULL::script_results, $1)",
        Json(rows) as _,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Which of these scripts are not the project's.
///
/// # Errors
/// If the database fails.
pub async fn foreign(db: impl PgExecutor<'_>, project_id: Uuid, ids: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"-- script_results.foreign
         SELECT given.id AS "id!"
         FROM unnest($2::uuid[]) AS given (id)
         WHERE NOT EXISTS (SELECT 1 FROM test_scripts s WHERE s.project_id = $1 AND s.id = given.id)"#,
        project_id,
        ids,
    )
    .fetch_all(db)
    .await
}
