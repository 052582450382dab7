//! Queues and jobs, as operators see them.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::text_enum::text_enum;
use super::validation::text;

text_enum! {
    /// A queue. Rows carry the names, so they never change.
    pub enum QueueName {
        /// Makes the runs of schedules.
        CreateScheduledRun = "create_scheduled_run",
        /// Delivers events to webhooks.
        DeliverWebhook = "deliver_webhook",
        /// Writes the books and the reports of ended runs.
        FinaliseRun = "finalise_run",
        /// Counts runs anew.
        RefreshRun = "refresh_run",
        /// Sends mails.
        SendEmail = "send_email",
    }
}

text_enum! {
    /// Where a job is on its way.
    pub enum JobStatus {
        /// It is due and waits for a worker.
        Available = "available",
        /// It is due later.
        Scheduled = "scheduled",
        /// A worker has it in hand.
        Running = "running",
        /// It came to its end.
        Done = "done",
        /// It was given up.
        Dead = "dead",
    }
}

/// How a queue stands.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct QueueState {
    /// The queue's name.
    pub queue: String,
    /// Jobs that are due and wait for a worker.
    pub available: i64,
    /// Jobs that are due later.
    pub scheduled: i64,
    /// Jobs that workers have in hand.
    pub running: i64,
    /// Jobs that were given up, until somebody retries or discards them.
    pub dead: i64,
    /// Seconds that the oldest available job has waited; 0 if there is none.
    pub oldest_seconds: f64,
    /// Whether no job is started.
    pub is_paused: bool,
    /// Since when.
    pub paused_at: Option<DateTime<Utc>>,
    /// The user whose token paused it; null where it was paused on the command line.
    pub paused_by: Option<Uuid>,
    /// Why, as told by whoever paused it.
    pub paused_reason: Option<String>,
}

/// A job.
#[derive(Debug, Clone, Serialize, Deserialize, FromRow, ToSchema)]
pub struct QueuedJob {
    /// The job's id.
    pub id: String,
    /// The queue's name.
    pub queue: String,
    /// Where it is on its way.
    pub status: JobStatus,
    /// What it carries: JSON with the id of the row that it is about.
    #[schema(example = r#"{"run_id":"019db2c0-0000-7000-8000-000000000000"}"#)]
    pub payload: String,
    /// How often it was started.
    pub attempts: i32,
    /// Why it was given up, or why its last start came to no end.
    pub reason: Option<String>,
    /// When it is or was due.
    pub run_at: DateTime<Utc>,
    /// When it was started last.
    pub started_at: Option<DateTime<Utc>>,
    /// The worker that started it last.
    pub worker: Option<String>,
    /// When it was done or given up.
    pub ended_at: Option<DateTime<Utc>>,
}

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Only those with this status; without one all that are not done.
    pub status: Option<JobStatus>,
    /// Only those of this queue.
    pub queue: Option<String>,
}

/// The body that pauses a queue.
#[derive(Debug, Clone, Default, Deserialize, Validate, ToSchema)]
pub struct PauseQueue {
    /// Why; shown with the queue. At most 1,000 characters.
    #[garde(custom(text(1000)))]
    #[schema(max_length = 1000)]
    pub reason: Option<String>,
}
