//! Who is told by mail of a webhook that was disabled, and how often.

use serde_json::json;
use testrun_shared::actions::deliveries::delivery_failed;
use testrun_shared::actions::identity::{add_member, create_user, remove_member};
use testrun_shared::actions::webhooks::{create, send_test, update};
use testrun_shared::db::webhook_deliveries::{ClaimedDelivery, claim};
use testrun_shared::domain::webhook::WebhookDeliveryAttempt;
use uuid::Uuid;

use crate::world::World;

async fn webhook(w: &World) -> anyhow::Result<Uuid> {
    let body = serde_json::from_value(json!({"url": "https://example.com/hook"}))?;
    Ok(create(&w.db, &w.tenant.caller, body).await?.details.id)
}

/// A delivery to this webhook, claimed.
async fn sending(w: &World, webhook: Uuid) -> anyhow::Result<ClaimedDelivery> {
    let delivery = send_test(&w.db, &w.tenant.caller, webhook).await?;
    claim(&w.db, delivery.id, 20.0).await?.ok_or_else(|| anyhow::anyhow!("the delivery is not due"))
}

async fn answered(w: &World, claimed: &ClaimedDelivery, status: i32) -> anyhow::Result<()> {
    let attempt = WebhookDeliveryAttempt {
        attempt: claimed.attempt,
        started_at: claimed.started_at,
        duration_ms: 1,
        response_status: Some(status),
        response_body: None,
        error: Some(format!("the receiver answered {status}")),
    };
    Ok(delivery_failed(&w.db, claimed, &attempt, None).await?)
}

async fn change(w: &World, webhook: Uuid, body: serde_json::Value) -> anyhow::Result<()> {
    update(&w.db, &w.tenant.caller, webhook, serde_json::from_value(body)?).await?;
    Ok(())
}

/// Who is to get a mail about this webhook, each mail once.
async fn told(w: &World, webhook: Uuid) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT recipient FROM notifications WHERE webhook_id = $1 AND kind = 'webhook_disabled' ORDER BY recipient",
    )
    .bind(webhook)
    .fetch_all(&w.db)
    .await
}

async fn rung(w: &World) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT count(*) FROM apalis.jobs WHERE job_type = 'send_email'").fetch_one(&w.db).await
}

#[tokio::test]
async fn the_maker_is_told_once_each_time_and_never_of_what_is_done_by_hand() -> anyhow::Result<()> {
    let w = World::new().await?;
    let gone = webhook(&w).await?;
    let (first, second) = (sending(&w, gone).await?, sending(&w, gone).await?);
    answered(&w, &first, 410).await?;
    answered(&w, &second, 410).await?;
    assert_eq!((told(&w, gone).await?, rung(&w).await?), (vec![w.tenant.email.clone()], 1));
    change(&w, gone, json!({"is_enabled": true})).await?;
    change(&w, gone, json!({"is_enabled": false})).await?;
    assert_eq!(rung(&w).await?, 1, "by hand");
    change(&w, gone, json!({"is_enabled": true})).await?;
    answered(&w, &sending(&w, gone).await?, 410).await?;
    assert_eq!((told(&w, gone).await?.len(), rung(&w).await?), (2, 2), "another time");

    let failing = webhook(&w).await?;
    answered(&w, &sending(&w, failing).await?, 500).await?;
    assert_eq!(told(&w, failing).await?, Vec::<String>::new(), "a failure is nothing yet");
    w.execute("UPDATE webhooks SET failing_since = now() - interval '5 days'").await?;
    answered(&w, &sending(&w, failing).await?, 500).await?;
    assert_eq!(told(&w, failing).await?, [w.tenant.email.as_str()]);
    Ok(())
}

#[tokio::test]
async fn the_admins_are_told_where_the_maker_is_no_member_any_more() -> anyhow::Result<()> {
    let w = World::new().await?;
    let webhook = webhook(&w).await?;
    for (email, role) in [("b@example.com", "admin"), ("a@example.com", "admin"), ("c@example.com", "member")] {
        create_user(&w.db, email, "Somebody").await?;
        let body = serde_json::from_value(json!({"email": email, "role": role}))?;
        add_member(&w.db, &w.tenant.caller, &body).await?;
    }
    let claimed = sending(&w, webhook).await?;
    remove_member(&w.db, &w.tenant.caller, w.tenant.user_id).await?;
    answered(&w, &claimed, 410).await?;
    assert_eq!(told(&w, webhook).await?, ["a@example.com", "b@example.com"]);
    Ok(())
}
