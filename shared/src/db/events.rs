//! Table `events`: one row per fact, committed with the fact.

use serde_json::Value;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::domain::event::EventType;

/// Writes a fact down and returns the event's id.
///
/// # Errors
/// If the database fails.
pub async fn insert(
    db: impl PgExecutor<'_>,
    project_id: Uuid,
    event_type: EventType,
    test_run_id: Option<Uuid>,
    data: &Value,
) -> sqlx::Result<Uuid> {
    sqlx::query_scalar!(
        "-- events.insert
         INSERT INTO events (id, project_id, type, test_run_id, data) VALUES ($1, $2, $3, $4, $5) RETURNING id",
        Uuid::now_v7(),
        project_id,
        event_type as EventType,
        test_run_id,
        data,
    )
    .fetch_one(db)
    .await
}
