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

/// How long a refresh of this run still has to wait, so that results which come in quick succession share one.
///
/// # Errors
/// If the database fails.
pub async fn pause_before(db: &PgPool, run_id: Uuid) -> Result<Duration> {
    let age = db::test_runs::refresh_age_ms(db, run_id).await?.and_then(|age| u64::try_from(age).ok());
    Ok(age.map_or(Duration::ZERO, |age| COALESCE.saturating_sub(Duration::from_millis(age))))
}

/// Recounts a run's items, and completes a running run whose items are all final. Does nothing for a run that is gone.
///
/// No result is missed: the gate and the lock wait for every result that is being written, and whoever comes later finds
/// the note gone, writes a new one and rings again.
///
/// # Errors
/// If the database fails; nothing has changed then.
pub async fn refresh(db: &PgPool, run_id: Uuid) -> Result<()> {
    let mut tx = db.begin().await?;
    db::test_runs::close_gate(&mut *tx, run_id).await?;
    let Some(status) = db::test_runs::lock_against_results(&mut *tx, run_id).await? else { return Ok(()) };
    let was_noted = db::run_refreshes::delete(&mut *tx, run_id).await?;
    let counts = db::test_run_items::count(&mut *tx, run_id).await?;
    db::test_runs::save_counts(&mut *tx, run_id, counts, pass_rate(counts.passed, counts.total), true).await?;
    let Some(run) = db::test_runs::find(&mut *tx, run_id).await? else { return Ok(()) };
    let has_progress = announce_finished_items(&mut tx, run.project_id, run_id).await?;
    if status == RunStatus::Running && counts.all_final() {
        finish(&mut tx, run.project_id, run_id, status.after(RunMove::Complete)?, None).await?;
    } else if status == RunStatus::Running && has_progress {
        record(&mut tx, run.project_id, EventType::RunProgress, Some(run_id), &facts(&run)).await?;
    }
    if status.is_final() && was_noted {
        // Rows that came after the end: the stored report no longer shows the run as it is.
        ring(&mut tx, &FinaliseRun { run_id }).await?;
    }
    tx.commit().await?;
    Ok(())
}
