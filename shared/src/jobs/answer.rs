//! Runs the handler of one job, whatever it does.

use std::time::Instant;

use tracing::Instrument as _;
use tracing::field::Empty;

use super::claim::Claimed;
use super::finish::End;
use super::{JobOutcome, Queue};
use crate::error::is_outage;
use crate::telemetry::trace::{self, TraceParent};

/// A job that was started this often without coming to an end is dead.
const MAX_STARTS: i32 = 3;

/// Runs one job to its end, in the trace in which it was rung for.
pub(super) async fn answer(queue: &Queue, job: &Claimed) -> End {
    let rung_in = job.traceparent.as_deref().and_then(|text| text.parse().ok());
    let trace = rung_in.map_or_else(TraceParent::begin, TraceParent::child);
    // The highest level, so that no filter takes the context from an error's line.
    let span = tracing::error_span!(
        "job",
        queue = queue.name,
        job.id = %job.id,
        job.starts = job.starts,
        trace_id = %trace.trace_id(),
        project_id = %job.project_id,
        run_id = Empty
    );
    attempt(queue, job, trace).instrument(span).await
}

async fn attempt(queue: &Queue, job: &Claimed, trace: TraceParent) -> End {
    if job.starts > MAX_STARTS {
        return End::Dead(format!("given up after {MAX_STARTS} starts that came to no end"));
    }
    let handler = match (queue.handler)(&job.payload) {
        Ok(handler) => handler,
        Err(reason) => return End::Dead(reason),
    };
    let began = Instant::now();
    // A task of its own: handlers run side by side, and a panic ends nothing else.
    let mut work = tokio::spawn(trace::scope(trace, handler).in_current_span());
    let mut counts = true;
    let outcome = match tokio::time::timeout(queue.timeout, &mut work).await {
        Ok(Ok(Ok(outcome))) => Ok(outcome),
        Ok(Ok(Err(error))) => {
            // No fault of the row's: however long the database is in trouble, nothing is given up because of that.
            counts = !error.chain().filter_map(|cause| cause.downcast_ref()).any(is_outage);
            Err(format!("{error:#}"))
        }
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
        Ok(JobOutcome::Done) => {
            tracing::debug!("job is done");
            End::Done
        }
        Ok(JobOutcome::Dead(reason)) => {
            tracing::error!(reason, "job is dead");
            End::Dead(reason)
        }
        Err(reason) => again(job.starts, counts, reason),
    }
}

/// Another start after a growing pause, unless the job had its starts. The pause is stored, not slept.
fn again(starts: i32, counts: bool, reason: String) -> End {
    if counts && starts >= MAX_STARTS {
        tracing::error!(reason, "job failed for the last time");
        return End::Dead(reason);
    }
    let pause = 2.0_f64.powi(starts) * rand::random_range(0.75..1.25);
    tracing::warn!(reason, pause_seconds = pause, "job failed, to be started again");
    End::Again { reason, pause, counts }
}
