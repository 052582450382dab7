use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Job;

/// Makes the run of a schedule's execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateScheduledRun {
    /// The row in `schedule_executions`.
    pub execution_id: Uuid,
}

impl Job for CreateScheduledRun {
    const QUEUE: &'static str = "create_scheduled_run";
    const CONCURRENCY: usize = 4;
    const TIMEOUT: Duration = Duration::from_secs(20);
}
