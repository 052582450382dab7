//! The book of a test case's executions.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::test_run_result::ResultStatus;

/// One execution: a non-iterating result, or a data-driven item once it is final.
#[derive(Debug, Clone, Serialize, Deserialize, FromRow, ToSchema)]
pub struct TestExecutionHistory {
    /// The entry's id.
    pub id: Uuid,
    /// The run, unless it was purged.
    pub test_run_id: Option<Uuid>,
    /// The deciding result, unless it was purged.
    pub test_run_result_id: Option<Uuid>,
    /// The run's name at that time.
    pub run_name: Option<String>,
    /// How it ended.
    pub status: ResultStatus,
    /// When it was executed.
    pub executed_at: DateTime<Utc>,
    /// Milliseconds.
    pub duration_ms: i64,
    /// Steps.
    pub total_steps: i32,
    /// Steps that passed.
    pub passed_steps: i32,
    /// Steps that failed.
    pub failed_steps: i32,
    /// `passed_steps ÷ total_steps × 100`, two decimals.
    #[schema(value_type = f64, minimum = 0, maximum = 100)]
    pub pass_rate: Decimal,
    /// What went wrong.
    pub error_message: Option<String>,
    /// Whether a schedule made the run.
    pub is_scheduled: bool,
    /// When it was written down.
    pub created_at: DateTime<Utc>,
}

/// Figures over all executions of a test case.
#[derive(Debug, Clone, Serialize, Deserialize, FromRow, ToSchema)]
pub struct HistoryStatistics {
    /// All executions.
    pub total_executions: i64,
    /// Those that passed.
    pub passed: i64,
    /// Those that failed.
    pub failed: i64,
    /// Those that were skipped.
    pub skipped: i64,
    /// `passed ÷ total_executions × 100`, two decimals.
    #[schema(value_type = f64, minimum = 0, maximum = 100)]
    pub overall_pass_rate: Decimal,
    /// Milliseconds, rounded.
    pub avg_duration_ms: i64,
}

/// A test case's history: one page, and figures over all of it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CaseHistory {
    /// The test case.
    pub test_case_id: Uuid,
    /// Its name.
    pub test_case_name: String,
    /// Newest first.
    pub history: Vec<TestExecutionHistory>,
    /// How many executions there are.
    pub total: i64,
    /// The page size asked for.
    pub limit: i64,
    /// The rows passed over.
    pub offset: i64,
    /// Figures over all executions.
    pub statistics: HistoryStatistics,
}
