//! The books of an ended run: its execution and schedule, and who is told; and its report.

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::db;
use crate::db::test_run_reports::StoredReport;
use crate::domain::notification::notice_for;
use crate::domain::schedule::Schedule;
use crate::domain::schedule_execution::{ExecutionStatus, ScheduleExecution};
use crate::domain::test_run::TestRun;
use crate::error::Result;
use crate::jobs::{SendEmail, ring};
use crate::report::{self, Rendering};

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
    let recipients = db::unsubscribe_links::without_unsubscribed(&mut *conn, schedule.id, recipients).await?;
    for notification_id in db::notifications::insert(&mut *conn, run.id, kind, &recipients).await? {
        ring(conn, &SendEmail { notification_id }).await?;
    }
    Ok(())
}

/// Renders and stores the report of an ended run, unless the stored one shows the run as it is.
///
/// No lock is held meanwhile: parts are stored one by one under a number of their own, and count once all are there. Of
/// two renderings at once the later one stays; what a crash leaves behind goes with the next.
///
/// # Errors
/// If the database fails; the report that there was is still there then.
pub async fn write_report(db: &PgPool, run_id: Uuid) -> Result<()> {
    let Some(run) = db::test_runs::find(db, run_id).await?.filter(|run| run.status.is_final()) else { return Ok(()) };
    // The run's own time of change, not ours: a change that comes while we render makes this report an old one.
    let run_updated_at = run.updated_at;
    if db::test_run_reports::current(db, run_id, run_updated_at).await?.is_some() {
        return Ok(());
    }
    let mut report = StoredReport { rendering: db::test_run_reports::next_rendering(db).await?, parts: 0, bytes: 0 };
    let mut rendering = Rendering::new(db.clone(), run);
    while let Some(html) = rendering.next().await? {
        db::test_run_reports::insert_part(db, run_id, report.rendering, report.parts, &html).await?;
        report.parts += 1;
        report.bytes += i64::try_from(html.len()).unwrap_or(i64::MAX);
    }

    let mut tx = db.begin().await?;
    // The run first: it is what two renderings wait for each other at.
    db::test_runs::set_report_path(&mut *tx, run_id, &report::path(run_id)).await?;
    db::test_run_reports::publish(&mut *tx, run_id, run_updated_at, report).await?;
    db::test_run_reports::delete_older_parts(&mut *tx, run_id).await?;
    tx.commit().await?;
    Ok(())
}
