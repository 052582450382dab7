//! Table `webhooks`.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::domain::page::Page;
use crate::domain::webhook::{DisabledReason, SigningKey, Webhook};

macro_rules! columns {
    () => {
        "id, project_id, url, description, event_types, is_enabled, disabled_at, disabled_reason, failing_since, \
         previous_secret_expires_at, created_by, created_at, updated_at"
    };
}

/// Inserts a webhook with its secret.
///
/// # Errors
/// If the database fails.
pub async fn insert(db: impl PgExecutor<'_>, webhook: &Webhook, secret: &SigningKey) -> sqlx::Result<()> {
    sqlx::query!(
        "-- webhooks.insert
         INSERT INTO webhooks (id, project_id, url, description, event_types, is_enabled, disabled_at, disabled_reason,
             secret, created_by, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)",
        webhook.id,
        webhook.project_id,
        webhook.url,
        webhook.description,
        &webhook.event_types,
        webhook.is_enabled,
        webhook.disabled_at,
        webhook.disabled_reason as Option<DisabledReason>,
        secret.bytes(),
        webhook.created_by,
        webhook.created_at,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// The project's webhook with this id, locked until the transaction ends, if there is one. New deliveries pass the lock.
///
/// # Errors
/// If the database fails.
pub async fn lock(db: impl PgExecutor<'_>, project_id: Uuid, id: Uuid) -> sqlx::Result<Option<Webhook>> {
    sqlx::query_as(concat!(
        "-- webhooks.lock\nSELECT ",
        columns!(),
        " FROM webhooks WHERE project_id = $1 AND id = $2 FOR NO KEY UPDATE"
    ))
    .bind(project_id)
    .bind(id)
    .fetch_optional(db)
    .await
}

/// The project's webhook with this id.
///
/// # Errors
/// If the database fails.
pub async fn get(db: impl PgExecutor<'_>, project_id: Uuid, id: Uuid) -> sqlx::Result<Option<Webhook>> {
    sqlx::query_as(concat!("-- webhooks.get\nSELECT ", columns!(), " FROM webhooks WHERE project_id = $1 AND id = $2"))
        .bind(project_id)
        .bind(id)
        .fetch_optional(db)
        .await
}

/// The webhook with this id, for jobs.
///
/// # Errors
/// If the database fails.
pub async fn find(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<Webhook>> {
    sqlx::query_as(concat!("-- webhooks.find\nSELECT ", columns!(), " FROM webhooks WHERE id = $1"))
        .bind(id)
        .fetch_optional(db)
        .await
}

/// A page of the project's webhooks, newest first.
///
/// # Errors
/// If the database fails.
pub async fn list(db: impl PgExecutor<'_>, project_id: Uuid, page: Page) -> sqlx::Result<Vec<Webhook>> {
    sqlx::query_as(concat!(
        "-- webhooks.list\nSELECT ",
        columns!(),
        " FROM webhooks WHERE project_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2 OFFSET $3"
    ))
    .bind(project_id)
    .bind(page.limit)
    .bind(page.offset)
    .fetch_all(db)
    .await
}

/// How many webhooks the project has.
///
/// # Errors
/// If the database fails.
pub async fn count(db: impl PgExecutor<'_>, project_id: Uuid) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- webhooks.count
         SELECT count(*) AS "count!" FROM webhooks WHERE project_id = $1"#,
        project_id,
    )
    .fetch_one(db)
    .await
}

/// Stores what clients and outcomes change about a locked webhook, and returns when.
///
/// # Errors
/// If the database fails.
pub async fn save(db: impl PgExecutor<'_>, webhook: &Webhook) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar!(
        "-- webhooks.save
         UPDATE webhooks
         SET url = $2, description = $3, event_types = $4, is_enabled = $5, disabled_at = $6, disabled_reason = $7,
             failing_since = $8, updated_at = now()
         WHERE id = $1
         RETURNING updated_at",
        webhook.id,
        webhook.url,
        webhook.description,
        &webhook.event_types,
        webhook.is_enabled,
        webhook.disabled_at,
        webhook.disabled_reason as Option<DisabledReason>,
        webhook.failing_since,
    )
    .fetch_one(db)
    .await
}

/// Gives a locked webhook a new secret; the present one goes on signing beside it for `overlap_seconds`.
///
/// # Errors
/// If the database fails.
pub async fn rotate(db: impl PgExecutor<'_>, id: Uuid, secret: &SigningKey, overlap_seconds: f64) -> sqlx::Result<()> {
    sqlx::query!(
        "-- webhooks.rotate
         UPDATE webhooks
         SET previous_secret = secret, previous_secret_expires_at = now() + make_interval(secs => $3), secret = $2,
             updated_at = now()
         WHERE id = $1",
        id,
        secret.bytes(),
        overlap_seconds,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Notes that the receiver accepts what it gets.
///
/// # Errors
/// If the database fails.
pub async fn set_accepting(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "-- webhooks.set_accepting
         UPDATE webhooks SET failing_since = NULL WHERE id = $1 AND failing_since IS NOT NULL",
        id,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Notes that a locked webhook's receiver fails, since now or longer.
///
/// # Errors
/// If the database fails.
pub async fn set_failing(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "-- webhooks.set_failing
         UPDATE webhooks SET failing_since = now() WHERE id = $1 AND failing_since IS NULL",
        id,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Deletes the project's webhook and its deliveries. Returns whether there was one.
///
/// # Errors
/// If the database fails.
pub async fn delete(db: impl PgExecutor<'_>, project_id: Uuid, id: Uuid) -> sqlx::Result<bool> {
    sqlx::query!("-- webhooks.delete\nDELETE FROM webhooks WHERE project_id = $1 AND id = $2", project_id, id)
        .execute(db)
        .await
        .map(|done| done.rows_affected() == 1)
}
