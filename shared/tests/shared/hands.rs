//! Jobs in the hands of workers: how their ends are stored, and who has them when a worker is lost or stops.

use std::time::Duration;

use anyhow::Context as _;
use sqlx::Connection as _;
use test_support::until;
use testrun_shared::db;
use testrun_shared::jobs::{self, JobOutcome, Queue, ring, ring_at};
use testrun_shared::telemetry::trace::{self, TraceParent};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::workers::{
    Does, Runner, Task, act, held_back, next, reporting, ring_all, task, until_dead, until_jobs_are, work,
};
use crate::world::{SOON, World, backend, until_blocked_by};

#[derive(Debug, PartialEq, sqlx::FromRow)]
struct State {
    status: String,
    attempts: i32,
    lock_by: Option<String>,
}

/// The state of the only job.
async fn state(w: &World) -> sqlx::Result<State> {
    sqlx::query_as("SELECT status, attempts, lock_by FROM apalis.jobs").fetch_one(&w.db).await
}

async fn worker(w: &World) -> anyhow::Result<String> {
    until("a worker", SOON, || async {
        Ok(sqlx::query_scalar("SELECT id FROM apalis.workers").fetch_optional(&w.db).await?)
    })
    .await
}

#[tokio::test]
async fn a_job_that_somebody_else_took_over_is_not_ended_by_the_one_who_lost_it() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (queue, mut begun, permits) = held_back();
    let runner = Runner::start(&w.db, queue);
    ring_all(&w, &work(0..1)).await?;
    next(&mut begun).await?;
    w.execute("INSERT INTO apalis.workers (id, worker_type, storage_name) VALUES ('other', 'task', 'test')").await?;
    w.execute("UPDATE apalis.jobs SET lock_by = 'other', attempts = 2").await?;
    permits.add_permits(1);
    runner.stop().await?;
    let others = State { status: "Running".to_owned(), attempts: 2, lock_by: Some("other".to_owned()) };
    assert_eq!(state(&w).await?, others);
    Ok(())
}

#[tokio::test]
async fn a_job_that_was_taken_over_and_came_back_is_not_ended_by_its_first_start() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (queue, mut begun, permits) = held_back();
    let runner = Runner::start(&w.db, queue);
    ring_all(&w, &work(0..1)).await?;
    next(&mut begun).await?;
    let mine = state(&w).await?.lock_by;
    w.execute("UPDATE apalis.jobs SET attempts = attempts + 1").await?;
    permits.add_permits(1);
    runner.stop().await?;
    assert_eq!(state(&w).await?, State { status: "Running".to_owned(), attempts: 2, lock_by: mine });
    Ok(())
}

#[tokio::test]
async fn a_job_that_was_claimed_in_vain_waits_again_and_has_not_been_started() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (queue, mut answered) = reporting();
    let runner = Runner::start(&w.db, queue);
    let mine = worker(&w).await?;
    // The database claimed it for the worker, and the connection broke before it could say so.
    sqlx::query(
        r#"INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority, lock_by, lock_at)
         VALUES ('lost', 'task', '{"number": 5}', 'Running', 1, 1, now(), 0, $1, now() - interval '16 s')"#,
    )
    .bind(&mine)
    .execute(&w.db)
    .await?;
    assert_eq!(next(&mut answered).await?, 5);
    until_jobs_are(&w, "Done", 1).await?;
    assert_eq!(state(&w).await?.attempts, 1);
    runner.stop().await
}

#[tokio::test]
async fn a_job_that_is_claimed_while_the_worker_stops_is_given_back_and_counts_no_start() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (queue, mut answered) = reporting();
    let runner = Runner::start(&w.db, queue);
    w.execute(
        "CREATE FUNCTION wait_for_the_test() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END'",
    )
    .await?;
    w.execute(
        "CREATE TRIGGER wait_for_the_test BEFORE UPDATE ON apalis.jobs FOR EACH ROW WHEN (NEW.status = 'Running')
         EXECUTE FUNCTION wait_for_the_test()",
    )
    .await?;
    let mut locking = w.db.acquire().await?;
    let holder = backend(&mut locking).await?;
    let mut tx = locking.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(1)").execute(&mut *tx).await?;
    ring_all(&w, &work(0..1)).await?;
    until_blocked_by(&w.db, holder, 1).await?;
    let rung: String = sqlx::query_scalar("SELECT ctid::text FROM apalis.jobs").fetch_one(&w.db).await?;
    runner.shutdown.cancel();
    tx.commit().await?;
    runner.stop().await?;
    assert!(answered.try_recv().is_err(), "it was started");
    assert_eq!(state(&w).await?, State { status: "Pending".to_owned(), attempts: 0, lock_by: None });
    let given_back: String = sqlx::query_scalar("SELECT ctid::text FROM apalis.jobs").fetch_one(&w.db).await?;
    assert_ne!(given_back, rung, "it was never claimed");
    Ok(())
}

#[tokio::test]
async fn a_worker_that_stops_leaves_its_name_to_nobody() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (queue, _answered) = reporting();
    let runner = Runner::start(&w.db, queue);
    let mine = worker(&w).await?;
    runner.stop().await?;
    let gone: Vec<(String, bool)> =
        sqlx::query_as("SELECT id, last_seen = 'epoch' FROM apalis.workers").fetch_all(&w.db).await?;
    assert_eq!(gone, [(mine, true)], "what it left undone can be taken over at once");
    Ok(())
}

#[tokio::test]
async fn a_worker_that_others_take_for_dead_claims_nothing_until_it_has_shown_itself() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (queue, mut answered) = reporting();
    let runner = Runner::start(&w.db, queue);
    runner.until_ready().await?;
    w.execute("UPDATE apalis.workers SET last_seen = now() - interval '20 s'").await?;
    ring_all(&w, &work(0..1)).await?;
    assert_eq!(next(&mut answered).await?, 0);
    until_jobs_are(&w, "Done", 1).await?;
    let alive: bool =
        sqlx::query_scalar("SELECT last_seen > lock_at - interval '15 s' FROM apalis.workers, apalis.jobs")
            .fetch_one(&w.db)
            .await?;
    assert!(alive, "it claimed while it looked dead");
    runner.stop().await
}

#[tokio::test]
async fn a_reason_that_postgresql_cannot_store_as_it_is_holds_nothing_up() -> anyhow::Result<()> {
    let w = World::new().await?;
    let handler = async |task: Task| match task.does {
        Does::Die => Ok(JobOutcome::Dead("half\0way".to_owned())),
        _ => act(task).await,
    };
    let runner = Runner::start(&w.db, Queue::of(handler));
    ring_all(&w, &[task(1, Does::Die), task(2, Does::Work)]).await?;
    assert_eq!(until_dead(&w, 1).await?[0].reason.as_deref(), Some("half\u{fffd}way"));
    until_jobs_are(&w, "Done", 1).await?;
    runner.stop().await
}

#[tokio::test]
async fn a_paused_queue_gives_no_job_away_until_it_is_resumed() -> anyhow::Result<()> {
    let w = World::new().await?;
    w.execute("INSERT INTO paused_queues (queue) VALUES ('task')").await?;
    let (queue, mut answered) = reporting();
    let runner = Runner::start(&w.db, queue);
    runner.until_ready().await?;
    ring_all(&w, &work(0..1)).await?;
    // A scheduled job of the same queue becomes ready: the worker has looked since.
    let now = db::now(&w.db).await?;
    ring_at(&mut *w.db.acquire().await?, &task(1, Does::Work), now + Duration::from_millis(500)).await?;
    until("the scheduled job to be ready", SOON, || async {
        let ready: bool =
            sqlx::query_scalar("SELECT NOT bool_or(is_scheduled) FROM apalis.jobs").fetch_one(&w.db).await?;
        Ok(ready.then_some(()))
    })
    .await?;
    assert!(answered.try_recv().is_err(), "the queue is paused");
    w.execute("DELETE FROM paused_queues").await?;
    let mut numbers = [next(&mut answered).await?, next(&mut answered).await?];
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1]);
    runner.stop().await
}

#[tokio::test]
async fn a_job_for_a_later_time_is_started_then_and_not_before() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (queue, mut answered) = reporting();
    let runner = Runner::start(&w.db, queue);
    // In one transaction, for which time stands still: however long this takes, the job is for later.
    let mut tx = w.db.begin().await?;
    let at = db::now(&mut *tx).await? + Duration::from_secs(2);
    ring_at(&mut tx, &task(1, Does::Work), at).await?;
    assert_eq!(jobs::depth(&mut *tx).await?[0].scheduled, 1);
    tx.commit().await?;
    assert_eq!(next(&mut answered).await?, 1);
    assert!(db::now(&w.db).await? >= at);
    runner.stop().await
}

async fn next_trace(traces: &mut mpsc::UnboundedReceiver<Option<TraceParent>>) -> anyhow::Result<TraceParent> {
    let trace = tokio::time::timeout(SOON, traces.recv()).await?.context("all handlers are gone")?;
    trace.context("a handler has a trace")
}

#[tokio::test]
async fn a_job_is_done_in_the_trace_in_which_it_was_rung_for_however_often_it_is_tried() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (sender, mut traces) = mpsc::unbounded_channel();
    let handler = move |task: Task| {
        let sender = sender.clone();
        async move {
            sender.send(trace::current())?;
            act(task).await
        }
    };
    let runner = Runner::start(&w.db, Queue::of(handler));
    let rung_in = TraceParent::begin();
    let mut conn = w.db.acquire().await?;
    trace::scope(rung_in, ring(&mut conn, &task(1, Does::Fail))).await?;
    let first = next_trace(&mut traces).await?;
    assert_eq!(first.trace_id(), rung_in.trace_id());
    assert_ne!(first, rung_in, "it is another place in the trace");
    until_jobs_are(&w, "Pending", 1).await?;
    w.execute("UPDATE apalis.jobs SET run_at = now()").await?;
    let second = next_trace(&mut traces).await?;
    assert_eq!(second.trace_id(), rung_in.trace_id());

    ring(&mut conn, &task(2, Does::Work)).await?;
    let other = next_trace(&mut traces).await?;
    assert_ne!(other.trace_id(), rung_in.trace_id(), "what was rung for outside of any trace begins one");
    runner.stop().await
}

#[tokio::test]
async fn a_job_that_is_tried_again_keeps_its_project_and_its_row() -> anyhow::Result<()> {
    let w = World::new().await?;
    let runner = Runner::start(&w.db, Queue::of(act));
    ring_all(&w, &[task(3, Does::Fail)]).await?;
    let again: (Uuid, i32, bool) = until("the job to wait for another start", SOON, || async {
        let sql =
            "SELECT project_id, attempts, is_scheduled FROM apalis.jobs WHERE status = 'Pending' AND attempts = 1";
        Ok(sqlx::query_as(sql).fetch_optional(&w.db).await?)
    })
    .await?;
    assert_eq!(again, (Uuid::from_u128(3), 1, true));
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM apalis.jobs").fetch_one(&w.db).await?;
    assert_eq!(rows, 1);
    runner.stop().await
}
