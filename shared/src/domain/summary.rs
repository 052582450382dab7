//! A run at a glance.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::test_run::{RunStatus, TestRun};
use super::test_run_item::ItemStatus;

/// A run's figures and its items.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TestRunSummary {
    /// The run's id.
    pub id: Uuid,
    /// The run's name.
    pub run_name: String,
    /// Where the run is in its life.
    pub status: RunStatus,
    /// When it started.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
    /// Milliseconds.
    pub duration_ms: i64,
    /// The figures.
    pub summary: RunFigures,
    /// The items in execution order, at most 10,000.
    pub items: Vec<ItemFigures>,
}

/// The figures of a run, counted from its items at the time of the request.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunFigures {
    /// Items in the run.
    pub total_tests: i64,
    /// Items that passed.
    pub passed_tests: i64,
    /// Items that failed.
    pub failed_tests: i64,
    /// Items that were skipped.
    pub skipped_tests: i64,
    /// Items without a recording.
    pub no_run_tests: i64,
    /// `passed_tests ÷ total_tests × 100`, two decimals.
    #[schema(value_type = f64, minimum = 0, maximum = 100)]
    pub pass_rate: Decimal,
    /// Steps of all items.
    pub total_steps: i64,
    /// Steps that passed.
    pub passed_steps: i64,
    /// Steps that failed.
    pub failed_steps: i64,
    /// Checkpoints of all items.
    pub total_checkpoints: i64,
    /// Checkpoints that passed.
    pub passed_checkpoints: i64,
    /// Checkpoints that failed.
    pub failed_checkpoints: i64,
}

/// One item in a summary.
#[derive(Debug, Clone, Serialize, Deserialize, FromRow, ToSchema)]
pub struct ItemFigures {
    /// The item's id.
    pub id: Uuid,
    /// The test case's name.
    pub test_case_name: String,
    /// Where the item is in its life.
    pub status: ItemStatus,
    /// Milliseconds.
    pub duration_ms: i64,
    /// `passed_steps ÷ total_steps × 100`, two decimals.
    #[schema(value_type = f64, minimum = 0, maximum = 100)]
    pub pass_rate: Decimal,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
}

impl TestRunSummary {
    /// Puts a summary together.
    #[must_use]
    pub fn new(run: TestRun, summary: RunFigures, items: Vec<ItemFigures>) -> Self {
        Self {
            id: run.id,
            run_name: run.run_name,
            status: run.status,
            started_at: run.started_at,
            completed_at: run.completed_at,
            duration_ms: run.duration_ms,
            summary,
            items,
        }
    }
}
