//! What operators do with queues and with jobs that were given up.

use test_support::until;
use testrun_shared::actions::{finalise, queues, schedules, test_runs};
use testrun_shared::db;
use testrun_shared::domain::notification::NotificationKind;
use testrun_shared::domain::queue::{JobStatus, QueueName};
use testrun_shared::error::Error;
use testrun_shared::jobs::{
    CreateScheduledRun, DeliverWebhook, FinaliseRun, Job, JobOutcome, Queue, RefreshRun, SendEmail, ring,
};
use uuid::Uuid;

use crate::sweep::one_of_each;
use crate::workers::{Runner, Task, next, reporting, ring_all, work};
use crate::world::{SOON, World};

/// Puts a dead job for this into the database, and returns its id.
async fn dead<J: Job>(w: &World, job: &J) -> anyhow::Result<String> {
    w.lose_jobs().await?;
    ring(&mut *w.db.acquire().await?, job).await?;
    w.execute("UPDATE apalis.jobs SET status = 'Killed', attempts = 3, done_at = now()").await?;
    Ok(sqlx::query_scalar("SELECT id FROM apalis.jobs").fetch_one(&w.db).await?)
}

/// Why a job cannot be retried.
async fn refusal<J: Job>(w: &World, job: &J) -> anyhow::Result<String> {
    let id = dead(w, job).await?;
    match queues::retry(&w.db, &id).await {
        Err(Error::InvalidState(reason)) => Ok(reason),
        other => anyhow::bail!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn every_queue_is_listed_with_what_waits_in_it_and_whether_it_is_paused() -> anyhow::Result<()> {
    let w = World::new().await?;
    let names = |states: &[testrun_shared::domain::queue::QueueState]| {
        states.iter().map(|state| state.queue.clone()).collect::<Vec<_>>()
    };
    let ours: Vec<&str> = QueueName::ALL.iter().map(|name| name.as_str()).collect();
    let empty = queues::states(&w.db).await?;
    assert_eq!(names(&empty), ours);
    assert!(
        empty
            .iter()
            .all(|state| !state.is_paused && state.available + state.scheduled + state.running + state.dead == 0)
    );

    ring_all(&w, &work(0..2)).await?;
    w.execute("UPDATE apalis.jobs SET run_at = now() - interval '90 s'").await?;
    let user = w.tenant.user_id;
    let paused = queues::pause(&w.db, QueueName::SendEmail, Some("moving"), Some(user)).await?;
    assert_eq!(
        (paused.is_paused, paused.paused_by, paused.paused_reason.as_deref()),
        (true, Some(user), Some("moving"))
    );
    let states = queues::states(&w.db).await?;
    assert_eq!(names(&states), [&ours[..], &["task"]].concat(), "a queue that is not ours, but has jobs");
    let tasks = &states[5];
    assert_eq!((tasks.available, tasks.is_paused), (2, false));
    assert!(tasks.oldest_seconds >= 90.0, "{tasks:?}");

    let again = queues::pause(&w.db, QueueName::SendEmail, None, None).await?;
    assert_eq!(
        (again.paused_at, again.paused_by, again.paused_reason.as_deref()),
        (paused.paused_at, Some(user), Some("moving"))
    );
    let reason = queues::pause(&w.db, QueueName::SendEmail, Some("moved"), None).await?.paused_reason;
    assert_eq!(reason.as_deref(), Some("moved"));
    for _ in 0..2 {
        let resumed = queues::resume(&w.db, QueueName::SendEmail).await?;
        assert_eq!((resumed.is_paused, resumed.paused_at, resumed.paused_reason), (false, None, None));
    }
    Ok(())
}

#[tokio::test]
async fn no_job_of_a_paused_queue_is_started_until_it_is_resumed() -> anyhow::Result<()> {
    let w = World::new().await?;
    w.execute("INSERT INTO paused_queues (queue) VALUES ('task')").await?;
    ring_all(&w, &work(0..3)).await?;
    let (queue, mut answered) = reporting();
    let runner = Runner::start(&w.db, queue);
    until("the worker to be there", SOON, || async { Ok(runner.readiness.covers(&[Task::QUEUE]).then_some(())) })
        .await?;
    // A doorbell that rings now wakes the worker, too.
    ring_all(&w, &work(3..4)).await?;
    // Another queue's job, rung later, comes to its end meanwhile.
    let other = Runner::start(&w.db, Queue::of(|_: RefreshRun| async { Ok(JobOutcome::Done) }));
    ring(&mut *w.db.acquire().await?, &RefreshRun { run_id: Uuid::nil() }).await?;
    until("the other queue's job to be done", SOON, || async {
        let done: i64 =
            sqlx::query_scalar("SELECT count(*) FROM apalis.jobs WHERE status = 'Done'").fetch_one(&w.db).await?;
        Ok((done == 1).then_some(()))
    })
    .await?;
    assert!(answered.try_recv().is_err(), "a job of the paused queue was started");
    let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM apalis.jobs WHERE status = 'Pending' AND attempts = 0")
        .fetch_one(&w.db)
        .await?;
    assert_eq!(waiting, 4);

    w.execute("DELETE FROM paused_queues").await?;
    let mut numbers = Vec::new();
    for _ in 0..4 {
        numbers.push(next(&mut answered).await?);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2, 3]);
    other.stop().await?;
    runner.stop().await
}

#[tokio::test]
async fn clients_are_not_thought_dead_because_the_queue_that_hears_them_is_paused() -> anyhow::Result<()> {
    const LIMIT: std::time::Duration = std::time::Duration::from_secs(3600);
    let w = World::new().await?;
    let run = w.started(2).await?;
    queues::pause(&w.db, QueueName::RefreshRun, None, None).await?;
    // Long ago; nothing has been counted since.
    w.execute("UPDATE test_runs SET last_activity_at = now() - interval '2 h'").await?;
    assert_eq!(test_runs::fail_silent(&w.db, LIMIT).await?, 0, "while it is paused");
    queues::resume(&w.db, QueueName::RefreshRun).await?;
    assert_eq!(test_runs::fail_silent(&w.db, LIMIT).await?, 0, "before the run could be counted");
    w.execute("UPDATE test_runs SET last_activity_at = now() - interval '2 h'").await?;
    assert_eq!(test_runs::fail_silent(&w.db, LIMIT).await?, 1, "the client was silent since");
    assert_eq!(
        w.run(run.id).await?.failure_reason.as_deref(),
        Some("No sign of life from the client for 3600 seconds")
    );
    Ok(())
}

#[tokio::test]
async fn a_retried_job_has_something_to_do() -> anyhow::Result<()> {
    let w = World::new().await?;
    one_of_each(&w).await?;
    // Given up, and not due for long.
    w.execute(
        "UPDATE notifications SET status = 'failed', attempt = 9, last_error = 'no', next_attempt_at = now() + interval '1 h'",
    )
    .await?;
    w.execute(
        "UPDATE webhook_deliveries SET status = 'failed', attempt = 10, last_error = 'no', next_attempt_at = now() + interval '1 h'",
    )
    .await?;
    let mail: Uuid = sqlx::query_scalar("SELECT id FROM notifications").fetch_one(&w.db).await?;
    let delivery: Uuid = sqlx::query_scalar("SELECT id FROM webhook_deliveries").fetch_one(&w.db).await?;
    let id = dead(&w, &SendEmail { notification_id: mail }).await?;
    assert_eq!(queues::retry(&w.db, &id).await?.status, JobStatus::Available);
    assert_eq!(db::notifications::claim(&w.db, mail, 20.0).await?.map(|mail| mail.attempt), Some(10));
    let id = dead(&w, &DeliverWebhook { delivery_id: delivery }).await?;
    queues::retry(&w.db, &id).await?;
    let claimed = db::webhook_deliveries::claim(&w.db, delivery, 20.0).await?;
    assert_eq!(claimed.map(|claimed| (claimed.attempt, claimed.pause_seconds)), Some((11, Some(5))), "with a new plan");

    // Somebody is at both of them now.
    let busy = "Cannot retry job: an attempt is under way";
    assert_eq!(refusal(&w, &SendEmail { notification_id: mail }).await?, busy);
    assert_eq!(refusal(&w, &DeliverWebhook { delivery_id: delivery }).await?, busy);

    // A run that nothing notes any more is counted all the same.
    let run = w.started(1).await?.id;
    w.execute("DELETE FROM run_refreshes").await?;
    let id = dead(&w, &RefreshRun { run_id: run }).await?;
    queues::retry(&w.db, &id).await?;
    assert_eq!(w.count("SELECT count(*) FROM run_refreshes WHERE run_id = $1", run).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_retry_that_would_do_nothing_is_refused_and_says_why() -> anyhow::Result<()> {
    let w = World::new().await?;
    one_of_each(&w).await?;
    let nothing = |why: &str| format!("Cannot retry job: there is nothing to do, {why}");
    let gone = Uuid::nil();
    assert_eq!(refusal(&w, &RefreshRun { run_id: gone }).await?, nothing("the run is gone"));
    assert_eq!(refusal(&w, &FinaliseRun { run_id: gone }).await?, nothing("the run is gone"));
    assert_eq!(refusal(&w, &SendEmail { notification_id: gone }).await?, nothing("the mail is gone"));
    assert_eq!(refusal(&w, &DeliverWebhook { delivery_id: gone }).await?, nothing("the delivery is gone"));
    let no_execution = nothing("the execution does not wait for a run");
    assert_eq!(refusal(&w, &CreateScheduledRun { execution_id: gone }).await?, no_execution);

    let execution = sqlx::query_scalar("SELECT id FROM schedule_executions").fetch_one(&w.db).await?;
    let run = schedules::create_run(&w.db, execution).await?.unwrap_or_default();
    assert_eq!(refusal(&w, &CreateScheduledRun { execution_id: execution }).await?, no_execution);
    assert_eq!(refusal(&w, &FinaliseRun { run_id: run }).await?, nothing("the run has not ended"));
    test_runs::cancel(&w.db, &w.tenant.caller, run).await?;
    finalise::finalise(&w.db, run).await?;
    let id = dead(&w, &FinaliseRun { run_id: run }).await?;
    queues::retry(&w.db, &id).await?;
    finalise::write_report(&w.db, run).await?;
    assert_eq!(refusal(&w, &FinaliseRun { run_id: run }).await?, nothing("the run is finalised"));

    let recipient = ["sent@example.com".to_owned()];
    let mail = db::notifications::insert(&w.db, run, NotificationKind::Failure, &recipient).await?[0];
    db::notifications::claim(&w.db, mail, 20.0).await?;
    assert!(db::notifications::set_sent(&w.db, mail, 1).await?);
    assert_eq!(refusal(&w, &SendEmail { notification_id: mail }).await?, nothing("the mail was sent"));
    let delivery = sqlx::query_scalar("SELECT id FROM webhook_deliveries LIMIT 1").fetch_one(&w.db).await?;
    w.execute("UPDATE webhooks SET is_enabled = FALSE, disabled_at = now(), disabled_reason = 'manual'").await?;
    assert_eq!(refusal(&w, &DeliverWebhook { delivery_id: delivery }).await?, nothing("the webhook is disabled"));
    w.execute("UPDATE webhook_deliveries SET status = 'delivered', delivered_at = now()").await?;
    assert_eq!(refusal(&w, &DeliverWebhook { delivery_id: delivery }).await?, nothing("the event was delivered"));

    let id = dead(&w, &RefreshRun { run_id: run }).await?;
    w.execute("UPDATE apalis.jobs SET job = 'nonsense'").await?;
    let error = queues::retry(&w.db, &id).await.expect_err("it cannot be read").to_string();
    assert!(error.starts_with(&nothing("the payload cannot be read: ")), "{error}");
    queues::discard(&w.db, &id).await?;
    Ok(())
}

#[tokio::test]
async fn only_dead_jobs_are_retried_or_discarded() -> anyhow::Result<()> {
    let w = World::new().await?;
    for (state, status) in [
        ("UPDATE apalis.jobs SET run_at = now() + interval '1 h'", "scheduled"),
        ("UPDATE apalis.jobs SET run_at = now()", "available"),
        ("UPDATE apalis.jobs SET status = 'Queued'", "running"),
        ("UPDATE apalis.jobs SET status = 'Running'", "running"),
        ("UPDATE apalis.jobs SET status = 'Done'", "done"),
    ] {
        let run = w.started(1).await?.id;
        let id = dead(&w, &RefreshRun { run_id: run }).await?;
        w.execute("UPDATE apalis.jobs SET status = 'Pending'").await?;
        w.execute(state).await?;
        let retried = queues::retry(&w.db, &id).await.expect_err("it is not dead");
        assert_eq!(retried.to_string(), format!("Cannot retry job: its status is '{status}'"));
        let discarded = queues::discard(&w.db, &id).await.expect_err("it is not dead");
        assert_eq!(discarded.to_string(), format!("Cannot discard job: its status is '{status}'"));
    }
    let nowhere = queues::retry(&w.db, "nowhere").await.expect_err("there is no such job");
    assert!(matches!(nowhere, Error::NotFound { what: "Job", .. }), "{nowhere:?}");
    Ok(())
}
