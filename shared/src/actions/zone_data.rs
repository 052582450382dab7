//! What new zone data change: the next due times of schedules (scheduling rules, Clock).

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::{PgConnection, PgPool};

use super::record;
use crate::db;
use crate::domain::event::EventType;
use crate::domain::schedule::Schedule;
use crate::error::Result;

/// How many schedules are locked at once: few enough that nobody waits long for one of them.
const BATCH: i64 = 200;

/// Computes the next due time of every active schedule anew that was left by a process with older zone data, and returns
/// how many those were.
///
/// Safe to run anywhere at any time: each schedule notes the version that its next due time was computed with, and only
/// a newer one takes it on. So two processes with different data do not undo each other's work for ever, and one that
/// dies half-way leaves the rest to the next.
///
/// # Errors
/// If the database fails; batches before that are done.
pub async fn recompute(db: &PgPool) -> Result<u64> {
    let mut recomputed = 0;
    loop {
        let mut tx = db.begin().await?;
        let outdated = db::schedules::lock_outdated(&mut *tx, BATCH).await?;
        let now = db::now(&mut *tx).await?;
        for schedule in &outdated {
            recompute_one(&mut tx, schedule, now).await?;
        }
        tx.commit().await?;
        recomputed += outdated.len() as u64;
        if outdated.len() < usize::try_from(BATCH).unwrap_or(usize::MAX) {
            return Ok(recomputed);
        }
    }
}

async fn recompute_one(conn: &mut PgConnection, schedule: &Schedule, now: DateTime<Utc>) -> Result<()> {
    let next = next_by_our_data(schedule, now);
    db::schedules::set_next(&mut *conn, schedule.id, next).await?;
    if next == schedule.next_execution_at {
        return Ok(());
    }
    tracing::info!(schedule.id = %schedule.id, before = ?schedule.next_execution_at, now = ?next, "new zone data moved a due time");
    if next.is_none() {
        let facts = json!({"schedule_id": schedule.id, "schedule_name": schedule.schedule_name});
        record(conn, schedule.project_id, EventType::ScheduleCompleted, None, &facts).await?;
    }
    Ok(())
}

fn next_by_our_data(schedule: &Schedule, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let stored = schedule.next_execution_at?;
    // What has come was promised: it fires, and what follows it is computed then.
    if stored <= now {
        return Some(stored);
    }
    match schedule.recurrence() {
        Ok(recurrence) => recurrence.moved(stored, schedule.last_executed_at),
        Err(error) => {
            // A zone that our data do not know, say. The due time stays: when it comes, it is recorded as failed.
            tracing::warn!(schedule.id = %schedule.id, error = %error, "the next due time cannot be computed anew");
            Some(stored)
        }
    }
}
