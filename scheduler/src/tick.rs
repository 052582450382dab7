//! Ticks, and the one that matters most: firing what is due.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use sqlx::PgPool;
use testrun_shared::ops::Readiness;
use testrun_shared::{actions, db};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How many due schedules are fetched at once.
const BATCH: i64 = 500;
/// How many are fired at once.
const FIRING: usize = 8;

/// Has readiness wait for a tick: it is late after three periods and some patience for one that takes long.
pub(crate) fn expect(readiness: &Readiness, name: &'static str, period: Duration) {
    readiness.expect(name, period * 3 + Duration::from_secs(10));
}

/// Does `work` every `period` until `shutdown`. An error is logged and the next tick tries again.
///
/// By the process's monotonic clock: whatever its wall clock does, ticks go on, and what is due is the database's to say.
pub(crate) async fn every<F: Future<Output = testrun_shared::Result<()>>>(
    name: &'static str,
    period: Duration,
    readiness: &Readiness,
    shutdown: &CancellationToken,
    work: impl Fn() -> F,
) {
    expect(readiness, name, period);
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        match work().await {
            Ok(()) => {
                readiness.beat(name);
                metrics::counter!("testrun_scheduler_ticks_total", "tick" => name, "outcome" => "done").increment(1);
            }
            Err(error) => {
                tracing::warn!(tick = name, error = %error, "tick failed, the next one tries again");
                metrics::counter!("testrun_scheduler_ticks_total", "tick" => name, "outcome" => "error").increment(1);
            }
        }
    }
}

/// Fires every schedule that is due by the database's clock, which is read once. What another scheduler is at, or what
/// cannot be fired by a fault of its own, is left to the next tick.
///
/// # Errors
/// If the database fails; whatever fired before that has fired.
pub async fn fire_due(pool: &PgPool) -> testrun_shared::Result<()> {
    let now = db::now(pool).await?;
    loop {
        let due = db::schedules::due(pool, now, BATCH).await?;
        let fetched = due.len();
        let fired = fire_all(pool, due, now).await?;
        // Whatever did not fire is another scheduler's, or will be tried at the next tick.
        if fired == 0 || fetched < usize::try_from(BATCH).unwrap_or(usize::MAX) {
            return Ok(());
        }
    }
}

/// Fires these and returns how many did. One that runs into trouble does not keep the others from firing, unless the
/// database is in trouble altogether.
async fn fire_all(pool: &PgPool, due: Vec<Uuid>, now: DateTime<Utc>) -> testrun_shared::Result<usize> {
    let mut attempts = futures_util::stream::iter(due).map(|id| fire(pool, id, now)).buffer_unordered(FIRING);
    let (mut fired, mut outages) = (0, Vec::new());
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(true) => fired += 1,
            Ok(false) => {}
            Err(outage) => outages.push(outage),
        }
        if outages.len() >= FIRING {
            break;
        }
    }
    outages.pop().map_or(Ok(fired), Err)
}

/// Whether it fired.
async fn fire(pool: &PgPool, id: Uuid, now: DateTime<Utc>) -> testrun_shared::Result<bool> {
    match actions::schedules::fire(pool, id, now).await {
        Ok(Some(due)) => {
            let late = (now - due).to_std().unwrap_or_default();
            tracing::info!(schedule.id = %id, due = %due, late_ms = late.as_millis(), "schedule fired");
            metrics::histogram!("testrun_schedule_lateness_seconds").record(late);
            Ok(true)
        }
        Ok(None) => Ok(false),
        // No fault of the schedule's: it must not lose its due time because the database restarted three times.
        Err(error) if error.is_outage() => Err(error),
        Err(error) => {
            tracing::error!(schedule.id = %id, error = %error, "schedule could not be fired");
            if let Err(error) = actions::schedules::fire_failed(pool, id, now, &error.to_string()).await {
                tracing::error!(schedule.id = %id, error = %error, "and that could not be written down");
            }
            Ok(false)
        }
    }
}
