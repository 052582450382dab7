//! The queues that a process works on, and what answers their jobs.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::listen::{Bells, listen};
use super::rescue::HEARTBEAT;
use super::worker::work;
use super::{Job, JobOutcome};
use crate::ops::Readiness;

/// How long running jobs may take to end when the process stops.
pub(super) const DRAIN: Duration = Duration::from_secs(25);

type HandlerFuture = Pin<Box<dyn Future<Output = anyhow::Result<JobOutcome>> + Send>>;
type Handler = Arc<dyn Fn(&[u8]) -> Result<HandlerFuture, String> + Send + Sync>;

/// A queue and what answers its jobs.
#[derive(Clone)]
pub struct Queue {
    pub(super) name: &'static str,
    pub(super) concurrency: usize,
    pub(super) timeout: Duration,
    pub(super) handler: Handler,
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
/// Database errors end nothing. `readiness` hears of each queue at every heartbeat, unless its claims fail.
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
    let bells: Bells = queues.iter().map(|queue| (queue.name, Arc::default())).collect();
    let listener = tokio::spawn(listen(db.clone(), bells.clone(), shutdown.clone()));
    let workers: Vec<_> = queues
        .into_iter()
        .map(|queue| {
            let bell = Arc::clone(&bells[queue.name]);
            tokio::spawn(work(db.clone(), queue, bell, readiness.clone(), shutdown.clone()))
        })
        .collect();
    for worker in workers {
        worker.await.context("a queue's worker failed")??;
    }
    listener.await.context("the listener for jobs failed")
}
