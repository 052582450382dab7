//! Runs: their numbers and names, their state machine, and clients that fall silent.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use testrun_shared::actions::test_runs::{cancel, create, fail_silent, start, stop};
use testrun_shared::auth::Caller;
use testrun_shared::domain::test_run::{NewTestRun, RunStatus, StartTestRun};
use testrun_shared::domain::test_run_item::ItemStatus;
use testrun_shared::error::{Error, Result};
use testrun_shared::{actions, db};
use uuid::Uuid;

use crate::world::{World, backend, milliseconds, percent, until_blocked_by};

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_hundred_creations_at_once_get_a_hundred_consecutive_numbers() -> anyhow::Result<()> {
    let w = World::new().await?;
    let body = NewTestRun::default();
    let runs = join_all((0..100).map(|_| create(&w.db, &w.tenant.caller, &body))).await;
    let mut numbers = runs.into_iter().map(|run| run.map(|run| run.run_number)).collect::<Result<Vec<_>>>()?;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=100).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn a_creation_that_fails_leaves_no_gap_and_projects_count_for_themselves() -> anyhow::Result<()> {
    let w = World::new().await?;
    let body = NewTestRun::default();
    assert_eq!(create(&w.db, &w.tenant.caller, &body).await?.run_number, 1);
    let nobody = Caller { user_id: Uuid::now_v7(), ..w.tenant.caller };
    assert!(create(&w.db, &nobody, &body).await.is_err(), "there is no such user");
    assert_eq!(create(&w.db, &w.tenant.caller, &body).await?.run_number, 2);
    let other = w.database.tenant("B").await?;
    assert_eq!(create(&w.db, &other.caller, &body).await?.run_number, 1);
    Ok(())
}

#[tokio::test]
async fn a_run_without_a_name_is_named_after_its_number() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = create(&w.db, &w.tenant.caller, &NewTestRun::default()).await?;
    assert_eq!((run.run_name.as_str(), run.status), ("Run_001", RunStatus::Pending));
    assert_eq!(w.events(run.id).await?, ["run.created"]);
    w.execute("UPDATE projects SET last_run_number = 999").await?;
    assert_eq!(create(&w.db, &w.tenant.caller, &NewTestRun::default()).await?.run_name, "Run_1000");
    let named = NewTestRun { run_name: Some("Smoke".to_owned()), ..NewTestRun::default() };
    assert_eq!(create(&w.db, &w.tenant.caller, &named).await?.run_name, "Smoke");
    Ok(())
}

#[tokio::test]
async fn of_fifty_starts_at_once_one_starts_the_run() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.pending(2, json!({})).await?;
    let command = StartTestRun { browser_name: Some("chromium".to_owned()), ..StartTestRun::default() };
    let answers = join_all((0..50).map(|_| start(&w.db, &w.tenant.caller, run.id, &command))).await;
    let (started, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    let started: Vec<_> = started.into_iter().filter_map(Result::ok).collect();
    assert_eq!(started.len(), 1);
    assert_eq!(started[0].message, "Test run started with 2 test cases");
    for error in refused.into_iter().filter_map(Result::err) {
        assert_eq!(error.to_string(), "Cannot start test run: status is 'running'");
    }
    let now = w.run(run.id).await?;
    assert_eq!((now.status, now.started_at), (RunStatus::Running, Some(started[0].started_at)));
    assert_eq!(now.browser_name.as_deref(), Some("chromium"));
    assert_eq!(w.events(run.id).await?, ["run.created", "run.started"]);
    Ok(())
}

#[tokio::test]
async fn a_run_without_test_cases_does_not_start() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = create(&w.db, &w.tenant.caller, &NewTestRun::default()).await?;
    let error = start(&w.db, &w.tenant.caller, run.id, &StartTestRun::default()).await.expect_err("it is empty");
    assert!(matches!(error, Error::InvalidState(_)), "{error}");
    assert_eq!(w.run(run.id).await?.status, RunStatus::Pending);
    assert_eq!(w.events(run.id).await?, ["run.created"], "nothing was told");
    Ok(())
}

#[tokio::test]
async fn cases_without_a_recording_are_no_run_from_the_start_and_can_complete_a_run() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.pending(3, json!({})).await?;
    w.execute("UPDATE test_cases SET has_recording = (external_key = 'case-2')").await?;
    start(&w.db, &w.tenant.caller, run.id, &StartTestRun::default()).await?;
    for (item, expected) in run.items.iter().zip([ItemStatus::NoRun, ItemStatus::NoRun, ItemStatus::Pending]) {
        assert_eq!(w.item(item).await?.status, expected);
    }
    let refused = w.submit(&run.items[0], json!({})).await.expect_err("there is nothing to run");
    assert!(matches!(refused, Error::InvalidState(_)), "{refused}");
    w.submit(&run.items[2], json!({})).await?;
    actions::refresh::refresh(&w.db, run.id).await?;
    let now = w.run(run.id).await?;
    assert_eq!((now.status, now.no_run_tests, now.passed_tests), (RunStatus::Completed, 2, 1));
    assert_eq!(now.pass_rate, percent(3_333));
    Ok(())
}

#[tokio::test]
async fn stop_skips_what_is_unfinished_and_keeps_what_is_done() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started_with(4, json!({"retry_on_failure": true, "retry_count": 1})).await?;
    w.submit(&run.items[0], json!({})).await?;
    w.submit(&run.items[1], json!({"status": "failed"})).await?;
    let ended = stop(&w.db, &w.tenant.caller, run.id).await?;
    assert_eq!((ended.status, ended.failure_reason.as_deref()), (RunStatus::Cancelled, None));
    assert_eq!((ended.total_tests, ended.passed_tests, ended.failed_tests, ended.skipped_tests), (4, 1, 0, 3));
    assert_eq!(Some(ended.duration_ms), milliseconds(ended.started_at, ended.completed_at));
    w.assert_counts_add_up(run.id).await?;
    assert_eq!(w.events(run.id).await?.last().map(String::as_str), Some("run.cancelled"));
    assert_eq!(w.jobs("finalise_run").await?, [json!({"run_id": run.id})]);
    for error in [
        stop(&w.db, &w.tenant.caller, run.id).await.expect_err("it has ended"),
        cancel(&w.db, &w.tenant.caller, run.id).await.expect_err("it has ended"),
        start(&w.db, &w.tenant.caller, run.id, &StartTestRun::default()).await.map(|_| ()).expect_err("it has ended"),
    ] {
        assert!(error.to_string().ends_with("test run: status is 'cancelled'"), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn cancel_is_for_runs_that_have_not_begun_and_stop_for_those_that_have() -> anyhow::Result<()> {
    let w = World::new().await?;
    let pending = w.pending(2, json!({})).await?;
    let error = stop(&w.db, &w.tenant.caller, pending.id).await.expect_err("it has not begun");
    assert_eq!(error.to_string(), "Cannot stop test run: status is 'pending'");
    let cancelled = cancel(&w.db, &w.tenant.caller, pending.id).await?;
    assert_eq!((cancelled.status, cancelled.skipped_tests, cancelled.duration_ms), (RunStatus::Cancelled, 2, 0));
    assert_eq!(cancelled.started_at, None);

    let queued = w.pending(1, json!({})).await?;
    sqlx::query("UPDATE test_runs SET status = 'queued' WHERE id = $1").bind(queued.id).execute(&w.db).await?;
    assert_eq!(cancel(&w.db, &w.tenant.caller, queued.id).await?.status, RunStatus::Cancelled);

    let running = w.started(1).await?;
    let error = cancel(&w.db, &w.tenant.caller, running.id).await.expect_err("it has begun");
    assert_eq!(error.to_string(), "Cannot cancel test run: status is 'running'");
    Ok(())
}

#[tokio::test]
async fn a_run_of_another_project_or_a_deleted_one_is_not_found() -> anyhow::Result<()> {
    let w = World::new().await?;
    let other = w.database.tenant("B").await?;
    let run = w.pending(1, json!({})).await?;
    let command = StartTestRun::default();
    let moves = async |caller: &Caller| {
        [
            start(&w.db, caller, run.id, &command).await.map(|_| ()),
            stop(&w.db, caller, run.id).await.map(|_| ()),
            cancel(&w.db, caller, run.id).await.map(|_| ()),
            actions::test_run_items::add(&w.db, caller, run.id, run.items[0].test_case_id).await.map(|_| ()),
        ]
    };
    for answer in moves(&other.caller).await {
        assert!(matches!(answer, Err(Error::NotFound { .. })), "{answer:?}");
    }
    w.execute("UPDATE test_runs SET deleted_at = now()").await?;
    for answer in moves(&w.tenant.caller).await {
        assert!(matches!(answer, Err(Error::NotFound { .. })), "{answer:?}");
    }
    assert_eq!(w.run(run.id).await?.status, RunStatus::Pending);
    Ok(())
}

#[tokio::test]
async fn runs_whose_client_fell_silent_fail_with_the_reason() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (running, queued) = (w.started(2).await?, w.pending(1, json!({})).await?);
    let pending = w.pending(1, json!({})).await?;
    sqlx::query("UPDATE test_runs SET status = 'queued' WHERE id = $1").bind(queued.id).execute(&w.db).await?;
    w.submit(&running.items[0], json!({})).await?;
    w.execute("UPDATE test_runs SET last_activity_at = now() - interval '61 s'").await?;
    let lively = w.started(1).await?;

    assert_eq!(fail_silent(&w.db, LIMIT).await?, 2);
    let failed = w.run(running.id).await?;
    assert_eq!((failed.status, failed.passed_tests, failed.skipped_tests), (RunStatus::Failed, 1, 1));
    assert_eq!(failed.failure_reason.as_deref(), Some("No sign of life from the client for 60 seconds"));
    assert_eq!(w.run(queued.id).await?.status, RunStatus::Failed);
    assert_eq!(w.run(pending.id).await?.status, RunStatus::Pending, "nobody has to work on a pending run");
    assert_eq!(w.run(lively.id).await?.status, RunStatus::Running);
    w.assert_counts_add_up(running.id).await?;
    assert_eq!(w.events(running.id).await?.last().map(String::as_str), Some("run.failed"));
    assert_eq!(w.jobs("finalise_run").await?.len(), 2);
    assert_eq!(fail_silent(&w.db, LIMIT).await?, 0, "a second look finds nothing");
    Ok(())
}

#[tokio::test]
async fn a_log_line_is_a_sign_of_life() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(2).await?;
    let result = w.submit(&run.items[0], json!({})).await?;
    actions::refresh::refresh(&w.db, run.id).await?;
    w.execute("UPDATE test_runs SET last_activity_at = now() - interval '1 h'").await?;
    let line =
        serde_json::from_value(json!({"log_level": "info", "message": "ok", "timestamp": "2026-01-18T02:00:00Z"}))?;
    actions::results::add_console_logs(&w.db, &w.tenant.caller, result.id, vec![line]).await?;
    actions::refresh::refresh(&w.db, run.id).await?;
    assert_eq!(fail_silent(&w.db, LIMIT).await?, 0);
    assert_eq!(w.run(run.id).await?.status, RunStatus::Running);
    Ok(())
}

#[tokio::test]
async fn a_client_that_comes_back_at_the_last_moment_keeps_its_run() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(1).await?;
    w.execute("UPDATE test_runs SET last_activity_at = now() - interval '1 h'").await?;
    let mut client = w.db.begin().await?;
    let pid = backend(&mut client).await?;
    db::test_runs::lock(&mut *client, w.tenant.project_id, run.id).await?;
    let pool = w.db.clone();
    let scan = tokio::spawn(async move { fail_silent(&pool, LIMIT).await });
    until_blocked_by(&w.db, pid, 1).await?;
    sqlx::query("UPDATE test_runs SET last_activity_at = clock_timestamp()").execute(&mut *client).await?;
    client.commit().await?;
    assert_eq!(scan.await??, 0);
    assert_eq!(w.run(run.id).await?.status, RunStatus::Running);
    Ok(())
}
