//! Results, and the steps, checkpoints and logs that come with them or later.
//!
//! The hot path: it passes the run's gate, which only a refresh closes, and locks its item and nothing wider (design,
//! rule 5). The run's row is only read; its counts are the worker's business.

mod rows;

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use rows::{Nested, NestedRows};

use super::request_refresh;
use crate::auth::Caller;
use crate::db;
use crate::db::constraints::{OnConstraint, STEP_NUMBER};
use crate::db::events::EventRow;
use crate::db::execution_history::HistoryRow;
use crate::db::test_run_items::{DerivedRow, LockedItem};
use crate::db::test_run_results::{Changes, ResultRow};
use crate::db::test_runs::RunGuard;
use crate::domain::checkpoint_result::{CheckpointResult, NewCheckpointResult};
use crate::domain::console_log::{AddedLogs, NewConsoleLog};
use crate::domain::event::FinishedItem;
use crate::domain::masking;
use crate::domain::network_log::NewNetworkLog;
use crate::domain::script_result::{NewScriptResult, ScriptResult};
use crate::domain::statistics::pass_rate;
use crate::domain::test_run::RunStatus;
use crate::domain::test_run_item::{Derived, ItemStatus, Outcome, TestRunItem, derive};
use crate::domain::test_run_result::{NewTestRunResult, ResultStatus, TestRunResult};
use crate::domain::test_step_result::{AddedSteps, NewTestStepResult};
use crate::error::{Error, Result};
use crate::jobs::{RefreshRun, ring};

/// Stores a result with everything nested in it, and what follows from it for its item.
///
/// # Errors
/// As [`submit_together`] says of a single one.
pub async fn submit(db: impl db::Source<'_>, caller: &Caller, body: NewTestRunResult) -> Result<TestRunResult> {
    let run_id = body.test_run_id;
    let mut tx = db.begin().await?;
    let stored = submit_together(&mut tx, caller.project_id, run_id, vec![body]).await?;
    let result = stored.into_iter().next().unwrap_or_else(|| Err(Error::not_found("Test run", run_id)))?;
    tx.commit().await?;
    Ok(result)
}

/// Stores several results of one run, each of another item, with what follows from them. One that is refused changes
/// nothing and is in no other's way; the answers are in the order of the results. The caller commits.
///
/// # Errors
/// If the database fails, for all of them: nothing may be committed then. For a single one: [`Error::NotFound`] for an item
/// that the project's run does not have; [`Error::InvalidState`] unless the run is running and the item unfinished;
/// [`Error::Conflict`] if the attempt has its result; [`Error::Invalid`] for counts that do not add up and for references to
/// steps that are not there.
pub async fn submit_together(
    conn: &mut PgConnection,
    project_id: Uuid,
    run_id: Uuid,
    bodies: Vec<NewTestRunResult>,
) -> Result<Vec<Result<TestRunResult>>> {
    let mut ids: Vec<_> = bodies.iter().map(|body| body.test_run_item_id).collect();
    ids.sort_unstable();
    let locked = db::test_run_items::lock_behind_gate(&mut *conn, project_id, run_id, &ids).await?;
    let mut outcomes = outcomes(&mut *conn, locked.iter().map(|locked| &locked.item)).await?;
    let mut locked: HashMap<_, _> = locked.into_iter().map(|locked| (locked.item.id, locked)).collect();
    let (mut rows, mut nested) = (Vec::with_capacity(bodies.len()), NestedRows::default());
    for body in bodies {
        let locked = locked.remove(&body.test_run_item_id);
        let earlier = outcomes.remove(&body.test_run_item_id).unwrap_or_default();
        match row(&mut *conn, project_id, locked, earlier, body, &mut nested).await {
            Err(error @ (Error::Database(_) | Error::Queue(_))) => return Err(error),
            row => rows.push(row),
        }
    }
    let mut changes = Changes::default();
    for row in rows.iter().flatten() {
        changes.results.push(&row.result);
        changes.history.extend(&row.history);
        changes.items.extend(&row.item);
        changes.events.extend(&row.event);
    }
    if !changes.results.is_empty() {
        save(&mut *conn, run_id, &changes).await?;
        nested.insert(&mut *conn).await?;
    }
    Ok(rows.into_iter().map(|row| Ok(row?.result.result)).collect())
}

/// What a result writes.
struct Row {
    result: ResultRow,
    /// The entry in its case's history, if it makes one.
    history: Option<HistoryRow>,
    /// What its item becomes.
    item: Option<DerivedRow>,
    /// That its item is finished.
    event: Option<EventRow>,
}

/// What a result writes, made of what the client sent; what is under it is added to `rows`. `earlier` are the item's results
/// so far.
async fn row(
    conn: &mut PgConnection,
    project_id: Uuid,
    locked: Option<LockedItem>,
    mut earlier: Vec<Outcome>,
    mut body: NewTestRunResult,
    rows: &mut NestedRows,
) -> Result<Row> {
    let counts = body.counts().map_err(Error::Invalid)?;
    let LockedItem { item, run, test_case_name, is_told_by_worker } =
        locked.ok_or_else(|| Error::not_found("Test run item", body.test_run_item_id))?;
    if body.test_case_id.is_some_and(|case| case != item.test_case_id) {
        return Err(Error::invalid("test_case_id", format!("Must be the item's test case: {}", item.test_case_id)));
    }
    if run.status != RunStatus::Running {
        return Err(Error::InvalidState(format!("Cannot submit result: test run status is '{}'", run.status)));
    }
    let attempt = next_attempt(&item, &earlier, &body)?;
    let stated_counts = body.stated_counts();
    let total_iterations = body.total_iterations.unwrap_or(item.total_iterations);
    let nested = Nested::take(&mut body);
    body.data_row_values = body.data_row_values.map(masking::data_row);
    let result = body.into_row(Uuid::now_v7(), item.test_case_id, attempt, &counts, run.now);
    nested.into_rows(conn, project_id, result.id, run.now, rows).await?;
    earlier.push(Outcome::from(&result));
    let derived = derive(&earlier, run.retry, total_iterations);
    let history = derived.as_ref().and_then(|derived| history(&item, &run, derived, &earlier, Some(result.id)));
    let mut changed = derived.and_then(|derived| changed(&item, derived, total_iterations));
    let mut event = None;
    if let Some(changed) = &mut changed
        && changed.derived.status.is_final()
        && !is_told_by_worker
    {
        changed.is_announced = true;
        event = Some(EventRow::item_finished(project_id, FinishedItem::new(&item, &changed.derived, test_case_name)));
    }
    Ok(Row { result: ResultRow { result, stated_counts }, history, item: changed, event })
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
    let mut rows =
        rows::scripts(&mut tx, caller.project_id, result_id, vec![script], |_, field| field.to_owned(), now).await?;
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

/// What the results of locked items say so far, by item.
async fn outcomes(
    conn: &mut PgConnection,
    items: impl IntoIterator<Item = &TestRunItem>,
) -> Result<HashMap<Uuid, Vec<Outcome>>> {
    // The first result makes an item running or final.
    let begun = |item: &&TestRunItem| !matches!(item.status, ItemStatus::Pending | ItemStatus::Queued);
    let ids: Vec<_> = items.into_iter().filter(begun).map(|item| item.id).collect();
    let mut outcomes = HashMap::new();
    if !ids.is_empty() {
        for (item, outcome) in db::test_run_results::outcomes(conn, &ids).await? {
            outcomes.entry(item).or_insert_with(Vec::new).push(outcome);
        }
    }
    Ok(outcomes)
}

/// Brings a locked item up to date with its results, the case's history with them, and its run soon.
///
/// `added_to` is the result that rows were added to.
async fn settle(conn: &mut PgConnection, item: &TestRunItem, run: &RunGuard, added_to: Option<Uuid>) -> Result<()> {
    let outcomes = outcomes(&mut *conn, [item]).await?.remove(&item.id).unwrap_or_default();
    let Some(derived) = derive(&outcomes, run.retry, item.total_iterations) else { return Ok(()) };
    let history = history(item, run, &derived, &outcomes, added_to);
    let changed = changed(item, derived, item.total_iterations);
    let (history, items) = (Vec::from_iter(&history), Vec::from_iter(&changed));
    save(conn, item.test_run_id, &Changes { history, items, ..Changes::default() }).await
}

/// Stores what results write, and has the run's counts recomputed.
async fn save(conn: &mut PgConnection, run_id: Uuid, changes: &Changes<'_>) -> Result<()> {
    if db::test_run_results::save(&mut *conn, run_id, changes).await? {
        ring(conn, &RefreshRun { run_id }).await?;
    }
    Ok(())
}

/// What an item's results say of it, to be stored. One that somebody else made final, by stopping the run for instance,
/// stays as it is.
fn changed(item: &TestRunItem, derived: Derived, total_iterations: i32) -> Option<DerivedRow> {
    let may_change = !item.status.is_final() || item.status == derived.status;
    may_change.then_some(DerivedRow {
        id: item.id,
        test_run_id: item.test_run_id,
        derived,
        total_iterations,
        is_announced: false,
    })
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
    settle(conn, item, &run, Some(result_id)).await
}

/// The entry in the case's history that has to be written: that of the result that came or was added to, or of a
/// data-driven item that is final (decisions: one entry per execution).
fn history(
    item: &TestRunItem,
    run: &RunGuard,
    derived: &Derived,
    outcomes: &[Outcome],
    changed: Option<Uuid>,
) -> Option<HistoryRow> {
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
            run_name: run.run_name.clone(),
            is_scheduled: run.is_scheduled,
            created_at: run.now,
        };
    if !derived.is_data_driven {
        let outcome = outcomes.iter().find(|outcome| Some(outcome.id) == changed)?;
        let steps = [outcome.total_steps, outcome.passed_steps, outcome.failed_steps];
        let row = row(outcome, outcome.status, outcome.duration_ms, steps);
        return Some(HistoryRow { error_message: outcome.error_message.clone(), ..row });
    }
    let status = match derived.status {
        ItemStatus::Passed => ResultStatus::Passed,
        ItemStatus::Failed => ResultStatus::Failed,
        ItemStatus::Skipped => ResultStatus::Skipped,
        ItemStatus::Pending | ItemStatus::Queued | ItemStatus::Running | ItemStatus::NoRun => return None,
    };
    let outcome = outcomes.iter().find(|outcome| outcome.id == derived.decided_by)?;
    let steps = [derived.total_steps, derived.passed_steps, derived.failed_steps];
    let row = row(outcome, status, derived.duration_ms, steps);
    Some(HistoryRow { error_message: derived.error_message.clone(), ..row })
}
