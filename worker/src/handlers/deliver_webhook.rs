//! `deliver_webhook`: one signed POST of one event to one webhook (Standard Webhooks).

use std::sync::Arc;

use anyhow::Context as _;
use serde_json::json;
use standardwebhooks::Webhook;
use testrun_shared::db::webhooks::ClaimedDelivery;
use testrun_shared::jobs::{DeliverWebhook, JobOutcome};
use testrun_shared::{actions, db};

use super::LEASE_SECONDS;
use crate::context::Context;

pub(crate) async fn run(job: DeliverWebhook, context: Arc<Context>) -> anyhow::Result<JobOutcome> {
    let Some(claimed) = db::webhooks::claim_delivery(&context.db, job.delivery_id, LEASE_SECONDS).await? else {
        return Ok(JobOutcome::Done);
    };
    match post(&context, &claimed).await? {
        Ok(status) if (200..300).contains(&status) => {
            db::webhooks::set_delivered(&context.db, claimed.id, claimed.attempt, status.into()).await?;
            metrics::counter!("testrun_webhook_deliveries_total", "outcome" => "delivered").increment(1);
        }
        refused => {
            let (status, error) = match refused {
                Ok(status) => (Some(status), format!("the receiver answered {status}")),
                Err(error) => (None, error.without_url().to_string()),
            };
            tracing::warn!(delivery.id = %claimed.id, attempt = claimed.attempt, error, "webhook not delivered");
            metrics::counter!("testrun_webhook_deliveries_total", "outcome" => "failed").increment(1);
            actions::deliveries::delivery_failed(&context.db, &claimed, status, &error).await?;
        }
    }
    Ok(JobOutcome::Done)
}

/// The status of the receiver's answer, or why there was none.
async fn post(context: &Context, claimed: &ClaimedDelivery) -> anyhow::Result<Result<u16, reqwest::Error>> {
    let body = serde_json::to_vec(&json!({
        "id": claimed.event_id, "type": claimed.event_type, "timestamp": claimed.event_at,
        "project_id": claimed.project_id, "data": claimed.data,
    }))?;
    let id = claimed.id.to_string();
    let sent_at = db::now(&context.db).await?.timestamp();
    let signature = Webhook::from_bytes(claimed.secret.clone())
        .and_then(|webhook| webhook.sign(&id, sent_at, &body))
        .context("the delivery could not be signed")?;
    let answer = context
        .http
        .post(&claimed.url)
        .header("content-type", "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", sent_at.to_string())
        .header("webhook-signature", signature)
        .body(body)
        .send()
        .await;
    Ok(answer.map(|response| response.status().as_u16()))
}
