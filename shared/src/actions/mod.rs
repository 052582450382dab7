//! Writes that need more than one statement: begin, lock, check the rule, write, ring, commit.
//!
//! Locks are taken in one order everywhere: gate of a run's results → project counter → schedule → run → items by id →
//! results → webhook → its deliveries.

pub mod deliveries;
pub mod finalise;
pub mod identity;
pub mod queues;
pub mod refresh;
pub mod results;
pub mod schedules;
pub mod test_cases;
pub mod test_run_items;
pub mod test_runs;
pub mod test_scripts;
pub mod webhooks;
pub mod zone_data;

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db;
use crate::domain::event::EventType;
use crate::domain::statistics::pass_rate;
use crate::error::Result;
use crate::jobs::{DeliverWebhook, RefreshRun, ring};

/// Writes a fact down beside its cause, with a delivery for each webhook that wants it.
async fn record(
    conn: &mut PgConnection,
    project_id: Uuid,
    event_type: EventType,
    test_run_id: Option<Uuid>,
    data: &Value,
) -> Result<()> {
    record_all(conn, project_id, event_type, test_run_id, std::slice::from_ref(data)).await
}

/// Like [`record`], for several facts of one type.
async fn record_all(
    conn: &mut PgConnection,
    project_id: Uuid,
    event_type: EventType,
    test_run_id: Option<Uuid>,
    data: &[Value],
) -> Result<()> {
    let events = db::events::insert(&mut *conn, project_id, event_type, test_run_id, data).await?;
    let (plan, is_frequent) = (deliveries::WEBHOOK_PLAN, event_type.is_frequent());
    for delivery_id in db::webhook_deliveries::insert_wanted(&mut *conn, &events, is_frequent, plan).await? {
        ring(conn, &DeliverWebhook { delivery_id }).await?;
    }
    Ok(())
}

/// Counts a locked run's items and stores the figures, so that what is told of the run next is true. The run must not
/// be taking results, or they must be kept out.
async fn recount(conn: &mut PgConnection, run_id: Uuid) -> Result<()> {
    let counts = db::test_run_items::count(&mut *conn, run_id).await?;
    db::test_runs::save_counts(conn, run_id, counts, pass_rate(counts.passed, counts.total), false).await?;
    Ok(())
}

/// Has a run's counts recomputed. Rings only if nobody did since the last time (design, rule 5).
async fn request_refresh(conn: &mut PgConnection, run_id: Uuid) -> Result<()> {
    if db::run_refreshes::insert(&mut *conn, run_id).await? {
        ring(conn, &RefreshRun { run_id }).await?;
    }
    Ok(())
}
