//! Has a worker send webhook deliveries to a receiver, and prints them as JSON, for `.ci/check-webhooks` and for looking at
//! them: `cargo run -p e2e --example sample-webhooks`. The programs' logs are on standard error.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use test_support::receiver::{ReceivedRequest, Reply, WebhookReceiver, script};
use test_support::{Client, Database, Process};

/// For a retry, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let receiver = WebhookReceiver::start_with(script([Reply::Status(500)])).await?;
    let database = Database::new().await?;
    let tenant = database.tenant("Web shop").await?;
    let api = Process::api(&database.url).await?;
    let nowhere = "smtp://127.0.0.1:9";
    let allowed = [("TESTRUN_WEBHOOK_ALLOW_CIDRS", "127.0.0.0/8")];
    let _worker = Process::worker_with(&database.url, nowhere, &allowed).await?;
    // Deliveries that failed are rung for by their own job; nothing is swept up here.
    let client = Client::new(&api.url().await?, Some(&tenant.token))?;

    let webhook = json!({ "url": receiver.url("/"), "event_types": ["run.created"] });
    let webhook = client.post("/api/v1/webhooks", &webhook).await?.expect(201)?;
    let old = text(&webhook["secret"])?;
    let run = json!({ "run_name": "Überall „Größe 38“ 🚀", "notes": "line\nbreak" });
    client.post("/api/v1/test-runs", &run).await?.expect(201)?;
    let retried = receiver.wait_for(2, PATIENCE).await?;

    let path = format!("/api/v1/webhooks/{}/rotate-secret", text(&webhook["id"])?);
    let new = text(&client.post(&path, &json!({})).await?.expect(200)?["secret"])?;
    client.post("/api/v1/test-runs", &run).await?.expect(201)?;
    let rotated = receiver.wait_for(3, PATIENCE).await?;

    let deliveries = json!([
        delivery("first attempt", &retried[0], &[&old]),
        delivery("second attempt", &retried[1], &[&old]),
        delivery("while the secret is rotated", &rotated[2], &[&old, &new]),
    ]);
    println!("{deliveries:#}");
    Ok(())
}

fn text(value: &Value) -> anyhow::Result<String> {
    value.as_str().map(str::to_owned).with_context(|| format!("not a text: {value}"))
}

/// A request, and the secrets by each of which it is signed.
fn delivery(name: &str, request: &ReceivedRequest, secrets: &[&str]) -> Value {
    json!({
        "name": name,
        "secrets": secrets,
        "headers": {
            "webhook-id": request.webhook_id(),
            "webhook-timestamp": request.header("webhook-timestamp"),
            "webhook-signature": request.signatures(),
        },
        "body": String::from_utf8_lossy(&request.body),
    })
}
