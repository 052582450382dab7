//! `deliver_webhook`: one signed POST of one event to one webhook (Standard Webhooks).

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use testrun_shared::jobs::{DeliverWebhook, JobOutcome};
use testrun_shared::{actions, db};

use super::{LEASE_SECONDS, tell_run};
use crate::context::Context;
use crate::webhook::Attempted;

pub(crate) async fn run(job: DeliverWebhook, context: Arc<Context>) -> anyhow::Result<JobOutcome> {
    let claimed = db::webhook_deliveries::claim(&context.db, job.delivery_id, LEASE_SECONDS).await?;
    let Some(claimed) = claimed else { return Ok(JobOutcome::Done) };
    claimed.data["test_run_id"].as_str().and_then(|id| id.parse().ok()).into_iter().for_each(tell_run);
    if !claimed.is_enabled {
        actions::deliveries::delivery_dropped(&context.db, &claimed).await?;
        return Ok(JobOutcome::Done);
    }
    let began = Instant::now();
    let Attempted { attempt, retry_after_seconds } = context.webhooks.send(&claimed).await?;
    metrics::histogram!("testrun_webhook_duration_seconds").record(began.elapsed());
    let outcome = if attempt.error.is_none() { "delivered" } else { "failed" };
    metrics::counter!("testrun_webhook_deliveries_total", "outcome" => outcome).increment(1);
    if let Some(error) = &attempt.error {
        tracing::warn!(delivery.id = %claimed.id, attempt = claimed.attempt, error, "webhook not delivered");
        actions::deliveries::delivery_failed(&context.db, &claimed, &attempt, retry_after_seconds).await?;
    } else {
        actions::deliveries::delivery_accepted(&context.db, &claimed, &attempt).await?;
    }
    Ok(JobOutcome::Done)
}
