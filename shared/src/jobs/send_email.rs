use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Job;

/// Sends one mail to one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendEmail {
    /// The row in `notifications`.
    pub notification_id: Uuid,
}

impl Job for SendEmail {
    const QUEUE: &'static str = "send_email";
    const CONCURRENCY: usize = 5;
    const TIMEOUT: Duration = Duration::from_secs(20);
}
