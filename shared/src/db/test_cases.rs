//! Table `test_cases`.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use sqlx::types::Json;
use uuid::Uuid;

use crate::domain::page::Page;
use crate::domain::test_case::{NewTestCase, TestCase};

/// What a list of test cases is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct TestCaseFilter {
    /// Only this suite and everything under it.
    pub suite_path: Option<Vec<String>>,
    /// Only cases that have all of these labels.
    pub tags: Option<Vec<String>>,
    /// Only cases whose name contains this text, whatever the case.
    pub search: Option<String>,
    /// Only the case with this key.
    pub external_key: Option<String>,
}

/// Inserts a test case and returns it.
///
/// # Errors
/// Constraint [`super::constraints::EXTERNAL_KEY`] if the key is taken.
pub async fn insert(db: impl PgExecutor<'_>, project_id: Uuid, case: &NewTestCase) -> sqlx::Result<TestCase> {
    sqlx::query_as!(
        TestCase,
        "-- test_cases.insert
         INSERT INTO test_cases (id, project_id, name, suite_path, external_key, description, tags, has_recording)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         RETURNING id, project_id, name, suite_path, external_key, description, tags, has_recording, created_at, updated_at",
        Uuid::now_v7(),
        project_id,
        case.name,
        case.suite_path.as_deref().unwrap_or_default(),
        case.external_key,
        case.description,
        case.tags.as_deref().unwrap_or_default(),
        case.has_recording.unwrap_or(true),
    )
    .fetch_one(db)
    .await
}

/// Inserts test cases, or updates those whose `external_key` exists, in one statement.
///
/// Returns them in the order given, each with whether it is new. Rows are written in the order of their keys, so that two
/// requests that share keys cannot lock each other out.
///
/// # Errors
/// If the database fails, or a key occurs twice in `cases`.
pub async fn upsert(
    db: impl PgExecutor<'_>,
    project_id: Uuid,
    cases: &[NewTestCase],
) -> sqlx::Result<Vec<(TestCase, bool)>> {
    let rows = sqlx::query!(
        r#"-- test_cases.upsert
         WITH given AS (
             SELECT value ->> 'name' AS name, value ->> 'external_key' AS external_key, value ->> 'description' AS description,
                 ARRAY(SELECT jsonb_array_elements_text(nullif(value -> 'suite_path', 'null'))) AS suite_path,
                 ARRAY(SELECT jsonb_array_elements_text(nullif(value -> 'tags', 'null'))) AS tags,
                 coalesce((value ->> 'has_recording')::boolean, TRUE) AS has_recording,
                 position, ($3::uuid[])[position] AS id
             FROM jsonb_array_elements($2) WITH ORDINALITY AS given (value, position)
         ), written AS (
             INSERT INTO test_cases (id, project_id, name, suite_path, external_key, description, tags, has_recording)
             SELECT id, $1, name, suite_path, external_key, description, tags, has_recording FROM given ORDER BY external_key
             ON CONFLICT (project_id, external_key) DO UPDATE
             SET name = EXCLUDED.name, suite_path = EXCLUDED.suite_path, description = EXCLUDED.description,
                 tags = EXCLUDED.tags, has_recording = EXCLUDED.has_recording, updated_at = now()
             RETURNING *, xmax = 0 AS created
         )
         SELECT w.id, w.project_id, w.name, w.suite_path, w.external_key, w.description, w.tags, w.has_recording,
             w.created_at, w.updated_at, w.created AS "created!"
         FROM written w JOIN given g USING (external_key)
         ORDER BY g.position"#,
        project_id,
        Json(cases) as _,
        &cases.iter().map(|_| Uuid::now_v7()).collect::<Vec<_>>(),
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let case = TestCase {
                id: row.id,
                project_id: row.project_id,
                name: row.name,
                suite_path: row.suite_path,
                external_key: row.external_key,
                description: row.description,
                tags: row.tags,
                has_recording: row.has_recording,
                created_at: row.created_at,
                updated_at: row.updated_at,
            };
            (case, row.created)
        })
        .collect())
}

/// The project's test case with this id.
///
/// # Errors
/// If the database fails.
pub async fn get(db: impl PgExecutor<'_>, project_id: Uuid, id: Uuid) -> sqlx::Result<Option<TestCase>> {
    sqlx::query_as!(
        TestCase,
        "-- test_cases.get
         SELECT id, project_id, name, suite_path, external_key, description, tags, has_recording, created_at, updated_at
         FROM test_cases
         WHERE project_id = $1 AND id = $2",
        project_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// A page of the project's test cases, newest first.
///
/// # Errors
/// If the database fails.
pub async fn list(
    db: impl PgExecutor<'_>,
    project_id: Uuid,
    filter: &TestCaseFilter,
    page: Page,
) -> sqlx::Result<Vec<TestCase>> {
    sqlx::query_as!(
        TestCase,
        "-- test_cases.list
         SELECT id, project_id, name, suite_path, external_key, description, tags, has_recording, created_at, updated_at
         FROM test_cases
         WHERE project_id = $1
             AND ($2::text[] IS NULL OR suite_path[1:cardinality($2)] = $2)
             AND ($3::text[] IS NULL OR tags @> $3)
             AND ($4::text IS NULL OR name ILIKE '%' || $4 || '%')
             AND ($5::text IS NULL OR external_key = $5)
         ORDER BY created_at DESC, id
         LIMIT $6 OFFSET $7",
        project_id,
        filter.suite_path.as_deref(),
        filter.tags.as_deref(),
        filter.search.as_deref().map(super::escape_like),
        filter.external_key,
        page.limit,
        page.offset,
    )
    .fetch_all(db)
    .await
}

/// How many test cases the filter lets through.
///
/// # Errors
/// If the database fails.
pub async fn count(db: impl PgExecutor<'_>, project_id: Uuid, filter: &TestCaseFilter) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- test_cases.count
         SELECT count(*) AS "count!"
         FROM test_cases
         WHERE project_id = $1
             AND ($2::text[] IS NULL OR suite_path[1:cardinality($2)] = $2)
             AND ($3::text[] IS NULL OR tags @> $3)
             AND ($4::text IS NULL OR name ILIKE '%' || $4 || '%')
             AND ($5::text IS NULL OR external_key = $5)"#,
        project_id,
        filter.suite_path.as_deref(),
        filter.tags.as_deref(),
        filter.search.as_deref().map(super::escape_like),
        filter.external_key,
    )
    .fetch_one(db)
    .await
}

/// Which of these ids the project's schedule selects: all at or below `suite_path`, or exactly `ids`, in a stable order.
///
/// # Errors
/// If the database fails.
pub async fn select(
    db: impl PgExecutor<'_>,
    project_id: Uuid,
    suite_path: Option<&[String]>,
    ids: Option<&[Uuid]>,
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "-- test_cases.select
         SELECT id
         FROM test_cases
         WHERE project_id = $1
             AND ($2::text[] IS NULL OR suite_path[1:cardinality($2)] = $2)
             AND ($3::uuid[] IS NULL OR id = ANY($3))
         ORDER BY array_position($3, id), suite_path, name, id",
        project_id,
        suite_path,
        ids,
    )
    .fetch_all(db)
    .await
}

/// Locks the project's test case with this id.
///
/// # Errors
/// If the database fails.
pub async fn lock(db: impl PgExecutor<'_>, project_id: Uuid, id: Uuid) -> sqlx::Result<Option<TestCase>> {
    sqlx::query_as!(
        TestCase,
        "-- test_cases.lock
         SELECT id, project_id, name, suite_path, external_key, description, tags, has_recording, created_at, updated_at
         FROM test_cases
         WHERE project_id = $1 AND id = $2
         FOR UPDATE",
        project_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// Stores the columns of a locked test case that clients may change, and returns when.
///
/// # Errors
/// Constraint [`super::constraints::EXTERNAL_KEY`] if the key is taken.
pub async fn save(db: impl PgExecutor<'_>, case: &TestCase) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar!(
        "-- test_cases.save
         UPDATE test_cases
         SET name = $2, suite_path = $3, external_key = $4, description = $5, tags = $6, has_recording = $7,
             updated_at = now()
         WHERE id = $1
         RETURNING updated_at",
        case.id,
        case.name,
        &case.suite_path,
        case.external_key,
        case.description,
        &case.tags,
        case.has_recording,
    )
    .fetch_one(db)
    .await
}

/// Deletes the project's test case with its items, results and history. Returns whether there was one.
///
/// # Errors
/// If the database fails.
pub async fn delete(db: impl PgExecutor<'_>, project_id: Uuid, id: Uuid) -> sqlx::Result<bool> {
    sqlx::query!("-- test_cases.delete\nDELETE FROM test_cases WHERE project_id = $1 AND id = $2", project_id, id)
        .execute(db)
        .await
        .map(|done| done.rows_affected() == 1)
}

/// Whether a test case is in a run that has not ended.
///
/// # Errors
/// If the database fails.
pub async fn is_in_use(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"-- test_cases.is_in_use
         SELECT EXISTS (
             SELECT 1 FROM test_run_items i JOIN test_runs r ON r.id = i.test_run_id
             WHERE i.test_case_id = $1 AND r.completed_at IS NULL AND r.deleted_at IS NULL
         ) AS "in_use!""#,
        id,
    )
    .fetch_one(db)
    .await
}
