//! Results, and the steps, checkpoints and logs that come with them or later.
//!
//! The hot path: it passes the run's gate, which only a refresh closes, and locks its item and nothing wider (design,
//! rule 5). The run's row is only read; its counts are the worker's business.

mod rows;

use sqlx::PgConnection;
use uuid::Uuid;

use rows::Nested;

use super::request_refresh;
use crate::auth::Caller;
use crate::db;
use crate::db::constraints::{OnConstraint, STEP_NUMBER};
use crate::db::execution_history::HistoryRow;
use crate::db::test_run_results::ResultRow;
use crate::db::test_runs::RunGuard;
use crate::domain::checkpoint_result::{CheckpointResult, NewCheckpointResult};
use crate::domain::console_log::{AddedLogs, NewConsoleLog};
use crate::domain::masking;
use crate::domain::network_log::NewNetworkLog;
use crate::domain::script_result::{NewScriptResult, ScriptResult};
use crate::domain::statistics::pass_rate;
use crate::domain::test_run::RunStatus;
use crate::domain::test_run_item::{Derived, ItemStatus, Outcome, TestRunItem, derive};
use crate::domain::test_run_result::{NewTestRunResult, ResultStatus, TestRunResult};
use crate::domain::test_step_result::{AddedSteps, NewTestStepResult};
use crate::error::{Error, Result};

/// Stores a result with everything nested in it, and what follows from it for its item.
///
/// # Errors
/// [`Error::NotFound`] for an item that the project's run does not have; [`Error::InvalidState`] unless the run is
/// running and the item unfinished; [`Error::Conflict`] if the attempt has its result; [`Error::Invalid`] for counts
/// that do not add up and for references to steps that are not there.
pub async fn submit(db: impl db::Source<'_>, caller: &Caller, mut body: NewTestRunResult) -> Result<TestRunResult> {
    let counts = body.counts().map_err(Error::Invalid)?;
    let mut tx = db.begin().await?;
    let item =
        db::test_run_items::lock_behind_gate(&mut *tx, caller.project_id, body.test_run_id, body.test_run_item_id)
            .await?
            .ok_or_else(|| Error::not_found("Test run item", body.test_run_item_id))?;
    if body.test_case_id.is_some_and(|case| case != item.test_case_id) {
        return Err(Error::invalid("test_case_id", format!("Must be the item's test case: {}", item.test_case_id)));
    }
    // Read after the item is locked: whoever ends the run needs that lock, too, so this is the status that counts.
    let run = running(&mut tx, item.test_run_id).await?;
    let mut outcomes = outcomes(&mut tx, &item).await?;
    let attempt = next_attempt(&item, &outcomes, &body)?;

    let stated_counts = body.stated_counts();
    let total_iterations = body.total_iterations.unwrap_or(item.total_iterations);
    let nested = Nested::take(&mut body);
    body.data_row_values = body.data_row_values.map(masking::data_row);
    let result = body.into_row(Uuid::now_v7(), item.test_case_id, attempt, &counts, run.now);
    let rows = nested.into_rows(&mut tx, caller, result.id, run.now).await?;
    outcomes.push(Outcome::from(&result));
    let derived = derive(&outcomes, run.retry, total_iterations);
    let history = derived.as_ref().and_then(|derived| history(&item, &run, derived, &outcomes, Some(result.id)));
    let row = ResultRow { result: &result, stated_counts };
    db::test_run_results::insert(&mut *tx, &row, &rows, history.as_ref()).await?;
    if let Some(derived) = &derived {
        save(&mut tx, &item, derived, total_iterations).await?;
    }
    if !run.awaits_refresh {
        request_refresh(&mut tx, item.test_run_id).await?;
    }
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
    let items = rows::steps(result_id, steps, now)?;
    db::test_step_results::insert(&mut *tx, &items).await.on_constraint(STEP_NUMBER, || {
        Error::Conflict("A step with this number already exists in this result".to_owned())
    })?;
    db::test_run_results::recount_steps(&mut *tx, result_id).await?;
    resettle(&mut tx, &item, result_id).await?;
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
    let (numbers, ids) = (checkpoint.step_number.as_slice(), checkpoint.test_step_result_id.as_slice());
    let steps = db::test_step_results::named(&mut *tx, result_id, numbers, ids).await?;
    let mut rows = rows::checkpoints(result_id, vec![checkpoint], &steps, |_, field| field.to_owned(), now)?;
    db::checkpoint_results::insert(&mut *tx, &rows).await?;
    db::test_run_results::recount_checkpoints(&mut *tx, result_id).await?;
    resettle(&mut tx, &item, result_id).await?;
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
    let mut rows = rows::scripts(&mut tx, caller, result_id, vec![script], |_, field| field.to_owned(), now).await?;
    db::script_results::insert(&mut *tx, &rows).await?;
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

/// What a locked item's results say so far.
async fn outcomes(conn: &mut PgConnection, item: &TestRunItem) -> Result<Vec<Outcome>> {
    // The first result makes an item running or final.
    if matches!(item.status, ItemStatus::Pending | ItemStatus::Queued) {
        return Ok(Vec::new());
    }
    Ok(db::test_run_results::outcomes(conn, item.id).await?)
}

/// Brings a locked item up to date with its results, and the case's history with them.
///
/// `changed` is the result that was added to.
async fn settle(conn: &mut PgConnection, item: &TestRunItem, run: &RunGuard, changed: Option<Uuid>) -> Result<()> {
    let outcomes = outcomes(&mut *conn, item).await?;
    let Some(derived) = derive(&outcomes, run.retry, item.total_iterations) else { return Ok(()) };
    save(&mut *conn, item, &derived, item.total_iterations).await?;
    if let Some(entry) = history(item, run, &derived, &outcomes, changed) {
        db::execution_history::upsert(conn, &entry).await?;
    }
    Ok(())
}

/// Stores what an item's results say of it. One that somebody else made final, by stopping the run for instance, stays as
/// it is.
async fn save(conn: &mut PgConnection, item: &TestRunItem, derived: &Derived, total_iterations: i32) -> Result<()> {
    if !item.status.is_final() || item.status == derived.status {
        db::test_run_items::save_derived(conn, item.id, derived, total_iterations).await?;
    }
    Ok(())
}

/// Brings a locked item up to date with the results it has, after something else about it changed.
pub(super) async fn settle_item(conn: &mut PgConnection, item: &TestRunItem) -> Result<()> {
    if item.status.is_final() {
        return Ok(());
    }
    let run = db::test_runs::guard(&mut *conn, item.test_run_id).await?;
    settle(conn, item, &run, None).await
}

/// Like [`settle`], for rows that came after their result.
async fn resettle(conn: &mut PgConnection, item: &TestRunItem, result_id: Uuid) -> Result<()> {
    let run = db::test_runs::guard(&mut *conn, item.test_run_id).await?;
    settle(conn, item, &run, Some(result_id)).await?;
    request_refresh(conn, item.test_run_id).await
}

/// The entry in the case's history that has to be written: that of the result that came or was added to, or of a
/// data-driven item that is final (decisions: one entry per execution).
fn history<'a>(
    item: &TestRunItem,
    run: &'a RunGuard,
    derived: &'a Derived,
    outcomes: &'a [Outcome],
    changed: Option<Uuid>,
) -> Option<HistoryRow<'a>> {
    let row =
        |outcome: &Outcome, status, duration_ms, [total_steps, passed_steps, failed_steps]: [i32; 3]| HistoryRow {
            id: Uuid::now_v7(),
            test_case_id: item.test_case_id,
            test_run_id: item.test_run_id,
            test_run_result_id: outcome.id,
            status,
            executed_at: outcome.started_at.unwrap_or(outcome.created_at),
            duration_ms,
            total_steps,
            passed_steps,
            failed_steps,
            pass_rate: pass_rate(passed_steps, total_steps),
            error_message: None,
            run_name: &run.run_name,
            is_scheduled: run.is_scheduled,
            created_at: run.now,
        };
    if !derived.is_data_driven {
        let outcome = outcomes.iter().find(|outcome| Some(outcome.id) == changed)?;
        let steps = [outcome.total_steps, outcome.passed_steps, outcome.failed_steps];
        let row = row(outcome, outcome.status, outcome.duration_ms, steps);
        return Some(HistoryRow { error_message: outcome.error_message.as_deref(), ..row });
    }
    let status = match derived.status {
        ItemStatus::Passed => ResultStatus::Passed,
        ItemStatus::Failed => ResultStatus::Failed,
        ItemStatus::Skipped => ResultStatus::Skipped,
        ItemStatus::Pending | ItemStatus::Queued | ItemStatus::Running | ItemStatus::NoRun => return None,
    };
    let outcome = outcomes.iter().find(|outcome| outcome.id == derived.decided_by)?;
    let [total, passed, failed, _] = derived.steps;
    let row = row(outcome, status, derived.duration_ms, [total, passed, failed]);
    Some(HistoryRow { error_message: derived.error_message.as_deref(), ..row })
}
