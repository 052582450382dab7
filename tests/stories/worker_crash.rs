//! A worker that is killed costs nothing: another one takes over what it had in hand.

use std::collections::HashMap;

use e2e::replay::{self, Options, RunStatus, Stage};
use serde_json::{Value, json};
use sqlx::Connection as _;
use test_support::smtp::Reaction;
use test_support::until;
use tokio::sync::watch;
use uuid::Uuid;

use crate::replay::report;
use crate::world::{PATIENCE, Run, World, id, merged, pick};

/// The mail server has taken one mail without saying so, and is silent about another, when the worker is killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_while_it_sends_mail_loses_none() -> anyhow::Result<()> {
    let world = World::start().await?;
    let (worker, _scheduler) = tokio::try_join!(world.worker(), world.scheduler())?;
    world.sink.script("silent@example.com", [Reaction::Hang]);
    world.sink.script("taken@example.com", [Reaction::HangAfterData]);
    let recipients = json!({ "notification_emails": ["quick@example.com", "silent@example.com", "taken@example.com"] });
    let (_, run) = finished_run(&world, recipients).await?;
    world.sink.wait_for_attempts("silent@example.com", 1, PATIENCE).await?;
    world.sink.wait_for(2, PATIENCE).await?;
    // The worker knows of the quick one too: what it has not noted yet when it dies is sent again, as it should be.
    world.sent_to(run.id, "quick@example.com").await?;
    let (_other, crashed) = tokio::join!(world.worker(), worker.crash());
    crashed?;

    let sent = world.sent_notifications(run.id).await?;
    let attempts: Value = sent.iter().map(|mail| pick(mail, ["recipient", "attempt"])).collect();
    assert_eq!(attempts, json!([["quick@example.com", 1], ["silent@example.com", 2], ["taken@example.com", 2]]));
    let mut arrived: HashMap<String, Vec<String>> = HashMap::new();
    for mail in world.sink.mails() {
        arrived.entry(mail.recipients.join(",")).or_default().extend(mail.message_id());
    }
    for (row, times) in sent.iter().zip([1, 1, 2]) {
        let message_id = format!("<{}@example.com>", id(&row["id"])?);
        // The mail that the server had taken comes again, as SMTP cannot help; by its id it is the same one.
        assert_eq!(arrived.remove(row["recipient"].as_str().unwrap_or_default()), Some(vec![message_id; times]));
    }
    assert_eq!(arrived, HashMap::new());
    Ok(())
}

/// The books are kept from being written until the worker that is about to write them is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_while_it_finalises_a_run_leaves_it_to_another() -> anyhow::Result<()> {
    let world = World::start().await?;
    let (worker, _scheduler) = tokio::try_join!(world.worker(), world.scheduler())?;
    let (schedule, run) = started_run(&world, json!({ "notification_emails": ["team@example.com"] })).await?;
    let mut other = sqlx::PgConnection::connect(&world.database.url).await?;
    let mut lock = other.begin().await?;
    sqlx::query("SELECT 1 FROM schedules WHERE id = $1 FOR UPDATE").bind(schedule).execute(&mut *lock).await?;
    world.submit(&run.result(0, "passed")).await?;
    world.completed(run.id).await?;
    until("the worker to wait for the schedule", PATIENCE, || async {
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = 'testrun-worker' AND wait_event_type = 'Lock'";
        let waiting: i64 = sqlx::query_scalar(sql).fetch_one(&world.database.pool).await?;
        Ok((waiting > 0).then_some(()))
    })
    .await?;
    worker.crash().await?;
    assert_eq!(world.executions(schedule).await?[0]["status"], "running");
    lock.rollback().await?;

    let _other = world.worker().await?;
    let execution = world.ended_execution(schedule).await?;
    assert_eq!(pick(&execution, ["status", "total_tests", "passed_tests"]), json!(["completed", 1, 1]));
    world.sent_notifications(run.id).await?;
    assert_eq!(world.sink.mails().len(), 1);
    Ok(())
}

/// No worker is there for the second half of the results.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_while_results_stream_in_loses_none() -> anyhow::Result<()> {
    const FILE: &str = "markdown-it-py-pytest-1190tests.xml";
    let world = World::start().await?;
    let (worker, _scheduler) = tokio::try_join!(world.worker(), world.scheduler())?;
    let report = report(FILE)?;
    let counts = report.counts();
    let mut options = Options::new(&world.base_url, &world.tenant.token, "markdown-it-py");
    options.deadline = PATIENCE;
    let (told, mut heard) = watch::channel((Stage::TestCases, 0));
    let replayed = tokio::spawn(replay::replay(options, report, move |progress| {
        told.send_replace((progress.stage, progress.done));
    }));

    heard.wait_for(|(stage, done)| *stage == Stage::Results && *done >= 300).await?;
    worker.crash().await?;
    heard.wait_for(|(stage, _)| *stage == Stage::Finishing).await?;
    let _other = world.worker().await?;
    let summary = replayed.await??;
    assert_eq!(summary.status, RunStatus::Completed);
    assert!(summary.counts.agree_with(&counts), "{:?} is not {counts:?}", summary.counts);
    let run = world.get(&format!("/test-runs/{}", summary.run_id)).await?;
    assert_eq!(pick(&run, ["total_tests", "passed_tests"]), json!([counts.total, counts.passed]));
    Ok(())
}

/// A schedule with these fields, and its started run of one test.
async fn started_run(world: &World, fields: Value) -> anyhow::Result<(Uuid, Run)> {
    world.test_cases(&["ROOT"], &["Login"]).await?;
    let fields = merged(fields, json!({ "suite_path": ["ROOT"] }))?;
    let schedule = world.due_now("Nightly", fields).await?;
    let run = world.queued_run("Nightly").await?;
    world.post(&format!("/test-runs/{}/start", run.id), &json!({}), 200).await?;
    Ok((schedule, run))
}

async fn finished_run(world: &World, fields: Value) -> anyhow::Result<(Uuid, Run)> {
    let (schedule, run) = started_run(world, fields).await?;
    world.submit(&run.result(0, "passed")).await?;
    world.completed(run.id).await?;
    Ok((schedule, run))
}
