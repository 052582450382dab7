//! What became of a mail or a webhook delivery: stored with the attempt that it was, and rung for again where it failed.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;

use super::webhooks::on_disabled;
use crate::db;
use crate::db::notifications::ClaimedNotification;
use crate::db::webhook_deliveries::ClaimedDelivery;
use crate::domain::webhook::{DisabledReason, Webhook, WebhookDeliveryAttempt};
use crate::error::Result;
use crate::jobs::{DeliverWebhook, SendEmail, ring, ring_at};

/// Pauses between the attempts of a mail: a mail server's bad hour is survived, a bad day mostly.
const MAIL_PAUSES: &[Duration] = &[
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(6 * 3600),
    Duration::from_secs(12 * 3600),
];

/// Seconds between the attempts of a webhook delivery, as new deliveries store them: the plan of Standard Webhooks.
pub const WEBHOOK_PLAN: &[i32] = &[5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600];

/// The longest pause that a receiver can ask for, in seconds.
const LONGEST_PAUSE: f64 = 24.0 * 3600.0;

/// A receiver that accepted nothing for so long is not tried any more.
const LONG_FAILURE: TimeDelta = TimeDelta::days(5);

/// What a receiver answers that wants nothing any more.
const GONE: i32 = 410;

/// Notes that a mail could not be sent. It is tried again after the plan's pause unless `permanent` or at the plan's end.
///
/// # Errors
/// If the database fails.
pub async fn mail_failed(db: &PgPool, mail: &ClaimedNotification, error: &str, permanent: bool) -> Result<()> {
    let pause = if permanent { None } else { pause_after(mail.attempt, MAIL_PAUSES) };
    let mut tx = db.begin().await?;
    let next = db::notifications::set_failed(&mut *tx, mail.id, mail.attempt, error, pause).await?;
    if let Some(at) = next {
        ring_at(&mut tx, &SendEmail { notification_id: mail.id }, at).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Notes that a webhook's receiver accepted a delivery.
///
/// # Errors
/// If the database fails.
pub async fn delivery_accepted(
    db: &PgPool,
    delivery: &ClaimedDelivery,
    attempt: &WebhookDeliveryAttempt,
) -> Result<()> {
    let mut tx = db.begin().await?;
    // The webhook before the delivery: the order of all locks.
    db::webhooks::set_accepting(&mut *tx, delivery.webhook_id).await?;
    let status = attempt.response_status;
    if db::webhook_deliveries::set_delivered(&mut *tx, delivery.id, delivery.attempt, status).await? {
        db::webhook_delivery_attempts::insert(&mut *tx, delivery.id, attempt).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Notes that a webhook's receiver did not accept a delivery.
///
/// It is tried again after its plan's pause, or after the longer one that the receiver asked for, until the plan's end. A
/// receiver that is gone or failed for long disables the webhook, of which its maker is told by mail.
///
/// # Errors
/// If the database fails.
pub async fn delivery_failed(
    db: &PgPool,
    delivery: &ClaimedDelivery,
    attempt: &WebhookDeliveryAttempt,
    retry_after_seconds: Option<f64>,
) -> Result<()> {
    let mut tx = db.begin().await?;
    let webhook = db::webhooks::lock(&mut *tx, delivery.project_id, delivery.webhook_id).await?;
    // Whoever deleted it deleted the delivery, too.
    let Some(mut webhook) = webhook else { return Ok(()) };
    let now = db::now(&mut *tx).await?;
    let reason = disabling(&webhook, delivery, attempt.response_status, now);
    let pause =
        if webhook.is_enabled && reason.is_none() { delivery_pause(delivery, retry_after_seconds) } else { None };
    let error = attempt.error.as_deref().unwrap_or_default();
    let (id, status) = (delivery.id, attempt.response_status);
    let failed = db::webhook_deliveries::set_failed(&mut *tx, id, delivery.attempt, status, error, pause).await?;
    let Some(next) = failed else { return Ok(()) };
    db::webhook_delivery_attempts::insert(&mut *tx, id, attempt).await?;
    if let Some(at) = next {
        ring_at(&mut tx, &DeliverWebhook { delivery_id: id }, at).await?;
    }
    if webhook.is_enabled && webhook.url == delivery.url {
        db::webhooks::set_failing(&mut *tx, webhook.id).await?;
    }
    if let Some(reason) = reason {
        webhook.failing_since = webhook.failing_since.or(Some(now));
        webhook.disable(reason, now);
        db::webhooks::save(&mut *tx, &webhook).await?;
        on_disabled(&mut tx, &webhook).await?;
        // Nobody asked for it, so somebody has to be told.
        for notification_id in db::notifications::insert_webhook_disabled(&mut *tx, webhook.id).await? {
            ring(&mut tx, &SendEmail { notification_id }).await?;
        }
    }
    tx.commit().await?;
    Ok(())
}

/// Gives a delivery up that was claimed although its webhook is disabled: it was on its way when that happened.
///
/// # Errors
/// If the database fails.
pub async fn delivery_dropped(db: &PgPool, delivery: &ClaimedDelivery) -> Result<()> {
    db::webhook_deliveries::set_failed(db, delivery.id, delivery.attempt, None, super::webhooks::DISABLED, None)
        .await?;
    Ok(())
}

/// Why a failure disables a webhook, if it does. What an address did that was changed since is no reason.
fn disabling(
    webhook: &Webhook,
    delivery: &ClaimedDelivery,
    status: Option<i32>,
    now: DateTime<Utc>,
) -> Option<DisabledReason> {
    if !webhook.is_enabled || webhook.url != delivery.url {
        return None;
    }
    if status == Some(GONE) {
        return Some(DisabledReason::Gone);
    }
    webhook.failing_since.filter(|since| now - *since >= LONG_FAILURE).map(|_| DisabledReason::Failing)
}

/// Seconds until the next attempt of a delivery: its plan's, or the receiver's if that is longer; `None` after the last.
fn delivery_pause(delivery: &ClaimedDelivery, retry_after_seconds: Option<f64>) -> Option<f64> {
    let planned = spread(f64::from(delivery.pause_seconds?));
    Some(retry_after_seconds.map_or(planned, |asked| planned.max(asked.min(LONGEST_PAUSE))))
}

/// Seconds until the next attempt; `None` after the last one.
fn pause_after(attempt: i32, plan: &[Duration]) -> Option<f64> {
    let index = usize::try_from(attempt.checked_sub(1)?).ok()?;
    Some(spread(plan.get(index)?.as_secs_f64()))
}

/// A pause, give or take a tenth so that a crowd spreads out.
fn spread(seconds: f64) -> f64 {
    seconds * rand::random_range(0.9..1.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_come_to_an_end() {
        let attempts = i32::try_from(MAIL_PAUSES.len()).expect("a short plan");
        let first = pause_after(1, MAIL_PAUSES).expect("a first pause");
        assert!((4.5..5.5).contains(&first), "{first}");
        assert!(pause_after(attempts, MAIL_PAUSES).is_some());
        assert_eq!(pause_after(attempts + 1, MAIL_PAUSES), None);
        assert!(MAIL_PAUSES.is_sorted() && WEBHOOK_PLAN.is_sorted());
    }
}
