use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Job;
use crate::domain::queue::QueueName;

/// Makes the run of a schedule's execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateScheduledRun {
    /// The row in `schedule_executions`.
    pub execution_id: Uuid,
}

impl Job for CreateScheduledRun {
    const QUEUE: &'static str = QueueName::CreateScheduledRun.as_str();
    const CONCURRENCY: usize = 4;
    const TIMEOUT: Duration = Duration::from_secs(20);
    const PROJECT_OF_ROW: &'static str =
        "SELECT s.project_id FROM schedule_executions e JOIN schedules s ON s.id = e.schedule_id WHERE e.id = $1";

    fn row_id(&self) -> Uuid {
        self.execution_id
    }
}
