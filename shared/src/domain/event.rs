//! Facts that people and machines are told.

use super::text_enum::text_enum;

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
    }
}
