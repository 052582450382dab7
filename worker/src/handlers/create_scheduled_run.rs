//! `create_scheduled_run`: an execution gets its run.

use std::sync::Arc;

use testrun_shared::actions;
use testrun_shared::jobs::{CreateScheduledRun, JobOutcome};

use crate::context::Context;

pub(crate) async fn run(job: CreateScheduledRun, context: Arc<Context>) -> anyhow::Result<JobOutcome> {
    if let Some(run_id) = actions::schedules::create_run(&context.db, job.execution_id).await? {
        tracing::info!(test_run.id = %run_id, "scheduled run created");
    }
    Ok(JobOutcome::Done)
}
