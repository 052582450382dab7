//! What came of a schedule's due times.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::test_run::RunStatus;
use super::text_enum::text_enum;

text_enum! {
    /// What became of a due time.
    pub enum ExecutionStatus {
        /// Its run waits to be made or to be started.
        Pending = "pending",
        /// Its run is waiting for a client or running.
        Running = "running",
        /// Its run completed.
        Completed = "completed",
        /// Its run failed, or could not be made.
        Failed = "failed",
        /// It was passed over.
        Missed = "missed",
        /// Its run was cancelled.
        Cancelled = "cancelled",
    }
}

impl ExecutionStatus {
    /// The status of an execution whose run ended like this; `None` while the run goes on.
    #[must_use]
    pub const fn of_ended_run(status: RunStatus) -> Option<Self> {
        match status {
            RunStatus::Pending | RunStatus::Queued | RunStatus::Running => None,
            RunStatus::Completed => Some(Self::Completed),
            RunStatus::Failed => Some(Self::Failed),
            RunStatus::Cancelled => Some(Self::Cancelled),
        }
    }
}

/// An execution as stored and as shown.
#[derive(Debug, Clone, Serialize, Deserialize, FromRow, ToSchema)]
pub struct ScheduleExecution {
    /// The execution's id.
    pub id: Uuid,
    /// The schedule.
    pub schedule_id: Uuid,
    /// The run it made.
    pub test_run_id: Option<Uuid>,
    /// The due time.
    pub scheduled_for: DateTime<Utc>,
    /// When its run was made.
    pub executed_at: Option<DateTime<Utc>>,
    /// What became of it.
    pub status: ExecutionStatus,
    /// Items in its run.
    pub total_tests: i32,
    /// Items that passed.
    pub passed_tests: i32,
    /// Items that failed.
    pub failed_tests: i32,
    /// Milliseconds that its run took.
    pub duration_ms: i64,
    /// Why it failed or was missed.
    pub error_message: Option<String>,
    /// When it was written down.
    pub created_at: DateTime<Utc>,
}
