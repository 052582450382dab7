//! Table `unsubscribe_links`: by which link an address leaves a schedule's mails, and whether it has.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

/// What a mail has to know of its recipient's link.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// What makes the link.
    pub token: Uuid,
    /// When the recipient unsubscribed, if that is so.
    pub unsubscribed_at: Option<DateTime<Utc>>,
}

/// What the page behind a link shows.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// The address, in lower case.
    pub recipient: String,
    /// The schedule whose mails it gets.
    pub schedule_name: String,
    /// When the recipient unsubscribed, if that is so.
    pub unsubscribed_at: Option<DateTime<Utc>>,
}

/// The link of a recipient of a schedule's mails, made if there is none.
///
/// # Errors
/// If the database fails, or the schedule is gone.
pub async fn of_recipient(db: impl PgExecutor<'_>, schedule_id: Uuid, recipient: &str) -> sqlx::Result<Link> {
    sqlx::query_as!(
        Link,
        "-- unsubscribe_links.of_recipient
         INSERT INTO unsubscribe_links (schedule_id, recipient)
         VALUES ($1, lower($2))
         ON CONFLICT (schedule_id, recipient) DO UPDATE SET recipient = EXCLUDED.recipient
         RETURNING token, unsubscribed_at",
        schedule_id,
        recipient,
    )
    .fetch_one(db)
    .await
}

/// Those of `recipients` who did not unsubscribe from a schedule's mails.
///
/// # Errors
/// If the database fails.
pub async fn without_unsubscribed(
    db: impl PgExecutor<'_>,
    schedule_id: Uuid,
    recipients: &[String],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"-- unsubscribe_links.without_unsubscribed
         SELECT given.recipient AS "recipient!"
         FROM unnest($2::text[]) AS given (recipient)
         WHERE NOT EXISTS (
             SELECT 1 FROM unsubscribe_links l
             WHERE l.schedule_id = $1 AND l.recipient = lower(given.recipient) AND l.unsubscribed_at IS NOT NULL
         )"#,
        schedule_id,
        recipients,
    )
    .fetch_all(db)
    .await
}

/// What the link with this token is about.
///
/// # Errors
/// If the database fails.
pub async fn find(db: impl PgExecutor<'_>, token: Uuid) -> sqlx::Result<Option<Subscription>> {
    sqlx::query_as!(
        Subscription,
        "-- unsubscribe_links.find
         SELECT l.recipient, s.schedule_name, l.unsubscribed_at
         FROM unsubscribe_links l
         JOIN schedules s ON s.id = l.schedule_id
         WHERE l.token = $1",
        token,
    )
    .fetch_optional(db)
    .await
}

/// Takes the address off the schedule's mails. The first time counts.
///
/// # Errors
/// If the database fails.
pub async fn unsubscribe(db: impl PgExecutor<'_>, token: Uuid) -> sqlx::Result<Option<Subscription>> {
    sqlx::query_as!(
        Subscription,
        "-- unsubscribe_links.unsubscribe
         UPDATE unsubscribe_links l
         SET unsubscribed_at = coalesce(l.unsubscribed_at, now())
         FROM schedules s
         WHERE l.token = $1 AND s.id = l.schedule_id
         RETURNING l.recipient, s.schedule_name, l.unsubscribed_at",
        token,
    )
    .fetch_optional(db)
    .await
}
