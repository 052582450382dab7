//! Table `events`: one row per fact, committed with the fact.
//!
//! Readers go by (transaction, sequence) and stop before the oldest transaction that is still open: an event that commits
//! late, with a lower sequence than others, is never passed over.

use serde::Serialize;
use serde_json::Value;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::domain::event::{Event, EventType, FinishedItem};

/// The channel on which PostgreSQL tells listeners which project has new events.
pub const CHANNEL: &str = "testrun_events";

/// A place in the order of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    transaction_id: i64,
    sequence: i64,
}

/// An event and its place.
#[derive(Debug, Clone)]
pub struct StoredEvent {
    /// Where it stands among the others.
    pub position: Position,
    /// The run it is about, if it is about one.
    pub test_run_id: Option<Uuid>,
    /// What clients are told.
    pub event: Event,
}

/// The event `item.finished`, written by [`super::test_run_results::save`]. Nobody is notified of it: readers are woken by what
/// the refresh tells of the run next, since `NOTIFY` would have all commits wait for each other.
#[derive(Debug, Serialize)]
pub struct EventRow {
    id: Uuid,
    project_id: Uuid,
    #[serde(rename = "type")]
    event_type: EventType,
    test_run_id: Uuid,
    data: FinishedItem,
}

impl EventRow {
    /// That an item of the project is finished.
    #[must_use]
    pub fn item_finished(project_id: Uuid, data: FinishedItem) -> Self {
        let (event_type, test_run_id) = (EventType::ItemFinished, data.test_run_id);
        Self { id: Uuid::now_v7(), project_id, event_type, test_run_id, data }
    }
}

/// Writes facts of one type down, tells listeners once the transaction commits, and returns the events' ids.
///
/// # Errors
/// If the database fails.
pub async fn insert(
    db: impl PgExecutor<'_>,
    project_id: Uuid,
    event_type: EventType,
    test_run_id: Option<Uuid>,
    data: &[Value],
) -> sqlx::Result<Vec<Uuid>> {
    let ids: Vec<Uuid> = data.iter().map(|_| Uuid::now_v7()).collect();
    insert_with_ids(db, project_id, event_type, test_run_id, &ids, data).await?;
    Ok(ids)
}

/// Like [`insert`], for one fact that concerns no run.
///
/// # Errors
/// If the database fails.
pub async fn insert_one(
    db: impl PgExecutor<'_>,
    project_id: Uuid,
    event_type: EventType,
    data: &Value,
) -> sqlx::Result<Uuid> {
    let id = Uuid::now_v7();
    insert_with_ids(db, project_id, event_type, None, &[id], std::slice::from_ref(data)).await?;
    Ok(id)
}

async fn insert_with_ids(
    db: impl PgExecutor<'_>,
    project_id: Uuid,
    event_type: EventType,
    test_run_id: Option<Uuid>,
    ids: &[Uuid],
    data: &[Value],
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- events.insert
         WITH told AS (SELECT pg_notify($6, $2::uuid::text))
         INSERT INTO events (id, project_id, type, test_run_id, data)
         SELECT new.id, $2, $3, $4, new.data
         FROM told, unnest($1::uuid[], $5::jsonb[]) AS new (id, data)",
        ids,
        project_id,
        event_type as EventType,
        test_run_id,
        data,
        CHANNEL,
    )
    .execute(db)
    .await
    .map(|_| ())
}

struct Row {
    id: Uuid,
    transaction_id: i64,
    sequence: i64,
    event_type: EventType,
    test_run_id: Option<Uuid>,
    data: Value,
    created_at: chrono::DateTime<chrono::Utc>,
}

/// The project's next events after a place, at most `limit`, oldest first; none that has to wait for a transaction which
/// began before it.
///
/// # Errors
/// If the database fails.
pub async fn after(
    db: impl PgExecutor<'_>,
    project_id: Uuid,
    position: Position,
    limit: i64,
) -> sqlx::Result<Vec<StoredEvent>> {
    let rows = sqlx::query_as!(
        Row,
        r#"-- events.after
         SELECT id, transaction_id::text::bigint AS "transaction_id!", sequence, type AS "event_type: EventType", test_run_id,
             data, created_at
         FROM events
         WHERE project_id = $1 AND (transaction_id, sequence) > ($2::bigint::text::xid8, $3)
             AND transaction_id < pg_snapshot_xmin(pg_current_snapshot())
         ORDER BY transaction_id, sequence
         LIMIT $4"#,
        project_id,
        position.transaction_id,
        position.sequence,
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| StoredEvent {
            position: Position { transaction_id: row.transaction_id, sequence: row.sequence },
            test_run_id: row.test_run_id,
            event: Event {
                id: row.id,
                event_type: row.event_type,
                timestamp: row.created_at,
                project_id,
                data: row.data,
            },
        })
        .collect())
}

/// Whether the project has events that [`after`] does not give yet.
///
/// # Errors
/// If the database fails.
pub async fn is_settling(db: impl PgExecutor<'_>, project_id: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"-- events.is_settling
         SELECT EXISTS (
             SELECT 1 FROM events
             WHERE project_id = $1 AND transaction_id >= pg_snapshot_xmin(pg_current_snapshot())
         ) AS "settling!""#,
        project_id,
    )
    .fetch_one(db)
    .await
}

/// The place after which everything of a project is still to come: that of its last event which [`after`] gives.
///
/// An event's place, and not the next transaction's id: what PostgreSQL had handed out and not stored when it crashed is
/// handed out again, so that events after the crash would come before such a place, and be passed over.
///
/// # Errors
/// If the database fails.
pub async fn now(db: impl PgExecutor<'_>, project_id: Uuid) -> sqlx::Result<Position> {
    let last = sqlx::query!(
        r#"-- events.now
         SELECT transaction_id::text::bigint AS "transaction_id!", sequence
         FROM events
         WHERE project_id = $1 AND transaction_id < pg_snapshot_xmin(pg_current_snapshot())
         ORDER BY transaction_id DESC, sequence DESC
         LIMIT 1"#,
        project_id,
    )
    .fetch_optional(db)
    .await?;
    let beginning = Position { transaction_id: 0, sequence: 0 };
    Ok(last.map_or(beginning, |row| Position { transaction_id: row.transaction_id, sequence: row.sequence }))
}

/// The place of the project's event with this id, if it is still kept.
///
/// # Errors
/// If the database fails.
pub async fn position(db: impl PgExecutor<'_>, project_id: Uuid, id: Uuid) -> sqlx::Result<Option<Position>> {
    let row = sqlx::query!(
        r#"-- events.position
         SELECT transaction_id::text::bigint AS "transaction_id!", sequence FROM events WHERE project_id = $1 AND id = $2"#,
        project_id,
        id,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Position { transaction_id: row.transaction_id, sequence: row.sequence }))
}

/// Deletes events that are older than `age_seconds` with their deliveries, at most `limit`, and returns how many. One that
/// is still to be delivered stays.
///
/// # Errors
/// If the database fails.
pub async fn prune(db: impl PgExecutor<'_>, age_seconds: f64, limit: i64) -> sqlx::Result<u64> {
    sqlx::query!(
        "-- events.prune
         DELETE FROM events WHERE id IN (
             SELECT id FROM events e
             WHERE created_at < now() - make_interval(secs => $1)
                 AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d
                     WHERE d.event_id = e.id AND d.status IN ('pending', 'sending'))
             ORDER BY created_at
             LIMIT $2
             FOR UPDATE SKIP LOCKED
         )",
        age_seconds,
        limit,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected())
}
