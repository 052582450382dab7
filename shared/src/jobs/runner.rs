//! Runs handlers: one apalis worker per queue, restarted whenever the database takes it down.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use apalis::prelude::WorkerBuilderExt as _;
use apalis_core::backend::ext::BackendExt as _;
use apalis_core::backend::ext::poll_strategy::Strategy;
use apalis_core::error::AbortError;
use apalis_core::worker::builder::WorkerBuilder;
use apalis_core::worker::context::WorkerContext;
use apalis_core::worker::event::Event;
use apalis_core::worker::ext::event_listener::EventListenerExt as _;
use apalis_postgres::{Config, PgTask, PostgresStorage};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

use super::storage::RawStorage;
use super::{Job, JobOutcome, queue};
use crate::ops::Readiness;

/// How often a worker says that it is alive.
pub const HEARTBEAT: Duration = Duration::from_secs(5);
/// How many heartbeats it may miss before its jobs are given to others: 15 s.
pub const MISSED_HEARTBEATS: usize = 3;

/// How often a queue is looked at when nobody rings: rescued jobs, and those due later, ring no bell.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// A job that was started this often without coming to an end is dead.
const MAX_STARTS: usize = 3;
/// How long running jobs may take to end when the process stops.
const DRAIN: Duration = Duration::from_secs(25);
/// How long to wait before a queue is taken up again after its worker failed.
const RESTART_DELAY: Duration = Duration::from_millis(500);

type HandlerFuture = Pin<Box<dyn Future<Output = anyhow::Result<JobOutcome>> + Send>>;
type Handler = Arc<dyn Fn(&[u8]) -> Result<HandlerFuture, String> + Send + Sync>;

/// A queue and what answers its jobs.
#[derive(Clone)]
pub struct Queue {
    name: &'static str,
    concurrency: usize,
    timeout: Duration,
    handler: Handler,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("name", &self.name)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}

impl Queue {
    /// Has the jobs of `J`'s queue answered by `handler`.
    pub fn of<J: Job, F>(handler: impl Fn(J) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = anyhow::Result<JobOutcome>> + Send + 'static,
    {
        let handler = move |payload: &[u8]| -> Result<HandlerFuture, String> {
            let job =
                serde_json::from_slice(payload).map_err(|error| format!("the payload cannot be read: {error}"))?;
            Ok(Box::pin(handler(job)))
        };
        Self { name: J::QUEUE, concurrency: J::CONCURRENCY, timeout: J::TIMEOUT, handler: Arc::new(handler) }
    }

    /// The queue's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Runs at most `concurrency` jobs at once in this process instead of the kind's own number.
    #[must_use]
    pub const fn with_concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency;
        self
    }
}

/// Answers the jobs of `queues` until `shutdown`, then lets running ones end, for at most 25 s.
///
/// Database errors end nothing: the queue is taken up again under a new name. `readiness` hears each heartbeat.
///
/// # Errors
/// If the settings contradict each other.
pub async fn run(
    db: PgPool,
    queues: Vec<Queue>,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    for queue in &queues {
        anyhow::ensure!(
            queue.timeout < DRAIN && queue.concurrency > 0,
            "queue {}: a job must end within {DRAIN:?}, and at least one must run at a time",
            queue.name
        );
    }
    // Before the first of them has begun, so that none is left out by whoever asks meanwhile.
    for queue in &queues {
        readiness.expect(queue.name, HEARTBEAT * 4);
    }
    let supervisors: Vec<_> = queues
        .into_iter()
        .map(|queue| tokio::spawn(supervise(db.clone(), queue, readiness.clone(), shutdown.clone())))
        .collect();
    for supervisor in supervisors {
        supervisor.await.context("a queue's supervisor failed")?;
    }
    Ok(())
}

async fn supervise(db: PgPool, queue: Queue, readiness: Readiness, shutdown: CancellationToken) {
    // Handlers run as tasks of their own, so that a worker that dies with its database connection cuts none in half.
    let tasks = tokio_util::task::TaskTracker::new();
    while !shutdown.is_cancelled() {
        let Err(error) = work(&db, &queue, &readiness, &shutdown, &tasks).await else { break };
        tracing::warn!(queue = queue.name, error = %error, "worker failed, taking the queue up again");
        tokio::select! {
            () = tokio::time::sleep(RESTART_DELAY) => {}
            () = shutdown.cancelled() => {}
        }
    }
    tasks.close();
    if tokio::time::timeout(DRAIN, tasks.wait()).await.is_err() {
        tracing::warn!(queue = queue.name, jobs = tasks.len(), "jobs did not end in time; others will take them over");
    }
}

async fn work(
    db: &PgPool,
    queue: &Queue,
    readiness: &Readiness,
    shutdown: &CancellationToken,
    tasks: &tokio_util::task::TaskTracker,
) -> anyhow::Result<()> {
    // One job at a time from the database: a prefetched one would wait here behind slow ones while others idle, and
    // apalis sends no heartbeat while it holds any.
    let config = Config::default()
        .queue(queue.name)
        .batch_size(1)
        .heartbeat_interval(HEARTBEAT)
        .missed_heartbeats(MISSED_HEARTBEATS);
    anyhow::ensure!(
        config.orphaned_duration() == Duration::from_secs(15),
        "a dead worker's jobs must be free after 15 s"
    );
    tracing::info!(queue = queue.name, concurrency = queue.concurrency, orphaned_after = ?config.orphaned_duration(), "worker starts");

    let storage = PostgresStorage::<Vec<u8>>::new(db)
        .with_config(config)
        .with_pubsub()
        .poll_with_strategy(Strategy::new().interval(POLL_INTERVAL));
    let context = WorkerContext::new(&worker_name(queue.name));
    let (name, heartbeat) = (queue.name, readiness.clone());
    let service = tower_service_for(db.clone(), queue.clone(), tasks.clone());
    let worker = WorkerBuilder::new(&context)
        .backend(RawStorage(storage))
        .concurrency(queue.concurrency)
        .on_event(move |_, event| {
            if matches!(event, Event::HeartBeat) {
                heartbeat.beat(name);
            }
        })
        .build(service);

    let mut running = std::pin::pin!(worker.run());
    tokio::select! {
        ended = &mut running => return ended.map_err(|error| anyhow::anyhow!("{error}")),
        () = shutdown.cancelled() => {}
    }
    // A worker that had not started yet cannot be stopped, and has nothing to finish.
    if context.stop().is_ok() {
        let _ = tokio::time::timeout(DRAIN, running).await;
    }
    Ok(())
}

/// A new name at every start: the rescue of lost jobs goes by name, and must not take a newcomer for the one that died.
fn worker_name(queue: &str) -> String {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    format!("{}-{}-{}-{queue}", host.trim(), std::process::id(), Uuid::new_v4().simple())
}

fn tower_service_for(
    db: PgPool,
    queue: Queue,
    tasks: tokio_util::task::TaskTracker,
) -> impl tower::Service<PgTask, Response = (), Error = apalis_core::error::BoxDynError, Future: Send> + Send + 'static
{
    tower::service_fn(move |task: PgTask| {
        let (db, queue, tasks) = (db.clone(), queue.clone(), tasks.clone());
        async move {
            // apalis counts the start that is under way, too.
            let starts = task.attempt();
            let id = task.task_id().map(ToString::to_string).unwrap_or_default();
            let span = tracing::info_span!("job", queue = queue.name, job.id = %id, job.starts = starts);
            let attempt = tasks.spawn(answer(db, queue, task.args, starts).instrument(span));
            match attempt.await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(reason)) => Err(AbortError::new(reason).into()),
                Err(error) => Err(AbortError::new(error).into()),
            }
        }
    })
}

/// Runs one job to its end. `Err` is the reason why it is dead.
async fn answer(db: PgPool, queue: Queue, payload: Vec<u8>, starts: usize) -> Result<(), String> {
    if starts > MAX_STARTS {
        return Err(format!("given up after {MAX_STARTS} starts that came to no end"));
    }
    let handler = (queue.handler)(&payload)?;
    let began = Instant::now();
    let mut work = tokio::spawn(handler.in_current_span());
    let outcome = match tokio::time::timeout(queue.timeout, &mut work).await {
        Ok(Ok(Ok(outcome))) => Ok(outcome),
        Ok(Ok(Err(error))) => Err(format!("{error:#}")),
        Ok(Err(panic)) => Err(format!("the handler panicked: {panic}")),
        Err(_) => {
            work.abort();
            Err(format!("the handler took longer than {:?}", queue.timeout))
        }
    };
    let label = match &outcome {
        Ok(JobOutcome::Done) => "done",
        Ok(JobOutcome::Dead(_)) => "dead",
        Err(_) => "error",
    };
    metrics::counter!("testrun_jobs_total", "queue" => queue.name, "outcome" => label).increment(1);
    metrics::histogram!("testrun_job_duration_seconds", "queue" => queue.name).record(began.elapsed());
    match outcome {
        Ok(JobOutcome::Done) => Ok(()),
        Ok(JobOutcome::Dead(reason)) => {
            tracing::error!(reason, "job is dead");
            Err(reason)
        }
        Err(reason) => again(&db, &queue, &payload, starts, reason).await,
    }
}

/// Rings once more after a growing pause, unless the job had its starts. The pause is stored, not slept.
async fn again(db: &PgPool, queue: &Queue, payload: &[u8], starts: usize, reason: String) -> Result<(), String> {
    if starts >= MAX_STARTS {
        tracing::error!(reason, "job failed for the last time");
        return Err(reason);
    }
    let delay = 2.0_f64.powi(i32::try_from(starts).unwrap_or(8)) * rand::random_range(0.75..1.25);
    tracing::warn!(reason, delay_seconds = delay, "job failed, ringing again");
    let attempts = i32::try_from(starts).unwrap_or(i32::MAX);
    queue::insert(db, queue.name, payload, attempts, delay)
        .await
        .map_err(|error| format!("{reason}; and could not be rung again: {error}"))
}
