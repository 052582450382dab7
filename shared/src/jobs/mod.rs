//! Jobs: doorbells that tell a worker to look at one row (design, rule 1).
//!
//! A job carries one id and promises nothing: it may be lost, late, doubled or run by a process that was thought dead.
//! Its handler reads the row, does what is due and is done. Only this module and the workers' registration list know
//! that the queue is apalis; `docs/architecture.md` says what was measured and why it is used this way.

mod answer;
mod backend;
mod claim;
mod create_scheduled_run;
mod deliver_webhook;
mod finalise_run;
mod finish;
mod hands;
mod intake;
mod listen;
pub mod operate;
pub mod prune;
mod queue;
mod refresh_run;
mod rescue;
mod runner;
mod send_email;
pub mod sweep;
mod worker;

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

pub use create_scheduled_run::CreateScheduledRun;
pub use deliver_webhook::DeliverWebhook;
pub use finalise_run::FinaliseRun;
pub use operate::{DeadJob, QueueDepth, dead, depth};
pub use queue::{ring, ring_at};
pub use refresh_run::RefreshRun;
pub use rescue::{HEARTBEAT, MISSED_HEARTBEATS};
pub use runner::{Queue, run};
pub use send_email::SendEmail;

/// A kind of job: its queue, how many run at once in a process, how long one may take, and whose it is.
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The queue's name; it never changes, since rows carry it.
    const QUEUE: &'static str;
    /// How many of them a process runs at once. One project gets at most half of it.
    const CONCURRENCY: usize;
    /// How long one may take. Below the 25 s that a stopping process waits.
    const TIMEOUT: Duration;
    /// The query for the project of the row `$1`. Projects take turns, so each job has to be known by its own.
    const PROJECT_OF_ROW: &'static str;

    /// The one row that the job is about.
    fn row_id(&self) -> Uuid;
}

/// How a job ended. "Again later" is a due time on the handler's own row, and a new doorbell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobOutcome {
    /// What was due is done, or nothing was due.
    Done,
    /// It can never be done, for this reason; operators see it among the dead jobs.
    Dead(String),
}
