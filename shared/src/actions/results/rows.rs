//! The rows under a result, made of what the client sent and checked against each other.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db;
use crate::domain::checkpoint_result::{CheckpointResult, NewCheckpointResult};
use crate::domain::console_log::{ConsoleLog, NewConsoleLog};
use crate::domain::network_log::{NetworkLog, NewNetworkLog};
use crate::domain::script_result::{NewScriptResult, ScriptResult};
use crate::domain::test_run_result::NewTestRunResult;
use crate::domain::test_step_result::{NewTestStepResult, TestStepResult};
use crate::error::{Error, FieldError, Result};

/// What came nested in a result.
pub(super) struct Nested {
    steps: Vec<NewTestStepResult>,
    checkpoints: Vec<NewCheckpointResult>,
    scripts: Vec<NewScriptResult>,
    console_logs: Vec<NewConsoleLog>,
    network_logs: Vec<NewNetworkLog>,
}

impl Nested {
    pub(super) fn take(body: &mut NewTestRunResult) -> Self {
        Self {
            steps: std::mem::take(&mut body.steps),
            checkpoints: std::mem::take(&mut body.checkpoints),
            scripts: std::mem::take(&mut body.scripts),
            console_logs: std::mem::take(&mut body.console_logs),
            network_logs: std::mem::take(&mut body.network_logs),
        }
    }

    /// Adds the rows to those of other results; none if any of them breaks a rule.
    pub(super) async fn into_rows(
        self,
        conn: &mut PgConnection,
        project_id: Uuid,
        result_id: Uuid,
        now: DateTime<Utc>,
        rows: &mut NestedRows,
    ) -> Result<()> {
        let steps = steps(result_id, self.steps, now)?;
        let numbers: Vec<_> = steps.iter().map(|step| (step.step_number, step.id)).collect();
        let indexed = |kind: &'static str| move |index: usize, field: &str| format!("{kind}[{index}].{field}");
        let checkpoints = checkpoints(result_id, self.checkpoints, &numbers, indexed("checkpoints"), now)?;
        let scripts = scripts(conn, project_id, result_id, self.scripts, indexed("scripts"), now).await?;
        rows.steps.extend(steps);
        rows.checkpoints.extend(checkpoints);
        rows.scripts.extend(scripts);
        rows.console_logs.extend(self.console_logs.into_iter().map(|log| log.into_row(result_id, now)));
        rows.network_logs.extend(self.network_logs.into_iter().map(|log| log.into_row(result_id, now)));
        Ok(())
    }
}

/// The rows under results that are stored together.
#[derive(Default)]
pub(super) struct NestedRows {
    steps: Vec<TestStepResult>,
    checkpoints: Vec<CheckpointResult>,
    scripts: Vec<ScriptResult>,
    console_logs: Vec<ConsoleLog>,
    network_logs: Vec<NetworkLog>,
}

impl NestedRows {
    /// Stores them under their results, in a statement for each table that gets any.
    pub(super) async fn insert(&self, conn: &mut PgConnection) -> sqlx::Result<()> {
        if !self.steps.is_empty() {
            db::test_step_results::insert(&mut *conn, &self.steps).await?;
        }
        if !self.checkpoints.is_empty() {
            db::checkpoint_results::insert(&mut *conn, &self.checkpoints).await?;
        }
        if !self.scripts.is_empty() {
            db::script_results::insert(&mut *conn, &self.scripts).await?;
        }
        if !self.console_logs.is_empty() {
            db::console_logs::insert(&mut *conn, &self.console_logs).await?;
        }
        if !self.network_logs.is_empty() {
            db::network_logs::insert(&mut *conn, &self.network_logs).await?;
        }
        Ok(())
    }
}

/// Steps, whose numbers must differ.
pub(super) fn steps(result_id: Uuid, steps: Vec<NewTestStepResult>, now: DateTime<Utc>) -> Result<Vec<TestStepResult>> {
    let mut seen = HashMap::new();
    for (index, step) in steps.iter().enumerate() {
        if let Some(first) = seen.insert(step.step_number, index) {
            let message = format!("Is the same as steps[{first}].step_number");
            return Err(Error::invalid(format!("steps[{index}].step_number"), message));
        }
    }
    Ok(steps.into_iter().map(|step| step.into_row(result_id, now)).collect())
}

/// Checkpoints, whose steps must be among these: numbers and ids of steps of the same result.
pub(super) fn checkpoints(
    result_id: Uuid,
    checkpoints: Vec<NewCheckpointResult>,
    steps: &[(i32, Uuid)],
    field: impl Fn(usize, &str) -> String,
    now: DateTime<Utc>,
) -> Result<Vec<CheckpointResult>> {
    let by_number: HashMap<i32, Uuid> = steps.iter().copied().collect();
    let ids: HashSet<Uuid> = by_number.values().copied().collect();
    let mut rows = Vec::with_capacity(checkpoints.len());
    for (index, checkpoint) in checkpoints.into_iter().enumerate() {
        let step_id = match (checkpoint.test_step_result_id, checkpoint.step_number) {
            (Some(id), _) if !ids.contains(&id) => {
                return Err(Error::invalid(
                    field(index, "test_step_result_id"),
                    format!("Must be a step of this result: {id}"),
                ));
            }
            (Some(id), _) => Some(id),
            (None, Some(number)) => Some(*by_number.get(&number).ok_or_else(|| {
                Error::Invalid(vec![FieldError::new(
                    field(index, "step_number"),
                    format!("This result has no step {number}"),
                )])
            })?),
            (None, None) => None,
        };
        rows.push(checkpoint.into_row(result_id, step_id, now));
    }
    Ok(rows)
}

/// Results of scripts, which must be the project's.
pub(super) async fn scripts(
    conn: &mut PgConnection,
    project_id: Uuid,
    result_id: Uuid,
    scripts: Vec<NewScriptResult>,
    field: impl Fn(usize, &str) -> String,
    now: DateTime<Utc>,
) -> Result<Vec<ScriptResult>> {
    let ids: Vec<Uuid> = scripts.iter().filter_map(|script| script.test_script_id).collect();
    if !ids.is_empty() {
        let foreign = db::script_results::foreign(conn, project_id, &ids).await?;
        for (index, script) in scripts.iter().enumerate() {
            if let Some(id) = script.test_script_id.filter(|id| foreign.contains(id)) {
                let message = format!("Test script not found: {id}");
                return Err(Error::invalid(field(index, "test_script_id"), message));
            }
        }
    }
    Ok(scripts.into_iter().map(|script| script.into_row(result_id, now)).collect())
}
