use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Job;
use crate::domain::queue::QueueName;

/// Recomputes a run's counts, and completes it once every item is final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshRun {
    /// The row in `test_runs`.
    pub run_id: Uuid,
}

impl Job for RefreshRun {
    const QUEUE: &'static str = QueueName::RefreshRun.as_str();
    const CONCURRENCY: usize = 16;
    const TIMEOUT: Duration = Duration::from_secs(20);
    const PROJECT_OF_ROW: &'static str = "SELECT project_id FROM test_runs WHERE id = $1";

    fn row_id(&self) -> Uuid {
        self.run_id
    }
}
