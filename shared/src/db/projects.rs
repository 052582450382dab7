//! Table `projects`.

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::domain::identity::{Project, ProjectPatch};

/// Inserts a project and returns it.
///
/// # Errors
/// Constraint [`super::constraints::PROJECT_NAME`] if the name is taken.
pub async fn insert(db: impl PgExecutor<'_>, name: &str, description: Option<&str>) -> sqlx::Result<Project> {
    sqlx::query_as!(
        Project,
        "-- projects.insert
         INSERT INTO projects (id, name, description)
         VALUES ($1, $2, $3)
         RETURNING id, name, description, created_at, updated_at",
        Uuid::now_v7(),
        name,
        description,
    )
    .fetch_one(db)
    .await
}

/// The project with this id or name.
///
/// # Errors
/// If the database fails.
pub async fn find(db: impl PgExecutor<'_>, id_or_name: &str) -> sqlx::Result<Option<Project>> {
    sqlx::query_as!(
        Project,
        "-- projects.find
         SELECT id, name, description, created_at, updated_at
         FROM projects
         WHERE id::text = $1 OR name = $1
         ORDER BY name = $1
         LIMIT 1",
        id_or_name,
    )
    .fetch_optional(db)
    .await
}

/// Whether there is any project at all.
///
/// # Errors
/// If the database fails.
pub async fn any(db: impl PgExecutor<'_>) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT EXISTS (SELECT 1 FROM projects) AS "any!""#).fetch_one(db).await
}

/// Takes the next run number. The row stays locked until the transaction ends, which is what keeps the numbers of
/// concurrent creations without gaps (decisions, Runs). `None` if the project is gone.
///
/// # Errors
/// If the database fails.
pub async fn next_run_number(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<i32>> {
    sqlx::query_scalar!(
        "-- projects.next_run_number
         UPDATE projects
         SET last_run_number = last_run_number + 1
         WHERE id = $1
         RETURNING last_run_number",
        id,
    )
    .fetch_optional(db)
    .await
}

/// Stores the columns of a project that clients may change; absent ones stay. `None` if it is gone.
///
/// # Errors
/// Constraint [`super::constraints::PROJECT_NAME`] if the name is taken.
pub async fn update(db: impl PgExecutor<'_>, id: Uuid, patch: &ProjectPatch) -> sqlx::Result<Option<Project>> {
    sqlx::query_as!(
        Project,
        "-- projects.update
         UPDATE projects
         SET name = coalesce($2, name), description = CASE WHEN $3 THEN $4 ELSE description END, updated_at = now()
         WHERE id = $1
         RETURNING id, name, description, created_at, updated_at",
        id,
        patch.name,
        patch.description.is_some(),
        patch.description.clone().flatten(),
    )
    .fetch_optional(db)
    .await
}

/// Locks a project, so that no run is created in it until the transaction ends.
///
/// # Errors
/// If the database fails.
pub async fn lock(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("-- projects.lock\nSELECT id FROM projects WHERE id = $1 FOR UPDATE", id)
        .fetch_optional(db)
        .await
        .map(|_| ())
}

/// Deletes a project with everything in it.
///
/// # Errors
/// If the database fails, and if there are results: they hold on to their test cases.
pub async fn delete(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("-- projects.delete\nDELETE FROM projects WHERE id = $1", id).execute(db).await.map(|_| ())
}
