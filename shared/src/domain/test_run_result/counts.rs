//! The counts of a result: what the client states, and what the rows say where it states nothing.

use std::collections::BTreeMap;

use super::{NewTestRunResult, ResultStatus};
use crate::domain::checkpoint_result::CheckpointStatus;
use crate::domain::script_result::{NewScriptResult, ScriptType};
use crate::error::FieldError;

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
}

fn aborts(script: &NewScriptResult) -> bool {
    script.is_critical && script.script_type == ScriptType::PreExecution && script.status == ResultStatus::Failed
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::{Value, json};
    use uuid::Uuid;

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
