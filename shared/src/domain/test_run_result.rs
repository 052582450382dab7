//! Results: one execution of an item, and everything it left behind.

mod counts;

use chrono::{DateTime, Utc};
use garde::Validate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::checkpoint_result::NewCheckpointResult;
use super::console_log::NewConsoleLog;
use super::network_log::NewNetworkLog;
use super::script_result::NewScriptResult;
use super::statistics::pass_rate;
use super::test_step_result::NewTestStepResult;
use super::text_enum::text_enum;
use super::validation::{
    MAX_LOG_LINES, MAX_ROWS, at_most_rows, between, count, decimal, duration, instant, rate, row_count, stored, text,
};

pub use counts::{Counts, ResultCounts};

text_enum! {
    /// How an execution, a step or a script ended.
    pub enum ResultStatus {
        /// It passed.
        Passed = "passed",
        /// It failed.
        Failed = "failed",
        /// It was skipped.
        Skipped = "skipped",
    }
}

/// A result as stored and as shown.
#[derive(Debug, Clone, Serialize, Deserialize, FromRow, ToSchema)]
pub struct TestRunResult {
    /// The result's id.
    pub id: Uuid,
    /// The run.
    pub test_run_id: Uuid,
    /// The item.
    pub test_run_item_id: Uuid,
    /// The test case.
    pub test_case_id: Uuid,
    /// 1 and up; null for a result that is not data-driven.
    pub iteration_number: Option<i32>,
    /// The row of the data table.
    pub data_row_index: Option<i32>,
    /// The data used, password-like values masked.
    pub data_row_values: Option<Value>,
    /// How it ended.
    pub status: ResultStatus,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
    /// Milliseconds.
    pub duration_ms: i64,
    /// Steps.
    pub total_steps: i32,
    /// Steps that passed.
    pub passed_steps: i32,
    /// Steps that failed.
    pub failed_steps: i32,
    /// Steps that were skipped.
    pub skipped_steps: i32,
    /// `passed_steps ÷ total_steps × 100`, two decimals.
    #[schema(value_type = f64, minimum = 0, maximum = 100)]
    pub pass_rate: Decimal,
    /// Checkpoints.
    pub total_checkpoints: i32,
    /// Checkpoints that passed.
    pub passed_checkpoints: i32,
    /// Checkpoints that failed.
    pub failed_checkpoints: i32,
    /// `passed_checkpoints ÷ total_checkpoints × 100`, two decimals.
    #[schema(value_type = f64, minimum = 0, maximum = 100)]
    pub checkpoint_pass_rate: Decimal,
    /// Scripts before the test.
    pub total_pre_scripts: i32,
    /// … that passed.
    pub passed_pre_scripts: i32,
    /// … that failed.
    pub failed_pre_scripts: i32,
    /// Scripts after the test.
    pub total_post_scripts: i32,
    /// … that passed.
    pub passed_post_scripts: i32,
    /// … that failed.
    pub failed_post_scripts: i32,
    /// Scripts attached to steps.
    pub total_on_demand_scripts: i32,
    /// … that passed.
    pub passed_on_demand_scripts: i32,
    /// … that failed.
    pub failed_on_demand_scripts: i32,
    /// A critical script before the test failed.
    pub pre_script_aborted: bool,
    /// Accessibility violations found.
    pub total_accessibility_violations: i32,
    /// Per page.
    pub accessibility_results: Option<Value>,
    /// What went wrong.
    pub error_message: Option<String>,
    /// In which step.
    pub error_step_number: Option<i32>,
    /// A label; the server never opens it.
    pub error_screenshot_path: Option<String>,
    /// Where the browser began.
    pub initial_url: Option<String>,
    /// Where it ended.
    pub final_url: Option<String>,
    /// A label; the server never opens it.
    pub results_folder: Option<String>,
    /// A label; the server never opens it.
    pub report_path: Option<String>,
    /// 0 is the first try.
    pub retry_attempt: i32,
    /// Performance figures of the client.
    pub racing_stats: Option<Value>,
    /// Where it ran.
    pub environment_info: Option<Value>,
    /// What was downloaded during the test.
    pub captured_downloads: Option<Value>,
    /// A label; the server never opens it.
    pub downloads_folder: Option<String>,
    /// When the server got it.
    pub created_at: DateTime<Utc>,
}

/// The body that submits a result, alone or with everything that belongs to it.
///
/// Counts that are left out are derived from the nested rows and from those that come later.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
pub struct NewTestRunResult {
    /// The run.
    #[garde(skip)]
    pub test_run_id: Uuid,
    /// The item of that run.
    #[garde(skip)]
    pub test_run_item_id: Uuid,
    /// The item's test case; may be left out.
    #[garde(skip)]
    pub test_case_id: Option<Uuid>,
    /// 1 to 1,000,000 for one row of a data-driven test.
    #[garde(custom(between(1, 1_000_000)))]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub iteration_number: Option<i32>,
    /// How many iterations there will be: 1 to 1,000,000.
    #[garde(custom(between(1, 1_000_000)))]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub total_iterations: Option<i32>,
    /// The row of the data table, from 0.
    #[garde(custom(count))]
    #[schema(minimum = 0)]
    pub data_row_index: Option<i32>,
    /// The data used. Values under password-like keys are masked before they are stored.
    #[garde(skip)]
    pub data_row_values: Option<Value>,
    /// How it ended.
    #[garde(skip)]
    pub status: ResultStatus,
    /// When it began.
    #[garde(custom(instant))]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    #[garde(custom(instant))]
    pub completed_at: Option<DateTime<Utc>>,
    /// Milliseconds; default `completed_at − started_at`.
    #[garde(custom(duration))]
    #[schema(minimum = 0)]
    pub duration_ms: Option<i64>,
    /// Steps.
    #[garde(custom(row_count))]
    #[schema(minimum = 0, maximum = 1000000)]
    pub total_steps: Option<i32>,
    /// Steps that passed.
    #[garde(custom(row_count))]
    #[schema(minimum = 0, maximum = 1000000)]
    pub passed_steps: Option<i32>,
    /// Steps that failed.
    #[garde(custom(row_count))]
    #[schema(minimum = 0, maximum = 1000000)]
    pub failed_steps: Option<i32>,
    /// Steps that were skipped.
    #[garde(custom(row_count))]
    #[schema(minimum = 0, maximum = 1000000)]
    pub skipped_steps: Option<i32>,
    /// Checked to be 0 to 100, and computed from the counts.
    #[serde(default, deserialize_with = "decimal")]
    #[garde(custom(rate))]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 100)]
    pub pass_rate: Option<Decimal>,
    /// Checkpoints.
    #[garde(custom(row_count))]
    #[schema(minimum = 0, maximum = 1000000)]
    pub total_checkpoints: Option<i32>,
    /// Checkpoints that passed.
    #[garde(custom(row_count))]
    #[schema(minimum = 0, maximum = 1000000)]
    pub passed_checkpoints: Option<i32>,
    /// Checkpoints that failed.
    #[garde(custom(row_count))]
    #[schema(minimum = 0, maximum = 1000000)]
    pub failed_checkpoints: Option<i32>,
    /// Checked to be 0 to 100, and computed from the counts.
    #[serde(default, deserialize_with = "decimal")]
    #[garde(custom(rate))]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 100)]
    pub checkpoint_pass_rate: Option<Decimal>,
    /// Scripts before the test.
    #[garde(custom(row_count))]
    #[schema(minimum = 0, maximum = 1000000)]
    pub total_pre_scripts: Option<i32>,
    /// … that passed.
    #[garde(custom(row_count))]
    #[schema(minimum = 0, maximum = 1000000)]
    pub passed_pre_scripts: Option<i32>,
    /// … that failed.
    #[garde(custom(row_count))]
    #[schema(minimum = 0, maximum = 1000000)]
    pub failed_pre_scripts: Option<i32>,
    /// Scripts after the test.
    #[garde(custom(row_count))]
    #[schema(minimum = 0, maximum = 1000000)]
    pub total_post_scripts: Option<i32>,
    /// … that passed.
    #[garde(custom(row_count))]
    #[schema(minimum = 0, maximum = 1000000)]
    pub passed_post_scripts: Option<i32>,
    /// … that failed.
    #[garde(custom(row_count))]
    #[schema(minimum = 0, maximum = 1000000)]
    pub failed_post_scripts: Option<i32>,
    /// Scripts attached to steps.
    #[garde(custom(row_count))]
    #[schema(minimum = 0, maximum = 1000000)]
    pub total_on_demand_scripts: Option<i32>,
    /// … that passed.
    #[garde(custom(row_count))]
    #[schema(minimum = 0, maximum = 1000000)]
    pub passed_on_demand_scripts: Option<i32>,
    /// … that failed.
    #[garde(custom(row_count))]
    #[schema(minimum = 0, maximum = 1000000)]
    pub failed_on_demand_scripts: Option<i32>,
    /// A critical script before the test failed; default: as the nested scripts say.
    #[garde(skip)]
    pub pre_script_aborted: Option<bool>,
    /// Accessibility violations found.
    #[garde(custom(row_count))]
    #[schema(minimum = 0, maximum = 1000000)]
    pub total_accessibility_violations: Option<i32>,
    /// Per page.
    #[garde(skip)]
    pub accessibility_results: Option<Value>,
    /// What went wrong.
    #[garde(custom(text(1_000_000)))]
    #[schema(max_length = 1000000)]
    pub error_message: Option<String>,
    /// In which step.
    #[garde(custom(count))]
    #[schema(minimum = 0)]
    pub error_step_number: Option<i32>,
    /// At most 500 characters.
    #[garde(custom(text(500)))]
    #[schema(max_length = 500)]
    pub error_screenshot_path: Option<String>,
    /// At most 2,000 characters.
    #[garde(custom(text(2_000)))]
    #[schema(max_length = 2000)]
    pub initial_url: Option<String>,
    /// At most 2,000 characters.
    #[garde(custom(text(2_000)))]
    #[schema(max_length = 2000)]
    pub final_url: Option<String>,
    /// At most 500 characters.
    #[garde(custom(text(500)))]
    #[schema(max_length = 500)]
    pub results_folder: Option<String>,
    /// At most 500 characters.
    #[garde(custom(text(500)))]
    #[schema(max_length = 500)]
    pub report_path: Option<String>,
    /// 0 is the first try; default the next free attempt.
    #[garde(custom(between(0, 1_000)))]
    #[schema(minimum = 0, maximum = 1000)]
    pub retry_attempt: Option<i32>,
    /// Performance figures of the client.
    #[garde(skip)]
    pub racing_stats: Option<Value>,
    /// Where it ran.
    #[garde(skip)]
    pub environment_info: Option<Value>,
    /// What was downloaded during the test.
    #[garde(skip)]
    pub captured_downloads: Option<Value>,
    /// At most 500 characters.
    #[garde(custom(text(500)))]
    #[schema(max_length = 500)]
    pub downloads_folder: Option<String>,
    /// At most 1,000 steps.
    #[serde(default)]
    #[garde(custom(at_most_rows(MAX_ROWS)), dive)]
    #[schema(max_items = 1000)]
    pub steps: Vec<NewTestStepResult>,
    /// At most 1,000 checkpoints.
    #[serde(default)]
    #[garde(custom(at_most_rows(MAX_ROWS)), dive)]
    #[schema(max_items = 1000)]
    pub checkpoints: Vec<NewCheckpointResult>,
    /// At most 1,000 scripts.
    #[serde(default)]
    #[garde(custom(at_most_rows(MAX_ROWS)), dive)]
    #[schema(max_items = 1000)]
    pub scripts: Vec<NewScriptResult>,
    /// At most 10,000 lines.
    #[serde(default)]
    #[garde(custom(at_most_rows(MAX_LOG_LINES)), dive)]
    #[schema(max_items = 10000)]
    pub console_logs: Vec<NewConsoleLog>,
    /// At most 10,000 requests.
    #[serde(default)]
    #[garde(custom(at_most_rows(MAX_LOG_LINES)), dive)]
    #[schema(max_items = 10000)]
    pub network_logs: Vec<NewNetworkLog>,
}

impl NewTestRunResult {
    /// The row to store.
    #[must_use]
    pub fn into_row(
        self,
        id: Uuid,
        test_case_id: Uuid,
        attempt: i32,
        counts: &ResultCounts,
        now: DateTime<Utc>,
    ) -> TestRunResult {
        let measured =
            self.started_at.zip(self.completed_at).map_or(0, |(start, end)| (end - start).num_milliseconds().max(0));
        TestRunResult {
            id,
            test_run_id: self.test_run_id,
            test_run_item_id: self.test_run_item_id,
            test_case_id,
            iteration_number: self.iteration_number,
            data_row_index: self.data_row_index,
            data_row_values: self.data_row_values,
            status: self.status,
            started_at: self.started_at.map(stored),
            completed_at: self.completed_at.map(stored),
            duration_ms: self.duration_ms.unwrap_or(measured),
            total_steps: counts.steps.total,
            passed_steps: counts.steps.passed,
            failed_steps: counts.steps.failed,
            skipped_steps: counts.steps.skipped,
            pass_rate: pass_rate(counts.steps.passed, counts.steps.total),
            total_checkpoints: counts.checkpoints.total,
            passed_checkpoints: counts.checkpoints.passed,
            failed_checkpoints: counts.checkpoints.failed,
            checkpoint_pass_rate: pass_rate(counts.checkpoints.passed, counts.checkpoints.total),
            total_pre_scripts: counts.pre_scripts.total,
            passed_pre_scripts: counts.pre_scripts.passed,
            failed_pre_scripts: counts.pre_scripts.failed,
            total_post_scripts: counts.post_scripts.total,
            passed_post_scripts: counts.post_scripts.passed,
            failed_post_scripts: counts.post_scripts.failed,
            total_on_demand_scripts: counts.on_demand_scripts.total,
            passed_on_demand_scripts: counts.on_demand_scripts.passed,
            failed_on_demand_scripts: counts.on_demand_scripts.failed,
            pre_script_aborted: counts.pre_script_aborted,
            total_accessibility_violations: self.total_accessibility_violations.unwrap_or(0),
            accessibility_results: self.accessibility_results,
            error_message: self.error_message,
            error_step_number: self.error_step_number,
            error_screenshot_path: self.error_screenshot_path,
            initial_url: self.initial_url,
            final_url: self.final_url,
            results_folder: self.results_folder,
            report_path: self.report_path,
            retry_attempt: attempt,
            racing_stats: self.racing_stats,
            environment_info: self.environment_info,
            captured_downloads: self.captured_downloads,
            downloads_folder: self.downloads_folder,
            created_at: now,
        }
    }
}
