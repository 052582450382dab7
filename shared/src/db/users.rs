//! Tables `users` and `project_members`.

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::domain::identity::{Member, Role, User};
use crate::domain::page::Page;

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

/// A page of the project's members, by address.
///
/// # Errors
/// If the database fails.
pub async fn list_members(db: impl PgExecutor<'_>, project_id: Uuid, page: Page) -> sqlx::Result<Vec<Member>> {
    sqlx::query_as!(
        Member,
        r#"-- users.list_members
         SELECT u.id AS user_id, u.email, u.display_name, m.role AS "role: Role", m.created_at, m.updated_at
         FROM project_members m JOIN users u ON u.id = m.user_id
         WHERE m.project_id = $1
         ORDER BY lower(u.email), u.id
         LIMIT $2 OFFSET $3"#,
        project_id,
        page.limit,
        page.offset,
    )
    .fetch_all(db)
    .await
}

/// How many members the project has.
///
/// # Errors
/// If the database fails.
pub async fn count_members(db: impl PgExecutor<'_>, project_id: Uuid) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- users.count_members
         SELECT count(*) AS "count!" FROM project_members WHERE project_id = $1"#,
        project_id,
    )
    .fetch_one(db)
    .await
}

/// The project's member with this user id.
///
/// # Errors
/// If the database fails.
pub async fn get_member(db: impl PgExecutor<'_>, project_id: Uuid, user_id: Uuid) -> sqlx::Result<Option<Member>> {
    sqlx::query_as!(
        Member,
        r#"-- users.get_member
         SELECT u.id AS user_id, u.email, u.display_name, m.role AS "role: Role", m.created_at, m.updated_at
         FROM project_members m JOIN users u ON u.id = m.user_id
         WHERE m.project_id = $1 AND m.user_id = $2"#,
        project_id,
        user_id,
    )
    .fetch_optional(db)
    .await
}

/// Gives a user a role in the project, if it has none. Returns whether it had none.
///
/// # Errors
/// If the database fails.
pub async fn insert_member(db: impl PgExecutor<'_>, project_id: Uuid, user_id: Uuid, role: Role) -> sqlx::Result<bool> {
    sqlx::query!(
        "-- users.insert_member
         INSERT INTO project_members (project_id, user_id, role) VALUES ($1, $2, $3)
         ON CONFLICT (project_id, user_id) DO NOTHING",
        project_id,
        user_id,
        role as Role,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// Changes a member's role.
///
/// # Errors
/// If the database fails.
pub async fn set_role(db: impl PgExecutor<'_>, project_id: Uuid, user_id: Uuid, role: Role) -> sqlx::Result<()> {
    sqlx::query!(
        "-- users.set_role
         UPDATE project_members SET role = $3, updated_at = now() WHERE project_id = $1 AND user_id = $2",
        project_id,
        user_id,
        role as Role,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Ends a membership and the tokens that go with it.
///
/// # Errors
/// If the database fails.
pub async fn delete_member(db: impl PgExecutor<'_>, project_id: Uuid, user_id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "-- users.delete_member
         DELETE FROM project_members WHERE project_id = $1 AND user_id = $2",
        project_id,
        user_id,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Locks the project's admins against each other and counts those besides this user.
///
/// # Errors
/// If the database fails.
pub async fn other_admins(db: impl PgExecutor<'_>, project_id: Uuid, user_id: Uuid) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- users.other_admins
         WITH admins AS (
             SELECT user_id FROM project_members WHERE project_id = $1 AND role = 'admin' ORDER BY user_id FOR UPDATE
         )
         SELECT count(*) AS "count!" FROM admins WHERE user_id <> $2"#,
        project_id,
        user_id,
    )
    .fetch_one(db)
    .await
}

/// Changes the name that people see of a user.
///
/// # Errors
/// If the database fails.
pub async fn rename(db: impl PgExecutor<'_>, id: Uuid, display_name: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "-- users.rename
         UPDATE users SET display_name = $2, updated_at = now() WHERE id = $1",
        id,
        display_name,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// The user with this id, if it is a member of the project.
///
/// # Errors
/// If the database fails.
pub async fn get(db: impl PgExecutor<'_>, project_id: Uuid, id: Uuid) -> sqlx::Result<Option<User>> {
    sqlx::query_as!(
        User,
        "-- users.get
         SELECT u.id, u.email, u.display_name, u.created_at, u.updated_at
         FROM users u JOIN project_members m ON m.user_id = u.id
         WHERE m.project_id = $1 AND u.id = $2",
        project_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// A page of the users who are members of the project, by address, narrowed to those whose name or address has `search`.
///
/// # Errors
/// If the database fails.
pub async fn list(
    db: impl PgExecutor<'_>,
    project_id: Uuid,
    search: Option<&str>,
    page: Page,
) -> sqlx::Result<Vec<User>> {
    sqlx::query_as!(
        User,
        "-- users.list
         SELECT u.id, u.email, u.display_name, u.created_at, u.updated_at
         FROM users u JOIN project_members m ON m.user_id = u.id
         WHERE m.project_id = $1
             AND ($2::text IS NULL OR u.email ILIKE '%' || $2 || '%' OR u.display_name ILIKE '%' || $2 || '%')
         ORDER BY lower(u.email), u.id
         LIMIT $3 OFFSET $4",
        project_id,
        search.map(super::escape_like),
        page.limit,
        page.offset,
    )
    .fetch_all(db)
    .await
}

/// How many users `list` has in all.
///
/// # Errors
/// If the database fails.
pub async fn count(db: impl PgExecutor<'_>, project_id: Uuid, search: Option<&str>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- users.count
         SELECT count(*) AS "count!"
         FROM users u JOIN project_members m ON m.user_id = u.id
         WHERE m.project_id = $1
             AND ($2::text IS NULL OR u.email ILIKE '%' || $2 || '%' OR u.display_name ILIKE '%' || $2 || '%')"#,
        project_id,
        search.map(super::escape_like),
    )
    .fetch_one(db)
    .await
}

/// Deletes a user who is in no other project and has made nothing. Returns whether that was so.
///
/// # Errors
/// If the database fails.
pub async fn delete_unused(db: impl PgExecutor<'_>, project_id: Uuid, id: Uuid) -> sqlx::Result<bool> {
    sqlx::query!(
        "-- users.delete_unused
         DELETE FROM users u
         WHERE u.id = $2
             AND NOT EXISTS (SELECT 1 FROM project_members m WHERE m.user_id = u.id AND m.project_id <> $1)
             AND NOT EXISTS (SELECT 1 FROM test_runs r WHERE r.created_by = u.id)
             AND NOT EXISTS (SELECT 1 FROM schedules s WHERE s.created_by = u.id)
             AND NOT EXISTS (SELECT 1 FROM webhooks w WHERE w.created_by = u.id)",
        project_id,
        id,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected() == 1)
}
