//! The books of an ended run: execution and schedule follow it, and each recipient is told once.

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use testrun_shared::actions::finalise::finalise;
use testrun_shared::actions::refresh::refresh;
use testrun_shared::actions::schedules::{create_run, fire};
use testrun_shared::actions::test_runs::{cancel, fail_silent, start, stop};
use testrun_shared::db;
use testrun_shared::domain::page::Page;
use testrun_shared::domain::schedule::Schedule;
use testrun_shared::domain::schedule_execution::{ExecutionStatus, ScheduleExecution};
use testrun_shared::domain::test_run::{RunStatus, StartTestRun};
use uuid::Uuid;

use crate::world::{World, utc};

/// Fires a schedule at `now` and makes its run.
async fn fired(w: &World, schedule: &Schedule, now: DateTime<Utc>) -> anyhow::Result<Uuid> {
    fire(&w.db, schedule.id, now).await?;
    let execution = sqlx::query_scalar(
        "SELECT id FROM schedule_executions WHERE schedule_id = $1 ORDER BY scheduled_for DESC LIMIT 1",
    )
    .bind(schedule.id)
    .fetch_one(&w.db)
    .await?;
    create_run(&w.db, execution).await?.ok_or_else(|| anyhow::anyhow!("no run was made"))
}

/// Starts a run, submits these statuses to its items and refreshes it.
async fn execute(w: &World, run: Uuid, statuses: &[&str]) -> anyhow::Result<()> {
    start(&w.db, &w.tenant.caller, run, &StartTestRun::default()).await?;
    let items = db::test_run_items::list(&w.db, run, Page { limit: 100, offset: 0 }).await?;
    for (item, status) in items.iter().zip(statuses) {
        w.submit(item, json!({"status": status})).await?;
    }
    Ok(refresh(&w.db, run).await?)
}

async fn execution(w: &World, run: Uuid) -> anyhow::Result<ScheduleExecution> {
    db::schedule_executions::of_run(&w.db, run).await?.ok_or_else(|| anyhow::anyhow!("no execution"))
}

async fn last_status(w: &World, schedule: &Schedule) -> anyhow::Result<Option<ExecutionStatus>> {
    Ok(db::schedules::find(&w.db, schedule.id).await?.and_then(|schedule| schedule.last_execution_status))
}

/// Kind and recipient of each mail about a run.
async fn mails(w: &World, run: Uuid) -> sqlx::Result<Vec<(String, String)>> {
    sqlx::query_as("SELECT kind, recipient FROM notifications WHERE test_run_id = $1 ORDER BY recipient")
        .bind(run)
        .fetch_all(&w.db)
        .await
}

fn daily(extra: &Value) -> Value {
    let mut body =
        json!({"repeat_type": "daily", "notification_emails": ["b@example.com", "a@example.com", "b@example.com"]});
    for (key, value) in extra.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    body
}

#[tokio::test]
async fn an_execution_and_its_schedule_follow_the_run() -> anyhow::Result<()> {
    let w = World::new().await?;
    w.cases(3).await?;
    let schedule = w.schedule(daily(&json!({})), utc("2026-01-17T00:00:00Z")).await?;
    let run = fired(&w, &schedule, utc("2026-01-18T02:00:00Z")).await?;
    assert_eq!(execution(&w, run).await?.status, ExecutionStatus::Running);
    finalise(&w.db, run).await?;
    assert_eq!(execution(&w, run).await?.status, ExecutionStatus::Running, "the run goes on, so its books stay open");
    execute(&w, run, &["passed", "failed", "skipped"]).await?;
    finalise(&w.db, run).await?;
    let (end, execution) = (w.run(run).await?, execution(&w, run).await?);
    assert_eq!((end.status, execution.status), (RunStatus::Completed, ExecutionStatus::Completed));
    assert_eq!((execution.total_tests, execution.passed_tests, execution.failed_tests), (3, 1, 1));
    assert_eq!((execution.duration_ms, execution.error_message), (end.duration_ms, None));
    assert!(execution.executed_at.is_some());
    assert_eq!(last_status(&w, &schedule).await?, Some(ExecutionStatus::Completed));
    Ok(())
}

#[tokio::test]
async fn each_recipient_is_told_once_however_often_the_books_are_written() -> anyhow::Result<()> {
    let w = World::new().await?;
    w.cases(1).await?;
    let schedule = w.schedule(daily(&json!({})), utc("2026-01-17T00:00:00Z")).await?;
    let run = fired(&w, &schedule, utc("2026-01-18T02:00:00Z")).await?;
    execute(&w, run, &["passed"]).await?;
    try_join_all((0..8).map(|_| finalise(&w.db, run))).await?;
    finalise(&w.db, run).await?;
    let told = |address: &str| ("completion".to_owned(), address.to_owned());
    assert_eq!(mails(&w, run).await?, [told("a@example.com"), told("b@example.com")]);
    assert_eq!(w.jobs("send_email").await?.len(), 2, "one job for each");
    let finalised = "SELECT count(*) FROM test_runs WHERE finalised_at IS NOT NULL AND id = $1";
    assert_eq!(w.count(finalised, run).await?, 1);
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum End {
    Passed,
    Failed,
    FellSilent,
    Stopped,
    Cancelled,
}

#[tokio::test]
async fn the_flags_and_the_end_decide_who_is_told_what() -> anyhow::Result<()> {
    let w = World::new().await?;
    w.cases(1).await?;
    for (end, on_completion, on_failure, expected) in [
        (End::Passed, true, true, Some("completion")),
        (End::Passed, true, false, Some("completion")),
        (End::Passed, false, true, None),
        (End::Failed, true, false, Some("failure")),
        (End::Failed, false, true, Some("failure")),
        (End::Failed, false, false, None),
        (End::FellSilent, false, true, Some("failure")),
        (End::FellSilent, true, false, Some("failure")),
        (End::Stopped, true, true, None),
        (End::Cancelled, true, true, None),
    ] {
        let flags = json!({"notify_on_completion": on_completion, "notify_on_failure": on_failure});
        let schedule = w.schedule(daily(&flags), utc("2026-01-17T00:00:00Z")).await?;
        let run = fired(&w, &schedule, utc("2026-01-18T02:00:00Z")).await?;
        let status = match end {
            End::Passed => execute(&w, run, &["passed"]).await.map(|()| ExecutionStatus::Completed)?,
            End::Failed => execute(&w, run, &["failed"]).await.map(|()| ExecutionStatus::Completed)?,
            End::FellSilent => {
                sqlx::query("UPDATE test_runs SET last_activity_at = '2026-01-01' WHERE id = $1")
                    .bind(run)
                    .execute(&w.db)
                    .await?;
                assert_eq!(fail_silent(&w.db, std::time::Duration::from_secs(3600)).await?, 1);
                ExecutionStatus::Failed
            }
            End::Stopped => {
                execute(&w, run, &[]).await?;
                stop(&w.db, &w.tenant.caller, run).await.map(|_| ExecutionStatus::Cancelled)?
            }
            End::Cancelled => cancel(&w.db, &w.tenant.caller, run).await.map(|_| ExecutionStatus::Cancelled)?,
        };
        finalise(&w.db, run).await?;
        let kinds: Vec<String> = mails(&w, run).await?.into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(
            kinds,
            vec![expected; expected.map_or(0, |_| 2)].into_iter().flatten().collect::<Vec<_>>(),
            "{end:?}"
        );
        let execution = execution(&w, run).await?;
        assert_eq!(execution.status, status, "{end:?}");
        assert_eq!(execution.error_message.is_some(), status == ExecutionStatus::Failed, "{end:?}");
        assert_eq!(last_status(&w, &schedule).await?, Some(status), "{end:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_older_run_that_ends_late_does_not_overwrite_the_newer_ones_status() -> anyhow::Result<()> {
    let w = World::new().await?;
    w.cases(1).await?;
    let schedule = w.schedule(daily(&json!({})), utc("2026-01-17T00:00:00Z")).await?;
    let older = fired(&w, &schedule, utc("2026-01-18T02:00:00Z")).await?;
    let newer = fired(&w, &schedule, utc("2026-01-19T02:00:00Z")).await?;
    execute(&w, newer, &["passed"]).await?;
    finalise(&w.db, newer).await?;
    cancel(&w.db, &w.tenant.caller, older).await?;
    finalise(&w.db, older).await?;
    assert_eq!(last_status(&w, &schedule).await?, Some(ExecutionStatus::Completed));
    assert_eq!(execution(&w, older).await?.status, ExecutionStatus::Cancelled);
    Ok(())
}

#[tokio::test]
async fn a_run_that_no_schedule_made_is_closed_without_a_word() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(1).await?;
    w.submit(&run.items[0], json!({"status": "failed"})).await?;
    refresh(&w.db, run.id).await?;
    finalise(&w.db, run.id).await?;
    let finalised = "SELECT count(*) FROM test_runs WHERE finalised_at IS NOT NULL AND id = $1";
    assert_eq!(w.count(finalised, run.id).await?, 1);
    assert!(mails(&w, run.id).await?.is_empty());
    finalise(&w.db, Uuid::now_v7()).await?;
    Ok(())
}
