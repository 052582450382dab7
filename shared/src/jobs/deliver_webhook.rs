use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Job;
use crate::domain::queue::QueueName;

/// Delivers one event to one webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverWebhook {
    /// The row in `webhook_deliveries`.
    pub delivery_id: Uuid,
}

impl Job for DeliverWebhook {
    const QUEUE: &'static str = QueueName::DeliverWebhook.as_str();
    const CONCURRENCY: usize = 10;
    const TIMEOUT: Duration = Duration::from_secs(20);
    const PROJECT_OF_ROW: &'static str =
        "SELECT w.project_id FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook_id WHERE d.id = $1";

    fn row_id(&self) -> Uuid {
        self.delivery_id
    }
}
