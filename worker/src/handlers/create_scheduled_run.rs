//! `create_scheduled_run`: an execution gets its run.

use std::sync::Arc;

use testrun_shared::actions;
use testrun_shared::jobs::{CreateScheduledRun, JobOutcome};

use super::tell_run;
use crate::context::Context;

pub(crate) async fn run(job: CreateScheduledRun, context: Arc<Context>) -> anyhow::Result<JobOutcome> {
    if let Some(run_id) = actions::schedules::create_run(&context.db, job.execution_id).await? {
        tell_run(run_id);
        tracing::info!("scheduled run created");
    }
    Ok(JobOutcome::Done)
}
