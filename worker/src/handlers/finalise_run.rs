//! `finalise_run`: the books of an ended run, then its report.

use std::sync::Arc;

use testrun_shared::actions;
use testrun_shared::jobs::{FinaliseRun, JobOutcome};

use super::tell_run;
use crate::context::Context;

pub(crate) async fn run(job: FinaliseRun, context: Arc<Context>) -> anyhow::Result<JobOutcome> {
    tell_run(job.run_id);
    actions::finalise::finalise(&context.db, job.run_id).await?;
    // Last: nobody is to wait for a mail because a report is long. Until it is stored, readers get it rendered on demand.
    actions::finalise::write_report(&context.db, job.run_id).await?;
    Ok(JobOutcome::Done)
}
