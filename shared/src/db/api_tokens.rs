//! Table `api_tokens`.

use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::auth::Caller;
use crate::domain::identity::{ApiToken, Role};
use crate::domain::page::Page;

/// A token to store.
#[derive(Debug)]
pub struct NewApiToken<'a> {
    /// The only project it opens.
    pub project_id: Uuid,
    /// The user it stands for; a member of the project.
    pub user_id: Uuid,
    /// What people call it.
    pub name: &'a str,
    /// What it may do.
    pub role: Role,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// The beginning of the token, for lists.
    pub hint: &'a str,
    /// When it stops working.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whether it may look after queues.
    pub is_operator: bool,
}

/// Inserts a token and returns its id.
///
/// # Errors
/// If the database fails, or the user is not a member of the project.
pub async fn insert(db: impl PgExecutor<'_>, token: &NewApiToken<'_>) -> sqlx::Result<Uuid> {
    sqlx::query_scalar!(
        "-- api_tokens.insert
         INSERT INTO api_tokens (id, project_id, user_id, name, role, token_hash, token_hint, expires_at, is_operator)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         RETURNING id",
        Uuid::now_v7(),
        token.project_id,
        token.user_id,
        token.name,
        token.role as Role,
        &token.hash,
        token.hint,
        token.expires_at,
        token.is_operator,
    )
    .fetch_one(db)
    .await
}

/// Makes a token stop working. Returns whether it worked before.
///
/// # Errors
/// If the database fails.
pub async fn revoke(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<bool> {
    sqlx::query!(
        "-- api_tokens.revoke
         UPDATE api_tokens SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL",
        id,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// The caller behind a token that works, and a note of when it was used, to the minute.
///
/// # Errors
/// If the database fails.
pub async fn use_token(db: &PgPool, hash: [u8; 32]) -> sqlx::Result<Option<Caller>> {
    let found = sqlx::query!(
        r#"-- api_tokens.use_token
         SELECT t.id, t.project_id, t.user_id, least_role.role AS "role!: Role", t.is_operator,
             coalesce(t.last_used_at < now() - interval '1 minute', TRUE) AS "stale!"
         FROM api_tokens t
         JOIN project_members m USING (project_id, user_id)
         -- A member who was demoted does not keep the old role by an old token.
         CROSS JOIN LATERAL (
             SELECT role FROM unnest(ARRAY['viewer', 'member', 'admin']) WITH ORDINALITY AS r (role, rank)
             WHERE role IN (t.role, m.role)
             ORDER BY rank LIMIT 1
         ) AS least_role
         WHERE t.token_hash = $1
             AND t.revoked_at IS NULL
             AND (t.expires_at IS NULL OR t.expires_at > now())"#,
        &hash,
    )
    .fetch_optional(db)
    .await?;
    let Some(row) = found else { return Ok(None) };
    if row.stale {
        sqlx::query!("-- api_tokens.touch\nUPDATE api_tokens SET last_used_at = now() WHERE id = $1", row.id)
            .execute(db)
            .await?;
    }
    Ok(Some(Caller {
        token_id: row.id,
        project_id: row.project_id,
        user_id: row.user_id,
        role: row.role,
        is_operator: row.is_operator,
    }))
}

/// The project's token with this id, without its secret.
///
/// # Errors
/// If the database fails.
pub async fn get(db: impl PgExecutor<'_>, project_id: Uuid, id: Uuid) -> sqlx::Result<Option<ApiToken>> {
    sqlx::query_as!(
        ApiToken,
        r#"-- api_tokens.get
         SELECT id, project_id, user_id, name, role AS "role: Role", is_operator, token_hint, expires_at, last_used_at,
             revoked_at, created_at
         FROM api_tokens
         WHERE project_id = $1 AND id = $2"#,
        project_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// A page of the project's tokens, newest first.
///
/// # Errors
/// If the database fails.
pub async fn list(db: impl PgExecutor<'_>, project_id: Uuid, page: Page) -> sqlx::Result<Vec<ApiToken>> {
    sqlx::query_as!(
        ApiToken,
        r#"-- api_tokens.list
         SELECT id, project_id, user_id, name, role AS "role: Role", is_operator, token_hint, expires_at, last_used_at,
             revoked_at, created_at
         FROM api_tokens
         WHERE project_id = $1
         ORDER BY created_at DESC, id DESC
         LIMIT $2 OFFSET $3"#,
        project_id,
        page.limit,
        page.offset,
    )
    .fetch_all(db)
    .await
}

/// How many tokens the project has.
///
/// # Errors
/// If the database fails.
pub async fn count(db: impl PgExecutor<'_>, project_id: Uuid) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- api_tokens.count
         SELECT count(*) AS "count!" FROM api_tokens WHERE project_id = $1"#,
        project_id,
    )
    .fetch_one(db)
    .await
}

/// Changes what people call a token.
///
/// # Errors
/// If the database fails.
pub async fn rename(db: impl PgExecutor<'_>, id: Uuid, name: &str) -> sqlx::Result<()> {
    sqlx::query!("-- api_tokens.rename\nUPDATE api_tokens SET name = $2 WHERE id = $1", id, name)
        .execute(db)
        .await
        .map(|_| ())
}
