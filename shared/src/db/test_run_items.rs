//! Table `test_run_items`.

use serde::Serialize;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::domain::event::FinishedItem;
use crate::domain::page::Page;
use crate::domain::test_run_item::{Derived, ItemStatus, TestRunItem};

macro_rules! columns {
    () => {
        "i.id, i.test_run_id, i.test_case_id, i.execution_order, i.status, i.started_at, i.completed_at, i.duration_ms, \
         i.total_steps, i.passed_steps, i.failed_steps, i.skipped_steps, i.total_checkpoints, i.passed_checkpoints, \
         i.failed_checkpoints, i.is_data_driven, i.total_iterations, i.passed_iterations, i.failed_iterations, \
         i.retry_attempt, i.max_retries_exhausted, i.error_message, i.error_screenshot_path, i.results_folder, \
         i.created_at, i.updated_at"
    };
}

/// The item with this id (`$1` and `$2` are the project and its run).
///
/// No index serves `IS NOT DISTINCT FROM`, so that the item and its run are looked up by their ids alone: a plan from when
/// there were few of them would read every item of the run, or every run of the project, for one.
macro_rules! of_run {
    ($id:literal) => {
        concat!(
            "test_run_items i JOIN test_runs r ON r.id = i.test_run_id \
             WHERE i.id = ",
            $id,
            " AND i.test_run_id IS NOT DISTINCT FROM $2 AND r.project_id IS NOT DISTINCT FROM $1 AND r.deleted_at IS NULL"
        )
    };
}

mod figures;
mod locks;

pub use figures::*;
pub use locks::*;

/// Adds test cases to the end of a locked run, in the order given. Returns the new items' ids in that order.
///
/// # Errors
/// If a case is in the run already; who adds checks that before, with the run locked.
pub async fn insert(
    db: impl PgExecutor<'_>,
    run_id: Uuid,
    test_case_ids: &[Uuid],
    status: ItemStatus,
) -> sqlx::Result<Vec<Uuid>> {
    let ids: Vec<Uuid> = test_case_ids.iter().map(|_| Uuid::now_v7()).collect();
    sqlx::query!(
        "-- test_run_items.insert
         INSERT INTO test_run_items (id, test_run_id, test_case_id, execution_order, status)
         SELECT new.id, $1, new.test_case_id, last.execution_order + new.position, $4
         FROM unnest($2::uuid[], $3::uuid[]) WITH ORDINALITY AS new (id, test_case_id, position)
         CROSS JOIN (
             SELECT coalesce(max(execution_order), 0) AS execution_order FROM test_run_items WHERE test_run_id = $1
         ) AS last",
        run_id,
        &ids,
        test_case_ids,
        status as ItemStatus,
    )
    .execute(db)
    .await?;
    Ok(ids)
}

/// Which of these test cases exist in the project, and which of those are in the run already.
///
/// # Errors
/// If the database fails.
pub async fn known_cases(
    db: impl PgExecutor<'_>,
    project_id: Uuid,
    run_id: Uuid,
    test_case_ids: &[Uuid],
) -> sqlx::Result<Vec<(Uuid, bool)>> {
    let rows = sqlx::query!(
        r#"-- test_run_items.known_cases
         SELECT c.id, i.id IS NOT NULL AS "in_run!"
         FROM test_cases c
         LEFT JOIN test_run_items i ON i.test_run_id = $2 AND i.test_case_id = c.id
         WHERE c.project_id = $1 AND c.id = ANY($3)"#,
        project_id,
        run_id,
        test_case_ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.in_run)).collect())
}

/// The items of a run with these ids, in execution order.
///
/// # Errors
/// If the database fails.
pub async fn get_many(db: impl PgExecutor<'_>, run_id: Uuid, ids: &[Uuid]) -> sqlx::Result<Vec<TestRunItem>> {
    let items: Vec<TestRunItem> = sqlx::query_as(concat!(
        "-- test_run_items.get_many\nSELECT ",
        columns!(),
        " FROM test_run_items i WHERE i.test_run_id = $1 AND i.id = ANY($2) ORDER BY i.execution_order"
    ))
    .bind(run_id)
    .bind(ids)
    .fetch_all(db)
    .await?;
    Ok(items.into_iter().map(TestRunItem::derived).collect())
}

/// A page of a run's items, in execution order.
///
/// # Errors
/// If the database fails.
pub async fn list(db: impl PgExecutor<'_>, run_id: Uuid, page: Page) -> sqlx::Result<Vec<TestRunItem>> {
    let items: Vec<TestRunItem> = sqlx::query_as(concat!(
        "-- test_run_items.list\nSELECT ",
        columns!(),
        " FROM test_run_items i WHERE i.test_run_id = $1 ORDER BY i.execution_order LIMIT $2 OFFSET $3"
    ))
    .bind(run_id)
    .bind(page.limit)
    .bind(page.offset)
    .fetch_all(db)
    .await?;
    Ok(items.into_iter().map(TestRunItem::derived).collect())
}

/// What an item's results say of it, to be stored by [`super::test_run_results::save`].
#[derive(Debug, Serialize)]
pub struct DerivedRow {
    /// The item.
    pub id: Uuid,
    /// Its run.
    pub test_run_id: Uuid,
    /// What its results say.
    #[serde(flatten)]
    pub derived: Derived,
    /// How many iterations the client told.
    pub total_iterations: i32,
    /// Whether the event that it is finished is written with it.
    pub is_announced: bool,
}

/// Makes the items of a starting run whose cases have no recording `no_run`.
///
/// # Errors
/// If the database fails.
pub async fn set_no_run(db: impl PgExecutor<'_>, run_id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "-- test_run_items.set_no_run
         UPDATE test_run_items i
         SET status = 'no_run', completed_at = now(), updated_at = now()
         FROM test_cases c
         WHERE i.test_run_id = $1 AND c.id = i.test_case_id AND NOT c.has_recording AND i.status IN ('pending', 'queued')",
        run_id,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Makes every unfinished item of an ending run `skipped`, in the order of their ids (lock order).
///
/// # Errors
/// If the database fails.
pub async fn skip_unfinished(db: impl PgExecutor<'_>, run_id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "-- test_run_items.skip_unfinished
         WITH unfinished AS (
             SELECT id FROM test_run_items
             WHERE test_run_id = $1 AND status IN ('pending', 'queued', 'running')
             ORDER BY id
             FOR NO KEY UPDATE
         )
         UPDATE test_run_items i
         SET status = 'skipped', completed_at = now(), updated_at = now()
         FROM unfinished
         WHERE i.id = unfinished.id",
        run_id,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// The project's item with this id, in this run.
///
/// # Errors
/// If the database fails.
pub async fn get(
    db: impl PgExecutor<'_>,
    project_id: Uuid,
    run_id: Uuid,
    id: Uuid,
) -> sqlx::Result<Option<TestRunItem>> {
    let item: Option<TestRunItem> =
        sqlx::query_as(concat!("-- test_run_items.get\nSELECT ", columns!(), " FROM ", of_run!("$3")))
            .bind(project_id)
            .bind(run_id)
            .bind(id)
            .fetch_optional(db)
            .await?;
    Ok(item.map(TestRunItem::derived))
}

/// Whether the project has an item with this id.
///
/// # Errors
/// If the database fails.
pub async fn exists(db: impl PgExecutor<'_>, project_id: Uuid, id: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"-- test_run_items.exists
         SELECT EXISTS (
             SELECT 1 FROM test_run_items i JOIN test_runs r ON r.id = i.test_run_id
             WHERE r.project_id = $1 AND r.deleted_at IS NULL AND i.id = $2
         ) AS "exists!""#,
        project_id,
        id,
    )
    .fetch_one(db)
    .await
}

/// Stores the columns of a locked item that clients may change.
///
/// # Errors
/// If the database fails.
pub async fn save(db: impl PgExecutor<'_>, item: &TestRunItem) -> sqlx::Result<()> {
    sqlx::query!(
        "-- test_run_items.save
         UPDATE test_run_items
         SET status = $2, total_iterations = $3, error_message = $4, error_screenshot_path = $5, results_folder = $6,
             completed_at = CASE WHEN $7 THEN coalesce(completed_at, now()) END, updated_at = now()
         WHERE id = $1",
        item.id,
        item.status as ItemStatus,
        item.total_iterations,
        item.error_message,
        item.error_screenshot_path,
        item.results_folder,
        item.status.is_final(),
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// The ids of a locked run's items, in execution order.
///
/// # Errors
/// If the database fails.
pub async fn ids(db: impl PgExecutor<'_>, run_id: Uuid) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "-- test_run_items.ids
         SELECT id FROM test_run_items WHERE test_run_id = $1 ORDER BY execution_order",
        run_id,
    )
    .fetch_all(db)
    .await
}

/// Numbers a locked run's items 1 to n in the order given. The unique order is checked at the end of the transaction.
///
/// # Errors
/// If the database fails.
pub async fn reorder(db: impl PgExecutor<'_>, run_id: Uuid, ids: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!(
        "-- test_run_items.reorder
         UPDATE test_run_items i
         SET execution_order = wanted.position, updated_at = now()
         FROM unnest($2::uuid[]) WITH ORDINALITY AS wanted (id, position)
         WHERE i.test_run_id = $1 AND i.id = wanted.id AND i.execution_order <> wanted.position",
        run_id,
        ids,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Removes an item from a locked run.
///
/// # Errors
/// If the database fails.
pub async fn delete(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("-- test_run_items.delete\nDELETE FROM test_run_items WHERE id = $1", id).execute(db).await.map(|_| ())
}

/// Moves up what comes after a test case that is about to go, in every run.
///
/// # Errors
/// If the database fails.
pub async fn close_gaps(db: impl PgExecutor<'_>, test_case_id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "-- test_run_items.close_gaps
         UPDATE test_run_items i
         SET execution_order = i.execution_order - 1, updated_at = now()
         FROM test_run_items gone
         WHERE gone.test_case_id = $1 AND i.test_run_id = gone.test_run_id AND i.execution_order > gone.execution_order",
        test_case_id,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Deletes a test case's items in every run, and their results with them.
///
/// # Errors
/// If the database fails.
pub async fn delete_of_case(db: impl PgExecutor<'_>, test_case_id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("-- test_run_items.delete_of_case\nDELETE FROM test_run_items WHERE test_case_id = $1", test_case_id)
        .execute(db)
        .await
        .map(|_| ())
}

/// Marks the items that are final and were not told of, and returns what to tell. They are locked in the order of their ids,
/// as results lock them.
///
/// # Errors
/// If the database fails.
pub async fn announce_finished(db: impl PgExecutor<'_>, run_id: Uuid) -> sqlx::Result<Vec<FinishedItem>> {
    sqlx::query_as!(
        FinishedItem,
        r#"-- test_run_items.announce_finished
         WITH finished AS MATERIALIZED (
             SELECT id, test_case_id
             FROM test_run_items
             WHERE test_run_id = $1 AND NOT is_announced AND status IN ('passed', 'failed', 'skipped', 'no_run')
             ORDER BY id
             FOR NO KEY UPDATE
         )
         UPDATE test_run_items i
         SET is_announced = TRUE
         FROM finished f JOIN test_cases c ON c.id = f.test_case_id
         WHERE i.id = f.id
         RETURNING i.test_run_id, i.id AS test_run_item_id, i.test_case_id, c.name AS test_case_name, i.execution_order,
             i.status AS "status: ItemStatus", i.duration_ms, i.retry_attempt, left(i.error_message, $2) AS error_message"#,
        run_id,
        i32::try_from(FinishedItem::MAX_MESSAGE).unwrap_or(i32::MAX),
    )
    .fetch_all(db)
    .await
}
