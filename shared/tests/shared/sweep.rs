//! Doorbells that were lost are rung again, and only those.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use serde_json::{Value, json};
use testrun_shared::actions::{queues, schedules, test_runs};
use testrun_shared::db;
use testrun_shared::domain::notification::NotificationKind;
use testrun_shared::domain::queue::QueueName;
use testrun_shared::domain::test_run::NewTestRun;
use testrun_shared::jobs::sweep::sweep;
use uuid::Uuid;

use crate::world::{World, utc};

const QUEUES: [&str; 5] = ["create_scheduled_run", "deliver_webhook", "finalise_run", "refresh_run", "send_email"];

/// The waiting jobs of each queue that has any.
pub(crate) async fn waiting(w: &World) -> sqlx::Result<BTreeMap<&'static str, Vec<Value>>> {
    let mut all = BTreeMap::new();
    for queue in QUEUES {
        let jobs = w.jobs(queue).await?;
        if !jobs.is_empty() {
            all.insert(queue, jobs);
        }
    }
    Ok(all)
}

/// A row for each kind of job, due and just rung for. Returns the jobs that they wait for.
pub(crate) async fn one_of_each(w: &World) -> anyhow::Result<BTreeMap<&'static str, Vec<Value>>> {
    let (running, over) = (w.started(1).await?, w.pending(1, json!({})).await?);
    test_runs::cancel(&w.db, &w.tenant.caller, over.id).await?;
    let mails =
        db::notifications::insert(&w.db, over.id, NotificationKind::Failure, &["a@example.com".to_owned()]).await?;
    let now = utc("2026-01-18T02:00:00Z");
    let schedule = w.schedule(json!({}), now).await?;
    schedules::fire(&w.db, schedule.id, now).await?;
    let execution: Uuid = sqlx::query_scalar("SELECT id FROM schedule_executions").fetch_one(&w.db).await?;
    sqlx::query(
        "INSERT INTO webhooks (id, project_id, url, secret, created_by)
         VALUES (gen_random_uuid(), $1, 'https://example.com', 'secret', $2)",
    )
    .bind(w.tenant.project_id)
    .bind(w.tenant.user_id)
    .execute(&w.db)
    .await?;
    test_runs::create(&w.db, &w.tenant.caller, &NewTestRun::default()).await?;
    let delivery: Uuid = sqlx::query_scalar("SELECT id FROM webhook_deliveries").fetch_one(&w.db).await?;
    // Adding test cases asked for a refresh of the cancelled run, too, which is of no interest here.
    sqlx::query("DELETE FROM run_refreshes WHERE run_id = $1").bind(over.id).execute(&w.db).await?;
    Ok(BTreeMap::from([
        ("create_scheduled_run", vec![json!({"execution_id": execution})]),
        ("deliver_webhook", vec![json!({"delivery_id": delivery})]),
        ("finalise_run", vec![json!({"run_id": over.id})]),
        ("refresh_run", vec![json!({"run_id": running.id})]),
        ("send_email", vec![json!({"notification_id": mails[0]})]),
    ]))
}

/// Lets six seconds go by: all that was rung for was rung for that much earlier.
pub(crate) async fn six_seconds_later(w: &World) -> sqlx::Result<()> {
    for statement in [
        "UPDATE run_refreshes SET rung_at = rung_at - interval '6 s'",
        "UPDATE test_runs SET finalise_rung_at = finalise_rung_at - interval '6 s'",
        "UPDATE schedule_executions SET rung_at = rung_at - interval '6 s'",
        "UPDATE notifications SET rung_at = rung_at - interval '6 s', next_attempt_at = next_attempt_at - interval '6 s',
             lease_until = lease_until - interval '6 s'",
        "UPDATE webhook_deliveries SET rung_at = rung_at - interval '6 s', next_attempt_at = next_attempt_at - interval '6 s',
             lease_until = lease_until - interval '6 s'",
        "UPDATE apalis.jobs SET run_at = run_at - interval '6 s'",
    ] {
        w.execute(statement).await?;
    }
    Ok(())
}

/// Has all been rung for in this moment, however long ago that was in truth: a busy machine takes its time.
async fn rung_just_now(w: &World) -> sqlx::Result<()> {
    for statement in [
        "UPDATE run_refreshes SET rung_at = clock_timestamp()",
        "UPDATE test_runs SET finalise_rung_at = clock_timestamp() WHERE finalise_rung_at IS NOT NULL",
        "UPDATE schedule_executions SET rung_at = clock_timestamp()",
        "UPDATE notifications SET rung_at = clock_timestamp()",
        "UPDATE webhook_deliveries SET rung_at = clock_timestamp()",
    ] {
        w.execute(statement).await?;
    }
    Ok(())
}

/// A row for each kind of job, due and rung for, with a job for each of them.
pub(crate) async fn one_of_each_rung(w: &World) -> anyhow::Result<BTreeMap<&'static str, Vec<Value>>> {
    let expected = one_of_each(w).await?;
    w.lose_jobs().await?;
    six_seconds_later(w).await?;
    assert_eq!(sweep(&w.db).await?, 5);
    Ok(expected)
}

#[tokio::test]
async fn what_was_rung_for_in_vain_is_rung_for_again() -> anyhow::Result<()> {
    let w = World::new().await?;
    let expected = one_of_each(&w).await?;
    for _ in 0..2 {
        w.lose_jobs().await?;
        rung_just_now(&w).await?;
        assert_eq!(sweep(&w.db).await?, 0, "a doorbell has five seconds");
        six_seconds_later(&w).await?;
        assert_eq!(sweep(&w.db).await?, 5);
        assert_eq!(waiting(&w).await?, expected);
        assert_eq!(sweep(&w.db).await?, 0, "rung for a moment ago");
    }
    Ok(())
}

#[tokio::test]
async fn sweeps_at_once_share_the_work() -> anyhow::Result<()> {
    let w = World::new().await?;
    let expected = one_of_each(&w).await?;
    w.lose_jobs().await?;
    six_seconds_later(&w).await?;
    let rung = try_join_all((0..4).map(|_| sweep(&w.db))).await?;
    assert_eq!(rung.iter().sum::<usize>(), 5, "{rung:?}");
    assert_eq!(waiting(&w).await?, expected);
    Ok(())
}

#[tokio::test]
async fn a_queue_that_is_merely_long_is_left_alone() -> anyhow::Result<()> {
    let w = World::new().await?;
    one_of_each(&w).await?;
    w.lose_jobs().await?;
    for queue in QUEUES {
        sqlx::query(
            "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority)
             VALUES (apalis.generate_ulid(), $1, '{}', 'Pending', 0, 1, now() - interval '1 minute', 0)",
        )
        .bind(queue)
        .execute(&w.db)
        .await?;
    }
    six_seconds_later(&w).await?;
    assert_eq!(sweep(&w.db).await?, 0, "older jobs still wait: ours may be among those behind them");
    w.lose_jobs().await?;
    assert_eq!(sweep(&w.db).await?, 5);
    Ok(())
}

#[tokio::test]
async fn a_job_that_still_waits_itself_is_not_doubled() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(1).await?;
    test_runs::stop(&w.db, &w.tenant.caller, run.id).await?;
    six_seconds_later(&w).await?;
    six_seconds_later(&w).await?;
    assert_eq!(sweep(&w.db).await?, 0);
    assert_eq!(w.jobs("finalise_run").await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_is_not_due_is_not_rung_for() -> anyhow::Result<()> {
    let w = World::new().await?;
    one_of_each(&w).await?;
    w.lose_jobs().await?;
    for _ in 0..10 {
        six_seconds_later(&w).await?;
    }
    w.execute("DELETE FROM run_refreshes").await?;
    w.execute("UPDATE test_runs SET finalised_at = now() WHERE completed_at IS NOT NULL").await?;
    for (executions, mails) in [
        (
            "UPDATE schedule_executions SET status = 'missed'",
            "UPDATE notifications SET next_attempt_at = now() + interval '1 h'",
        ),
        (
            "UPDATE schedule_executions SET status = 'running', test_run_id = (SELECT id FROM test_runs LIMIT 1)",
            "UPDATE notifications SET status = 'sending', lease_until = now() + interval '20 s', next_attempt_at = now()",
        ),
        (
            "UPDATE schedule_executions SET status = 'failed', test_run_id = NULL",
            "UPDATE notifications SET status = 'failed', lease_until = NULL",
        ),
        (
            "UPDATE schedule_executions SET status = 'cancelled'",
            "UPDATE notifications SET status = 'sent', sent_at = now()",
        ),
    ] {
        w.execute(executions).await?;
        w.execute(mails).await?;
        // What holds for mails holds for webhooks.
        w.execute(
            "UPDATE webhook_deliveries d
             SET status = CASE n.status WHEN 'sent' THEN 'delivered' ELSE n.status END,
                 next_attempt_at = n.next_attempt_at, lease_until = n.lease_until, delivered_at = n.sent_at
             FROM notifications n",
        )
        .await?;
        assert_eq!(sweep(&w.db).await?, 0, "{executions}; {mails}: {:?}", waiting(&w).await?);
    }
    Ok(())
}

#[tokio::test]
async fn a_retry_counts_as_rung_for_when_it_is_due() -> anyhow::Result<()> {
    let w = World::new().await?;
    one_of_each(&w).await?;
    w.lose_jobs().await?;
    // The other kinds know no retries, and would be due in time.
    w.execute("DELETE FROM run_refreshes").await?;
    w.execute("DELETE FROM schedule_executions").await?;
    w.execute("UPDATE test_runs SET finalised_at = now() WHERE completed_at IS NOT NULL").await?;
    // Two failed a minute ago and were due again ten seconds ago; their doorbells wait in long queues.
    for statement in [
        "UPDATE notifications SET rung_at = now() - interval '1 minute', next_attempt_at = now() - interval '10 s'",
        "UPDATE webhook_deliveries SET rung_at = now() - interval '1 minute', next_attempt_at = now() - interval '10 s'",
        "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority)
         SELECT apalis.generate_ulid(), 'send_email', '{}'::bytea, 'Pending', 0, 1, next_attempt_at, 0 FROM notifications
         UNION ALL
         SELECT apalis.generate_ulid(), 'deliver_webhook', '{}'::bytea, 'Pending', 0, 1, next_attempt_at, 0 FROM webhook_deliveries",
    ] {
        w.execute(statement).await?;
    }
    assert_eq!(sweep(&w.db).await?, 0, "their doorbells still wait");
    w.lose_jobs().await?;
    w.execute("UPDATE notifications SET next_attempt_at = now()").await?;
    w.execute("UPDATE webhook_deliveries SET next_attempt_at = now()").await?;
    assert_eq!(sweep(&w.db).await?, 0, "a doorbell has five seconds");
    six_seconds_later(&w).await?;
    assert_eq!(sweep(&w.db).await?, 2);
    Ok(())
}

#[tokio::test]
async fn what_somebody_has_in_hand_or_what_waits_for_another_start_is_not_doubled() -> anyhow::Result<()> {
    let w = World::new().await?;
    one_of_each_rung(&w).await?;
    for state in [
        "UPDATE apalis.jobs SET status = 'Queued'",
        "UPDATE apalis.jobs SET status = 'Running', lock_at = now()",
        "UPDATE apalis.jobs SET status = 'Pending', attempts = 1, run_at = now() + interval '1 minute'",
    ] {
        w.execute(state).await?;
        six_seconds_later(&w).await?;
        six_seconds_later(&w).await?;
        assert_eq!(sweep(&w.db).await?, 0, "{state}");
    }
    Ok(())
}

#[tokio::test]
async fn a_paused_queue_gets_no_more_doorbells_than_there_are_facts() -> anyhow::Result<()> {
    let w = World::new().await?;
    let expected = one_of_each(&w).await?;
    w.lose_jobs().await?;
    for queue in QueueName::ALL {
        queues::pause(&w.db, *queue, None, None).await?;
    }
    for _ in 0..3 {
        six_seconds_later(&w).await?;
        assert_eq!(sweep(&w.db).await?, 0);
    }
    for queue in QueueName::ALL {
        queues::resume(&w.db, *queue).await?;
    }
    six_seconds_later(&w).await?;
    assert_eq!(sweep(&w.db).await?, 5);
    assert_eq!(waiting(&w).await?, expected);
    Ok(())
}

#[tokio::test]
async fn a_mail_whose_sender_died_is_rung_for_when_its_lease_is_over() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.pending(1, json!({})).await?;
    let ids =
        db::notifications::insert(&w.db, run.id, NotificationKind::Failure, &["a@example.com".to_owned()]).await?;
    assert!(db::notifications::claim(&w.db, ids[0], 20.0).await?.is_some());
    w.lose_jobs().await?;
    w.execute("DELETE FROM run_refreshes").await?;
    six_seconds_later(&w).await?;
    assert_eq!(sweep(&w.db).await?, 0, "its sender may be alive");
    for _ in 0..3 {
        six_seconds_later(&w).await?;
    }
    assert_eq!(sweep(&w.db).await?, 1);
    assert_eq!(w.jobs("send_email").await?, [json!({"notification_id": ids[0]})]);
    let again = db::notifications::claim(&w.db, ids[0], 20.0).await?;
    assert_eq!(again.map(|mail| mail.attempt), Some(2));
    Ok(())
}
