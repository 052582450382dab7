//! The books of an ended run: its execution and schedule, and who is told.

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::db;
use crate::domain::notification::notice_for;
use crate::domain::schedule::Schedule;
use crate::domain::schedule_execution::{ExecutionStatus, ScheduleExecution};
use crate::domain::test_run::TestRun;
use crate::error::Result;
use crate::jobs::{SendEmail, ring};

/// Writes the books of an ended run, once: whoever comes second finds `finalised_at` set and does nothing.
///
/// # Errors
/// If the database fails; nothing has changed then.
pub async fn finalise(db: &PgPool, run_id: Uuid) -> Result<()> {
    let mut tx = db.begin().await?;
    // Schedule before run: the order of locks.
    let execution = db::schedule_executions::of_run(&mut *tx, run_id).await?;
    let schedule = match &execution {
        Some(execution) => db::schedules::lock(&mut *tx, execution.schedule_id).await?,
        None => None,
    };
    let Some(run) = db::test_runs::lock_unfinalised(&mut *tx, run_id).await? else { return Ok(()) };
    if let (Some(execution), Some(schedule)) = (execution, schedule) {
        close_execution(&mut tx, &run, &execution).await?;
        notify(&mut tx, &run, &schedule).await?;
    }
    db::test_runs::set_finalised(&mut *tx, run_id).await?;
    tx.commit().await?;
    Ok(())
}

async fn close_execution(conn: &mut PgConnection, run: &TestRun, execution: &ScheduleExecution) -> Result<()> {
    if let Some(status) = ExecutionStatus::of_ended_run(run.status) {
        db::schedule_executions::finish(&mut *conn, run.id, status, run.failure_reason.as_deref()).await?;
        db::schedules::set_last_status(&mut *conn, execution.schedule_id, execution.scheduled_for, status).await?;
    }
    Ok(())
}

async fn notify(conn: &mut PgConnection, run: &TestRun, schedule: &Schedule) -> Result<()> {
    let Some(kind) = notice_for(run.status, run.failed_tests, schedule.notify_settings()) else { return Ok(()) };
    let recipients = schedule.notification_emails.as_deref().unwrap_or_default();
    for notification_id in db::notifications::insert(&mut *conn, run.id, kind, recipients).await? {
        ring(conn, &SendEmail { notification_id }).await?;
    }
    Ok(())
}
