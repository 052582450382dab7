//! Results: one execution of an item, and everything it left behind.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use garde::Validate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::checkpoint_result::{CheckpointStatus, NewCheckpointResult};
use super::console_log::NewConsoleLog;
use super::network_log::NewNetworkLog;
use super::script_result::{NewScriptResult, ScriptType};
use super::statistics::pass_rate;
use super::test_step_result::NewTestStepResult;
use super::text_enum::text_enum;
use super::validation::{
    MAX_LOG_LINES, MAX_ROWS, at_most_rows, between, count, decimal, duration, instant, rate, row_count, stored, text,
};
use crate::error::FieldError;

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

/// Total, passed, failed and skipped of one kind of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub total: i32,
    /// Those that passed.
    pub passed: i32,
    /// Those that failed.
    pub failed: i32,
    /// Those that were skipped; a kind without "skipped" leaves it 0.
    pub skipped: i32,
}

impl Counts {
    fn of(statuses: impl Iterator<Item = ResultStatus>) -> Self {
        statuses.fold(Self::default(), |mut counts, status| {
            counts.total += 1;
            match status {
                ResultStatus::Passed => counts.passed += 1,
                ResultStatus::Failed => counts.failed += 1,
                ResultStatus::Skipped => counts.skipped += 1,
            }
            counts
        })
    }

    /// What the client said; where it said nothing, what the rows say.
    fn stated(self, total: Option<i32>, passed: Option<i32>, failed: Option<i32>, skipped: Option<i32>) -> Self {
        Self {
            total: total.unwrap_or(self.total),
            passed: passed.unwrap_or(self.passed),
            failed: failed.unwrap_or(self.failed),
            skipped: skipped.unwrap_or(self.skipped),
        }
    }

    fn check(self, field: &str, errors: &mut Vec<FieldError>) {
        let parts = i64::from(self.passed) + i64::from(self.failed) + i64::from(self.skipped);
        if parts > i64::from(self.total) {
            errors
                .push(FieldError::new(field, format!("Must be at least passed + failed + skipped, which is {parts}")));
        }
    }
}

/// All counts of a result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResultCounts {
    /// Steps.
    pub steps: Counts,
    /// Checkpoints.
    pub checkpoints: Counts,
    /// Scripts before the test.
    pub pre_scripts: Counts,
    /// Scripts after the test.
    pub post_scripts: Counts,
    /// Scripts attached to steps.
    pub on_demand_scripts: Counts,
    /// Whether a critical script before the test failed.
    pub pre_script_aborted: bool,
}

impl NewTestRunResult {
    /// The counts that the client stated itself, by column; the others follow the rows, also those that come later.
    #[must_use]
    pub fn stated_counts(&self) -> Option<BTreeMap<&'static str, i32>> {
        let counts = [
            ("total_steps", self.total_steps),
            ("passed_steps", self.passed_steps),
            ("failed_steps", self.failed_steps),
            ("skipped_steps", self.skipped_steps),
            ("total_checkpoints", self.total_checkpoints),
            ("passed_checkpoints", self.passed_checkpoints),
            ("failed_checkpoints", self.failed_checkpoints),
            ("total_pre_scripts", self.total_pre_scripts),
            ("passed_pre_scripts", self.passed_pre_scripts),
            ("failed_pre_scripts", self.failed_pre_scripts),
            ("total_post_scripts", self.total_post_scripts),
            ("passed_post_scripts", self.passed_post_scripts),
            ("failed_post_scripts", self.failed_post_scripts),
            ("total_on_demand_scripts", self.total_on_demand_scripts),
            ("passed_on_demand_scripts", self.passed_on_demand_scripts),
            ("failed_on_demand_scripts", self.failed_on_demand_scripts),
        ];
        let stated: BTreeMap<_, _> = counts.into_iter().filter_map(|(name, count)| Some((name, count?))).collect();
        (!stated.is_empty()).then_some(stated)
    }

    /// Every count, stated or derived from the nested rows.
    ///
    /// # Errors
    /// One [`FieldError`] for each total that is smaller than its parts.
    pub fn counts(&self) -> Result<ResultCounts, Vec<FieldError>> {
        let scripts = |kind: ScriptType| {
            Counts::of(self.scripts.iter().filter(|script| script.script_type == kind).map(|script| script.status))
        };
        let mut counts = ResultCounts {
            steps: Counts::of(self.steps.iter().map(|step| step.status)).stated(
                self.total_steps,
                self.passed_steps,
                self.failed_steps,
                self.skipped_steps,
            ),
            checkpoints: Counts::of(self.checkpoints.iter().map(|checkpoint| match checkpoint.status {
                CheckpointStatus::Passed => ResultStatus::Passed,
                CheckpointStatus::Failed => ResultStatus::Failed,
            }))
            .stated(self.total_checkpoints, self.passed_checkpoints, self.failed_checkpoints, None),
            pre_scripts: scripts(ScriptType::PreExecution).stated(
                self.total_pre_scripts,
                self.passed_pre_scripts,
                self.failed_pre_scripts,
                None,
            ),
            post_scripts: scripts(ScriptType::PostExecution).stated(
                self.total_post_scripts,
                self.passed_post_scripts,
                self.failed_post_scripts,
                None,
            ),
            on_demand_scripts: scripts(ScriptType::OnDemand).stated(
                self.total_on_demand_scripts,
                self.passed_on_demand_scripts,
                self.failed_on_demand_scripts,
                None,
            ),
            pre_script_aborted: self.pre_script_aborted.unwrap_or_else(|| self.scripts.iter().any(aborts)),
        };
        for kind in [&mut counts.pre_scripts, &mut counts.post_scripts, &mut counts.on_demand_scripts] {
            kind.skipped = 0;
        }
        let mut errors = Vec::new();
        counts.steps.check("total_steps", &mut errors);
        counts.checkpoints.check("total_checkpoints", &mut errors);
        counts.pre_scripts.check("total_pre_scripts", &mut errors);
        counts.post_scripts.check("total_post_scripts", &mut errors);
        counts.on_demand_scripts.check("total_on_demand_scripts", &mut errors);
        if errors.is_empty() { Ok(counts) } else { Err(errors) }
    }

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

fn aborts(script: &NewScriptResult) -> bool {
    script.is_critical && script.script_type == ScriptType::PreExecution && script.status == ResultStatus::Failed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(extra: &Value) -> NewTestRunResult {
        let mut body = json!({
            "test_run_id": Uuid::nil(), "test_run_item_id": Uuid::nil(), "status": "passed",
            "steps": [
                {"step_number": 1, "action": "click", "status": "passed"},
                {"step_number": 2, "action": "fill", "status": "skipped"},
            ],
            "scripts": [{"script_name": "s", "script_type": "pre_execution", "status": "failed", "is_critical": true}],
        });
        body.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        serde_json::from_value(body).expect("a valid body")
    }

    #[test]
    fn counts_that_are_left_out_follow_the_rows() {
        let body = body(&json!({}));
        let counts = body.counts().expect("consistent");
        assert_eq!(counts.steps, Counts { total: 2, passed: 1, failed: 0, skipped: 1 });
        assert_eq!(counts.pre_scripts, Counts { total: 1, passed: 0, failed: 1, skipped: 0 });
        assert_eq!(body.stated_counts(), None);
        let row = body.into_row(Uuid::nil(), Uuid::nil(), 0, &counts, DateTime::UNIX_EPOCH);
        assert!(row.pre_script_aborted);
        assert_eq!(row.pass_rate.to_string(), "50");
    }

    #[test]
    fn a_total_smaller_than_its_parts_is_named() {
        let errors = body(&json!({"total_steps": 1, "passed_steps": 2})).counts().expect_err("inconsistent");
        assert_eq!(errors[0].field, "total_steps");
    }

    #[test]
    fn a_huge_count_does_not_overflow() {
        let extra = json!({"total_steps": i32::MAX, "passed_steps": i32::MAX, "failed_steps": i32::MAX});
        assert!(body(&extra).counts().is_err());
    }
}
