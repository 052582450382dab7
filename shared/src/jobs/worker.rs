//! One queue's worker in this process: the parts that claim, run, finish and stay alive, and how they stop.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use apalis_core::task::Task;
use apalis_core::worker::builder::WorkerBuilder;
use sqlx::PgPool;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Queue;
use super::answer::answer;
use super::backend::ClaimedJobs;
use super::finish::{End, Ends, store_ends};
use super::hands::Hands;
use super::intake::{InHand, take_in};
use super::rescue::{keep_alive, resign};
use super::runner::DRAIN;
use crate::ops::Readiness;

/// How long to wait before trying again after the database failed.
const RETRY: Duration = Duration::from_millis(500);

/// How long the last word of a stopping worker may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the parts of a worker share.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) db: PgPool,
    pub(super) queue: &'static str,
    pub(super) name: String,
    pub(super) hands: Arc<Hands>,
    /// Rings when there may be something to claim.
    pub(super) bell: Arc<Notify>,
    /// Whether the last claim failed.
    pub(super) is_claim_failing: AtomicBool,
}

impl Worker {
    /// Tells of a failure, and waits until it is worth trying again.
    pub(super) async fn database_failed(&self, what: &str, error: &sqlx::Error) {
        tracing::warn!(queue = self.queue, %error, "{what}");
        tokio::time::sleep(RETRY).await;
    }
}

/// Answers the jobs of one queue until `shutdown`, then lets running ones end, for at most 25 s.
///
/// # Errors
/// If one of the worker's parts ends by itself, which none has a reason to.
pub(super) async fn work(
    db: PgPool,
    queue: Queue,
    bell: Arc<Notify>,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let worker = Arc::new(Worker {
        db,
        queue: queue.name,
        name: worker_name(queue.name),
        hands: Arc::new(Hands::new(queue.concurrency)),
        bell,
        is_claim_failing: AtomicBool::new(false),
    });
    tracing::info!(queue = queue.name, concurrency = queue.concurrency, worker = worker.name, "worker starts");
    // Alive until its last job has ended: others would do those as well.
    let ended = CancellationToken::new();
    let alive = tokio::spawn(keep_alive(Arc::clone(&worker), readiness, ended.clone()));
    // Room for a few rounds: while the database is away, jobs that have ended keep their slots beyond that.
    let (ends, to_store) = mpsc::channel(queue.concurrency * 4);
    let stored = tokio::spawn(store_ends(Arc::clone(&worker), to_store));
    let (started, claimed) = mpsc::unbounded_channel();
    tokio::spawn(take_in(Arc::clone(&worker), started, shutdown.clone()));
    let running = WorkerBuilder::new(worker.name.as_str())
        .backend(ClaimedJobs(claimed))
        .build(service(queue, ends, shutdown.clone()))
        .run();

    let mut all = std::pin::pin!(async {
        running.await.map_err(|error| anyhow::anyhow!("{error}"))?;
        anyhow::Ok(stored.await?)
    });
    let outcome = tokio::select! {
        outcome = &mut all => Some(outcome.and_then(|()| {
            anyhow::ensure!(shutdown.is_cancelled(), "the worker of queue {} ended by itself", worker.queue);
            Ok(())
        })),
        () = shutdown.cancelled() => tokio::time::timeout(DRAIN, &mut all).await.ok(),
    };
    ended.cancel();
    if outcome.is_none() {
        let jobs = worker.hands.starts().len();
        tracing::warn!(queue = worker.queue, jobs, "jobs did not end in time; others will take them over");
    }
    // Without it they are found by the missing heartbeats.
    let farewell = async {
        alive.await?;
        anyhow::Ok(resign(&worker.db, &worker.name).await?)
    };
    if !matches!(tokio::time::timeout(FAREWELL, farewell).await, Ok(Ok(()))) {
        tracing::warn!(queue = worker.queue, "could not say that the worker is gone");
    }
    outcome.unwrap_or(Ok(()))
}

/// What apalis's worker calls for each job.
fn service(
    queue: Queue,
    ends: Ends,
    shutdown: CancellationToken,
) -> impl tower::Service<Task<InHand>, Response = (), Error = Infallible, Future: Send> + Send + 'static {
    let queue = Arc::new(queue);
    tower::service_fn(move |task: Task<InHand>| {
        let (queue, ends, is_stopping) = (Arc::clone(&queue), ends.clone(), shutdown.is_cancelled());
        async move {
            let (InHand { job, slot }, _) = task.take();
            let end = if is_stopping { End::NotBegun } else { answer(&queue, &job).await };
            // Its receiver ends after us.
            drop(ends.send((job.start(), end)).await);
            drop(slot);
            Ok(())
        }
    })
}

/// A new name at every start: the rescue of lost jobs goes by name, and must not take a newcomer for the one that died.
fn worker_name(queue: &str) -> String {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    format!("{}-{}-{}-{queue}", host.trim(), std::process::id(), Uuid::new_v4().simple())
}
