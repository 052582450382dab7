//! `refresh_run`: a run's counts follow its items, and the run ends with them.

use std::sync::Arc;

use testrun_shared::actions;
use testrun_shared::jobs::{JobOutcome, RefreshRun};

use super::tell_run;
use crate::context::Context;

pub(crate) async fn run(job: RefreshRun, context: Arc<Context>) -> anyhow::Result<JobOutcome> {
    tell_run(job.run_id);
    // Outside any transaction: results that come in meanwhile are counted, too.
    tokio::time::sleep(actions::refresh::pause_before(&context.db, job.run_id).await?).await;
    actions::refresh::refresh(&context.db, job.run_id).await?;
    Ok(JobOutcome::Done)
}
