//! The worker's part in a run: its counts, and its end once every item is final.

use std::time::Duration;

use sqlx::PgPool;
use uuid::Uuid;

use super::record;
use super::test_runs::{announce_finished_items, facts, finish};
use crate::db;
use crate::domain::event::EventType;
use crate::domain::statistics::pass_rate;
use crate::domain::test_run::{RunMove, RunStatus};
use crate::error::Result;
use crate::jobs::{FinaliseRun, ring};

/// A run is refreshed at most once in this time, however many results arrive.
pub const COALESCE: Duration = Duration::from_millis(250);

/// And at most once in this time for each of its items. A refresh reads them all while results wait, so that a run of ten
/// times as many items would cost a hundred times as much.
const COALESCE_PER_ITEM: Duration = Duration::from_micros(25);

/// But at least once in this time, which is less than the sweep's patience and the job's time-out.
const LONGEST_COALESCE: Duration = Duration::from_secs(3);

/// How long a refresh of this run still has to wait, so that results which come in quick succession share one.
///
/// # Errors
/// If the database fails.
pub async fn pause_before(db: &PgPool, run_id: Uuid) -> Result<Duration> {
    let Some(last) = db::test_runs::last_refresh(db, run_id).await? else { return Ok(Duration::ZERO) };
    // A clock that stepped back must not make the run wait.
    let Ok(age) = u64::try_from(last.age_ms) else { return Ok(Duration::ZERO) };
    Ok(pause_after(last.total_tests).saturating_sub(Duration::from_millis(age)))
}

/// The time between two refreshes of a run of so many items.
fn pause_after(items: i32) -> Duration {
    COALESCE_PER_ITEM.saturating_mul(u32::try_from(items).unwrap_or(0)).clamp(COALESCE, LONGEST_COALESCE)
}

/// Recounts a run's items, and completes a running run whose items are all final. Does nothing for a run that is gone.
///
/// No result is missed: the gate and the lock wait for every result that is being written, and whoever comes later finds
/// the note gone, writes a new one and rings again.
///
/// # Errors
/// If the database fails; the run's counts and status have not changed then.
pub async fn refresh(db: &PgPool, run_id: Uuid) -> Result<()> {
    let mut tx = db.begin().await?;
    db::test_runs::close_gate(&mut *tx, run_id).await?;
    let Some((status, before)) = db::test_runs::lock_against_results(&mut *tx, run_id).await? else { return Ok(()) };
    let was_noted = db::run_refreshes::delete(&mut *tx, run_id).await?;
    let counts = db::test_run_items::count(&mut *tx, run_id).await?;
    db::test_runs::save_counts(&mut *tx, run_id, counts, pass_rate(counts.passed, counts.total), true).await?;
    let Some(run) = db::test_runs::find(&mut *tx, run_id).await? else { return Ok(()) };
    announce_finished_items(&mut tx, run.project_id, run_id).await?;
    if status == RunStatus::Running && counts.all_final() {
        finish(&mut tx, run.project_id, run_id, status.after(RunMove::Complete)?, None).await?;
    } else if status == RunStatus::Running && counts != before {
        record(&mut tx, run.project_id, EventType::RunProgress, Some(run_id), &facts(&run)).await?;
    }
    if status.is_final() && was_noted {
        // Rows that came after the end: the stored report no longer shows the run as it is.
        ring(&mut tx, &FinaliseRun { run_id }).await?;
    }
    tx.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_run_is_refreshed_less_often_so_that_its_cost_stays_linear() {
        for (items, expected) in [(0, 250), (3_400, 250), (10_000, 250), (100_000, 2_500), (i32::MAX, 3_000)] {
            assert_eq!(pause_after(items), Duration::from_millis(expected), "{items} items");
        }
    }
}
