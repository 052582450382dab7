//! Test runs: the row, its bodies and its state machine.

use chrono::{DateTime, Utc};
use garde::Validate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::patch::{Nullable, not_null, nullable, set};
use super::text_enum::text_enum;
use super::validation::{between, filled, labels, suite, text};
use crate::error::{Error, Result};

text_enum! {
    /// Where a run is in its life (specification, Test Run Status).
    pub enum RunStatus {
        /// Created but not started.
        Pending = "pending",
        /// Waiting for a client to take it.
        Queued = "queued",
        /// Currently executing.
        Running = "running",
        /// Every item is final.
        Completed = "completed",
        /// Stopped or cancelled by somebody.
        Cancelled = "cancelled",
        /// Infrastructure error.
        Failed = "failed",
    }
}

/// What moves a run from one status to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunMove {
    /// A schedule hands the run to whichever client takes it.
    Queue,
    /// A client begins.
    Start,
    /// Every item is final.
    Complete,
    /// Somebody stops a running run.
    Stop,
    /// Somebody cancels a run that has not begun.
    Cancel,
    /// The client went silent, or the run could not be populated.
    Fail,
}

impl RunMove {
    const fn verb(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Start => "start",
            Self::Complete => "complete",
            Self::Stop => "stop",
            Self::Cancel => "cancel",
            Self::Fail => "fail",
        }
    }
}

impl RunStatus {
    /// The run's state machine (decisions, Runs): the status after `step`.
    ///
    /// # Errors
    /// [`Error::InvalidState`] with the specification's sentence for any other move.
    pub fn after(self, step: RunMove) -> Result<Self> {
        match (self, step) {
            (Self::Pending, RunMove::Queue) => Ok(Self::Queued),
            (Self::Pending | Self::Queued, RunMove::Start) => Ok(Self::Running),
            (Self::Running, RunMove::Complete) => Ok(Self::Completed),
            (Self::Running, RunMove::Stop) => Ok(Self::Cancelled),
            (Self::Pending | Self::Queued, RunMove::Cancel) => Ok(Self::Cancelled),
            (Self::Pending | Self::Queued | Self::Running, RunMove::Fail) => Ok(Self::Failed),
            _ => Err(Error::InvalidState(format!("Cannot {} test run: status is '{self}'", step.verb()))),
        }
    }

    /// Whether the run has ended. Nothing leads out of these.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Failed)
    }
}

/// A run as stored and as shown.
#[derive(Debug, Clone, Serialize, Deserialize, FromRow, ToSchema)]
pub struct TestRun {
    /// The run's id.
    pub id: Uuid,
    /// The name that people see.
    pub run_name: String,
    /// Counts up in the project without gaps.
    pub run_number: i32,
    /// The project it belongs to.
    pub project_id: Uuid,
    /// Whose token created it.
    pub created_by: Uuid,
    /// The suite it is about, from the root down.
    pub suite_path: Option<Vec<String>>,
    /// The suite's name.
    pub suite_name: Option<String>,
    /// Where the run is in its life.
    pub status: RunStatus,
    /// The due time, for a run that a schedule made.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// When a client started it.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
    /// `completed_at − started_at` in milliseconds; 0 until both are known.
    pub duration_ms: i64,
    /// Items in the run.
    pub total_tests: i32,
    /// Items that passed.
    pub passed_tests: i32,
    /// Items that failed.
    pub failed_tests: i32,
    /// Items that were skipped.
    pub skipped_tests: i32,
    /// Items without a recording.
    pub no_run_tests: i32,
    /// `passed_tests ÷ total_tests × 100`, two decimals.
    #[schema(value_type = f64, minimum = 0, maximum = 100)]
    pub pass_rate: Decimal,
    /// Whether the client may run items side by side.
    pub parallel_enabled: bool,
    /// How many at once: 1 to 10.
    pub parallel_count: i32,
    /// How often a failed item is tried again: 0 to 10.
    pub retry_count: i32,
    /// Whether failed items are tried again at all.
    pub retry_on_failure: bool,
    /// For example `chromium`.
    pub browser_name: Option<String>,
    /// For example `120.0.0`.
    pub browser_version: Option<String>,
    /// For example `macOS`.
    pub os_name: Option<String>,
    /// For example `14.0`.
    pub os_version: Option<String>,
    /// Pixels.
    pub viewport_width: Option<i32>,
    /// Pixels.
    pub viewport_height: Option<i32>,
    /// A label; the server never opens it.
    pub results_folder: Option<String>,
    /// Where the run's report is.
    pub report_path: Option<String>,
    /// Labels.
    pub tags: Option<Vec<String>>,
    /// Free text.
    pub notes: Option<String>,
    /// Why an infrastructure failure ended the run.
    pub failure_reason: Option<String>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

/// The body that creates a run.
#[derive(Debug, Clone, Default, Deserialize, Validate, ToSchema)]
pub struct NewTestRun {
    /// At most 255 characters; default `Run_001` with the run's number.
    #[garde(custom(filled(255)))]
    #[schema(max_length = 255, example = "Smoke Test Run")]
    pub run_name: Option<String>,
    /// At most 32 elements, from the root down.
    #[garde(custom(suite))]
    #[schema(max_items = 32, min_length = 1, max_length = 255, example = json!(["ROOT", "Regression", "Smoke"]))]
    pub suite_path: Option<Vec<String>>,
    /// At most 255 characters.
    #[garde(custom(text(255)))]
    #[schema(max_length = 255, example = "Smoke")]
    pub suite_name: Option<String>,
    /// Default false.
    #[garde(skip)]
    pub parallel_enabled: Option<bool>,
    /// 1 to 10; default 1.
    #[garde(custom(between(1, 10)))]
    #[schema(minimum = 1, maximum = 10)]
    pub parallel_count: Option<i32>,
    /// Default false.
    #[garde(skip)]
    pub retry_on_failure: Option<bool>,
    /// 0 to 10; default 0.
    #[garde(custom(between(0, 10)))]
    #[schema(minimum = 0, maximum = 10)]
    pub retry_count: Option<i32>,
    /// At most 500 characters.
    #[garde(custom(text(500)))]
    #[schema(max_length = 500)]
    pub results_folder: Option<String>,
    /// At most 50 labels of 64 characters.
    #[garde(custom(labels))]
    #[schema(max_items = 50, min_length = 1, max_length = 64, example = json!(["smoke", "daily"]))]
    pub tags: Option<Vec<String>>,
    /// Free text.
    #[garde(custom(text(100_000)))]
    #[schema(max_length = 100000)]
    pub notes: Option<String>,
}

/// The body of `start`: where the run executes.
#[derive(Debug, Clone, Default, Deserialize, Validate, ToSchema)]
pub struct StartTestRun {
    /// At most 50 characters.
    #[garde(custom(text(50)))]
    #[schema(max_length = 50, example = "chromium")]
    pub browser_name: Option<String>,
    /// At most 50 characters.
    #[garde(custom(text(50)))]
    #[schema(max_length = 50)]
    pub browser_version: Option<String>,
    /// At most 100 characters.
    #[garde(custom(text(100)))]
    #[schema(max_length = 100)]
    pub os_name: Option<String>,
    /// At most 50 characters.
    #[garde(custom(text(50)))]
    #[schema(max_length = 50)]
    pub os_version: Option<String>,
    /// Pixels: 1 to 100,000.
    #[garde(custom(between(1, 100_000)))]
    #[schema(minimum = 1, maximum = 100_000, example = 1920)]
    pub viewport_width: Option<i32>,
    /// Pixels: 1 to 100,000.
    #[garde(custom(between(1, 100_000)))]
    #[schema(minimum = 1, maximum = 100_000, example = 1080)]
    pub viewport_height: Option<i32>,
}

/// What `start` answers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StartedTestRun {
    /// The run's id.
    pub id: Uuid,
    /// `running`.
    pub status: RunStatus,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// How many test cases it has, in words.
    #[schema(example = "Test run started with 3 test cases")]
    pub message: String,
}

/// The body that changes a run: absent fields keep their values, null clears those that may be null.
#[derive(Debug, Clone, Default, Deserialize, Validate, ToSchema)]
pub struct TestRunPatch {
    /// 1 to 255 characters.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(custom(filled(255)))]
    #[schema(nullable = false, min_length = 1, max_length = 255)]
    pub run_name: Option<String>,
    /// At most 32 elements, from the root down.
    #[serde(default, with = "nullable")]
    #[garde(custom(suite))]
    #[schema(value_type = Option<Vec<String>>, max_items = 32, min_length = 1, max_length = 255)]
    pub suite_path: Nullable<Vec<String>>,
    /// At most 255 characters.
    #[serde(default, with = "nullable")]
    #[garde(custom(text(255)))]
    #[schema(value_type = Option<String>, max_length = 255)]
    pub suite_name: Nullable<String>,
    /// Only while the run is pending.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(skip)]
    #[schema(nullable = false)]
    pub parallel_enabled: Option<bool>,
    /// 1 to 10; only while the run is pending.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(custom(between(1, 10)))]
    #[schema(nullable = false, minimum = 1, maximum = 10)]
    pub parallel_count: Option<i32>,
    /// Only while the run is pending.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(skip)]
    #[schema(nullable = false)]
    pub retry_on_failure: Option<bool>,
    /// 0 to 10; only while the run is pending.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(custom(between(0, 10)))]
    #[schema(nullable = false, minimum = 0, maximum = 10)]
    pub retry_count: Option<i32>,
    /// At most 50 characters.
    #[serde(default, with = "nullable")]
    #[garde(custom(text(50)))]
    #[schema(value_type = Option<String>, max_length = 50)]
    pub browser_name: Nullable<String>,
    /// At most 50 characters.
    #[serde(default, with = "nullable")]
    #[garde(custom(text(50)))]
    #[schema(value_type = Option<String>, max_length = 50)]
    pub browser_version: Nullable<String>,
    /// At most 100 characters.
    #[serde(default, with = "nullable")]
    #[garde(custom(text(100)))]
    #[schema(value_type = Option<String>, max_length = 100)]
    pub os_name: Nullable<String>,
    /// At most 50 characters.
    #[serde(default, with = "nullable")]
    #[garde(custom(text(50)))]
    #[schema(value_type = Option<String>, max_length = 50)]
    pub os_version: Nullable<String>,
    /// Pixels: 1 to 100,000.
    #[serde(default, with = "nullable")]
    #[garde(custom(between(1, 100_000)))]
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 100_000)]
    pub viewport_width: Nullable<i32>,
    /// Pixels: 1 to 100,000.
    #[serde(default, with = "nullable")]
    #[garde(custom(between(1, 100_000)))]
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 100_000)]
    pub viewport_height: Nullable<i32>,
    /// At most 500 characters.
    #[serde(default, with = "nullable")]
    #[garde(custom(text(500)))]
    #[schema(value_type = Option<String>, max_length = 500)]
    pub results_folder: Nullable<String>,
    /// At most 50 labels of 64 characters.
    #[serde(default, with = "nullable")]
    #[garde(custom(labels))]
    #[schema(value_type = Option<Vec<String>>, max_items = 50, min_length = 1, max_length = 64)]
    pub tags: Nullable<Vec<String>>,
    /// Free text.
    #[serde(default, with = "nullable")]
    #[garde(custom(text(100_000)))]
    #[schema(value_type = Option<String>, max_length = 100000)]
    pub notes: Nullable<String>,
}

impl TestRunPatch {
    /// Changes a run as the body says.
    ///
    /// # Errors
    /// [`Error::InvalidState`] if it would change how a run executes that is not pending any more.
    pub fn apply(self, run: &mut TestRun) -> Result<()> {
        let before = (run.parallel_enabled, run.parallel_count, run.retry_on_failure, run.retry_count);
        set(&mut run.run_name, self.run_name);
        set(&mut run.suite_path, self.suite_path);
        set(&mut run.suite_name, self.suite_name);
        set(&mut run.parallel_enabled, self.parallel_enabled);
        set(&mut run.parallel_count, self.parallel_count);
        set(&mut run.retry_on_failure, self.retry_on_failure);
        set(&mut run.retry_count, self.retry_count);
        set(&mut run.browser_name, self.browser_name);
        set(&mut run.browser_version, self.browser_version);
        set(&mut run.os_name, self.os_name);
        set(&mut run.os_version, self.os_version);
        set(&mut run.viewport_width, self.viewport_width);
        set(&mut run.viewport_height, self.viewport_height);
        set(&mut run.results_folder, self.results_folder);
        set(&mut run.tags, self.tags);
        set(&mut run.notes, self.notes);
        let after = (run.parallel_enabled, run.parallel_count, run.retry_on_failure, run.retry_count);
        // A client may put back what it got.
        if before != after && run.status != RunStatus::Pending {
            let sentence = format!("Cannot change parallel or retry settings: status is '{}'", run.status);
            return Err(Error::InvalidState(sentence));
        }
        Ok(())
    }
}

text_enum! {
    /// What a list of runs can be sorted by.
    pub enum RunSort {
        /// When the run was created.
        CreatedAt = "created_at",
        /// When the run started; runs that did not come last.
        StartedAt = "started_at",
        /// The share of passed items.
        PassRate = "pass_rate",
    }
}

text_enum! {
    /// The direction of a list.
    pub enum SortOrder {
        /// Smallest first.
        Asc = "asc",
        /// Largest first.
        Desc = "desc",
    }
}

/// What a list of runs is narrowed to. Dates are parsed at the edge.
#[derive(Debug, Clone, Default)]
pub struct TestRunFilter {
    /// Only this status.
    pub status: Option<RunStatus>,
    /// Only this suite and everything under it.
    pub suite_path: Option<Vec<String>>,
    /// Only runs created at or after this instant.
    pub from: Option<DateTime<Utc>>,
    /// Only runs created before this instant.
    pub before: Option<DateTime<Utc>>,
    /// Only runs that this user created.
    pub created_by: Option<Uuid>,
    /// Only runs that have all of these labels.
    pub tags: Option<Vec<String>>,
    /// Only runs whose name contains this text, whatever the case.
    pub search: Option<String>,
    /// Default `created_at`.
    pub sort_by: Option<RunSort>,
    /// Default `desc`.
    pub sort_order: Option<SortOrder>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_statuses_have_no_way_out() {
        let moves = [RunMove::Queue, RunMove::Start, RunMove::Complete, RunMove::Stop, RunMove::Cancel, RunMove::Fail];
        for status in RunStatus::ALL.iter().filter(|status| status.is_final()) {
            for step in moves {
                assert!(status.after(step).is_err(), "{status} lets {step:?} through");
            }
        }
    }

    #[test]
    fn a_refused_move_says_the_specifications_sentence() {
        let error = RunStatus::Completed.after(RunMove::Start).expect_err("completed runs do not start");
        assert_eq!(error.to_string(), "Cannot start test run: status is 'completed'");
    }
}
