//! Webhooks as people manage them: made, changed, tried, and their deliveries repeated.

use serde_json::json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::deliveries::WEBHOOK_PLAN;
use super::record;
use crate::auth::Caller;
use crate::db;
use crate::domain::event::EventType;
use crate::domain::webhook::{
    DisabledReason, NewWebhook, SigningKey, Webhook, WebhookDelivery, WebhookPatch, WebhookWithSecret, names,
};
use crate::error::{Error, Result};
use crate::jobs::{DeliverWebhook, ring};

/// How long the secret before the present one goes on signing, in seconds.
const OVERLAP: f64 = 24.0 * 3600.0;

/// Why deliveries of a disabled webhook were given up.
pub(super) const DISABLED: &str = "the webhook was disabled";

/// Creates a webhook. This is the only time that its secret can be read.
///
/// # Errors
/// If the database fails.
pub async fn create(db: impl db::Source<'_>, caller: &Caller, body: NewWebhook) -> Result<WebhookWithSecret> {
    let mut tx = db.begin().await?;
    let now = db::now(&mut *tx).await?;
    let mut webhook = Webhook {
        id: Uuid::now_v7(),
        project_id: caller.project_id,
        url: body.url,
        description: body.description,
        event_types: names(&body.event_types.unwrap_or_default()),
        is_enabled: true,
        disabled_at: None,
        disabled_reason: None,
        failing_since: None,
        previous_secret_expires_at: None,
        created_by: caller.user_id,
        created_at: now,
        updated_at: now,
    };
    if body.is_enabled == Some(false) {
        webhook.disable(DisabledReason::Manual, now);
    }
    let secret = SigningKey::generate();
    db::webhooks::insert(&mut *tx, &webhook, &secret).await?;
    tx.commit().await?;
    Ok(WebhookWithSecret { secret: secret.reveal(), details: webhook })
}

/// Changes a webhook as the body says. Switched off, it gets nothing more; what waits for it is given up.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn update(db: &PgPool, caller: &Caller, id: Uuid, patch: WebhookPatch) -> Result<Webhook> {
    let mut tx = db.begin().await?;
    let mut webhook = lock(&mut tx, caller, id).await?;
    let was_enabled = webhook.is_enabled;
    let now = db::now(&mut *tx).await?;
    patch.apply(&mut webhook, now);
    webhook.updated_at = db::webhooks::save(&mut *tx, &webhook).await?;
    if was_enabled && !webhook.is_enabled {
        on_disabled(&mut tx, &webhook).await?;
    }
    tx.commit().await?;
    Ok(webhook)
}

/// Gives a webhook a new secret. The present one goes on signing beside it for 24 hours, one before it does no more.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn rotate_secret(db: impl db::Source<'_>, caller: &Caller, id: Uuid) -> Result<WebhookWithSecret> {
    let mut tx = db.begin().await?;
    lock(&mut tx, caller, id).await?;
    let secret = SigningKey::generate();
    db::webhooks::rotate(&mut *tx, id, &secret, OVERLAP).await?;
    let details = lock(&mut tx, caller, id).await?;
    tx.commit().await?;
    Ok(WebhookWithSecret { secret: secret.reveal(), details })
}

/// Sends a `webhook.test` to this webhook alone, whatever events it wants.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::InvalidState`] if it is disabled.
pub async fn send_test(db: impl db::Source<'_>, caller: &Caller, id: Uuid) -> Result<WebhookDelivery> {
    let mut tx = db.begin().await?;
    let webhook = lock(&mut tx, caller, id).await?;
    ensure_enabled(&webhook, "test webhook")?;
    let facts = json!({"webhook_id": id, "message": "Somebody tries this webhook; nothing happened"});
    let event_id = db::events::insert_one(&mut *tx, caller.project_id, EventType::WebhookTest, &facts).await?;
    let delivery_id = db::webhook_deliveries::insert(&mut *tx, id, event_id, WEBHOOK_PLAN).await?;
    ring(&mut tx, &DeliverWebhook { delivery_id }).await?;
    let delivery = delivery(&mut tx, id, delivery_id).await?;
    tx.commit().await?;
    Ok(delivery)
}

/// Makes a delivery due now, with a plan of attempts of its own: one that failed, waits, or was accepted before.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::InvalidState`] if the webhook is disabled or the delivery is being sent.
pub async fn redeliver(
    db: impl db::Source<'_>,
    caller: &Caller,
    webhook_id: Uuid,
    delivery_id: Uuid,
) -> Result<WebhookDelivery> {
    let mut tx = db.begin().await?;
    let webhook = lock(&mut tx, caller, webhook_id).await?;
    delivery(&mut tx, webhook_id, delivery_id).await?;
    ensure_enabled(&webhook, "redeliver")?;
    if !db::webhook_deliveries::restart(&mut *tx, webhook_id, delivery_id, WEBHOOK_PLAN).await? {
        return Err(Error::InvalidState("Cannot redeliver: an attempt is under way".to_owned()));
    }
    ring(&mut tx, &DeliverWebhook { delivery_id }).await?;
    let delivery = delivery(&mut tx, webhook_id, delivery_id).await?;
    tx.commit().await?;
    Ok(delivery)
}

/// What follows when a webhook was disabled: its deliveries stop, and the project's other webhooks are told.
pub(super) async fn on_disabled(conn: &mut PgConnection, webhook: &Webhook) -> Result<()> {
    db::webhook_deliveries::stop_pending(&mut *conn, webhook.id, DISABLED).await?;
    let facts = json!({
        "webhook_id": webhook.id, "description": webhook.description, "disabled_reason": webhook.disabled_reason,
        "failing_since": webhook.failing_since,
    });
    record(conn, webhook.project_id, EventType::WebhookDisabled, None, &facts).await
}

async fn lock(conn: &mut PgConnection, caller: &Caller, id: Uuid) -> Result<Webhook> {
    let webhook = db::webhooks::lock(conn, caller.project_id, id).await?;
    webhook.ok_or_else(|| Error::not_found("Webhook", id))
}

async fn delivery(conn: &mut PgConnection, webhook_id: Uuid, id: Uuid) -> Result<WebhookDelivery> {
    let delivery = db::webhook_deliveries::get(conn, webhook_id, id).await?;
    delivery.ok_or_else(|| Error::not_found("Webhook delivery", id))
}

fn ensure_enabled(webhook: &Webhook, what: &str) -> Result<()> {
    if webhook.is_enabled {
        return Ok(());
    }
    Err(Error::InvalidState(format!("Cannot {what}: the webhook is disabled; enable it first")))
}
