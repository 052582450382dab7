//! Table `test_scripts`.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::domain::page::Page;
use crate::domain::script_result::ScriptType;
use crate::domain::test_script::{NewTestScript, TestScript};

/// What a list of scripts is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct TestScriptFilter {
    /// Only this type.
    pub script_type: Option<ScriptType>,
    /// Only scripts whose name contains this text, whatever the case.
    pub search: Option<String>,
}

/// Inserts a script and returns it.
///
/// # Errors
/// If the database fails.
pub async fn insert(db: impl PgExecutor<'_>, project_id: Uuid, script: &NewTestScript) -> sqlx::Result<TestScript> {
    sqlx::query_as!(
        TestScript,
        r#"-- test_scripts.insert
         INSERT INTO test_scripts (id, project_id, name, script_type, script_language, body)
         VALUES ($1, $2, $3, $4, $5, $6)
         RETURNING id, project_id, name, script_type AS "script_type: ScriptType", script_language, body,
             created_at, updated_at"#,
        Uuid::now_v7(),
        project_id,
        script.name,
        script.script_type as ScriptType,
        script.script_language,
        script.body,
    )
    .fetch_one(db)
    .await
}

/// The project's script with this id, locked until the transaction ends, if there is one.
///
/// # Errors
/// If the database fails.
pub async fn lock(db: impl PgExecutor<'_>, project_id: Uuid, id: Uuid) -> sqlx::Result<Option<TestScript>> {
    sqlx::query_as!(
        TestScript,
        r#"-- test_scripts.lock
         SELECT id, project_id, name, script_type AS "script_type: ScriptType", script_language, body, created_at, updated_at
         FROM test_scripts
         WHERE project_id = $1 AND id = $2
         FOR NO KEY UPDATE"#,
        project_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// The project's script with this id.
///
/// # Errors
/// If the database fails.
pub async fn get(db: impl PgExecutor<'_>, project_id: Uuid, id: Uuid) -> sqlx::Result<Option<TestScript>> {
    sqlx::query_as!(
        TestScript,
        r#"-- test_scripts.get
         SELECT id, project_id, name, script_type AS "script_type: ScriptType", script_language, body, created_at, updated_at
         FROM test_scripts
         WHERE project_id = $1 AND id = $2"#,
        project_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// A page of the project's scripts, newest first.
///
/// # Errors
/// If the database fails.
pub async fn list(
    db: impl PgExecutor<'_>,
    project_id: Uuid,
    filter: &TestScriptFilter,
    page: Page,
) -> sqlx::Result<Vec<TestScript>> {
    sqlx::query_as!(
        TestScript,
        r#"-- test_scripts.list
         SELECT id, project_id, name, script_type AS "script_type: ScriptType", script_language, body, created_at, updated_at
         FROM test_scripts
         WHERE project_id = $1
             AND ($2::varchar IS NULL OR script_type = $2)
             AND ($3::text IS NULL OR name ILIKE '%' || $3 || '%')
         ORDER BY created_at DESC, id DESC
         LIMIT $4 OFFSET $5"#,
        project_id,
        filter.script_type as Option<ScriptType>,
        filter.search.as_deref().map(super::escape_like),
        page.limit,
        page.offset,
    )
    .fetch_all(db)
    .await
}

/// How many scripts the filter lets through.
///
/// # Errors
/// If the database fails.
pub async fn count(db: impl PgExecutor<'_>, project_id: Uuid, filter: &TestScriptFilter) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- test_scripts.count
         SELECT count(*) AS "count!"
         FROM test_scripts
         WHERE project_id = $1
             AND ($2::varchar IS NULL OR script_type = $2)
             AND ($3::text IS NULL OR name ILIKE '%' || $3 || '%')"#,
        project_id,
        filter.script_type as Option<ScriptType>,
        filter.search.as_deref().map(super::escape_like),
    )
    .fetch_one(db)
    .await
}

/// Stores the columns of a locked script that clients may change, and returns when.
///
/// # Errors
/// If the database fails.
pub async fn save(db: impl PgExecutor<'_>, script: &TestScript) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar!(
        "-- test_scripts.save
         UPDATE test_scripts
         SET name = $2, script_type = $3, script_language = $4, body = $5, updated_at = now()
         WHERE id = $1
         RETURNING updated_at",
        script.id,
        script.name,
        script.script_type as ScriptType,
        script.script_language,
        script.body,
    )
    .fetch_one(db)
    .await
}

/// Deletes the project's script; results that name it stay. Returns whether there was one.
///
/// # Errors
/// If the database fails.
pub async fn delete(db: impl PgExecutor<'_>, project_id: Uuid, id: Uuid) -> sqlx::Result<bool> {
    sqlx::query!("-- test_scripts.delete\nDELETE FROM test_scripts WHERE project_id = $1 AND id = $2", project_id, id)
        .execute(db)
        .await
        .map(|done| done.rows_affected() == 1)
}
