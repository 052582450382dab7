//! A row whose job harms whoever takes it: it does so three times, and not once more until an operator says so.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use serde_json::json;
use test_support::until;
use testrun_shared::actions::queues;
use testrun_shared::db;
use testrun_shared::domain::page::Page;
use testrun_shared::domain::queue::{JobFilter, JobStatus, QueuedJob};
use testrun_shared::jobs::sweep::sweep;
use testrun_shared::jobs::{Queue, RefreshRun, operate};
use tokio::process::{Child, Command};

use crate::sweep::{one_of_each_rung, six_seconds_later, waiting};
use crate::workers::{Runner, until_dead};
use crate::world::{SOON, World};

/// Tells this test's program that it is the process to be harmed, and where its database is.
const VICTIM: &str = "TESTRUN_TEST_VICTIM";

async fn all_jobs(w: &World, status: JobStatus) -> sqlx::Result<Vec<QueuedJob>> {
    let filter = JobFilter { status: Some(status), queue: None };
    operate::list(&w.db, &filter, Page { limit: 100, offset: 0 }).await
}

async fn give_all_up(w: &World) -> sqlx::Result<()> {
    w.execute("UPDATE apalis.jobs SET status = 'Killed', attempts = 3, done_at = now()").await.map(|_| ())
}

#[tokio::test]
async fn nothing_rings_for_a_row_whose_job_is_dead_until_somebody_retries_it() -> anyhow::Result<()> {
    let w = World::new().await?;
    let expected = one_of_each_rung(&w).await?;
    for _ in 0..2 {
        give_all_up(&w).await?;
        for _ in 0..3 {
            six_seconds_later(&w).await?;
            assert_eq!(sweep(&w.db).await?, 0);
        }
        for job in all_jobs(&w, JobStatus::Dead).await? {
            let retried = queues::retry(&w.db, &job.id).await?;
            assert_eq!((retried.status, retried.attempts, retried.reason), (JobStatus::Available, 0, None), "{job:?}");
        }
        assert_eq!(waiting(&w).await?, expected);
        assert_eq!(sweep(&w.db).await?, 0, "it waits itself");
    }
    Ok(())
}

#[tokio::test]
async fn discarding_gives_up_what_can_be_given_up_and_has_the_rest_rung_for_again() -> anyhow::Result<()> {
    let w = World::new().await?;
    one_of_each_rung(&w).await?;
    give_all_up(&w).await?;
    for job in all_jobs(&w, JobStatus::Dead).await? {
        queues::discard(&w.db, &job.id).await?;
    }
    assert_eq!(operate::count(&w.db, &JobFilter::default()).await?, 0);
    let rows: BTreeMap<String, (String, Option<String>)> = sqlx::query_as::<_, (String, String, Option<String>)>(
        "SELECT 'mail', status, last_error FROM notifications UNION ALL
         SELECT 'delivery', status, last_error FROM webhook_deliveries UNION ALL
         SELECT 'execution', status, error_message FROM schedule_executions UNION ALL
         SELECT 'schedule', last_execution_status, NULL FROM schedules",
    )
    .fetch_all(&w.db)
    .await?
    .into_iter()
    .map(|(what, status, reason)| (what, (status, reason)))
    .collect();
    let given_up = |reason: Option<&str>| ("failed".to_owned(), reason.map(str::to_owned));
    let why = Some("Discarded by an operator");
    let expected = [("mail", why), ("delivery", why), ("execution", why), ("schedule", None)];
    assert_eq!(rows, expected.map(|(what, reason)| (what.to_owned(), given_up(reason))).into());
    six_seconds_later(&w).await?;
    assert_eq!(sweep(&w.db).await?, 2);
    assert_eq!(waiting(&w).await?.into_keys().collect::<Vec<_>>(), ["finalise_run", "refresh_run"]);
    Ok(())
}

#[tokio::test]
async fn a_handler_that_panics_about_a_row_is_started_three_times_and_no_more() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(1).await?;
    let starts = Arc::new(AtomicUsize::new(0));
    let queue = {
        let starts = Arc::clone(&starts);
        Queue::of(move |_: RefreshRun| {
            let starts = Arc::clone(&starts);
            async move {
                starts.fetch_add(1, Ordering::SeqCst);
                panic!("cannot go on")
            }
        })
    };
    let runner = Runner::start(&w.db, queue);
    // A sweep that looks in the very moment in which the job is started for the first time takes it for lost, and rings
    // once more: that does no harm, but there would be another job to count.
    until("the job to be started", SOON, || async { Ok((starts.load(Ordering::SeqCst) > 0).then_some(())) }).await?;
    until("the job to be dead", SOON, || async {
        // Time goes by, for the row as for its job.
        six_seconds_later(&w).await?;
        sweep(&w.db).await?;
        Ok((!all_jobs(&w, JobStatus::Dead).await?.is_empty()).then_some(()))
    })
    .await?;
    // A result rings for nobody: the run is noted already.
    w.submit(&run.items[0], json!({})).await?;
    for _ in 0..3 {
        six_seconds_later(&w).await?;
        assert_eq!(sweep(&w.db).await?, 0);
    }
    assert_eq!(operate::count(&w.db, &JobFilter::default()).await?, 1, "one job in all");
    assert_eq!(starts.load(Ordering::SeqCst), 3);
    runner.stop().await?;

    // A release that can do it, and an operator who knows.
    let dead = all_jobs(&w, JobStatus::Dead).await?;
    queues::retry(&w.db, &dead[0].id).await?;
    let done = Queue::of(|job: RefreshRun| async move {
        anyhow::ensure!(job.run_id != uuid::Uuid::nil());
        Ok(testrun_shared::jobs::JobOutcome::Done)
    });
    let runner = Runner::start(&w.db, done);
    until("the job to be done", SOON, || async {
        Ok((operate::count(&w.db, &JobFilter::default()).await? == 0).then_some(()))
    })
    .await?;
    runner.stop().await
}

#[tokio::test]
async fn a_job_that_aborts_its_process_is_started_three_times_and_no_more() -> anyhow::Result<()> {
    const NAME: &str = "poison::a_job_that_aborts_its_process_is_started_three_times_and_no_more";
    if let Some(url) = std::env::var_os(VICTIM) {
        return be_aborted(&url.to_string_lossy()).await;
    }
    let w = World::new().await?;
    w.started(1).await?;
    for start in 1..=3 {
        let status = ended(victim(NAME, &w)?).await?;
        assert_eq!(status.signal(), Some(6), "start {start}: {status}");
        // The worker has been silent for long, and the row due for long.
        w.execute("UPDATE apalis.workers SET last_seen = now() - interval '1 minute'").await?;
        six_seconds_later(&w).await?;
        assert_eq!(sweep(&w.db).await?, 0, "start {start}");
    }
    let mut survivor = victim(NAME, &w)?;
    let dead = until_dead(&w, 1).await?;
    assert!(dead[0].reason.as_deref().is_some_and(|reason| reason.contains("given up after 3 starts")), "{dead:?}");
    survivor.kill().await?;
    six_seconds_later(&w).await?;
    assert_eq!(sweep(&w.db).await?, 0);
    assert_eq!(operate::count(&w.db, &JobFilter::default()).await?, 1, "one job in all");
    Ok(())
}

/// A process of its own that works on the queue, and is aborted by each job.
fn victim(name: &str, w: &World) -> anyhow::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--exact", name, "--nocapture"]).env(VICTIM, &w.database.url).kill_on_drop(true);
    Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
}

async fn ended(mut process: Child) -> anyhow::Result<ExitStatus> {
    let ended = tokio::time::timeout(SOON * 2, process.wait()).await;
    Ok(ended.context("the process was not aborted in time")??)
}

async fn be_aborted(url: &str) -> anyhow::Result<()> {
    let pool = db::pool(&url.to_owned().into(), 5, "victim")?;
    let runner = Runner::start(&pool, Queue::of(|_: RefreshRun| async { std::process::abort() }));
    runner.ended.await?
}
