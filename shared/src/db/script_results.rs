//! Table `script_results`.

use sqlx::PgExecutor;
use sqlx::types::Json;
use uuid::Uuid;

use crate::domain::page::Page;
use crate::domain::script_result::ScriptResult;
use crate::domain::script_result::ScriptType;
use crate::domain::test_run_result::ResultStatus;

macro_rules! columns {
    () => {
        "id, test_run_result_id, test_script_id, script_name, script_type, script_language, status, exit_code, duration_ms, \
         stdout, stderr, error_message, is_critical, attached_to_step, executed_at, created_at"
    };
}

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

/// A page of a result's scripts, narrowed by what is given.
///
/// # Errors
/// If the database fails.
pub async fn list(
    db: impl PgExecutor<'_>,
    result_id: Uuid,
    script_type: Option<ScriptType>,
    status: Option<ResultStatus>,
    page: Page,
) -> sqlx::Result<Vec<ScriptResult>> {
    sqlx::query_as(concat!(
        "-- script_results.list\nSELECT ",
        columns!(),
        " FROM script_results WHERE test_run_result_id = $1 AND ($2 IS NULL OR script_type = $2) AND ($3 IS NULL OR status = $3) \
          ORDER BY created_at, id LIMIT $4 OFFSET $5"
    ))
    .bind(result_id)
    .bind(script_type)
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
pub async fn count(
    db: impl PgExecutor<'_>,
    result_id: Uuid,
    script_type: Option<ScriptType>,
    status: Option<ResultStatus>,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- script_results.count
         SELECT count(*) AS "count!" FROM script_results
         WHERE test_run_result_id = $1 AND ($2::varchar IS NULL OR script_type = $2) AND ($3::varchar IS NULL OR status = $3)"#,
        result_id,
        script_type as Option<ScriptType>,
        status as Option<ResultStatus>,
    )
    .fetch_one(db)
    .await
}
