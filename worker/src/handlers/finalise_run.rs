//! `finalise_run`: the books of an ended run.

use std::sync::Arc;

use testrun_shared::actions;
use testrun_shared::jobs::{FinaliseRun, JobOutcome};

use crate::context::Context;

pub(crate) async fn run(job: FinaliseRun, context: Arc<Context>) -> anyhow::Result<JobOutcome> {
    actions::finalise::finalise(&context.db, job.run_id).await?;
    Ok(JobOutcome::Done)
}
