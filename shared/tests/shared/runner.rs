//! What becomes of jobs in the hands of workers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use test_support::until;
use testrun_shared::error::Error;
use testrun_shared::jobs::{self, Job, JobOutcome, Queue};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::workers::{
    Does, Runner, ShortTask, Task, act, held_back, next, reporting, ring_all, task, until_dead, until_jobs_are, work,
};
use crate::world::{SOON, World};

#[tokio::test]
async fn a_payload_that_cannot_be_read_is_one_dead_job_and_others_flow() -> anyhow::Result<()> {
    let w = World::new().await?;
    for payload in [&b"\xff\x00\xfe"[..], b"", b"null", br#"{"number": "seven"}"#, br#"{"number": 8"#] {
        sqlx::query(
            "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority)
             VALUES (apalis.generate_ulid(), 'task', $1, 'Pending', 0, 1, now(), 0)",
        )
        .bind(payload)
        .execute(&w.db)
        .await?;
    }
    ring_all(&w, &work(0..3)).await?;
    let (queue, mut answered) = reporting();
    let runner = Runner::start(&w.db, queue.with_concurrency(1));
    let mut numbers = [next(&mut answered).await?, next(&mut answered).await?, next(&mut answered).await?];
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2]);
    for job in until_dead(&w, 5).await? {
        let reason = job.reason.unwrap_or_default();
        assert!(reason.starts_with("the payload cannot be read: "), "{reason}");
        assert_eq!((job.queue.as_str(), job.attempts), ("task", 1), "it is not tried again");
    }
    until_jobs_are(&w, "Pending", 0).await?;
    runner.stop().await
}

#[tokio::test]
async fn a_handler_that_fails_panics_or_hangs_is_tried_again_later_and_dead_after_three() -> anyhow::Result<()> {
    let w = World::new().await?;
    ring_all(&w, &[task(1, Does::Fail), task(2, Does::Panic), task(3, Does::Hang)]).await?;
    let runner = Runner::start(&w.db, Queue::of(|ShortTask(task)| act(task)));
    for starts in 1..=2 {
        let waiting = until("three jobs to wait for another start", SOON, || async {
            // Whichever waits is put off by an hour: the first of them is not to begin again before the last one waits.
            let hold = "UPDATE apalis.jobs SET run_at = run_at + interval '1 h'
                 WHERE status = 'Pending' AND attempts = $1 AND run_at < now() + interval '1 minute'";
            sqlx::query(hold).bind(starts).execute(&w.db).await?;
            let sql = "SELECT attempts, extract(epoch FROM run_at - interval '1 h' - now())::float8 FROM apalis.jobs
                 WHERE status = 'Pending' AND attempts = $1 AND run_at > now() + interval '1 minute'";
            let jobs: Vec<(i32, f64)> = sqlx::query_as(sql).bind(starts).fetch_all(&w.db).await?;
            Ok((jobs.len() == 3).then_some(jobs))
        })
        .await?;
        let longest = 2.0_f64.powi(starts) * 1.25;
        assert!(waiting.iter().all(|(_, delay)| *delay <= longest), "{waiting:?}");
        // Time goes by.
        assert_eq!(
            w.execute("UPDATE apalis.jobs SET run_at = now() - interval '1 s' WHERE status = 'Pending'").await?,
            3
        );
    }
    let dead = until_dead(&w, 3).await?;
    let reasons: HashMap<String, String> =
        dead.iter().map(|job| (job.payload.clone(), job.reason.clone().unwrap_or_default())).collect();
    for (does, expected) in [("Fail", "no luck"), ("Panic", "the handler panicked"), ("Hang", "took longer than 200ms")]
    {
        let reason = reasons.iter().find(|(payload, _)| payload.contains(does)).map(|(_, reason)| reason.as_str());
        assert!(reason.is_some_and(|reason| reason.contains(expected)), "{does}: {reasons:?}");
    }
    assert!(dead.iter().all(|job| job.attempts == 3), "{dead:?}");
    until_jobs_are(&w, "Pending", 0).await?;
    runner.stop().await
}

#[tokio::test]
async fn an_outage_of_the_database_costs_no_start_however_often_it_comes() -> anyhow::Result<()> {
    let w = World::new().await?;
    ring_all(&w, &work(0..1)).await?;
    let starts = Arc::new(AtomicUsize::new(0));
    let handler = {
        let starts = Arc::clone(&starts);
        move |_: Task| {
            let start = starts.fetch_add(1, Ordering::SeqCst);
            async move {
                if start < 5 {
                    return Err(Error::Database(sqlx::Error::PoolTimedOut)).context("counting the run");
                }
                Ok(JobOutcome::Done)
            }
        }
    };
    let runner = Runner::start(&w.db, Queue::of(handler));
    until("the job to be done", SOON, || async {
        // Time goes by.
        w.execute("UPDATE apalis.jobs SET run_at = now() - interval '1 s' WHERE status = 'Pending'").await?;
        let unfinished: i64 =
            sqlx::query_scalar("SELECT count(*) FROM apalis.jobs WHERE status <> 'Done'").fetch_one(&w.db).await?;
        Ok((unfinished == 0).then_some(()))
    })
    .await?;
    assert_eq!(starts.load(Ordering::SeqCst), 6, "five in vain, and none of them counted");
    runner.stop().await
}

#[tokio::test]
async fn a_job_that_can_never_be_done_is_dead_at_once_with_its_reason() -> anyhow::Result<()> {
    let w = World::new().await?;
    ring_all(&w, &[task(7, Does::Die)]).await?;
    let runner = Runner::start(&w.db, Queue::of(act));
    let dead = until_dead(&w, 1).await?;
    assert_eq!(dead[0].reason.as_deref(), Some("there is no such row"));
    assert_eq!((dead[0].attempts, dead[0].payload.contains(r#""number":7"#)), (1, true), "{dead:?}");
    assert!(dead[0].done_at.is_some());
    let depth = jobs::depth(&w.db).await?;
    assert_eq!((depth[0].dead, depth[0].available, depth[0].scheduled), (1, 0, 0));
    runner.stop().await
}

#[tokio::test]
async fn a_job_that_came_to_no_end_three_times_is_not_started_a_fourth_time() -> anyhow::Result<()> {
    let w = World::new().await?;
    ring_all(&w, &work(0..1)).await?;
    // As after three rescues from processes that it killed.
    w.execute("UPDATE apalis.jobs SET attempts = 3").await?;
    let (queue, mut answered) = reporting();
    let runner = Runner::start(&w.db, queue);
    let dead = until_dead(&w, 1).await?;
    assert!(dead[0].reason.as_deref().is_some_and(|reason| reason.contains("given up after 3 starts")), "{dead:?}");
    assert!(answered.try_recv().is_err(), "it was started");
    runner.stop().await
}

#[tokio::test]
async fn two_runners_share_a_queue_and_answer_each_job_once() -> anyhow::Result<()> {
    let w = World::new().await?;
    let ((first, mut one), (second, mut two)) = (reporting(), reporting());
    let runners = [Runner::start(&w.db, first), Runner::start(&w.db, second)];
    ring_all(&w, &work(0..100)).await?;
    until_jobs_are(&w, "Done", 100).await?;
    let mut answered = Vec::new();
    while let Ok(number) = one.try_recv().or_else(|_| two.try_recv()) {
        answered.push(number);
    }
    answered.sort_unstable();
    assert_eq!(answered, (0..100).collect::<Vec<_>>());
    for runner in runners {
        runner.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_slow_job_holds_up_nothing_while_another_runner_is_free() -> anyhow::Result<()> {
    let w = World::new().await?;
    ring_all(&w, &work(0..9)).await?;
    let (slow, mut begun, permits) = held_back();
    let slow = Runner::start(&w.db, slow.with_concurrency(1));
    let taken = next(&mut begun).await?;
    let (free, mut answered) = reporting();
    let free = Runner::start(&w.db, free);
    let mut numbers = vec![taken];
    while numbers.len() < 9 {
        numbers.push(next(&mut answered).await?);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..9).collect::<Vec<_>>(), "the busy runner took one and kept no other to itself");
    permits.add_permits(1);
    free.stop().await?;
    slow.stop().await
}

#[tokio::test]
async fn no_more_jobs_run_at_once_than_a_queue_allows() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (begun, mut begins) = mpsc::unbounded_channel();
    let handler = {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        move |task: Task| {
            let (running, most, begun) = (Arc::clone(&running), Arc::clone(&most), begun.clone());
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                begun.send(task.number)?;
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(JobOutcome::Done)
            }
        }
    };
    let runner = Runner::start(&w.db, Queue::of(handler).with_concurrency(2));
    ring_all(&w, &work(0..20)).await?;
    for _ in 0..20 {
        next(&mut begins).await?;
    }
    assert!((1..=2).contains(&most.load(Ordering::SeqCst)), "{most:?}");
    runner.stop().await
}

#[tokio::test]
async fn a_runner_that_stops_lets_running_handlers_finish_and_takes_no_new_job() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (queue, mut begun, permits) = held_back();
    let runner = Runner::start(&w.db, queue.with_concurrency(2));
    ring_all(&w, &work(0..2)).await?;
    next(&mut begun).await?;
    next(&mut begun).await?;
    runner.shutdown.cancel();
    ring_all(&w, &work(2..4)).await?;
    assert!(!runner.ended.is_finished());
    permits.add_permits(2);
    runner.stop().await?;
    assert!(begun.try_recv().is_err(), "it took another job");
    let states: Vec<(String, i64)> =
        sqlx::query_as("SELECT status, count(*) FROM apalis.jobs GROUP BY status ORDER BY status")
            .fetch_all(&w.db)
            .await?;
    assert_eq!(states, [("Done".to_owned(), 2), ("Pending".to_owned(), 2)], "the others are left for somebody else");
    Ok(())
}

#[tokio::test]
async fn a_handler_that_could_outlive_the_shutdown_is_refused() -> anyhow::Result<()> {
    #[derive(Serialize, Deserialize)]
    struct Endless;
    impl Job for Endless {
        const QUEUE: &'static str = "endless";
        const CONCURRENCY: usize = 1;
        const TIMEOUT: Duration = Duration::from_secs(25);
        const PROJECT_OF_ROW: &'static str = Task::PROJECT_OF_ROW;

        fn row_id(&self) -> Uuid {
            Uuid::nil()
        }
    }
    let w = World::new().await?;
    let queue = || Queue::of(|_: Endless| async { Ok(JobOutcome::Done) });
    let error = Runner::start(&w.db, queue()).ended.await?.expect_err("25 s are all there is");
    assert!(error.to_string().contains("endless"), "{error}");
    let error = Runner::start(&w.db, Queue::of(act).with_concurrency(0)).ended.await?.expect_err("nothing would run");
    assert!(error.to_string().contains("task"), "{error}");
    Ok(())
}
