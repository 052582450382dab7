//! Seven processes share the work, and every five seconds one of them is killed.

use std::collections::VecDeque;
use std::time::Duration;

use e2e::replay::{Options, RunStatus, Summary, execute, put_test_cases};
use serde_json::json;
use test_support::Process;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use crate::replay::report;
use crate::world::{PATIENCE, World, id, pick};

/// The largest real report, and its "counted" row: total, passed, failed, skipped.
const FILE: &str = "numpy-pytest-10648tests.xml";
const COUNTED: [u64; 4] = [10_648, 10_479, 0, 169];
const RECIPIENTS: [&str; 3] = ["ci@example.com", "lead@example.com", "team@example.com"];

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_every_five_seconds_costs_no_result_and_no_mail() -> anyhow::Result<()> {
    let world = World::start().await?;
    let second_api = Process::api(&world.database.url).await?;
    let (first, second, third, _scheduler, _other_scheduler) =
        tokio::try_join!(world.worker(), world.worker(), world.worker(), world.scheduler(), world.scheduler())?;
    let workers = VecDeque::from([first, second, third]);

    let mut options = Options::new(&world.base_url, &world.tenant.token, "numpy");
    options.base_urls.push(second_api.url().await?);
    options.deadline = PATIENCE;
    put_test_cases(&options, &report(FILE)?, |_| {}).await?;
    let fields = json!({ "suite_path": ["numpy"], "notification_emails": RECIPIENTS });
    let schedule = world.due_now("Nightly numpy", fields).await?;

    let mut killed = 0;
    let summary = tokio::select! {
        summary = story(&world, options, schedule) => summary?,
        failed = kill_one_by_one(&world, workers, &mut killed) => return failed,
    };
    assert!(killed > 0, "it was over before the first worker was killed");
    let [total, passed, failed, skipped] = COUNTED;
    let run = world.get(&format!("/test-runs/{}", summary.run_id)).await?;
    let counts = ["status", "total_tests", "passed_tests", "failed_tests", "skipped_tests", "no_run_tests"];
    assert_eq!(pick(&run, counts), json!(["completed", total, passed, failed, skipped, 0]));
    assert_eq!(world.get(&format!("/test-runs/{}/results?limit=1", summary.run_id)).await?["total"], total);
    assert_eq!(world.get("/test-runs").await?["total"], 1, "one due time makes one run");
    one_mail_each(&world, summary.run_id).await
}

/// From the schedule's fire to the last mail.
async fn story(world: &World, options: Options, schedule: Uuid) -> anyhow::Result<Summary> {
    let run = id(&world.run_of("Nightly numpy", "queued").await?["id"])?;
    let summary = execute(options, run, report(FILE)?, |_| {}).await?;
    assert_eq!(summary.status, RunStatus::Completed);
    let execution = world.ended_execution(schedule).await?;
    let [total, passed, failed, _] = COUNTED;
    let figures = ["status", "test_run_id", "total_tests", "passed_tests", "failed_tests"];
    assert_eq!(pick(&execution, figures), json!(["completed", run, total, passed, failed]));
    world.sent_notifications(run).await?;
    Ok(summary)
}

/// Kills the oldest worker and starts another one, for ever. The first one at once: however fast the machine, the story is
/// not over before.
async fn kill_one_by_one(world: &World, mut workers: VecDeque<Process>, killed: &mut u32) -> anyhow::Result<()> {
    let mut pace = tokio::time::interval(Duration::from_secs(5));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        if let Some(oldest) = workers.pop_front() {
            oldest.crash().await?;
            *killed += 1;
        }
        workers.push_back(world.worker().await?);
    }
}

async fn one_mail_each(world: &World, run: Uuid) -> anyhow::Result<()> {
    let mut mails = world.sink.mails();
    for row in world.notifications(run).await? {
        let message_id = format!("<{}@example.com>", id(&row["id"])?);
        let (same, others): (Vec<_>, Vec<_>) =
            mails.into_iter().partition(|mail| mail.message_id().as_ref() == Some(&message_id));
        mails = others;
        assert!(same.iter().all(|mail| json!(mail.recipients) == json!([row["recipient"]])), "{row}");
        // One attempt, one mail. Only a worker that was killed between the mail server's word and the note of it leaves
        // an attempt that has to be made again: SMTP's own limit.
        let attempts = row["attempt"].as_u64().unwrap_or_default();
        assert!((1..=attempts).contains(&u64::try_from(same.len())?), "{} mails for {row}", same.len());
    }
    assert_eq!(world.notifications(run).await?.len(), RECIPIENTS.len());
    assert!(mails.is_empty(), "mails of nobody's: {mails:?}");
    Ok(())
}
