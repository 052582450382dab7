//! The worker's part in a run: its counts, and its end once every item is final.

use std::time::Duration;

use sqlx::PgPool;
use uuid::Uuid;

use super::record;
use super::test_runs::{announce_finished_items, facts, finish};
use crate::db;
use crate::db::test_runs::LastRefresh;
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
    Ok(pause_after(&last).saturating_sub(Duration::from_millis(age)))
}

/// The time between two refreshes of a run: as long as its size asks for, or until its last item is to be expected, so that
/// the run's end does not wait for results that do not come any more.
fn pause_after(last: &LastRefresh) -> Duration {
    let count = |items: i32| u32::try_from(items).unwrap_or(0);
    let longest = COALESCE_PER_ITEM.saturating_mul(count(last.total_tests)).clamp(COALESCE, LONGEST_COALESCE);
    let ran = Duration::from_millis(u64::try_from(last.ran_ms).unwrap_or(0));
    let left = count(last.total_tests.saturating_sub(last.final_tests));
    let expected = ran.checked_div(count(last.final_tests)).unwrap_or(longest).saturating_mul(left);
    // An item that is the last one for long must not have its run refreshed all the time.
    if (longest / 5..longest).contains(&expected) { expected } else { longest }
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
            let last = LastRefresh { age_ms: 0, ran_ms: 60_000, total_tests: items, final_tests: 0 };
            assert_eq!(pause_after(&last), Duration::from_millis(expected), "{items} items");
        }
    }

    #[test]
    fn it_is_refreshed_when_its_last_item_is_to_be_expected() {
        // 1,000 items a second.
        for (left, expected) in
            [(1_000, 250), (250, 250), (249, 249), (100, 100), (50, 50), (49, 250), (1, 250), (0, 250)]
        {
            let finished = 4_000;
            let last = LastRefresh { age_ms: 0, ran_ms: 4_000, total_tests: finished + left, final_tests: finished };
            assert_eq!(pause_after(&last), Duration::from_millis(expected), "{left} items left");
        }
        let odd = LastRefresh { age_ms: -1, ran_ms: -1, total_tests: 1, final_tests: 2 };
        assert_eq!(pause_after(&odd), COALESCE, "clocks may step back, and items go");
    }
}
