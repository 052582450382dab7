//! apalis's side of a worker: it is given the jobs that were claimed.

use std::convert::Infallible;
use std::task::{Context, Poll};

use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::task::Task;
use apalis_core::worker::context::WorkerContext;
use tokio::sync::mpsc;
use tower::layer::util::Identity;
use ulid::Ulid;

use super::intake::InHand;

/// Claimed jobs on their way to apalis's worker. No error ever comes this way: one would end the worker and drop its
/// handlers.
#[derive(Debug)]
pub(super) struct ClaimedJobs(pub(super) mpsc::UnboundedReceiver<InHand>);

impl Backend for ClaimedJobs {
    type Task = Task<InHand>;
    type Error = Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, _: &WorkerContext) -> Poll<Option<Result<Self::Task, Infallible>>> {
        self.0.poll_recv(cx).map(|job| job.map(|job| Ok(Task::new(job))))
    }

    /// Comes once nothing is claimed any more and all handlers have ended.
    fn poll_close(&mut self, _: &mut Context<'_>, worker: &WorkerContext) -> Poll<Result<(), Infallible>> {
        // A worker whose jobs have run out waits to be stopped. One that was stopped before is as good.
        drop(worker.stop());
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for ClaimedJobs {
    type Args = InHand;
    type Id = Ulid;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}
