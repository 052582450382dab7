use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Job;
use crate::domain::queue::QueueName;

/// Sends one mail to one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendEmail {
    /// The row in `notifications`.
    pub notification_id: Uuid,
}

impl Job for SendEmail {
    const QUEUE: &'static str = QueueName::SendEmail.as_str();
    const CONCURRENCY: usize = 10;
    const TIMEOUT: Duration = Duration::from_secs(20);
    const PROJECT_OF_ROW: &'static str = "SELECT coalesce(r.project_id, w.project_id) FROM notifications n
         LEFT JOIN test_runs r ON r.id = n.test_run_id LEFT JOIN webhooks w ON w.id = n.webhook_id WHERE n.id = $1";

    fn row_id(&self) -> Uuid {
        self.notification_id
    }
}
