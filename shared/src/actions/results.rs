//! Results, and the steps, checkpoints and logs that come with them or later.
//!
//! The hot path: it passes the run's gate, which only a refresh closes, and locks its item and nothing wider (design,
//! rule 5). The run's row is only read; its counts are the worker's business.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::request_refresh;
use crate::auth::Caller;
use crate::db;
use crate::db::constraints::{OnConstraint, STEP_NUMBER};
use crate::db::execution_history::NewHistory;
use crate::db::test_run_results::ResultRow;
use crate::db::test_runs::RunGuard;
use crate::domain::checkpoint_result::{CheckpointResult, NewCheckpointResult};
use crate::domain::console_log::{AddedLogs, NewConsoleLog};
use crate::domain::masking;
use crate::domain::network_log::NewNetworkLog;
use crate::domain::script_result::{NewScriptResult, ScriptResult};
use crate::domain::test_run::RunStatus;
use crate::domain::test_run_item::{Derived, ItemStatus, Outcome, TestRunItem, derive};
use crate::domain::test_run_result::{NewTestRunResult, ResultStatus, TestRunResult};
use crate::domain::test_step_result::{AddedSteps, NewTestStepResult, TestStepResult};
use crate::error::{Error, FieldError, Result};

/// Stores a result with everything nested in it, and what follows from it for its item.
///
/// # Errors
/// [`Error::NotFound`] for an item that the project's run does not have; [`Error::InvalidState`] unless the run is
/// running and the item unfinished; [`Error::Conflict`] if the attempt has its result; [`Error::Invalid`] for counts
/// that do not add up and for references to steps that are not there.
pub async fn submit(db: impl db::Source<'_>, caller: &Caller, mut body: NewTestRunResult) -> Result<TestRunResult> {
    let counts = body.counts().map_err(Error::Invalid)?;
    let mut tx = db.begin().await?;
    db::test_runs::pass_gate(&mut *tx, body.test_run_id).await?;
    let item = db::test_run_items::lock(&mut *tx, caller.project_id, body.test_run_id, body.test_run_item_id)
        .await?
        .ok_or_else(|| Error::not_found("Test run item", body.test_run_item_id))?;
    if body.test_case_id.is_some_and(|case| case != item.test_case_id) {
        return Err(Error::invalid("test_case_id", format!("Must be the item's test case: {}", item.test_case_id)));
    }
    // Read after the item is locked: whoever ends the run needs that lock, too, so this is the status that counts.
    let run = running(&mut tx, item.test_run_id).await?;
    let earlier = db::test_run_results::outcomes(&mut *tx, item.id).await?;
    let attempt = next_attempt(&item, &earlier, &body)?;

    let stated_counts = body.stated_counts();
    let total_iterations = body.total_iterations.unwrap_or(item.total_iterations);
    let nested = Nested::take(&mut body);
    body.data_row_values = body.data_row_values.map(masking::data_row);
    let now = db::now(&mut *tx).await?;
    let result = body.into_row(Uuid::now_v7(), item.test_case_id, attempt, &counts, now);
    db::test_run_results::insert(&mut *tx, &ResultRow { result: &result, stated_counts }).await?;
    nested.insert(&mut tx, caller, result.id, now).await?;

    settle(&mut tx, &item, &run, total_iterations).await?;
    request_refresh(&mut tx, item.test_run_id).await?;
    tx.commit().await?;
    Ok(result)
}

/// Adds steps to a result; its counts and its item's follow, but those that the client stated.
///
/// # Errors
/// [`Error::NotFound`] for the result; [`Error::Conflict`] if a step number is taken.
pub async fn add_steps(
    db: impl db::Source<'_>,
    caller: &Caller,
    result_id: Uuid,
    steps: Vec<NewTestStepResult>,
) -> Result<AddedSteps> {
    let mut tx = db.begin().await?;
    let item = lock_of_result(&mut tx, caller, result_id).await?;
    let now = db::now(&mut *tx).await?;
    let items = insert_steps(&mut tx, result_id, steps, now).await?;
    db::test_run_results::recount_steps(&mut *tx, result_id).await?;
    resettle(&mut tx, &item).await?;
    tx.commit().await?;
    Ok(AddedSteps { total_added: items.len(), items })
}

/// Adds a checkpoint to a result; counts follow as for steps.
///
/// # Errors
/// [`Error::NotFound`] for the result; [`Error::Invalid`] for a step that is not the result's.
pub async fn add_checkpoint(
    db: impl db::Source<'_>,
    caller: &Caller,
    result_id: Uuid,
    checkpoint: NewCheckpointResult,
) -> Result<CheckpointResult> {
    let mut tx = db.begin().await?;
    let item = lock_of_result(&mut tx, caller, result_id).await?;
    let now = db::now(&mut *tx).await?;
    let mut rows = insert_checkpoints(&mut tx, result_id, vec![checkpoint], |_, field| field.to_owned(), now).await?;
    db::test_run_results::recount_checkpoints(&mut *tx, result_id).await?;
    resettle(&mut tx, &item).await?;
    tx.commit().await?;
    rows.pop().ok_or_else(|| Error::not_found("Test run result", result_id))
}

/// Adds console lines to a result.
///
/// # Errors
/// [`Error::NotFound`] for the result.
pub async fn add_console_logs(
    db: impl db::Source<'_>,
    caller: &Caller,
    result_id: Uuid,
    logs: Vec<NewConsoleLog>,
) -> Result<AddedLogs> {
    let mut tx = db.begin().await?;
    let item = lock_of_result(&mut tx, caller, result_id).await?;
    let now = db::now(&mut *tx).await?;
    let rows: Vec<_> = logs.into_iter().map(|log| log.into_row(result_id, now)).collect();
    db::console_logs::insert(&mut *tx, &rows).await?;
    // A log line is a sign of life, too.
    request_refresh(&mut tx, item.test_run_id).await?;
    tx.commit().await?;
    Ok(AddedLogs { total_added: rows.len() })
}

/// Adds a script's result to a result; counts follow as for steps.
///
/// # Errors
/// [`Error::NotFound`] for the result; [`Error::Invalid`] for a script that is not the project's.
pub async fn add_script(
    db: impl db::Source<'_>,
    caller: &Caller,
    result_id: Uuid,
    script: NewScriptResult,
) -> Result<ScriptResult> {
    let mut tx = db.begin().await?;
    let item = lock_of_result(&mut tx, caller, result_id).await?;
    let now = db::now(&mut *tx).await?;
    let mut rows = insert_scripts(&mut tx, caller, result_id, vec![script], |_, field| field.to_owned(), now).await?;
    db::test_run_results::recount_scripts(&mut *tx, result_id).await?;
    request_refresh(&mut tx, item.test_run_id).await?;
    tx.commit().await?;
    rows.pop().ok_or_else(|| Error::not_found("Test run result", result_id))
}

/// Adds requests that the browser made to a result.
///
/// # Errors
/// [`Error::NotFound`] for the result.
pub async fn add_network_logs(
    db: impl db::Source<'_>,
    caller: &Caller,
    result_id: Uuid,
    logs: Vec<NewNetworkLog>,
) -> Result<AddedLogs> {
    let mut tx = db.begin().await?;
    let item = lock_of_result(&mut tx, caller, result_id).await?;
    let now = db::now(&mut *tx).await?;
    let rows: Vec<_> = logs.into_iter().map(|log| log.into_row(result_id, now)).collect();
    db::network_logs::insert(&mut *tx, &rows).await?;
    request_refresh(&mut tx, item.test_run_id).await?;
    tx.commit().await?;
    Ok(AddedLogs { total_added: rows.len() })
}

/// The rows that came nested in a result.
struct Nested {
    steps: Vec<NewTestStepResult>,
    checkpoints: Vec<NewCheckpointResult>,
    scripts: Vec<NewScriptResult>,
    console_logs: Vec<NewConsoleLog>,
    network_logs: Vec<NewNetworkLog>,
}

impl Nested {
    fn take(body: &mut NewTestRunResult) -> Self {
        Self {
            steps: std::mem::take(&mut body.steps),
            checkpoints: std::mem::take(&mut body.checkpoints),
            scripts: std::mem::take(&mut body.scripts),
            console_logs: std::mem::take(&mut body.console_logs),
            network_logs: std::mem::take(&mut body.network_logs),
        }
    }

    async fn insert(self, conn: &mut PgConnection, caller: &Caller, result_id: Uuid, now: DateTime<Utc>) -> Result<()> {
        if !self.steps.is_empty() {
            insert_steps(conn, result_id, self.steps, now).await?;
        }
        if !self.checkpoints.is_empty() {
            let indexed = self.checkpoints;
            insert_checkpoints(conn, result_id, indexed, |index, field| format!("checkpoints[{index}].{field}"), now)
                .await?;
        }
        if !self.scripts.is_empty() {
            insert_scripts(
                conn,
                caller,
                result_id,
                self.scripts,
                |index, field| format!("scripts[{index}].{field}"),
                now,
            )
            .await?;
        }
        if !self.console_logs.is_empty() {
            let rows: Vec<_> = self.console_logs.into_iter().map(|log| log.into_row(result_id, now)).collect();
            db::console_logs::insert(&mut *conn, &rows).await?;
        }
        if !self.network_logs.is_empty() {
            let rows: Vec<_> = self.network_logs.into_iter().map(|log| log.into_row(result_id, now)).collect();
            db::network_logs::insert(&mut *conn, &rows).await?;
        }
        Ok(())
    }
}

async fn running(conn: &mut PgConnection, run_id: Uuid) -> Result<RunGuard> {
    let run = db::test_runs::guard(conn, run_id).await?;
    if run.status != RunStatus::Running {
        return Err(Error::InvalidState(format!("Cannot submit result: test run status is '{}'", run.status)));
    }
    Ok(run)
}

/// The attempt that a result is: the one it names if that is free, or the next free one.
fn next_attempt(item: &TestRunItem, earlier: &[Outcome], body: &NewTestRunResult) -> Result<i32> {
    let taken = || {
        earlier
            .iter()
            .filter(|outcome| outcome.iteration_number == body.iteration_number)
            .map(|outcome| outcome.retry_attempt)
    };
    if let Some(attempt) = body.retry_attempt
        && taken().any(|other| other == attempt)
    {
        return Err(Error::Conflict(format!("Attempt {attempt} of this test run item already has its result")));
    }
    if item.status.is_final() {
        return Err(Error::InvalidState(format!("Cannot submit result: test run item status is '{}'", item.status)));
    }
    if body.iteration_number.is_some() != item.is_data_driven && !earlier.is_empty() {
        return Err(Error::invalid(
            "iteration_number",
            if item.is_data_driven { "Is required: the item is data-driven" } else { "The item is not data-driven" },
        ));
    }
    Ok(body.retry_attempt.unwrap_or_else(|| taken().max().map_or(0, |last| last.saturating_add(1))))
}

async fn lock_of_result(conn: &mut PgConnection, caller: &Caller, result_id: Uuid) -> Result<TestRunItem> {
    db::test_run_results::pass_gate(&mut *conn, result_id).await?;
    db::test_run_items::lock_of_result(conn, caller.project_id, result_id)
        .await?
        .ok_or_else(|| Error::not_found("Test run result", result_id))
}

async fn insert_steps(
    conn: &mut PgConnection,
    result_id: Uuid,
    steps: Vec<NewTestStepResult>,
    now: DateTime<Utc>,
) -> Result<Vec<TestStepResult>> {
    let mut seen = HashMap::new();
    for (index, step) in steps.iter().enumerate() {
        if let Some(first) = seen.insert(step.step_number, index) {
            let message = format!("Is the same as steps[{first}].step_number");
            return Err(Error::invalid(format!("steps[{index}].step_number"), message));
        }
    }
    let rows: Vec<_> = steps.into_iter().map(|step| step.into_row(result_id, now)).collect();
    db::test_step_results::insert(conn, &rows).await.on_constraint(STEP_NUMBER, || {
        Error::Conflict("A step with this number already exists in this result".to_owned())
    })?;
    Ok(rows)
}

async fn insert_checkpoints(
    conn: &mut PgConnection,
    result_id: Uuid,
    checkpoints: Vec<NewCheckpointResult>,
    field: impl Fn(usize, &str) -> String,
    now: DateTime<Utc>,
) -> Result<Vec<CheckpointResult>> {
    let numbers: Vec<i32> = checkpoints.iter().filter_map(|checkpoint| checkpoint.step_number).collect();
    let steps: HashMap<i32, Uuid> =
        db::test_step_results::ids_by_number(&mut *conn, result_id, &numbers).await?.into_iter().collect();
    let mut rows = Vec::with_capacity(checkpoints.len());
    for (index, checkpoint) in checkpoints.into_iter().enumerate() {
        let step_id = match (checkpoint.test_step_result_id, checkpoint.step_number) {
            (Some(id), _) if !db::test_step_results::belongs(&mut *conn, result_id, id).await? => {
                return Err(Error::invalid(
                    field(index, "test_step_result_id"),
                    format!("Must be a step of this result: {id}"),
                ));
            }
            (Some(id), _) => Some(id),
            (None, Some(number)) => Some(*steps.get(&number).ok_or_else(|| {
                Error::Invalid(vec![FieldError::new(
                    field(index, "step_number"),
                    format!("This result has no step {number}"),
                )])
            })?),
            (None, None) => None,
        };
        rows.push(checkpoint.into_row(result_id, step_id, now));
    }
    db::checkpoint_results::insert(conn, &rows).await?;
    Ok(rows)
}

async fn insert_scripts(
    conn: &mut PgConnection,
    caller: &Caller,
    result_id: Uuid,
    scripts: Vec<NewScriptResult>,
    field: impl Fn(usize, &str) -> String,
    now: DateTime<Utc>,
) -> Result<Vec<ScriptResult>> {
    let ids: Vec<Uuid> = scripts.iter().filter_map(|script| script.test_script_id).collect();
    let foreign = db::script_results::foreign(&mut *conn, caller.project_id, &ids).await?;
    for (index, script) in scripts.iter().enumerate() {
        if let Some(id) = script.test_script_id.filter(|id| foreign.contains(id)) {
            let message = format!("Test script not found: {id}");
            return Err(Error::invalid(field(index, "test_script_id"), message));
        }
    }
    let rows: Vec<_> = scripts.into_iter().map(|script| script.into_row(result_id, now)).collect();
    db::script_results::insert(conn, &rows).await?;
    Ok(rows)
}

/// Brings a locked item up to date with its results, and the case's history with them.
///
/// An item that somebody else made final, by stopping the run for instance, stays as it is.
async fn settle(conn: &mut PgConnection, item: &TestRunItem, run: &RunGuard, total_iterations: i32) -> Result<()> {
    let outcomes = db::test_run_results::outcomes(&mut *conn, item.id).await?;
    let Some(derived) = derive(&outcomes, run.retry, total_iterations) else { return Ok(()) };
    if !item.status.is_final() || item.status == derived.status {
        db::test_run_items::save_derived(&mut *conn, item.id, &derived, total_iterations).await?;
    }
    write_history(conn, item, run, &derived, &outcomes).await
}

/// Brings a locked item up to date with the results it has, after something else about it changed.
pub(super) async fn settle_item(conn: &mut PgConnection, item: &TestRunItem) -> Result<()> {
    if item.status.is_final() {
        return Ok(());
    }
    let run = db::test_runs::guard(&mut *conn, item.test_run_id).await?;
    settle(conn, item, &run, item.total_iterations).await
}

/// Like [`settle`], for rows that came after their result.
async fn resettle(conn: &mut PgConnection, item: &TestRunItem) -> Result<()> {
    let run = db::test_runs::guard(&mut *conn, item.test_run_id).await?;
    settle(conn, item, &run, item.total_iterations).await?;
    request_refresh(conn, item.test_run_id).await
}

/// One entry per execution: each non-iterating result, and a data-driven item once it is final (decisions).
async fn write_history(
    conn: &mut PgConnection,
    item: &TestRunItem,
    run: &RunGuard,
    derived: &Derived,
    outcomes: &[Outcome],
) -> Result<()> {
    let entry = |outcome: &Outcome, status, duration_ms, steps| NewHistory {
        test_case_id: item.test_case_id,
        test_run_id: item.test_run_id,
        test_run_result_id: outcome.id,
        status,
        executed_at: outcome.started_at.unwrap_or(outcome.created_at),
        duration_ms,
        steps,
        error_message: None,
        run_name: &run.run_name,
        is_scheduled: run.is_scheduled,
    };
    if derived.is_data_driven {
        let status = match derived.status {
            ItemStatus::Passed => ResultStatus::Passed,
            ItemStatus::Failed => ResultStatus::Failed,
            ItemStatus::Skipped => ResultStatus::Skipped,
            ItemStatus::Pending | ItemStatus::Queued | ItemStatus::Running | ItemStatus::NoRun => return Ok(()),
        };
        let Some(outcome) = outcomes.iter().find(|outcome| outcome.id == derived.decided_by) else { return Ok(()) };
        let [total, passed, failed, _] = derived.steps;
        let entry = NewHistory {
            error_message: derived.error_message.as_deref(),
            ..entry(outcome, status, derived.duration_ms, [total, passed, failed])
        };
        return Ok(db::execution_history::upsert(conn, &entry).await?);
    }
    for outcome in outcomes {
        let steps = [outcome.total_steps, outcome.passed_steps, outcome.failed_steps];
        let entry = NewHistory {
            error_message: outcome.error_message.as_deref(),
            ..entry(outcome, outcome.status, outcome.duration_ms, steps)
        };
        db::execution_history::upsert(&mut *conn, &entry).await?;
    }
    Ok(())
}
