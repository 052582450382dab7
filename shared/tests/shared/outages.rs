//! Workers whose connections, database or process go away.

use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Executor as _, PgPool};
use test_support::until;
use testrun_shared::db;
use testrun_shared::jobs::{Job, JobOutcome, Queue, ring, run};
use testrun_shared::ops::Readiness;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::workers::{Runner, Task, held_back, next, reporting, ring_all, until_jobs_are, work};
use crate::world::{SOON, World};

/// Ends every connection of an application, and returns how many there were.
async fn terminate(w: &World, application: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE application_name = $1 AND datname = current_database()",
    )
    .bind(application)
    .fetch_one(&w.db)
    .await
}

/// A database that can be reached by nobody.
struct Outage {
    server: PgPool,
    name: String,
}

impl Outage {
    /// Returns once `pool` has noticed.
    async fn begin(w: &World, pool: &PgPool) -> anyhow::Result<Self> {
        let options: PgConnectOptions = w.database.url.parse()?;
        let name = options.get_database().context("no database in the URL")?.to_owned();
        let server = PgPool::connect_with(options.database("postgres")).await?;
        server.execute(AssertSqlSafe(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"))).await?;
        // Who was connecting meanwhile is cut, too, and a connection that was told to end may take its time.
        let cut = format!(
            "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid) IS NOT NULL) FROM pg_stat_activity
             WHERE datname = '{name}' AND backend_type = 'client backend'"
        );
        until("the last connection to end", SOON, || async {
            let connections: i64 = sqlx::query_scalar(AssertSqlSafe(cut.clone())).fetch_one(&server).await?;
            Ok((connections == 0).then_some(()))
        })
        .await?;
        until("the database to be away", SOON, || async {
            Ok(sqlx::query("SELECT 1").execute(pool).await.is_err().then_some(()))
        })
        .await?;
        Ok(Self { server, name })
    }

    async fn end(self) -> sqlx::Result<()> {
        let allow = format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", self.name);
        self.server.execute(AssertSqlSafe(allow)).await.map(|_| ())
    }
}

#[tokio::test]
async fn a_worker_whose_connections_are_cut_takes_its_queue_up_again() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (queue, mut begun, permits) = held_back();
    let pool = db::pool(&w.database.url.clone().into(), 5, "cut")?;
    let runner = Runner::start(&pool, queue.with_concurrency(2));
    ring_all(&w, &work(0..1)).await?;
    assert_eq!(next(&mut begun).await?, 0);
    for round in 1..=3 {
        assert!(terminate(&w, "cut").await? > 0, "round {round}: there was no connection to cut");
        ring_all(&w, &work(round..round + 1)).await?;
        permits.add_permits(1);
        assert_eq!(next(&mut begun).await?, round);
    }
    permits.add_permits(1);
    // The handler that was cut off from its database was not cut off itself.
    until("all permits to be used", SOON, || async { Ok((permits.available_permits() == 0).then_some(())) }).await?;
    runner.stop().await
}

#[tokio::test]
async fn a_worker_survives_a_database_that_is_away() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (queue, mut answered) = reporting();
    let pool = db::pool(&w.database.url.clone().into(), 5, "outage")?;
    let runner = Runner::start(&pool, queue);
    ring_all(&w, &work(0..1)).await?;
    assert_eq!(next(&mut answered).await?, 0);
    until("a heartbeat", SOON, || async { Ok(runner.readiness.check().ok()) }).await?;

    let outage = Outage::begin(&w, &pool).await?;
    assert!(!runner.ended.is_finished());
    outage.end().await?;

    ring_all(&w, &work(1..2)).await?;
    assert_eq!(next(&mut answered).await?, 1);
    runner.stop().await
}

#[tokio::test]
async fn a_job_that_ends_while_the_database_is_away_is_done_once_it_is_back() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (queue, mut begun, permits) = held_back();
    let pool = db::pool(&w.database.url.clone().into(), 5, "outage")?;
    let runner = Runner::start(&pool, queue);
    ring_all(&w, &work(0..1)).await?;
    assert_eq!(next(&mut begun).await?, 0);
    let outage = Outage::begin(&w, &pool).await?;
    permits.add_permits(1);
    until("the handler to end", SOON, || async { Ok((permits.available_permits() == 0).then_some(())) }).await?;
    runner.shutdown.cancel();
    outage.end().await?;
    runner.stop().await?;
    let done: (String, i32) = sqlx::query_as("SELECT status, attempts FROM apalis.jobs").fetch_one(&w.db).await?;
    assert_eq!(done, ("Done".to_owned(), 1));
    assert!(begun.try_recv().is_err(), "it was started twice");
    Ok(())
}

#[tokio::test]
async fn a_worker_that_is_alive_and_cannot_claim_is_not_ready() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (queue, mut answered) = reporting();
    let runner = Runner::start(&w.db, queue);
    runner.until_ready().await?;
    w.execute("ALTER TABLE apalis.jobs RENAME COLUMN project_id TO another_name").await?;
    // Four heartbeats may be missed.
    until("the worker not to be ready", SOON * 2, || async { Ok(runner.readiness.check().err()) }).await?;
    let alive: bool =
        sqlx::query_scalar("SELECT last_seen > now() - interval '15 s' FROM apalis.workers").fetch_one(&w.db).await?;
    assert!(alive);
    w.execute("ALTER TABLE apalis.jobs RENAME COLUMN another_name TO project_id").await?;
    ring_all(&w, &work(0..1)).await?;
    assert_eq!(next(&mut answered).await?, 0);
    runner.until_ready().await?;
    runner.stop().await
}

#[tokio::test]
async fn one_connection_listens_for_all_queues_and_is_replaced_when_it_breaks() -> anyhow::Result<()> {
    #[derive(Debug, Serialize, Deserialize)]
    struct Other;
    impl Job for Other {
        const QUEUE: &'static str = "other";
        const CONCURRENCY: usize = 1;
        const TIMEOUT: Duration = Duration::from_secs(1);
        const PROJECT_OF_ROW: &'static str = Task::PROJECT_OF_ROW;

        fn row_id(&self) -> Uuid {
            Uuid::nil()
        }
    }
    let w = World::new().await?;
    let pool = db::pool(&w.database.url.clone().into(), 5, "listening")?;
    let (tasks, mut answered) = reporting();
    let (sender, mut others) = mpsc::unbounded_channel();
    let other = Queue::of(move |_: Other| {
        let sent = sender.send(());
        async move { Ok(sent.map(|()| JobOutcome::Done)?) }
    });
    let shutdown = CancellationToken::new();
    let ended = tokio::spawn(run(pool, vec![tasks, other], Readiness::default(), shutdown.clone()));
    let listening = || async {
        let sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'";
        let pids: Vec<i32> = sqlx::query_scalar(sql).fetch_all(&w.db).await?;
        Ok(Some(pids).filter(|pids| !pids.is_empty()))
    };
    let first = until("somebody to listen", SOON, listening).await?;
    for round in 0..2 {
        ring_all(&w, &work(round..round + 1)).await?;
        ring(&mut *w.db.acquire().await?, &Other).await?;
        assert_eq!(next(&mut answered).await?, round);
        tokio::time::timeout(SOON, others.recv()).await?.context("no handler")?;
        let now = until("somebody to listen", SOON, listening).await?;
        assert_eq!(now.len(), 1, "one connection is enough");
        if round == 0 {
            sqlx::query("SELECT pg_terminate_backend($1)").bind(now[0]).execute(&w.db).await?;
            let next = || async { Ok(listening().await?.filter(|pids| *pids != first)) };
            until("another connection to listen", SOON, next).await?;
        }
    }
    shutdown.cancel();
    ended.await?
}

#[tokio::test]
async fn a_worker_whose_hands_are_full_goes_on_saying_that_it_is_alive() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (queue, mut begun, permits) = held_back();
    let runner = Runner::start(&w.db, queue.with_concurrency(1));
    ring_all(&w, &work(0..3)).await?;
    next(&mut begun).await?;
    // Otherwise others would take its job for lost, and do it as well.
    until("a heartbeat after the job began", SOON, || async {
        let sql =
            "SELECT last_seen > lock_at + interval '1 s' FROM apalis.jobs j JOIN apalis.workers w ON w.id = lock_by";
        let seen: Option<bool> = sqlx::query_scalar(sql).fetch_optional(&w.db).await?;
        Ok(seen.filter(|seen| *seen))
    })
    .await?;
    permits.add_permits(3);
    runner.stop().await
}

#[test]
fn the_jobs_of_a_process_that_died_are_taken_over() -> anyhow::Result<()> {
    let (dying, living) = (tokio::runtime::Runtime::new()?, tokio::runtime::Runtime::new()?);
    living.block_on(async {
        let w = World::new().await?;
        let (queue, mut begun, _permits) = held_back();
        let url = w.database.url.clone().into();
        let dead = dying.spawn(async move {
            let pool = db::pool(&url, 5, "dying")?;
            run(pool, vec![queue], Readiness::default(), CancellationToken::new()).await
        });
        ring_all(&w, &work(0..1)).await?;
        assert_eq!(next(&mut begun).await?, 0);
        until_jobs_are(&w, "Running", 1).await?;
        dying.shutdown_background();
        assert!(dead.await.is_err(), "the process is gone");

        let (queue, mut answered) = reporting();
        let runner = Runner::start(&w.db, queue);
        until_jobs_are(&w, "Running", 1).await?;
        assert!(answered.try_recv().is_err(), "a worker that was seen just now is not dead");
        // Sixteen seconds without a heartbeat go by.
        let mine = "UPDATE apalis.workers SET last_seen = last_seen - interval '16 s'
             WHERE id = (SELECT lock_by FROM apalis.jobs WHERE status = 'Running')";
        assert_eq!(w.execute(mine).await?, 1);
        assert_eq!(next(&mut answered).await?, 0);
        until_jobs_are(&w, "Done", 1).await?;
        let attempts: i32 = sqlx::query_scalar("SELECT attempts FROM apalis.jobs").fetch_one(&w.db).await?;
        assert_eq!(attempts, 2, "the start that came to no end counts");
        runner.stop().await
    })
}
