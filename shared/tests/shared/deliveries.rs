//! Mails and webhooks: claimed by one, tried again by plan, and written only by whoever holds the claim.

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use testrun_shared::actions::deliveries::{delivery_accepted, delivery_failed, mail_failed};
use testrun_shared::actions::test_runs::create;
use testrun_shared::db::notifications::{self, ClaimedNotification};
use testrun_shared::db::webhook_deliveries::{self, ClaimedDelivery};
use testrun_shared::domain::notification::NotificationKind;
use testrun_shared::domain::test_run::NewTestRun;
use testrun_shared::domain::webhook::WebhookDeliveryAttempt;
use uuid::Uuid;

use crate::world::World;

const LEASE: f64 = 20.0;

/// A mail that is due.
async fn mail(w: &World) -> anyhow::Result<Uuid> {
    let run = create(&w.db, &w.tenant.caller, &NewTestRun::default()).await?;
    let recipients = ["team@example.com".to_owned()];
    Ok(notifications::insert(&w.db, run.id, NotificationKind::Failure, &recipients).await?[0])
}

/// A delivery that is due, of a run's creation.
async fn delivery(w: &World) -> anyhow::Result<Uuid> {
    webhook(w, "https://example.com/hook", &[]).await?;
    create(&w.db, &w.tenant.caller, &NewTestRun::default()).await?;
    Ok(sqlx::query_scalar("SELECT id FROM webhook_deliveries").fetch_one(&w.db).await?)
}

async fn webhook(w: &World, url: &str, event_types: &[&str]) -> sqlx::Result<Uuid> {
    sqlx::query_scalar(
        "INSERT INTO webhooks (id, project_id, url, event_types, secret, created_by)
         VALUES (gen_random_uuid(), $1, $2, $3, 'secret', $4) RETURNING id",
    )
    .bind(w.tenant.project_id)
    .bind(url)
    .bind(event_types)
    .bind(w.tenant.user_id)
    .fetch_one(&w.db)
    .await
}

async fn claimed_mail(w: &World, id: Uuid) -> anyhow::Result<ClaimedNotification> {
    notifications::claim(&w.db, id, LEASE).await?.ok_or_else(|| anyhow::anyhow!("the mail is not due"))
}

async fn claimed_delivery(w: &World, id: Uuid) -> anyhow::Result<ClaimedDelivery> {
    webhook_deliveries::claim(&w.db, id, LEASE).await?.ok_or_else(|| anyhow::anyhow!("the delivery is not due"))
}

/// What an attempt sent back.
fn answered(claimed: &ClaimedDelivery, status: Option<i32>, error: Option<&str>) -> WebhookDeliveryAttempt {
    WebhookDeliveryAttempt {
        attempt: claimed.attempt,
        started_at: claimed.started_at,
        duration_ms: 1,
        response_status: status,
        response_body: None,
        error: error.map(str::to_owned),
    }
}

async fn accept(w: &World, claimed: &ClaimedDelivery, status: i32) -> anyhow::Result<()> {
    Ok(delivery_accepted(&w.db, claimed, &answered(claimed, Some(status), None)).await?)
}

async fn fail(w: &World, claimed: &ClaimedDelivery, status: Option<i32>, error: &str) -> anyhow::Result<()> {
    Ok(delivery_failed(&w.db, claimed, &answered(claimed, status, Some(error)), None).await?)
}

#[derive(Debug, PartialEq, sqlx::FromRow)]
struct State {
    status: String,
    attempt: i32,
    last_error: Option<String>,
    leased: bool,
}

fn state(status: &str, attempt: i32, last_error: Option<&str>) -> State {
    State { status: status.to_owned(), attempt, last_error: last_error.map(str::to_owned), leased: status == "sending" }
}

async fn mail_state(w: &World) -> sqlx::Result<State> {
    sqlx::query_as("SELECT status, attempt, last_error, lease_until IS NOT NULL AS leased FROM notifications")
        .fetch_one(&w.db)
        .await
}

async fn delivery_state(w: &World) -> sqlx::Result<State> {
    sqlx::query_as("SELECT status, attempt, last_error, lease_until IS NOT NULL AS leased FROM webhook_deliveries")
        .fetch_one(&w.db)
        .await
}

/// Payload and due time of the one job that waits.
async fn ring_of(w: &World, queue: &str) -> sqlx::Result<Option<(Value, DateTime<Utc>)>> {
    sqlx::query_as(
        "SELECT convert_from(job, 'UTF8')::jsonb, run_at FROM apalis.jobs WHERE job_type = $1 AND status = 'Pending'",
    )
    .bind(queue)
    .fetch_optional(&w.db)
    .await
}

#[tokio::test]
async fn of_many_workers_one_claims_a_mail_or_a_delivery() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (mail, delivery) = (mail(&w).await?, delivery(&w).await?);
    let claims = try_join_all((0..12).map(|_| notifications::claim(&w.db, mail, LEASE))).await?;
    let claims: Vec<_> = claims.into_iter().flatten().collect();
    assert_eq!(claims.len(), 1);
    assert_eq!((claims[0].attempt, claims[0].recipient.as_str()), (1, "team@example.com"));
    assert_eq!(claims[0].kind, NotificationKind::Failure);
    let claims = try_join_all((0..12).map(|_| webhook_deliveries::claim(&w.db, delivery, LEASE))).await?;
    let claims: Vec<_> = claims.into_iter().flatten().collect();
    assert_eq!(claims.len(), 1);
    assert_eq!((claims[0].attempt, claims[0].url.as_str()), (1, "https://example.com/hook"));
    assert_eq!((claims[0].event_type.as_str(), claims[0].secret.bytes()), ("run.created", &b"secret"[..]));
    assert_eq!(claims[0].data["run_number"], 2);
    assert_eq!(delivery_state(&w).await?, state("sending", 1, None));
    Ok(())
}

#[tokio::test]
async fn what_is_sent_is_sent_for_good() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (mail, delivery) = (mail(&w).await?, delivery(&w).await?);
    let claimed = claimed_mail(&w, mail).await?;
    assert!(notifications::set_sent(&w.db, mail, claimed.attempt).await?);
    assert!(!notifications::set_sent(&w.db, mail, claimed.attempt).await?, "a second time it is not its own");
    mail_failed(&w.db, &claimed, "late news", false).await?;
    assert_eq!(mail_state(&w).await?, state("sent", 1, None));
    assert!(notifications::claim(&w.db, mail, LEASE).await?.is_none());
    assert_eq!(ring_of(&w, "send_email").await?, None);

    let claimed = claimed_delivery(&w, delivery).await?;
    w.lose_jobs().await?;
    accept(&w, &claimed, 204).await?;
    fail(&w, &claimed, Some(500), "late news").await?;
    assert_eq!(delivery_state(&w).await?, state("delivered", 1, None));
    assert!(webhook_deliveries::claim(&w.db, delivery, LEASE).await?.is_none());
    assert_eq!(ring_of(&w, "deliver_webhook").await?, None);
    Ok(())
}

#[tokio::test]
async fn a_failed_attempt_is_tried_again_at_the_stored_time_for_which_is_rung() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (mail, delivery) = (mail(&w).await?, delivery(&w).await?);
    w.lose_jobs().await?;
    mail_failed(&w.db, &claimed_mail(&w, mail).await?, "421 busy", false).await?;
    fail(&w, &claimed_delivery(&w, delivery).await?, Some(503), "the receiver answered 503").await?;
    assert_eq!(mail_state(&w).await?, state("pending", 1, Some("421 busy")));
    assert_eq!(delivery_state(&w).await?, state("pending", 1, Some("the receiver answered 503")));
    let due: Vec<(DateTime<Utc>, f64)> = sqlx::query_as(
        "SELECT next_attempt_at, extract(epoch FROM next_attempt_at - rung_at)::float8 FROM notifications
         UNION ALL SELECT next_attempt_at, extract(epoch FROM next_attempt_at - rung_at)::float8 FROM webhook_deliveries",
    )
    .fetch_all(&w.db)
    .await?;
    assert_eq!(ring_of(&w, "send_email").await?, Some((json!({"notification_id": mail}), due[0].0)));
    assert_eq!(ring_of(&w, "deliver_webhook").await?, Some((json!({"delivery_id": delivery}), due[1].0)));
    assert!(due.iter().all(|(_, pause)| (4.0..5.6).contains(pause)), "about five seconds: {due:?}");
    assert!(notifications::claim(&w.db, mail, LEASE).await?.is_none(), "it is not due yet");
    assert!(webhook_deliveries::claim(&w.db, delivery, LEASE).await?.is_none());

    w.execute("UPDATE notifications SET next_attempt_at = now()").await?;
    assert_eq!(claimed_mail(&w, mail).await?.attempt, 2);
    let status: Option<i32> =
        sqlx::query_scalar("SELECT response_status FROM webhook_deliveries").fetch_one(&w.db).await?;
    assert_eq!(status, Some(503));
    Ok(())
}

#[tokio::test]
async fn a_permanent_failure_is_the_end_of_a_mail() -> anyhow::Result<()> {
    let w = World::new().await?;
    let mail = mail(&w).await?;
    w.lose_jobs().await?;
    mail_failed(&w.db, &claimed_mail(&w, mail).await?, "550 no such user", true).await?;
    assert_eq!(mail_state(&w).await?, state("failed", 1, Some("550 no such user")));
    assert_eq!(ring_of(&w, "send_email").await?, None);
    assert!(notifications::claim(&w.db, mail, LEASE).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn the_plan_of_attempts_comes_to_an_end() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (mail, delivery) = (mail(&w).await?, delivery(&w).await?);
    for attempt in 1..=10 {
        w.execute("UPDATE notifications SET next_attempt_at = now() WHERE status = 'pending'").await?;
        w.execute("UPDATE webhook_deliveries SET next_attempt_at = now() WHERE status = 'pending'").await?;
        let claimed = notifications::claim(&w.db, mail, LEASE).await?;
        assert_eq!(claimed.is_some(), attempt <= 9, "a mail has nine attempts");
        if let Some(claimed) = claimed {
            mail_failed(&w.db, &claimed, "busy", false).await?;
        }
        fail(&w, &claimed_delivery(&w, delivery).await?, None, "refused").await?;
    }
    assert_eq!(mail_state(&w).await?, state("failed", 9, Some("busy")));
    assert_eq!(delivery_state(&w).await?, state("failed", 10, Some("refused")), "a delivery has ten");
    assert!(webhook_deliveries::claim(&w.db, delivery, LEASE).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_sender_that_was_thought_dead_cannot_write_over_its_successor() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (mail, delivery) = (mail(&w).await?, delivery(&w).await?);
    let (old_mail, old_delivery) = (claimed_mail(&w, mail).await?, claimed_delivery(&w, delivery).await?);
    w.lose_jobs().await?;
    w.execute("UPDATE notifications SET lease_until = now() - interval '1 s'").await?;
    w.execute("UPDATE webhook_deliveries SET lease_until = now() - interval '1 s'").await?;
    let (new_mail, new_delivery) = (claimed_mail(&w, mail).await?, claimed_delivery(&w, delivery).await?);
    assert_eq!((new_mail.attempt, new_delivery.attempt), (2, 2));
    assert_eq!(new_mail.created_at, old_mail.created_at, "every attempt has the same date");

    assert!(!notifications::set_sent(&w.db, mail, old_mail.attempt).await?);
    mail_failed(&w.db, &old_mail, "zombie", true).await?;
    accept(&w, &old_delivery, 200).await?;
    fail(&w, &old_delivery, None, "zombie").await?;
    assert_eq!(mail_state(&w).await?, state("sending", 2, None));
    assert_eq!(delivery_state(&w).await?, state("sending", 2, None));
    assert_eq!((ring_of(&w, "send_email").await?, ring_of(&w, "deliver_webhook").await?), (None, None));

    assert!(notifications::set_sent(&w.db, mail, new_mail.attempt).await?);
    accept(&w, &new_delivery, 200).await?;
    assert_eq!((mail_state(&w).await?.status, delivery_state(&w).await?.status), ("sent".into(), "delivered".into()));
    Ok(())
}

#[tokio::test]
async fn a_webhook_gets_the_events_that_it_wants_of_its_own_project() -> anyhow::Result<()> {
    let w = World::new().await?;
    let all = webhook(&w, "https://all.example.com", &[]).await?;
    let some = webhook(&w, "https://some.example.com", &["run.started", "run.cancelled"]).await?;
    let off = webhook(&w, "https://off.example.com", &[]).await?;
    sqlx::query(
        "UPDATE webhooks SET is_enabled = FALSE, disabled_at = now(), disabled_reason = 'manual' WHERE id = $1",
    )
    .bind(off)
    .execute(&w.db)
    .await?;
    let other = w.database.tenant("B").await?;
    create(&w.db, &other.caller, &NewTestRun::default()).await?;
    let run = w.started(1).await?;
    testrun_shared::actions::test_runs::stop(&w.db, &w.tenant.caller, run.id).await?;
    for (webhook, expected) in [
        (all, vec!["run.created", "run.started", "run.cancelled"]),
        (some, vec!["run.started", "run.cancelled"]),
        (off, vec![]),
    ] {
        let events: Vec<String> = sqlx::query_scalar(
            "SELECT e.type FROM webhook_deliveries d JOIN events e ON e.id = event_id WHERE webhook_id = $1 ORDER BY sequence",
        )
        .bind(webhook)
        .fetch_all(&w.db)
        .await?;
        assert_eq!(events, expected);
    }
    assert_eq!(w.jobs("deliver_webhook").await?.len(), 5, "one doorbell for each");
    Ok(())
}
