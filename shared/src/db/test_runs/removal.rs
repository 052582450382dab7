//! Runs that go: hidden first, then deleted a few rows at a time.

use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

/// Hides a run from every endpoint; its rows are purged later.
///
/// # Errors
/// If the database fails.
pub async fn delete(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("-- test_runs.delete\nUPDATE test_runs SET deleted_at = now(), updated_at = now() WHERE id = $1", id)
        .execute(db)
        .await
        .map(|_| ())
}

/// Deletes the rows of all runs of a project, hidden ones included, with all that hangs on them.
///
/// # Errors
/// If the database fails.
pub async fn delete_all(db: impl PgExecutor<'_>, project_id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("-- test_runs.delete_all\nDELETE FROM test_runs WHERE project_id = $1", project_id)
        .execute(db)
        .await
        .map(|_| ())
}

/// A run to be purged: one that has been hidden for longer than `hidden_seconds`, or whose books were written and that
/// ended more than `ended_seconds` ago, where that is given. It is hidden from now on; `None` if there is none.
///
/// # Errors
/// If the database fails.
pub async fn hide_expired(
    db: impl PgExecutor<'_>,
    hidden_seconds: f64,
    ended_seconds: Option<f64>,
) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar!(
        "-- test_runs.hide_expired
         UPDATE test_runs
         SET deleted_at = coalesce(deleted_at, now())
         WHERE id = coalesce(
             (
                 SELECT id FROM test_runs
                 WHERE deleted_at < now() - make_interval(secs => $1)
                 ORDER BY deleted_at
                 LIMIT 1
                 FOR NO KEY UPDATE SKIP LOCKED
             ),
             (
                 SELECT id FROM test_runs
                 WHERE completed_at < now() - make_interval(secs => $2) AND finalised_at IS NOT NULL
                 ORDER BY completed_at
                 LIMIT 1
                 FOR NO KEY UPDATE SKIP LOCKED
             )
         )
         RETURNING id",
        hidden_seconds,
        ended_seconds,
    )
    .fetch_optional(db)
    .await
}

/// Deletes at most `limit` of the rows below a hidden run, those of one table, the deepest first, and returns how many:
/// 0 once there is none left. A run may have millions of them, and nobody is to wait for that.
///
/// # Errors
/// If the database fails.
pub async fn purge_below(db: &PgPool, id: Uuid, limit: i64) -> sqlx::Result<u64> {
    for statement in BELOW {
        let deleted = sqlx::query(*statement).bind(id).bind(limit).execute(db).await?.rows_affected();
        if deleted > 0 {
            return Ok(deleted);
        }
    }
    Ok(0)
}

/// What hangs on the results of a run.
macro_rules! delete_of_results {
    ($table:literal) => {
        concat!(
            "-- ",
            $table,
            ".purge
             DELETE FROM ",
            $table,
            " WHERE id IN (
                 SELECT c.id FROM ",
            $table,
            " c JOIN test_run_results r ON r.id = c.test_run_result_id
                 WHERE r.test_run_id = $1
                 LIMIT $2
             )"
        )
    };
}

/// What hangs on a run itself.
macro_rules! delete_of_run {
    ($table:literal, $row:literal) => {
        concat!(
            "-- ",
            $table,
            ".purge
             DELETE FROM ",
            $table,
            " WHERE ",
            $row,
            " = ANY(ARRAY(SELECT ",
            $row,
            " FROM ",
            $table,
            " WHERE test_run_id = $1 LIMIT $2))"
        )
    };
}

/// Checkpoints before steps, which they refer to.
const BELOW: &[&str] = &[
    delete_of_results!("console_logs"),
    delete_of_results!("network_logs"),
    delete_of_results!("script_results"),
    delete_of_results!("checkpoint_results"),
    delete_of_results!("test_step_results"),
    delete_of_run!("test_run_results", "id"),
    delete_of_run!("test_run_items", "id"),
    delete_of_run!("notifications", "id"),
    delete_of_run!("test_run_report_parts", "ctid"),
];

/// Deletes a hidden run.
///
/// # Errors
/// If the database fails.
pub async fn purge(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("-- test_runs.purge\nDELETE FROM test_runs WHERE id = $1 AND deleted_at IS NOT NULL", id)
        .execute(db)
        .await
        .map(|_| ())
}
