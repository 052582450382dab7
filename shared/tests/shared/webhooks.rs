//! Webhooks: whom they tell, when they are switched off, and how deliveries are repeated.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use testrun_shared::actions::deliveries::{WEBHOOK_PLAN, delivery_accepted, delivery_failed};
use testrun_shared::actions::test_runs::create;
use testrun_shared::actions::webhooks::{self, redeliver, rotate_secret, send_test, update};
use testrun_shared::db;
use testrun_shared::db::webhook_deliveries::{self, ClaimedDelivery};
use testrun_shared::domain::test_run::NewTestRun;
use testrun_shared::domain::webhook::{
    DeliveryStatus, DisabledReason, NewWebhook, Webhook, WebhookDelivery, WebhookDeliveryAttempt, WebhookPatch,
    WebhookWithSecret,
};
use testrun_shared::error::{Error, Result};
use uuid::Uuid;

use crate::world::{World, backend, until_blocked_by};

const LEASE: f64 = 20.0;

async fn made(w: &World, body: Value) -> anyhow::Result<WebhookWithSecret> {
    let body: NewWebhook = serde_json::from_value(body)?;
    Ok(webhooks::create(&w.db, &w.tenant.caller, body).await?)
}

async fn hook(w: &World) -> anyhow::Result<Webhook> {
    Ok(made(w, json!({"url": "https://example.com/hook"})).await?.details)
}

async fn stored(w: &World, id: Uuid) -> anyhow::Result<Webhook> {
    db::webhooks::get(&w.db, w.tenant.project_id, id).await?.ok_or_else(|| anyhow::anyhow!("the webhook is gone"))
}

async fn change(w: &World, id: Uuid, body: Value) -> anyhow::Result<Webhook> {
    let patch: WebhookPatch = serde_json::from_value(body)?;
    Ok(update(&w.db, &w.tenant.caller, id, patch).await?)
}

/// A delivery to this webhook, claimed.
async fn sending(w: &World, webhook: &Webhook) -> anyhow::Result<ClaimedDelivery> {
    let delivery = send_test(&w.db, &w.tenant.caller, webhook.id).await?;
    claim(w, delivery.id).await
}

async fn claim(w: &World, id: Uuid) -> anyhow::Result<ClaimedDelivery> {
    let claimed = webhook_deliveries::claim(&w.db, id, LEASE).await?;
    claimed.ok_or_else(|| anyhow::anyhow!("the delivery is not due"))
}

fn attempt(claimed: &ClaimedDelivery, status: i32) -> WebhookDeliveryAttempt {
    WebhookDeliveryAttempt {
        attempt: claimed.attempt,
        started_at: claimed.started_at,
        duration_ms: 12,
        response_status: Some(status),
        response_body: Some("busy".to_owned()),
        error: (status >= 300).then(|| format!("the receiver answered {status}")),
    }
}

async fn fail(w: &World, claimed: &ClaimedDelivery, status: i32, retry_after: Option<f64>) -> Result<()> {
    delivery_failed(&w.db, claimed, &attempt(claimed, status), retry_after).await
}

async fn delivery(w: &World, claimed: &ClaimedDelivery) -> anyhow::Result<WebhookDelivery> {
    let delivery = webhook_deliveries::get(&w.db, claimed.webhook_id, claimed.id).await?;
    delivery.ok_or_else(|| anyhow::anyhow!("the delivery is gone"))
}

/// The data of the events that tell of disabled webhooks.
async fn disablements(w: &World) -> sqlx::Result<Vec<Value>> {
    sqlx::query_scalar("SELECT data FROM events WHERE type = 'webhook.disabled' ORDER BY sequence")
        .fetch_all(&w.db)
        .await
}

/// Seconds from the failure to the delivery's next attempt, however much later anybody asks.
async fn pause(w: &World, claimed: &ClaimedDelivery) -> sqlx::Result<f64> {
    sqlx::query_scalar(
        "SELECT extract(epoch FROM next_attempt_at - rung_at)::float8 FROM webhook_deliveries WHERE id = $1",
    )
    .bind(claimed.id)
    .fetch_one(&w.db)
    .await
}

#[tokio::test]
async fn a_receiver_that_is_gone_disables_its_webhook_and_the_others_are_told() -> anyhow::Result<()> {
    let w = World::new().await?;
    let gone = hook(&w).await?;
    let claimed = sending(&w, &gone).await?;
    let waits = send_test(&w.db, &w.tenant.caller, gone.id).await?;
    let other = made(&w, json!({"url": "https://other.example.com", "event_types": ["webhook.disabled"]})).await?;
    w.lose_jobs().await?;
    fail(&w, &claimed, 410, None).await?;

    let now = stored(&w, gone.id).await?;
    assert_eq!((now.is_enabled, now.disabled_reason), (false, Some(DisabledReason::Gone)));
    assert!(now.disabled_at.is_some() && now.failing_since.is_some());
    assert_eq!(delivery(&w, &claimed).await?.status, DeliveryStatus::Failed, "it is not tried again");
    let waiting = webhook_deliveries::get(&w.db, gone.id, waits.id).await?.expect("the other delivery");
    assert_eq!(waiting.status, DeliveryStatus::Failed);
    assert_eq!(waiting.last_error.as_deref(), Some("the webhook was disabled"));
    let told = disablements(&w).await?;
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0]["webhook_id"], &told[0]["disabled_reason"]), (&json!(gone.id), &json!("gone")));
    let deliveries: Vec<Uuid> =
        sqlx::query_scalar("SELECT webhook_id FROM webhook_deliveries WHERE status = 'pending'")
            .fetch_all(&w.db)
            .await?;
    assert_eq!(deliveries, [other.details.id], "the one that is left is told");
    assert_eq!(w.jobs("deliver_webhook").await?.len(), 1);

    // Nothing new is made for it, and enabling it begins anew.
    create(&w.db, &w.tenant.caller, &NewTestRun::default()).await?;
    assert_eq!(webhook_deliveries::count(&w.db, gone.id, None).await?, 2);
    let again = change(&w, gone.id, json!({"is_enabled": true})).await?;
    assert_eq!(
        (again.is_enabled, again.disabled_at, again.disabled_reason, again.failing_since),
        (true, None, None, None)
    );
    create(&w.db, &w.tenant.caller, &NewTestRun::default()).await?;
    assert_eq!(webhook_deliveries::count(&w.db, gone.id, None).await?, 3);
    Ok(())
}

#[tokio::test]
async fn five_days_of_nothing_but_failures_disable_a_webhook_and_one_success_ends_the_count() -> anyhow::Result<()> {
    let w = World::new().await?;
    let webhook = hook(&w).await?;
    fail(&w, &sending(&w, &webhook).await?, 500, None).await?;
    let since = stored(&w, webhook.id).await?.failing_since.expect("it fails");
    fail(&w, &sending(&w, &webhook).await?, 500, None).await?;
    assert_eq!(stored(&w, webhook.id).await?.failing_since, Some(since), "the first failure counts");

    w.execute("UPDATE webhooks SET failing_since = now() - interval '4 days 23 hours 59 minutes'").await?;
    let accepted = sending(&w, &webhook).await?;
    fail(&w, &sending(&w, &webhook).await?, 500, None).await?;
    assert!(stored(&w, webhook.id).await?.is_enabled);
    delivery_accepted(&w.db, &accepted, &attempt(&accepted, 204)).await?;
    assert_eq!(stored(&w, webhook.id).await?.failing_since, None);

    fail(&w, &sending(&w, &webhook).await?, 500, None).await?;
    w.execute("UPDATE webhooks SET failing_since = now() - interval '5 days'").await?;
    let (one, two) = (sending(&w, &webhook).await?, sending(&w, &webhook).await?);
    let (first, second) = tokio::join!(fail(&w, &one, 500, None), fail(&w, &two, 503, Some(1.0)));
    first.and(second)?;
    let now = stored(&w, webhook.id).await?;
    assert_eq!((now.is_enabled, now.disabled_reason), (false, Some(DisabledReason::Failing)));
    assert_eq!(disablements(&w).await?.len(), 1, "it is told once");
    let open = webhook_deliveries::count(&w.db, webhook.id, Some(DeliveryStatus::Pending)).await?;
    assert_eq!(open, 0, "nothing of it waits");
    Ok(())
}

#[tokio::test]
async fn what_the_old_address_did_is_not_held_against_a_new_one() -> anyhow::Result<()> {
    let w = World::new().await?;
    let webhook = hook(&w).await?;
    fail(&w, &sending(&w, &webhook).await?, 500, None).await?;
    let claimed = sending(&w, &webhook).await?;
    let moved = change(&w, webhook.id, json!({"url": "https://new.example.com"})).await?;
    assert_eq!(moved.failing_since, None);
    fail(&w, &claimed, 410, None).await?;
    let now = stored(&w, webhook.id).await?;
    assert_eq!((now.is_enabled, now.failing_since), (true, None));
    assert_eq!(delivery(&w, &claimed).await?.status, DeliveryStatus::Pending, "it is tried at the new address");
    Ok(())
}

#[tokio::test]
async fn a_receiver_may_ask_for_a_longer_pause_than_the_plans_but_for_no_shorter_and_no_endless_one()
-> anyhow::Result<()> {
    let w = World::new().await?;
    let webhook = hook(&w).await?;
    for (asked, expected) in
        [(None, 4.0..5.6), (Some(1.0), 4.0..5.6), (Some(600.0), 598.0..600.1), (Some(1e9), 86_398.0..86_400.1)]
    {
        let claimed = sending(&w, &webhook).await?;
        fail(&w, &claimed, 429, asked).await?;
        let pause = pause(&w, &claimed).await?;
        assert!(expected.contains(&pause), "{asked:?}: {pause}");
    }
    // The plan's end is the end, whatever is asked for.
    let claimed = sending(&w, &webhook).await?;
    w.execute("UPDATE webhook_deliveries SET retry_plan = '{}', status = 'pending', lease_until = NULL, next_attempt_at = now() WHERE status = 'sending'").await?;
    let last = claim(&w, claimed.id).await?;
    assert_eq!(last.pause_seconds, None);
    fail(&w, &last, 503, Some(5.0)).await?;
    assert_eq!(delivery(&w, &last).await?.status, DeliveryStatus::Failed);
    Ok(())
}

#[tokio::test]
async fn the_plan_is_the_rows_own_and_ends_after_its_last_pause() -> anyhow::Result<()> {
    let w = World::new().await?;
    let webhook = hook(&w).await?;
    let mut claimed = sending(&w, &webhook).await?;
    let stored: Vec<i32> = sqlx::query_scalar("SELECT retry_plan FROM webhook_deliveries").fetch_one(&w.db).await?;
    assert_eq!(stored, WEBHOOK_PLAN);
    w.execute("UPDATE webhook_deliveries SET retry_plan = '{100,200}'").await?;
    for expected in [89.0..110.1, 179.0..220.1] {
        // What the plan says now is read with the claim.
        w.execute("UPDATE webhook_deliveries SET status = 'pending', lease_until = NULL, attempt = attempt - 1, next_attempt_at = now() WHERE status = 'sending'").await?;
        claimed = claim(&w, claimed.id).await?;
        fail(&w, &claimed, 500, None).await?;
        let pause = pause(&w, &claimed).await?;
        assert!(expected.contains(&pause), "{pause}");
        w.execute("UPDATE webhook_deliveries SET next_attempt_at = now()").await?;
        claimed = claim(&w, claimed.id).await?;
    }
    fail(&w, &claimed, 500, None).await?;
    let after = delivery(&w, &claimed).await?;
    assert_eq!((after.status, after.attempt_count, after.next_attempt_at), (DeliveryStatus::Failed, 3, None));
    let attempts = db::webhook_delivery_attempts::list(&w.db, claimed.id).await?;
    assert_eq!(attempts.iter().map(|attempt| attempt.attempt).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(attempts[0].response_body.as_deref(), Some("busy"));
    Ok(())
}

#[tokio::test]
async fn a_delivery_is_repeated_with_a_plan_of_its_own_and_its_attempts_count_on() -> anyhow::Result<()> {
    let w = World::new().await?;
    let caller = &w.tenant.caller;
    let webhook = hook(&w).await?;
    let claimed = sending(&w, &webhook).await?;
    let refusal = redeliver(&w.db, caller, webhook.id, claimed.id).await.expect_err("it is being sent");
    assert_eq!(refusal.to_string(), "Cannot redeliver: an attempt is under way");
    delivery_accepted(&w.db, &claimed, &attempt(&claimed, 200)).await?;
    w.lose_jobs().await?;

    let again = redeliver(&w.db, caller, webhook.id, claimed.id).await?;
    assert_eq!((again.status, again.delivered_at, again.attempt_count), (DeliveryStatus::Pending, None, 1));
    assert_eq!(w.jobs("deliver_webhook").await?, [json!({"delivery_id": claimed.id})]);
    let second = claim(&w, claimed.id).await?;
    assert_eq!((second.id, second.attempt, second.pause_seconds), (claimed.id, 2, Some(WEBHOOK_PLAN[0])));
    fail(&w, &second, 500, None).await?;
    // One that waits is due at once.
    redeliver(&w.db, caller, webhook.id, claimed.id).await?;
    assert_eq!(claim(&w, claimed.id).await?.pause_seconds, Some(WEBHOOK_PLAN[0]));

    w.execute("UPDATE webhook_deliveries SET status = 'failed', lease_until = NULL").await?;
    change(&w, webhook.id, json!({"is_enabled": false})).await?;
    let refusal = redeliver(&w.db, caller, webhook.id, claimed.id).await.expect_err("it is disabled");
    assert_eq!(refusal.to_string(), "Cannot redeliver: the webhook is disabled; enable it first");
    let refusal = send_test(&w.db, caller, webhook.id).await.expect_err("it is disabled");
    assert!(matches!(refusal, Error::InvalidState(_)), "{refusal}");
    Ok(())
}

#[tokio::test]
async fn the_secret_before_signs_for_a_day_and_the_one_before_that_no_more() -> anyhow::Result<()> {
    let w = World::new().await?;
    let webhook = made(&w, json!({"url": "https://example.com/hook"})).await?;
    let id = webhook.details.id;
    let claimed = sending(&w, &webhook.details).await?;
    assert_eq!((claimed.secret.reveal(), claimed.previous_secret), (webhook.secret.clone(), None));

    let second = rotate_secret(&w.db, &w.tenant.caller, id).await?;
    let until: DateTime<Utc> = second.details.previous_secret_expires_at.expect("an overlap");
    let hours = (until - db::now(&w.db).await?).num_minutes();
    assert!((24 * 60 - 2..=24 * 60).contains(&hours), "{hours} minutes");
    let claimed = sending(&w, &webhook.details).await?;
    assert_eq!(claimed.secret.reveal(), second.secret);
    assert_eq!(claimed.previous_secret.map(|key| key.reveal()), Some(webhook.secret));

    let third = rotate_secret(&w.db, &w.tenant.caller, id).await?;
    let claimed = sending(&w, &webhook.details).await?;
    assert_eq!(
        (claimed.secret.reveal(), claimed.previous_secret.map(|key| key.reveal())),
        (third.secret, Some(second.secret))
    );
    w.execute("UPDATE webhooks SET previous_secret_expires_at = now()").await?;
    assert_eq!(sending(&w, &webhook.details).await?.previous_secret, None);
    Ok(())
}

#[tokio::test]
async fn a_fact_is_written_down_although_a_webhook_that_wants_it_is_being_deleted() -> anyhow::Result<()> {
    let w = World::new().await?;
    let webhook = hook(&w).await?;
    let mut deleting = w.db.begin().await?;
    let holder = backend(&mut deleting).await?;
    assert!(db::webhooks::delete(&mut *deleting, w.tenant.project_id, webhook.id).await?);
    let run = async { Ok(create(&w.db, &w.tenant.caller, &NewTestRun::default()).await?) };
    let delete = async {
        until_blocked_by(&w.db, holder, 1).await?;
        Ok(deleting.commit().await?)
    };
    let (run, ()): (_, ()) = futures_util::future::try_join(run, delete).await.map_err(|error: anyhow::Error| error)?;
    assert_eq!(w.events(run.id).await?, ["run.created"]);
    assert!(w.jobs("deliver_webhook").await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_webhook_that_is_switched_off_by_hand_stops_at_once_and_is_told_of_once() -> anyhow::Result<()> {
    let w = World::new().await?;
    let webhook = hook(&w).await?;
    let (waits, on_its_way) = (send_test(&w.db, &w.tenant.caller, webhook.id).await?, sending(&w, &webhook).await?);
    let off = change(&w, webhook.id, json!({"is_enabled": false})).await?;
    assert_eq!((off.is_enabled, off.disabled_reason), (false, Some(DisabledReason::Manual)));
    assert!(webhook_deliveries::claim(&w.db, waits.id, LEASE).await?.is_none());
    fail(&w, &on_its_way, 503, Some(60.0)).await?;
    assert_eq!(delivery(&w, &on_its_way).await?.status, DeliveryStatus::Failed, "no further attempt");
    let same = change(&w, webhook.id, json!({"is_enabled": false, "description": "off"})).await?;
    assert_eq!((same.disabled_at, same.description.as_deref()), (off.disabled_at, Some("off")));
    assert_eq!(disablements(&w).await?.len(), 1);
    Ok(())
}
