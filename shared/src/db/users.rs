//! Tables `users` and `project_members`.

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::domain::identity::{Role, User};

/// Inserts a user and returns it.
///
/// # Errors
/// Constraint [`super::constraints::USER_EMAIL`] if the address is taken.
pub async fn insert(db: impl PgExecutor<'_>, email: &str, display_name: &str) -> sqlx::Result<User> {
    sqlx::query_as!(
        User,
        "-- users.insert
         INSERT INTO users (id, email, display_name)
         VALUES ($1, $2, $3)
         RETURNING id, email, display_name, created_at, updated_at",
        Uuid::now_v7(),
        email,
        display_name,
    )
    .fetch_one(db)
    .await
}

/// The user with this id or mail address.
///
/// # Errors
/// If the database fails.
pub async fn find(db: impl PgExecutor<'_>, id_or_email: &str) -> sqlx::Result<Option<User>> {
    sqlx::query_as!(
        User,
        "-- users.find
         SELECT id, email, display_name, created_at, updated_at
         FROM users
         WHERE id::text = $1 OR lower(email) = lower($1)",
        id_or_email,
    )
    .fetch_optional(db)
    .await
}

/// Makes the user a member of the project, at least with this role; a higher role that it has already stays.
///
/// # Errors
/// If the database fails.
pub async fn ensure_member(db: impl PgExecutor<'_>, project_id: Uuid, user_id: Uuid, role: Role) -> sqlx::Result<()> {
    sqlx::query!(
        "-- users.ensure_member
         INSERT INTO project_members (project_id, user_id, role)
         VALUES ($1, $2, $3)
         ON CONFLICT (project_id, user_id) DO UPDATE
         SET role = EXCLUDED.role, updated_at = now()
         WHERE array_position(ARRAY['viewer', 'member', 'admin'], project_members.role::text)
             < array_position(ARRAY['viewer', 'member', 'admin'], EXCLUDED.role::text)",
        project_id,
        user_id,
        role as Role,
    )
    .execute(db)
    .await
    .map(|_| ())
}
