//! What became of a mail or a webhook delivery: stored with the attempt that it was, and rung for again where it failed.

use std::time::Duration;

use sqlx::PgPool;

use crate::db;
use crate::db::notifications::ClaimedNotification;
use crate::db::webhooks::ClaimedDelivery;
use crate::error::Result;
use crate::jobs::{DeliverWebhook, SendEmail, ring_at};

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

/// Pauses between the attempts of a webhook delivery: the plan of Standard Webhooks.
const WEBHOOK_PAUSES: &[Duration] = &[
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(14 * 3600),
    Duration::from_secs(20 * 3600),
    Duration::from_secs(24 * 3600),
];

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

/// Notes that a webhook did not accept a delivery. It is tried again after the plan's pause, until the plan's end.
///
/// # Errors
/// If the database fails.
pub async fn delivery_failed(db: &PgPool, delivery: &ClaimedDelivery, status: Option<u16>, error: &str) -> Result<()> {
    let pause = pause_after(delivery.attempt, WEBHOOK_PAUSES);
    let mut tx = db.begin().await?;
    let status = status.map(i32::from);
    let next = db::webhooks::set_delivery_failed(&mut *tx, delivery.id, delivery.attempt, status, error, pause).await?;
    if let Some(at) = next {
        ring_at(&mut tx, &DeliverWebhook { delivery_id: delivery.id }, at).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Seconds until the next attempt, give or take a tenth so that a crowd spreads out; `None` after the last one.
fn pause_after(attempt: i32, plan: &[Duration]) -> Option<f64> {
    let index = usize::try_from(attempt.checked_sub(1)?).ok()?;
    Some(plan.get(index)?.as_secs_f64() * rand::random_range(0.9..1.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_come_to_an_end() {
        for plan in [MAIL_PAUSES, WEBHOOK_PAUSES] {
            assert!(plan.is_sorted());
            let attempts = i32::try_from(plan.len()).expect("a short plan");
            let first = pause_after(1, plan).expect("a first pause");
            assert!((4.5..5.5).contains(&first), "{first}");
            assert!(pause_after(attempts, plan).is_some());
            assert_eq!(pause_after(attempts + 1, plan), None);
        }
    }
}
