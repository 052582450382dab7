//! Facts that people and machines are told.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::test_run_item::{Derived, ItemStatus, TestRunItem};
use super::text_enum::text_enum;

/// A fact, as every channel tells it: webhooks, the event stream and the WebSocket.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Event {
    /// The event's id; the stream resumes after it.
    pub id: Uuid,
    /// What happened.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// When.
    pub timestamp: DateTime<Utc>,
    /// Where.
    pub project_id: Uuid,
    /// What was known at that moment; the fields depend on the type.
    #[schema(value_type = Object)]
    pub data: Value,
}

text_enum! {
    /// What happened.
    pub enum EventType {
        /// A run was created.
        #[serde(rename = "run.created")]
        #[sqlx(rename = "run.created")]
        RunCreated = "run.created",
        /// A schedule's run waits for a client.
        #[serde(rename = "run.queued")]
        #[sqlx(rename = "run.queued")]
        RunQueued = "run.queued",
        /// A client started a run.
        #[serde(rename = "run.started")]
        #[sqlx(rename = "run.started")]
        RunStarted = "run.started",
        /// The counts of a run that goes on have changed; several changes within 250 ms are one.
        #[serde(rename = "run.progress")]
        #[sqlx(rename = "run.progress")]
        RunProgress = "run.progress",
        /// Every item of a run is final.
        #[serde(rename = "run.completed")]
        #[sqlx(rename = "run.completed")]
        RunCompleted = "run.completed",
        /// A run ended by an infrastructure failure.
        #[serde(rename = "run.failed")]
        #[sqlx(rename = "run.failed")]
        RunFailed = "run.failed",
        /// A run was stopped or cancelled.
        #[serde(rename = "run.cancelled")]
        #[sqlx(rename = "run.cancelled")]
        RunCancelled = "run.cancelled",
        /// An item of a run got its final status.
        #[serde(rename = "item.finished")]
        #[sqlx(rename = "item.finished")]
        ItemFinished = "item.finished",
        /// A schedule's due time came.
        #[serde(rename = "schedule.fired")]
        #[sqlx(rename = "schedule.fired")]
        ScheduleFired = "schedule.fired",
        /// A schedule's due time was passed over.
        #[serde(rename = "schedule.missed")]
        #[sqlx(rename = "schedule.missed")]
        ScheduleMissed = "schedule.missed",
        /// A schedule has no due time left.
        #[serde(rename = "schedule.completed")]
        #[sqlx(rename = "schedule.completed")]
        ScheduleCompleted = "schedule.completed",
        /// A webhook was disabled, by somebody or because its receiver is gone or keeps failing.
        #[serde(rename = "webhook.disabled")]
        #[sqlx(rename = "webhook.disabled")]
        WebhookDisabled = "webhook.disabled",
        /// Somebody tries a webhook; only that one is told.
        #[serde(rename = "webhook.test")]
        #[sqlx(rename = "webhook.test")]
        WebhookTest = "webhook.test",
    }
}

impl EventType {
    /// Whether there are many of it in a run. Who asks for everything does not mean these.
    #[must_use]
    pub const fn is_frequent(self) -> bool {
        matches!(self, Self::RunProgress | Self::ItemFinished)
    }
}

/// What `item.finished` says.
#[derive(Debug, Clone, Serialize)]
pub struct FinishedItem {
    /// The run.
    pub test_run_id: Uuid,
    /// The item.
    pub test_run_item_id: Uuid,
    /// Its test case.
    pub test_case_id: Uuid,
    /// What the test case is called.
    pub test_case_name: String,
    /// The item's place in the run, from 1.
    pub execution_order: i32,
    /// Its final status.
    pub status: ItemStatus,
    /// Milliseconds that the deciding attempts took.
    pub duration_ms: i64,
    /// The attempt that decided it; 0 is the first.
    pub retry_attempt: i32,
    /// What went wrong, its first [`Self::MAX_MESSAGE`] characters.
    pub error_message: Option<String>,
}

impl FinishedItem {
    /// Most characters of an error message that an event repeats.
    pub const MAX_MESSAGE: usize = 1_000;

    /// What is told of an item whose results made it final.
    #[must_use]
    pub fn new(item: &TestRunItem, derived: &Derived, test_case_name: String) -> Self {
        let message = derived.error_message.as_ref();
        Self {
            test_run_id: item.test_run_id,
            test_run_item_id: item.id,
            test_case_id: item.test_case_id,
            test_case_name,
            execution_order: item.execution_order,
            status: derived.status,
            duration_ms: derived.duration_ms,
            retry_attempt: derived.retry_attempt,
            error_message: message.map(|message| message.chars().take(Self::MAX_MESSAGE).collect()),
        }
    }
}
