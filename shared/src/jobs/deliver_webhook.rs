use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Job;

/// Delivers one event to one webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverWebhook {
    /// The row in `webhook_deliveries`.
    pub delivery_id: Uuid,
}

impl Job for DeliverWebhook {
    const QUEUE: &'static str = "deliver_webhook";
    const CONCURRENCY: usize = 5;
    const TIMEOUT: Duration = Duration::from_secs(20);
}
