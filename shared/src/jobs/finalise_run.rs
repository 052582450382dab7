use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Job;
use crate::domain::queue::QueueName;

/// Writes the books of an ended run: execution, schedule, notices, webhook deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinaliseRun {
    /// The row in `test_runs`.
    pub run_id: Uuid,
}

impl Job for FinaliseRun {
    const QUEUE: &'static str = QueueName::FinaliseRun.as_str();
    const CONCURRENCY: usize = 4;
    const TIMEOUT: Duration = Duration::from_secs(20);
    const PROJECT_OF_ROW: &'static str = "SELECT project_id FROM test_runs WHERE id = $1";

    fn row_id(&self) -> Uuid {
        self.run_id
    }
}
