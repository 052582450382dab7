//! What operators do with queues: pause and resume them, and retry or discard jobs that were given up.

use serde::de::DeserializeOwned;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::deliveries::WEBHOOK_PLAN;
use crate::db;
use crate::domain::notification::NotificationStatus;
use crate::domain::queue::{JobStatus, QueueName, QueueState, QueuedJob};
use crate::domain::schedule_execution::ExecutionStatus;
use crate::domain::webhook::DeliveryStatus;
use crate::error::{Error, Result};
use crate::jobs::{
    CreateScheduledRun, DeliverWebhook, FinaliseRun, Job as _, QueueDepth, RefreshRun, SendEmail, operate,
};

/// Why a row was given up whose job an operator discarded.
const DISCARDED: &str = "Discarded by an operator";
const UNDER_WAY: &str = "an attempt is under way";

/// How every queue stands: those of the product, and others that have jobs or are paused.
///
/// # Errors
/// If the database fails.
pub async fn states(db: &PgPool) -> Result<Vec<QueueState>> {
    let mut tx = db.begin().await?;
    states_in(&mut tx).await
}

async fn states_in(conn: &mut PgConnection) -> Result<Vec<QueueState>> {
    let depths = operate::depth(&mut *conn).await?;
    let paused = db::paused_queues::list(&mut *conn).await?;
    let mut names: Vec<&str> = QueueName::ALL.iter().map(|name| name.as_str()).collect();
    names.extend(depths.iter().map(|depth| depth.queue.as_str()));
    names.extend(paused.iter().map(|paused| paused.queue.as_str()));
    names.sort_unstable();
    names.dedup();
    let state = |queue: &str| {
        let empty = || QueueDepth { queue: queue.to_owned(), ..QueueDepth::default() };
        let depth = depths.iter().find(|depth| depth.queue == queue).cloned().unwrap_or_else(empty);
        let paused = paused.iter().find(|paused| paused.queue == queue);
        QueueState {
            queue: depth.queue,
            available: depth.available,
            scheduled: depth.scheduled,
            running: depth.running,
            dead: depth.dead,
            oldest_seconds: depth.oldest_seconds,
            is_paused: paused.is_some(),
            paused_at: paused.map(|paused| paused.paused_at),
            paused_by: paused.and_then(|paused| paused.paused_by),
            paused_reason: paused.and_then(|paused| paused.reason.clone()),
        }
    };
    Ok(names.into_iter().map(state).collect())
}

/// Has no job of a queue started from now on; jobs in hand go on. A paused queue stays as it is, but for a new reason.
///
/// # Errors
/// If the database fails.
pub async fn pause(
    db: impl db::Source<'_>,
    queue: QueueName,
    reason: Option<&str>,
    by: Option<Uuid>,
) -> Result<QueueState> {
    let mut tx = db.begin().await?;
    let queue = queue.as_str();
    db::paused_queues::insert(&mut *tx, queue, reason, by).await?;
    let state = state(&mut tx, queue).await?;
    tx.commit().await?;
    tracing::warn!(queue, reason, "queue paused");
    Ok(state)
}

/// Has the jobs of a queue started again. One that is not paused stays as it is.
///
/// # Errors
/// If the database fails.
pub async fn resume(db: impl db::Source<'_>, queue: QueueName) -> Result<QueueState> {
    let mut tx = db.begin().await?;
    let queue = queue.as_str();
    let was_paused = db::paused_queues::delete(&mut *tx, queue).await?;
    if was_paused && queue == RefreshRun::QUEUE {
        // Signs of life of runs were not taken down meanwhile: their clients are not to be thought dead because of that.
        db::test_runs::hear_noted(&mut *tx).await?;
    }
    let state = state(&mut tx, queue).await?;
    tx.commit().await?;
    tracing::warn!(queue, was_paused, "queue resumed");
    Ok(state)
}

async fn state(conn: &mut PgConnection, queue: &str) -> Result<QueueState> {
    let states = states_in(conn).await?;
    states.into_iter().find(|state| state.queue == queue).ok_or_else(|| Error::not_found("Queue", queue))
}

/// Has a dead job started again, as if it had never been, and makes the row that it is about due.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::InvalidState`] if it is not dead, or if there is nothing left for it to do.
pub async fn retry(db: impl db::Source<'_>, id: &str) -> Result<QueuedJob> {
    let mut tx = db.begin().await?;
    let (job, payload) = lock_dead(&mut tx, id, "retry").await?;
    prepare(&mut tx, &job.queue, &payload).await?;
    let job = operate::revive(&mut tx, id).await?;
    tx.commit().await?;
    tracing::info!(job.id = id, queue = job.queue, "dead job retried");
    Ok(job)
}

/// Forgets a dead job. A mail, a delivery or a due time that waits for it is given up; a run that waits to be counted or
/// finalised cannot be, so that the sweep rings for it again.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::InvalidState`] if it is not dead.
pub async fn discard(db: &PgPool, id: &str) -> Result<()> {
    let mut tx = db.begin().await?;
    let (job, payload) = lock_dead(&mut tx, id, "discard").await?;
    give_up(&mut tx, &job.queue, &payload).await?;
    operate::delete(&mut tx, id).await?;
    tx.commit().await?;
    tracing::info!(job.id = id, queue = job.queue, payload = job.payload, "dead job discarded");
    Ok(())
}

async fn lock_dead(conn: &mut PgConnection, id: &str, verb: &str) -> Result<(QueuedJob, Vec<u8>)> {
    let (job, payload) = operate::lock(conn, id).await?.ok_or_else(|| Error::not_found("Job", id))?;
    if job.status != JobStatus::Dead {
        return Err(Error::InvalidState(format!("Cannot {verb} job: its status is '{}'", job.status)));
    }
    Ok((job, payload))
}

/// Makes the row due that a job is about, so that the job has something to do.
async fn prepare(conn: &mut PgConnection, queue: &str, payload: &[u8]) -> Result<()> {
    match queue {
        RefreshRun::QUEUE => {
            let RefreshRun { run_id } = read(payload)?;
            db::test_runs::find(&mut *conn, run_id).await?.ok_or_else(|| nothing("the run is gone"))?;
            db::run_refreshes::insert(conn, run_id).await?;
        }
        FinaliseRun::QUEUE => {
            let FinaliseRun { run_id } = read(payload)?;
            let run = db::test_runs::find(&mut *conn, run_id).await?.ok_or_else(|| nothing("the run is gone"))?;
            let finalised = db::test_runs::is_finalised(&mut *conn, run_id).await?;
            let finalised = finalised.ok_or_else(|| nothing("the run has not ended"))?;
            if finalised && db::test_run_reports::current(conn, run_id, run.updated_at).await?.is_some() {
                return Err(nothing("the run is finalised"));
            }
        }
        CreateScheduledRun::QUEUE => {
            let CreateScheduledRun { execution_id } = read(payload)?;
            let waiting = db::schedule_executions::lock_pending(conn, execution_id).await?;
            waiting.ok_or_else(|| nothing("the execution does not wait for a run"))?;
        }
        SendEmail::QUEUE => prepare_mail(conn, read(payload)?).await?,
        DeliverWebhook::QUEUE => prepare_delivery(conn, read(payload)?).await?,
        // A queue of another release: its handler will know.
        _ => {}
    }
    Ok(())
}

async fn prepare_mail(conn: &mut PgConnection, SendEmail { notification_id: id }: SendEmail) -> Result<()> {
    if db::notifications::make_due(&mut *conn, id).await? {
        return Ok(());
    }
    Err(match db::notifications::status(conn, id).await? {
        None => nothing("the mail is gone"),
        Some(NotificationStatus::Sent) => nothing("the mail was sent"),
        Some(NotificationStatus::Pending | NotificationStatus::Sending | NotificationStatus::Failed) => {
            cannot_retry(UNDER_WAY)
        }
    })
}

async fn prepare_delivery(conn: &mut PgConnection, DeliverWebhook { delivery_id: id }: DeliverWebhook) -> Result<()> {
    let (status, is_enabled) =
        db::webhook_deliveries::status(&mut *conn, id).await?.ok_or_else(|| nothing("the delivery is gone"))?;
    if status == DeliveryStatus::Delivered {
        return Err(nothing("the event was delivered"));
    }
    if !is_enabled {
        return Err(nothing("the webhook is disabled"));
    }
    if db::webhook_deliveries::make_due(conn, id, WEBHOOK_PLAN).await? { Ok(()) } else { Err(cannot_retry(UNDER_WAY)) }
}

/// Gives the row up that waits for a job, where it can be given up. A payload that cannot be read is about no row.
async fn give_up(conn: &mut PgConnection, queue: &str, payload: &[u8]) -> Result<()> {
    match queue {
        SendEmail::QUEUE => {
            if let Ok(SendEmail { notification_id }) = read(payload) {
                db::notifications::give_up(conn, notification_id, DISCARDED).await?;
            }
        }
        DeliverWebhook::QUEUE => {
            if let Ok(DeliverWebhook { delivery_id }) = read(payload) {
                db::webhook_deliveries::give_up(conn, delivery_id, DISCARDED).await?;
            }
        }
        CreateScheduledRun::QUEUE => {
            let Ok(CreateScheduledRun { execution_id }) = read(payload) else { return Ok(()) };
            let execution = db::schedule_executions::lock_pending(&mut *conn, execution_id).await?;
            let Some(execution) = execution else { return Ok(()) };
            db::schedule_executions::give_up(&mut *conn, execution_id, DISCARDED).await?;
            let (schedule, due, status) = (execution.schedule_id, execution.scheduled_for, ExecutionStatus::Failed);
            db::schedules::set_last_status(conn, schedule, due, status).await?;
        }
        _ => {}
    }
    Ok(())
}

fn read<J: DeserializeOwned>(payload: &[u8]) -> Result<J> {
    serde_json::from_slice(payload).map_err(|error| nothing(&format!("the payload cannot be read: {error}")))
}

fn nothing(why: &str) -> Error {
    cannot_retry(&format!("there is nothing to do, {why}"))
}

fn cannot_retry(why: &str) -> Error {
    Error::InvalidState(format!("Cannot retry job: {why}"))
}
