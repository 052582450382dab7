//! Schedules: created by clients, fired by schedulers, turned into runs by workers (scheduling rules).

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{record, request_refresh, test_runs};
use crate::auth::Caller;
use crate::db;
use crate::db::schedules::Advance;
use crate::db::test_runs::RunOrigin;
use crate::domain::event::EventType;
use crate::domain::recurrence::{Due, RepeatType};
use crate::domain::schedule::{NewSchedule, OverlapPolicy, Schedule, SchedulePatch, ScheduleStatus};
use crate::domain::schedule_execution::{ExecutionStatus, ScheduleExecution};
use crate::domain::test_run::{NewTestRun, RunStatus};
use crate::error::{Error, FieldError, Result};
use crate::jobs::{CreateScheduledRun, ring};

/// After this many failures in a row a due time is recorded as failed and the schedule moves on.
const MAX_FIRE_FAILURES: i32 = 3;

/// Creates a schedule.
///
/// # Errors
/// [`Error::Invalid`] naming every wrong timing field, and test cases that the project does not have.
pub async fn create(db: impl db::Source<'_>, caller: &Caller, body: NewSchedule) -> Result<Schedule> {
    let mut tx = db.begin().await?;
    let now = db::now(&mut *tx).await?;
    let schedule = body.into_row(caller.project_id, caller.user_id, now)?;
    if let Some(ids) = &schedule.test_case_ids {
        check_cases(&mut tx, caller, ids).await?;
    }
    db::schedules::insert(&mut *tx, &schedule).await?;
    tx.commit().await?;
    Ok(schedule)
}

async fn check_cases(conn: &mut PgConnection, caller: &Caller, ids: &[Uuid]) -> Result<()> {
    let known = db::test_cases::select(conn, caller.project_id, None, Some(ids)).await?;
    let errors: Vec<FieldError> = ids
        .iter()
        .enumerate()
        .filter(|(_, id)| !known.contains(id))
        .map(|(index, id)| FieldError::new(format!("test_case_ids[{index}]"), format!("Test case not found: {id}")))
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(Error::Invalid(errors)) }
}

/// Changes a schedule as the body says. Nothing fires by the old plan after this has answered: firing needs the row's lock.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`] naming every wrong field; [`Error::InvalidState`] for one that is completed
/// or cancelled.
pub async fn update(db: &PgPool, caller: &Caller, id: Uuid, patch: SchedulePatch) -> Result<Schedule> {
    let mut tx = db.begin().await?;
    let mut schedule = lock(&mut tx, caller, id).await?;
    let now = db::now(&mut *tx).await?;
    // Cases that were deleted since do not stand in the way of other changes.
    if let Some(Some(ids)) = &patch.test_case_ids {
        check_cases(&mut tx, caller, ids).await?;
    }
    patch.apply(&mut schedule, now)?;
    save(tx, schedule).await
}

/// Pauses an active schedule: nothing fires and nothing is missed until it is resumed. A paused one stays as it is.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::InvalidState`] for one that is completed or cancelled.
pub async fn pause(db: impl db::Source<'_>, caller: &Caller, id: Uuid) -> Result<Schedule> {
    let mut tx = db.begin().await?;
    let mut schedule = lock(&mut tx, caller, id).await?;
    match schedule.status {
        ScheduleStatus::Active => schedule.status = ScheduleStatus::Paused,
        ScheduleStatus::Paused => return Ok(schedule),
        ScheduleStatus::Completed | ScheduleStatus::Cancelled => return Err(cannot("pause", &schedule)),
    }
    save(tx, schedule).await
}

/// Resumes a paused schedule with the first due time after now. An active one stays as it is.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::InvalidState`] for one that is completed or cancelled.
pub async fn resume(db: impl db::Source<'_>, caller: &Caller, id: Uuid) -> Result<Schedule> {
    let mut tx = db.begin().await?;
    let mut schedule = lock(&mut tx, caller, id).await?;
    match schedule.status {
        ScheduleStatus::Paused => schedule.status = ScheduleStatus::Active,
        ScheduleStatus::Active => return Ok(schedule),
        ScheduleStatus::Completed | ScheduleStatus::Cancelled => return Err(cannot("resume", &schedule)),
    }
    schedule.plan(db::now(&mut *tx).await?)?;
    save(tx, schedule).await
}

/// Cancels a schedule and hides it; the runs it made stay.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn delete(db: &PgPool, caller: &Caller, id: Uuid) -> Result<()> {
    let mut tx = db.begin().await?;
    lock(&mut tx, caller, id).await?;
    db::schedules::delete(&mut *tx, id).await?;
    tx.commit().await?;
    Ok(())
}

/// Fires a schedule once outside its plan, at once, and returns the execution; neither next time nor count move.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::InvalidState`] for one that is cancelled.
pub async fn run_now(db: impl db::Source<'_>, caller: &Caller, id: Uuid) -> Result<ScheduleExecution> {
    let mut tx = db.begin().await?;
    let schedule = lock(&mut tx, caller, id).await?;
    if schedule.status == ScheduleStatus::Cancelled {
        return Err(cannot("run", &schedule));
    }
    let now = db::now(&mut *tx).await?;
    claim(&mut tx, &schedule, now, None).await?;
    let execution = db::schedule_executions::of_due_time(&mut *tx, id, now).await?;
    tx.commit().await?;
    execution.ok_or_else(|| Error::not_found("Schedule", id))
}

async fn lock(conn: &mut PgConnection, caller: &Caller, id: Uuid) -> Result<Schedule> {
    let schedule = db::schedules::lock_own(conn, caller.project_id, id).await?;
    schedule.ok_or_else(|| Error::not_found("Schedule", id))
}

async fn save(mut tx: sqlx::Transaction<'_, sqlx::Postgres>, schedule: Schedule) -> Result<Schedule> {
    db::schedules::save(&mut *tx, &schedule).await?;
    let saved = db::schedules::get(&mut *tx, schedule.project_id, schedule.id).await?;
    tx.commit().await?;
    saved.ok_or_else(|| Error::not_found("Schedule", schedule.id))
}

fn cannot(verb: &str, schedule: &Schedule) -> Error {
    Error::InvalidState(format!("Cannot {verb} schedule: status is '{}'", schedule.status))
}

/// Fires a schedule if it is due at `now` and nobody else is at it: one transaction that claims the latest due time,
/// writes earlier ones down as missed and moves the schedule on. Returns the due time that fired.
///
/// # Errors
/// If the stored timing makes no sense or the database fails; nothing has changed then.
pub async fn fire(db: &PgPool, id: Uuid, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
    let mut tx = db.begin().await?;
    let fired = fire_in(&mut tx, id, now).await;
    match fired {
        Ok(_) => tx.commit().await?,
        // Waited for: a dropped transaction ends a little later, and [`fire_failed`] would pass over a row that is locked.
        Err(_) => drop(tx.rollback().await),
    }
    fired
}

async fn fire_in(conn: &mut PgConnection, id: Uuid, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
    let Some(schedule) = db::schedules::lock_due(&mut *conn, id, now).await? else { return Ok(None) };
    let recurrence = schedule.recurrence()?;
    let Some(due) = schedule.next_execution_at.and_then(|next| recurrence.due(next, now)) else { return Ok(None) };
    write_missed(conn, &schedule, &due).await?;

    let reason = reason_to_miss(conn, &schedule, due.fire, now).await?;
    let fired = claim(conn, &schedule, due.fire, reason.as_deref()).await?;
    let execution_count = schedule.execution_count + i32::from(fired);
    let next_execution_at = due.next.filter(|_| !recurrence.is_exhausted(execution_count));
    move_on(conn, &schedule, next_execution_at, execution_count, fired.then_some(due.fire)).await?;
    Ok(fired.then_some(due.fire))
}

/// Why a due time is passed over, if it is: too late, or the previous run has not ended.
async fn reason_to_miss(
    conn: &mut PgConnection,
    schedule: &Schedule,
    due: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Option<String>> {
    let window = schedule.catchup_window_seconds.map(|seconds| TimeDelta::seconds(seconds.into()));
    if schedule.repeat_type != RepeatType::None && window.is_some_and(|window| now - due > window) {
        let late = (now - due).num_seconds();
        return Ok(Some(format!("Due {late} seconds ago, which is outside the catch-up window")));
    }
    let waits = schedule.overlap_policy == OverlapPolicy::Skip
        && db::schedule_executions::has_unfinished(conn, schedule.id).await?;
    Ok(waits.then(|| "The previous run has not ended".to_owned()))
}

/// Writes the due time's row. Returns whether a run is to be made for it.
async fn claim(
    conn: &mut PgConnection,
    schedule: &Schedule,
    due: DateTime<Utc>,
    reason_to_miss: Option<&str>,
) -> Result<bool> {
    let status = if reason_to_miss.is_some() { ExecutionStatus::Missed } else { ExecutionStatus::Pending };
    let claimed = db::schedule_executions::claim(&mut *conn, schedule.id, due, status, reason_to_miss).await?;
    let Some(execution_id) = claimed else { return Ok(false) };
    if let Some(reason) = reason_to_miss {
        let facts = missed_facts(schedule, due, due, 1, reason);
        record(conn, schedule.project_id, EventType::ScheduleMissed, None, &facts).await?;
        return Ok(false);
    }
    let facts = json!({"schedule_id": schedule.id, "schedule_name": schedule.schedule_name, "scheduled_for": due});
    record(conn, schedule.project_id, EventType::ScheduleFired, None, &facts).await?;
    ring(conn, &CreateScheduledRun { execution_id }).await?;
    Ok(true)
}

/// The newest hundred due times that nobody was there for, and one row that tells of the others.
///
/// One event tells of all of them: who was away for a week is not to be told so a thousand times.
async fn write_missed(conn: &mut PgConnection, schedule: &Schedule, due: &Due) -> Result<()> {
    const REASON: &str = "No scheduler was running at the due time";
    let Some((first, last)) = due.missed.first().zip(due.missed.last()) else { return Ok(()) };
    let mut written = db::schedule_executions::insert_missed(&mut *conn, schedule.id, &due.missed, REASON).await?;
    let mut first = *first;
    if let (1.., Some(oldest)) = (due.missed_more, schedule.next_execution_at) {
        let reason = format!("{REASON}; this row stands for {} due times", due.missed_more);
        let others = db::schedule_executions::insert_missed(&mut *conn, schedule.id, &[oldest], &reason).await?;
        written += others * due.missed_more;
        first = oldest;
    }
    if written > 0 {
        let facts = missed_facts(schedule, first, *last, written, REASON);
        record(conn, schedule.project_id, EventType::ScheduleMissed, None, &facts).await?;
    }
    Ok(())
}

/// What an event says of due times that were passed over, `count` of them from the first to the last.
fn missed_facts(
    schedule: &Schedule,
    first: DateTime<Utc>,
    last: DateTime<Utc>,
    count: u64,
    reason: &str,
) -> serde_json::Value {
    json!({
        "schedule_id": schedule.id, "schedule_name": schedule.schedule_name, "scheduled_for": first,
        "last_scheduled_for": last, "missed": count, "reason": reason,
    })
}

async fn move_on(
    conn: &mut PgConnection,
    schedule: &Schedule,
    next_execution_at: Option<DateTime<Utc>>,
    execution_count: i32,
    fired: Option<DateTime<Utc>>,
) -> Result<()> {
    let advance = Advance {
        next_execution_at,
        status: if next_execution_at.is_some() { ScheduleStatus::Active } else { ScheduleStatus::Completed },
        execution_count,
        last_executed_at: fired,
        last_execution_status: fired.map(|_| ExecutionStatus::Pending),
    };
    db::schedules::advance(&mut *conn, schedule.id, &advance).await?;
    if next_execution_at.is_none() {
        let facts = json!({"schedule_id": schedule.id, "schedule_name": schedule.schedule_name});
        record(conn, schedule.project_id, EventType::ScheduleCompleted, None, &facts).await?;
    }
    Ok(())
}

/// Counts a failure to fire. The third in a row is written down as a failed execution and the schedule moves on, so that
/// one bad schedule never holds up another.
///
/// # Errors
/// If the database fails.
pub async fn fire_failed(db: &PgPool, id: Uuid, now: DateTime<Utc>, reason: &str) -> Result<()> {
    let mut tx = db.begin().await?;
    let Some(schedule) = db::schedules::lock_due(&mut *tx, id, now).await? else { return Ok(()) };
    if db::schedules::count_failure(&mut *tx, id).await? >= MAX_FIRE_FAILURES {
        let due = schedule.next_execution_at.unwrap_or(now);
        db::schedule_executions::claim(&mut *tx, id, due, ExecutionStatus::Failed, Some(reason)).await?;
        let next = schedule.recurrence().ok().and_then(|recurrence| recurrence.next_after(now));
        move_on(&mut tx, &schedule, next, schedule.execution_count, None).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Makes the run of an execution that waits for one, and returns it; `None` if it has been made.
///
/// A schedule that selects no test case makes a failed run, which keeps the reason and is told of like any other.
///
/// # Errors
/// If the database fails; nothing has changed then.
pub async fn create_run(db: &PgPool, execution_id: Uuid) -> Result<Option<Uuid>> {
    let mut tx = db.begin().await?;
    let Some(execution) = db::schedule_executions::lock_pending(&mut *tx, execution_id).await? else { return Ok(None) };
    let schedule = db::schedules::find(&mut *tx, execution.schedule_id)
        .await?
        .ok_or_else(|| Error::not_found("Schedule", execution.schedule_id))?;
    let cases = db::test_cases::select(
        &mut *tx,
        schedule.project_id,
        schedule.suite_path.as_deref(),
        schedule.test_case_ids.as_deref(),
    )
    .await?;
    let due = execution.scheduled_for;
    // All runs of a project wait for the one that has the counter, so what can be read is read before. Then the schedule,
    // then the run: the order of locks.
    let run_number = db::projects::next_run_number(&mut *tx, schedule.project_id).await?;
    let origin = RunOrigin {
        project_id: schedule.project_id,
        created_by: schedule.created_by,
        run_number: run_number.ok_or_else(|| Error::not_found("Project", schedule.project_id))?,
        status: RunStatus::Queued,
        scheduled_at: Some(due),
        total_tests: i32::try_from(cases.len()).unwrap_or(i32::MAX),
    };
    db::schedules::set_last_status(&mut *tx, schedule.id, due, ExecutionStatus::Running).await?;
    let run = test_runs::insert_queued(&mut tx, &body_for(&schedule, due), origin, &cases).await?;
    db::schedule_executions::set_run(&mut *tx, execution_id, run.id).await?;
    if cases.is_empty() {
        let reason = "The schedule selects no test cases";
        test_runs::finish(&mut tx, schedule.project_id, run.id, RunStatus::Failed, Some(reason)).await?;
    } else {
        record(&mut tx, schedule.project_id, EventType::RunQueued, Some(run.id), &test_runs::facts(&run)).await?;
        request_refresh(&mut tx, run.id).await?;
    }
    tx.commit().await?;
    Ok(Some(run.id))
}

fn body_for(schedule: &Schedule, due: DateTime<Utc>) -> NewTestRun {
    let local =
        schedule.timezone.parse().map_or(due.naive_utc(), |zone: chrono_tz::Tz| due.with_timezone(&zone).naive_local());
    // The date must survive, so a long name gives way: 255 characters in all.
    let name: String = schedule.schedule_name.chars().take(238).collect();
    NewTestRun {
        run_name: Some(format!("{name} {}", local.format("%Y-%m-%d %H:%M"))),
        suite_path: schedule.suite_path.clone(),
        suite_name: schedule.suite_name.clone(),
        parallel_enabled: Some(schedule.parallel_enabled),
        parallel_count: Some(schedule.parallel_count),
        retry_on_failure: Some(schedule.retry_on_failure),
        retry_count: Some(schedule.retry_count),
        results_folder: None,
        tags: None,
        notes: None,
    }
}
