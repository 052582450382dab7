//! A webhook that is no longer sent to: somebody is told by mail.

use reqwest::Method;
use serde_json::{Value, json};
use test_support::receiver::{Reply, WebhookReceiver};
use test_support::{Process, until};

use crate::world::{PATIENCE, World, id};

/// Tries the webhook, and waits until it is disabled.
async fn send_to_one_that_is_gone(world: &World, webhook: &str) -> anyhow::Result<Value> {
    world.post(&format!("/webhooks/{webhook}/test"), &json!({}), 201).await?;
    until("the webhook to be disabled", PATIENCE, || async {
        let webhook = world.get(&format!("/webhooks/{webhook}")).await?;
        Ok((webhook["is_enabled"] == false).then_some(webhook))
    })
    .await
}

async fn put(world: &World, webhook: &str, body: Value) -> anyhow::Result<()> {
    world.client.send(Method::PUT, &format!("/api/v1/webhooks/{webhook}"), Some(&body)).await?.expect(200)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_made_a_webhook_is_told_each_time_that_it_is_disabled_by_its_receiver() -> anyhow::Result<()> {
    let world = World::start().await?;
    let receiver = WebhookReceiver::start_with(|_| Reply::Status(410)).await?;
    let settings =
        [("TESTRUN_WEBHOOK_ALLOW_CIDRS", "127.0.0.0/8"), ("TESTRUN_PUBLIC_URL", "https://testrun.example.com")];
    let _worker = Process::worker_with(&world.database.url, &world.sink.url(), &settings).await?;
    let body = json!({ "url": receiver.url("/hook?token=secret"), "description": "Chat room", "event_types": ["run.created"] });
    let webhook = id(&world.post("/webhooks", &body, 201).await?["id"])?.to_string();

    assert_eq!(send_to_one_that_is_gone(&world, &webhook).await?["disabled_reason"], "gone");
    let mail = world.sink.wait_for(1, PATIENCE).await?.remove(0);
    assert_eq!(mail.recipients, [world.tenant.email.as_str()]);
    assert_eq!(mail.subject().as_deref(), Some("WEBHOOK DISABLED: 127.0.0.1 of Web shop"));
    let text = mail.text().unwrap_or_default();
    let link = format!("PUT https://testrun.example.com/api/v1/webhooks/{webhook}");
    for told in ["answered 410 Gone", "Chat room", webhook.as_str(), link.as_str()] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert!(!text.contains("token=secret"), "{text}");

    // What somebody does by hand is told to nobody. It comes before the second mail, so that it would be seen.
    put(&world, &webhook, json!({ "is_enabled": true })).await?;
    put(&world, &webhook, json!({ "is_enabled": false })).await?;
    put(&world, &webhook, json!({ "is_enabled": true })).await?;
    send_to_one_that_is_gone(&world, &webhook).await?;
    let mails = world.sink.wait_for(2, PATIENCE).await?;
    assert_ne!(mails[1].message_id(), mails[0].message_id(), "it is another time, and so another mail");
    let stored: Vec<String> =
        sqlx::query_scalar("SELECT kind FROM notifications").fetch_all(&world.database.pool).await?;
    assert_eq!(stored, ["webhook_disabled", "webhook_disabled"]);
    Ok(())
}
