//! Items: one test case in one run. Their status follows from the results (decisions, Items and results).

mod derive;

use chrono::{DateTime, Utc};
use garde::Validate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::patch::{Nullable, not_null, nullable, set};
use super::statistics::pass_rate;
use super::test_run_result::ResultStatus;
use super::text_enum::text_enum;
use super::validation::{MAX_ROWS, between, some_rows, text};

pub use derive::{Derived, Outcome, RetryPolicy, derive};

text_enum! {
    /// Where an item is in its life (specification, Test Run Item Status).
    pub enum ItemStatus {
        /// Not yet executed.
        Pending = "pending",
        /// Waiting for a client.
        Queued = "queued",
        /// Currently executing, or waiting for a retry or for further iterations.
        Running = "running",
        /// Passed.
        Passed = "passed",
        /// Failed, and no retry is left.
        Failed = "failed",
        /// Skipped by the client, or unfinished when the run was stopped.
        Skipped = "skipped",
        /// The test case has no recording.
        NoRun = "no_run",
    }
}

impl ItemStatus {
    /// Whether the item is done. Nothing leads out of these.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Passed | Self::Failed | Self::Skipped | Self::NoRun)
    }
}

impl From<ResultStatus> for ItemStatus {
    fn from(status: ResultStatus) -> Self {
        match status {
            ResultStatus::Passed => Self::Passed,
            ResultStatus::Failed => Self::Failed,
            ResultStatus::Skipped => Self::Skipped,
        }
    }
}

/// An item as stored and as shown.
#[derive(Debug, Clone, Serialize, Deserialize, FromRow, ToSchema)]
pub struct TestRunItem {
    /// The item's id.
    pub id: Uuid,
    /// The run it is in.
    pub test_run_id: Uuid,
    /// The test case it stands for.
    pub test_case_id: Uuid,
    /// 1 to n without holes.
    pub execution_order: i32,
    /// Where the item is in its life.
    pub status: ItemStatus,
    /// The first sign of work.
    pub started_at: Option<DateTime<Utc>>,
    /// When it became final.
    pub completed_at: Option<DateTime<Utc>>,
    /// Milliseconds that the deciding attempts took.
    pub duration_ms: i64,
    /// Steps of the deciding attempts, summed over iterations.
    pub total_steps: i32,
    /// Steps that passed.
    pub passed_steps: i32,
    /// Steps that failed.
    pub failed_steps: i32,
    /// Steps that were skipped.
    pub skipped_steps: i32,
    /// Checkpoints of the deciding attempts.
    pub total_checkpoints: i32,
    /// Checkpoints that passed.
    pub passed_checkpoints: i32,
    /// Checkpoints that failed.
    pub failed_checkpoints: i32,
    /// Whether results came with iteration numbers.
    pub is_data_driven: bool,
    /// How many iterations the client told; 0 until it did.
    pub total_iterations: i32,
    /// Iterations that passed.
    pub passed_iterations: i32,
    /// Iterations that failed.
    pub failed_iterations: i32,
    /// The attempt that decided the item; 0 is the first.
    pub retry_attempt: i32,
    /// Whether it failed although retries were on, and none is left.
    pub max_retries_exhausted: bool,
    /// What went wrong in the deciding attempt.
    pub error_message: Option<String>,
    /// A label; the server never opens it.
    pub error_screenshot_path: Option<String>,
    /// A label; the server never opens it.
    pub results_folder: Option<String>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
    /// The status in people's words: `Pass`, `Fail (2/3)`.
    #[sqlx(default)]
    pub display_status: String,
}

impl TestRunItem {
    /// Fills in what follows from the other columns.
    #[must_use]
    pub fn derived(mut self) -> Self {
        self.display_status = self.display();
        self
    }

    /// `passed_steps ÷ total_steps × 100`, two decimals.
    #[must_use]
    pub fn pass_rate(&self) -> Decimal {
        pass_rate(self.passed_steps, self.total_steps)
    }

    fn display(&self) -> String {
        let word = match self.status {
            ItemStatus::Pending => "Pending",
            ItemStatus::Queued => "Queued",
            ItemStatus::Running => "Running",
            ItemStatus::Passed => "Pass",
            ItemStatus::Failed => "Fail",
            ItemStatus::Skipped => "Skipped",
            ItemStatus::NoRun => "No run",
        };
        if self.is_data_driven {
            return format!("{word} ({}/{})", self.passed_iterations, self.total_iterations);
        }
        word.to_owned()
    }
}

/// The body that adds one test case to a run.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
pub struct NewTestRunItem {
    /// A test case of the run's project.
    #[garde(skip)]
    pub test_case_id: Uuid,
}

/// The body that adds many test cases to a run, in this order.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
pub struct NewTestRunItems {
    /// 1 to 1,000 test cases of the run's project, each once.
    #[garde(custom(some_rows(MAX_ROWS)))]
    #[schema(min_items = 1, max_items = 1000)]
    pub test_case_ids: Vec<Uuid>,
}

/// The body that changes an item: absent fields keep their values, null clears those that may be null.
#[derive(Debug, Clone, Default, Deserialize, Validate, ToSchema)]
pub struct TestRunItemPatch {
    /// Its new place, from 1; the others move up or down. Only while the run is pending.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(custom(between(1, i32::MAX)))]
    #[schema(nullable = false, minimum = 1)]
    pub execution_order: Option<i32>,
    /// `skipped` or `no_run`, for an item that is not final.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(skip)]
    #[schema(nullable = false)]
    pub status: Option<ItemStatus>,
    /// How many iterations a data-driven item has: 1 to 1,000,000.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(custom(between(0, 1_000_000)))]
    #[schema(nullable = false, minimum = 0, maximum = 1_000_000)]
    pub total_iterations: Option<i32>,
    /// What went wrong.
    #[serde(default, with = "nullable")]
    #[garde(custom(text(1_000_000)))]
    #[schema(value_type = Option<String>, max_length = 1000000)]
    pub error_message: Nullable<String>,
    /// At most 500 characters.
    #[serde(default, with = "nullable")]
    #[garde(custom(text(500)))]
    #[schema(value_type = Option<String>, max_length = 500)]
    pub error_screenshot_path: Nullable<String>,
    /// At most 500 characters.
    #[serde(default, with = "nullable")]
    #[garde(custom(text(500)))]
    #[schema(value_type = Option<String>, max_length = 500)]
    pub results_folder: Nullable<String>,
}

impl TestRunItemPatch {
    /// Changes what is told about an item. Place and status have rules of their own.
    pub fn apply(self, item: &mut TestRunItem) {
        set(&mut item.total_iterations, self.total_iterations);
        set(&mut item.error_message, self.error_message);
        set(&mut item.error_screenshot_path, self.error_screenshot_path);
        set(&mut item.results_folder, self.results_folder);
    }
}

/// The body that puts a run's items into a new order.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
pub struct ReorderItems {
    /// Every item of the run, once, in the new order; at most 100,000.
    #[garde(custom(some_rows(100_000)))]
    #[schema(min_items = 1, max_items = 100_000)]
    pub item_ids: Vec<Uuid>,
}

/// What a bulk addition did.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AddedItems {
    /// The new items, in the order of the request.
    pub items: Vec<TestRunItem>,
    /// How many there are.
    pub total_added: usize,
}
