//! Items that are locked: for a result, behind the gate of its run, and for whoever changes them.

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::domain::test_run_item::TestRunItem;

macro_rules! locked_of_run {
    () => {
        "test_run_items i JOIN test_runs r ON r.id = i.test_run_id \
         WHERE r.project_id = $1 AND r.id = $2 AND r.deleted_at IS NULL AND i.id = $3 FOR NO KEY UPDATE OF i"
    };
}

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
    sqlx::query_as(concat!("-- test_run_items.lock\nSELECT ", columns!(), " FROM ", locked_of_run!()))
        .bind(project_id)
        .bind(run_id)
        .bind(id)
        .fetch_optional(db)
        .await
}

/// Passes the run's gate, see [`crate::db::test_runs::pass_gate`], and then locks an item as [`lock`] does, in one round trip.
///
/// The gate comes first whichever way the statement is planned: no row can be locked before it is joined with the gate's.
/// And although the statement's snapshot is older than the wait at the gate, the item is as it was left there, since who
/// locks a row is given its newest version.
///
/// # Errors
/// If the database fails.
pub async fn lock_behind_gate(
    db: impl PgExecutor<'_>,
    project_id: Uuid,
    run_id: Uuid,
    id: Uuid,
) -> sqlx::Result<Option<TestRunItem>> {
    sqlx::query_as(concat!(
        "-- test_run_items.lock_behind_gate\n\
         WITH gate AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared(hashtextextended($2::uuid::text, 0))) SELECT ",
        columns!(),
        " FROM gate CROSS JOIN ",
        locked_of_run!(),
    ))
    .bind(project_id)
    .bind(run_id)
    .bind(id)
    .fetch_optional(db)
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
