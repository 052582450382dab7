//! Items that are locked: for a result, behind the gate of its run, and for whoever changes them.

use sqlx::types::Json;
use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

use crate::db::test_runs::{RunGuard, guard_columns};
use crate::domain::event::EventType;
use crate::domain::test_run_item::TestRunItem;

/// Locks an item of the project's run, and nothing wider; `None` if there is no such item.
///
/// # Errors
/// If the database fails.
pub async fn lock(
    db: impl PgExecutor<'_>,
    project_id: Uuid,
    run_id: Uuid,
    id: Uuid,
) -> sqlx::Result<Option<TestRunItem>> {
    sqlx::query_as(concat!(
        "-- test_run_items.lock\nSELECT ",
        columns!(),
        " FROM ",
        of_run!("$3"),
        " FOR NO KEY UPDATE OF i"
    ))
    .bind(project_id)
    .bind(run_id)
    .bind(id)
    .fetch_optional(db)
    .await
}

/// A locked item, and what a result for it has to know of its run.
#[derive(Debug, FromRow)]
pub struct LockedItem {
    /// The item, as committed now.
    #[sqlx(flatten)]
    pub item: TestRunItem,
    /// Its run. As it was before the wait at the gate and for the lock: whoever ended the run meanwhile has made the item
    /// final, too.
    #[sqlx(flatten)]
    pub run: RunGuard,
    /// What its test case is called.
    pub test_case_name: String,
    /// Whether a webhook wants to know that it is finished. Then the worker tells, when it counts the run: a result does not
    /// ring for deliveries.
    pub is_told_by_worker: bool,
}

/// Passes the run's gate, see [`crate::db::test_runs::pass_gate`], and then locks items as [`lock`] does, in one round trip
/// and in the order of `ids`. Those that the project's run does not have are left out.
///
/// The gate comes first whichever way the statement is planned, since no row is looked for before its id came through the
/// gate. And although the statement's snapshot is older than the wait at the gate, the items are as they were left there,
/// since who locks a row is given its newest version. The ids are JSON, since the statement would be planned anew for each
/// array: what an array costs depends on its length.
///
/// # Errors
/// If the database fails.
pub async fn lock_behind_gate(
    db: impl PgExecutor<'_>,
    project_id: Uuid,
    run_id: Uuid,
    ids: &[Uuid],
) -> sqlx::Result<Vec<LockedItem>> {
    sqlx::query_as(concat!(
        "-- test_run_items.lock_behind_gate\n\
         WITH gate AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared(hashtextextended($2::uuid::text, 0))), \
             wanted AS MATERIALIZED (SELECT jsonb_array_elements_text($3)::uuid AS id FROM gate) \
         SELECT locked.* FROM wanted, LATERAL (SELECT ",
        columns!(),
        ", ",
        guard_columns!(),
        ", (SELECT c.name FROM test_cases c WHERE c.id = i.test_case_id) AS test_case_name, \
         EXISTS (SELECT 1 FROM webhooks w WHERE w.project_id = $1 AND w.is_enabled AND $4 = ANY (w.event_types)) \
             AS is_told_by_worker FROM ",
        of_run!("wanted.id"),
        " FOR NO KEY UPDATE OF i) locked",
    ))
    .bind(project_id)
    .bind(run_id)
    .bind(Json(ids))
    .bind(EventType::ItemFinished.as_str())
    .fetch_all(db)
    .await
}

/// Locks the item that a result of the project belongs to; `None` if there is no such result.
///
/// # Errors
/// If the database fails.
pub async fn lock_of_result(
    db: impl PgExecutor<'_>,
    project_id: Uuid,
    result_id: Uuid,
) -> sqlx::Result<Option<TestRunItem>> {
    sqlx::query_as(concat!(
        "-- test_run_items.lock_of_result\nSELECT ",
        columns!(),
        " FROM test_run_items i JOIN test_runs r ON r.id = i.test_run_id JOIN test_run_results t ON t.test_run_item_id = i.id \
          WHERE r.project_id = $1 AND r.deleted_at IS NULL AND t.id = $2 FOR NO KEY UPDATE OF i"
    ))
    .bind(project_id)
    .bind(result_id)
    .fetch_optional(db)
    .await
}
