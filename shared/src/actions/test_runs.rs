//! Runs: create, start, stop, cancel, and failing those that fell silent.

use std::time::Duration;

use serde_json::json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{record, record_all, recount, request_refresh};
use crate::auth::Caller;
use crate::db;
use crate::db::test_runs::RunOrigin;
use crate::domain::event::EventType;
use crate::domain::test_run::{NewTestRun, RunMove, RunStatus, StartTestRun, StartedTestRun, TestRun, TestRunPatch};
use crate::domain::test_run_item::ItemStatus;
use crate::error::{Error, Result};
use crate::jobs::{FinaliseRun, Job as _, RefreshRun, ring};

/// Creates a pending run with the project's next number.
///
/// # Errors
/// [`Error::Unauthenticated`] if the project has been deleted.
pub async fn create(db: impl db::Source<'_>, caller: &Caller, body: &NewTestRun) -> Result<TestRun> {
    let mut tx = db.begin().await?;
    let run_number = db::projects::next_run_number(&mut *tx, caller.project_id).await?;
    let origin = RunOrigin {
        project_id: caller.project_id,
        created_by: caller.user_id,
        run_number: run_number.ok_or(Error::unknown_token())?,
        status: RunStatus::Pending,
        scheduled_at: None,
        total_tests: 0,
    };
    let id = db::test_runs::insert(&mut *tx, body, origin).await?;
    let run = get(&mut tx, caller.project_id, id).await?;
    record(&mut tx, caller.project_id, EventType::RunCreated, Some(id), &facts(&run)).await?;
    tx.commit().await?;
    Ok(run)
}

/// Inserts a run of these test cases, all queued at once, and says so with the figures that it has. The caller commits.
pub(super) async fn insert_queued(
    conn: &mut PgConnection,
    body: &NewTestRun,
    origin: RunOrigin,
    test_case_ids: &[Uuid],
) -> Result<TestRun> {
    let id = db::test_runs::insert(&mut *conn, body, origin).await?;
    db::test_run_items::insert(&mut *conn, id, test_case_ids, ItemStatus::Queued).await?;
    let run = get(conn, origin.project_id, id).await?;
    record(conn, run.project_id, EventType::RunCreated, Some(id), &facts(&run)).await?;
    Ok(run)
}

/// Starts a pending or queued run.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::InvalidState`] if it is in another state or has no test cases.
pub async fn start(
    db: impl db::Source<'_>,
    caller: &Caller,
    id: Uuid,
    command: &StartTestRun,
) -> Result<StartedTestRun> {
    let mut tx = db.begin().await?;
    let status = lock(&mut tx, caller.project_id, id).await?.after(RunMove::Start)?;
    let items = db::test_run_items::count(&mut *tx, id).await?.total;
    if items == 0 {
        return Err(Error::InvalidState("Cannot start test run: it has no test cases".to_owned()));
    }
    let started_at = db::test_runs::start(&mut *tx, id, command).await?;
    db::test_run_items::set_no_run(&mut *tx, id).await?;
    recount(&mut tx, id).await?;
    let run = get(&mut tx, caller.project_id, id).await?;
    record(&mut tx, caller.project_id, EventType::RunStarted, Some(id), &facts(&run)).await?;
    request_refresh(&mut tx, id).await?;
    tx.commit().await?;
    let plural = if items == 1 { "" } else { "s" };
    Ok(StartedTestRun { id, status, started_at, message: format!("Test run started with {items} test case{plural}") })
}

/// Stops a running run: unfinished items become skipped.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::InvalidState`] if it is not running.
pub async fn stop(db: impl db::Source<'_>, caller: &Caller, id: Uuid) -> Result<TestRun> {
    end(db, caller, id, RunMove::Stop).await
}

/// Cancels a run that has not begun: its items become skipped.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::InvalidState`] if it has begun.
pub async fn cancel(db: impl db::Source<'_>, caller: &Caller, id: Uuid) -> Result<TestRun> {
    end(db, caller, id, RunMove::Cancel).await
}

async fn end(db: impl db::Source<'_>, caller: &Caller, id: Uuid, step: RunMove) -> Result<TestRun> {
    let mut tx = db.begin().await?;
    let status = lock_to_end(&mut tx, caller.project_id, id).await?.after(step)?;
    finish(&mut tx, caller.project_id, id, status, None).await?;
    let run = get(&mut tx, caller.project_id, id).await?;
    tx.commit().await?;
    Ok(run)
}

/// Changes a run as the body says.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::InvalidState`] for settings that can be changed only while it is pending.
pub async fn update(db: &PgPool, caller: &Caller, id: Uuid, patch: TestRunPatch) -> Result<TestRun> {
    let mut tx = db.begin().await?;
    lock(&mut tx, caller.project_id, id).await?;
    let mut run = get(&mut tx, caller.project_id, id).await?;
    patch.apply(&mut run)?;
    db::test_runs::save(&mut *tx, &run).await?;
    let run = get(&mut tx, caller.project_id, id).await?;
    tx.commit().await?;
    Ok(run)
}

/// Hides a run at once; one that is under way is cancelled first. Its rows are purged later.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn delete(db: &PgPool, caller: &Caller, id: Uuid) -> Result<()> {
    let mut tx = db.begin().await?;
    let status = lock_to_end(&mut tx, caller.project_id, id).await?;
    if !status.is_final() {
        finish(&mut tx, caller.project_id, id, RunStatus::Cancelled, None).await?;
    }
    db::test_runs::delete(&mut *tx, id).await?;
    tx.commit().await?;
    Ok(())
}

/// Fails runs that no client worked on for longer than `limit`, and returns how many (decisions, Runs). None while signs of
/// life are not taken down, because operators paused the queue that does that.
///
/// # Errors
/// If the database fails; runs that were failed before that stay failed.
pub async fn fail_silent(db: &PgPool, limit: Duration) -> Result<usize> {
    if db::paused_queues::exists(db, RefreshRun::QUEUE).await? {
        return Ok(0);
    }
    let mut failed = 0;
    for (project_id, id) in db::test_runs::silent(db, limit.as_secs_f64()).await? {
        let mut tx = db.begin().await?;
        // Somebody may have been faster, or the client may have come back.
        let status = match lock_to_end(&mut tx, project_id, id).await {
            Ok(status) => status,
            Err(Error::NotFound { .. }) => continue,
            Err(error) => return Err(error),
        };
        let Ok(status) = status.after(RunMove::Fail) else { continue };
        if !db::test_runs::is_silent(&mut *tx, id, limit.as_secs_f64()).await? {
            continue;
        }
        let reason = format!("No sign of life from the client for {} seconds", limit.as_secs());
        finish(&mut tx, project_id, id, status, Some(&reason)).await?;
        tx.commit().await?;
        tracing::info!(test_run.id = %id, "run failed: its client fell silent");
        failed += 1;
    }
    Ok(failed)
}

/// Moves a locked run to a final status, skips what is unfinished and has the books written. The caller commits.
pub(super) async fn finish(
    conn: &mut PgConnection,
    project_id: Uuid,
    id: Uuid,
    status: RunStatus,
    reason: Option<&str>,
) -> Result<()> {
    db::test_runs::end(&mut *conn, id, status, reason).await?;
    db::test_run_items::skip_unfinished(&mut *conn, id).await?;
    announce_finished_items(&mut *conn, project_id, id).await?;
    recount(conn, id).await?;
    // Deleted or not: a refresh that comes after the deletion ends the run all the same.
    let run = db::test_runs::find(&mut *conn, id).await?.ok_or_else(|| Error::not_found("Test run", id))?;
    let event_type = match status {
        RunStatus::Completed => EventType::RunCompleted,
        RunStatus::Failed => EventType::RunFailed,
        RunStatus::Pending | RunStatus::Queued | RunStatus::Running | RunStatus::Cancelled => EventType::RunCancelled,
    };
    record(conn, project_id, event_type, Some(id), &facts(&run)).await?;
    ring(conn, &FinaliseRun { run_id: id }).await
}

/// Locks a run that is about to end, and returns its status: what results that are being written make of their items is to be
/// told before the end.
async fn lock_to_end(conn: &mut PgConnection, project_id: Uuid, id: Uuid) -> Result<RunStatus> {
    db::test_runs::close_gate(&mut *conn, id).await?;
    lock(conn, project_id, id).await
}

/// Locks a run and returns its status.
pub(super) async fn lock(conn: &mut PgConnection, project_id: Uuid, id: Uuid) -> Result<RunStatus> {
    db::test_runs::lock(conn, project_id, id).await?.ok_or_else(|| Error::not_found("Test run", id))
}

/// The project's run with this id.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(conn: &mut PgConnection, project_id: Uuid, id: Uuid) -> Result<TestRun> {
    db::test_runs::get(conn, project_id, id).await?.ok_or_else(|| Error::not_found("Test run", id))
}

/// Tells of the items that are final and were not told of: those that no result made final, and all of them where a webhook
/// wants to know.
pub(super) async fn announce_finished_items(conn: &mut PgConnection, project_id: Uuid, id: Uuid) -> Result<()> {
    let finished = db::test_run_items::announce_finished(&mut *conn, id).await?;
    if finished.is_empty() {
        return Ok(());
    }
    let facts: Vec<_> = finished.iter().map(|item| json!(item)).collect();
    record_all(conn, project_id, EventType::ItemFinished, Some(id), &facts).await
}

/// What an event says of a run.
pub(super) fn facts(run: &TestRun) -> serde_json::Value {
    json!({
        "test_run_id": run.id, "run_name": run.run_name, "run_number": run.run_number, "status": run.status,
        "scheduled_at": run.scheduled_at, "started_at": run.started_at, "completed_at": run.completed_at,
        "total_tests": run.total_tests, "passed_tests": run.passed_tests, "failed_tests": run.failed_tests,
        "skipped_tests": run.skipped_tests, "no_run_tests": run.no_run_tests, "pass_rate": run.pass_rate,
        "failure_reason": run.failure_reason,
    })
}
