//! Workers of one queue, and handlers that can be watched.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use test_support::until;
use testrun_shared::jobs::{self, DeadJob, Job, JobOutcome, Queue, ring, run};
use testrun_shared::ops::Readiness;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::world::{SOON, World};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) number: u32,
    #[serde(default)]
    pub(crate) does: Does,
    #[serde(default)]
    pub(crate) project: Uuid,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) enum Does {
    #[default]
    Work,
    Panic,
    Fail,
    Hang,
    Die,
}

impl Job for Task {
    const QUEUE: &'static str = "task";
    const CONCURRENCY: usize = 6;
    // Handlers are held back for longer than a heartbeat, and for as long as a busy machine takes.
    const TIMEOUT: Duration = Duration::from_secs(20);
    const PROJECT_OF_ROW: &'static str = "SELECT $1::uuid";

    fn row_id(&self) -> Uuid {
        self.project
    }
}

/// The same queue, for handlers that are to be caught hanging.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ShortTask(pub(crate) Task);

impl Job for ShortTask {
    const QUEUE: &'static str = Task::QUEUE;
    const CONCURRENCY: usize = Task::CONCURRENCY;
    const TIMEOUT: Duration = Duration::from_millis(200);
    const PROJECT_OF_ROW: &'static str = Task::PROJECT_OF_ROW;

    fn row_id(&self) -> Uuid {
        self.0.row_id()
    }
}

pub(crate) async fn act(task: Task) -> anyhow::Result<JobOutcome> {
    match task.does {
        Does::Work => Ok(JobOutcome::Done),
        Does::Panic => panic!("cannot go on"),
        Does::Fail => anyhow::bail!("no luck"),
        Does::Hang => std::future::pending().await,
        Does::Die => Ok(JobOutcome::Dead("there is no such row".to_owned())),
    }
}

pub(crate) struct Runner {
    pub(crate) shutdown: CancellationToken,
    pub(crate) ended: JoinHandle<anyhow::Result<()>>,
    pub(crate) readiness: Readiness,
}

impl Runner {
    pub(crate) fn start(db: &PgPool, queue: Queue) -> Self {
        let (shutdown, readiness) = (CancellationToken::new(), Readiness::default());
        let ended = tokio::spawn(run(db.clone(), vec![queue], readiness.clone(), shutdown.clone()));
        Self { shutdown, ended, readiness }
    }

    /// Waits for a heartbeat.
    pub(crate) async fn until_ready(&self) -> anyhow::Result<()> {
        let queue = Task::QUEUE;
        until("the worker to be ready", SOON, || async { Ok(self.readiness.covers(&[queue]).then_some(())) }).await
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        tokio::time::timeout(SOON, self.ended).await.context("the runner does not end")??
    }
}

pub(crate) async fn ring_all(w: &World, tasks: &[Task]) -> anyhow::Result<()> {
    let mut tx = w.db.begin().await?;
    for task in tasks {
        ring(&mut tx, task).await?;
    }
    Ok(tx.commit().await?)
}

/// A task of a project of its own: none waits for its project's share of the slots.
pub(crate) fn task(number: u32, does: Does) -> Task {
    Task { number, does, project: Uuid::from_u128(number.into()) }
}

pub(crate) fn work(numbers: std::ops::Range<u32>) -> Vec<Task> {
    numbers.map(|number| task(number, Does::Work)).collect()
}

/// A handler that tells which tasks it answered.
pub(crate) fn reporting() -> (Queue, mpsc::UnboundedReceiver<u32>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let handler = move |task: Task| {
        let sender = sender.clone();
        async move {
            sender.send(task.number)?;
            Ok(JobOutcome::Done)
        }
    };
    (Queue::of(handler), receiver)
}

/// A handler that tells when it begins, and ends once there is a permit for it.
pub(crate) fn held_back() -> (Queue, mpsc::UnboundedReceiver<u32>, Arc<Semaphore>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let permits = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&permits);
    let handler = move |task: Task| {
        let (sender, held) = (sender.clone(), Arc::clone(&held));
        async move {
            sender.send(task.number)?;
            held.acquire().await?.forget();
            Ok(JobOutcome::Done)
        }
    };
    (Queue::of(handler), receiver, permits)
}

pub(crate) async fn next(receiver: &mut mpsc::UnboundedReceiver<u32>) -> anyhow::Result<u32> {
    tokio::time::timeout(SOON, receiver.recv())
        .await
        .context("no job was answered in time")?
        .context("all handlers are gone")
}

pub(crate) async fn until_jobs_are(w: &World, status: &'static str, expected: i64) -> anyhow::Result<()> {
    until(&format!("{expected} jobs to be {status}"), SOON, || async {
        let sql = "SELECT count(*) FROM apalis.jobs WHERE status = $1";
        let jobs: i64 = sqlx::query_scalar(sql).bind(status).fetch_one(&w.db).await?;
        Ok((jobs == expected).then_some(()))
    })
    .await
}

pub(crate) async fn until_dead(w: &World, expected: usize) -> anyhow::Result<Vec<DeadJob>> {
    until(&format!("{expected} dead jobs"), SOON, || async {
        let dead = jobs::dead(&w.db, 100).await?;
        Ok((dead.len() == expected).then_some(dead))
    })
    .await
}
