//! Every queue and what answers it, in one list.

use std::sync::Arc;

use anyhow::bail;
use testrun_shared::jobs::Queue;

use crate::context::Context;
use crate::handlers::{create_scheduled_run, deliver_webhook, finalise_run, refresh_run, send_email};

/// The queues to work on: those named in `wanted`, or all; each with `concurrency`, or its own.
///
/// # Errors
/// For a name that is no queue's, listing those that are.
pub(crate) fn queues(
    context: &Arc<Context>,
    wanted: &[String],
    concurrency: Option<usize>,
) -> anyhow::Result<Vec<Queue>> {
    let queues = [
        Queue::of(with(context, create_scheduled_run::run)),
        Queue::of(with(context, refresh_run::run)),
        Queue::of(with(context, finalise_run::run)),
        Queue::of(with(context, send_email::run)),
        Queue::of(with(context, deliver_webhook::run)),
    ];
    if let Some(unknown) = wanted.iter().find(|name| !queues.iter().any(|queue| queue.name() == name.as_str())) {
        let names: Vec<_> = queues.iter().map(Queue::name).collect();
        bail!("TESTRUN_QUEUES: there is no queue '{unknown}'; there are {}", names.join(", "));
    }
    Ok(queues
        .into_iter()
        .filter(|queue| wanted.is_empty() || wanted.iter().any(|name| name == queue.name()))
        .map(|queue| match concurrency {
            Some(concurrency) => queue.with_concurrency(concurrency),
            None => queue,
        })
        .collect())
}

fn with<J, F>(
    context: &Arc<Context>,
    handler: impl Fn(J, Arc<Context>) -> F + Send + Sync + 'static,
) -> impl Fn(J) -> F + Send + Sync + 'static {
    let context = Arc::clone(context);
    move |job| handler(job, Arc::clone(&context))
}
