//! A run on its way: started, ended, its books written, or silent.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::domain::test_run::{RunStatus, StartTestRun, TestRun};

/// Moves a locked run to `running` and stores where it executes. Returns when that was.
///
/// # Errors
/// If the database fails.
pub async fn start(db: impl PgExecutor<'_>, id: Uuid, command: &StartTestRun) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar!(
        r#"-- test_runs.start
         UPDATE test_runs
         SET status = 'running', started_at = now(), last_activity_at = now(), updated_at = now(),
             browser_name = coalesce($2, browser_name), browser_version = coalesce($3, browser_version),
             os_name = coalesce($4, os_name), os_version = coalesce($5, os_version),
             viewport_width = coalesce($6, viewport_width), viewport_height = coalesce($7, viewport_height)
         WHERE id = $1
         RETURNING started_at AS "started_at!""#,
        id,
        command.browser_name,
        command.browser_version,
        command.os_name,
        command.os_version,
        command.viewport_width,
        command.viewport_height,
    )
    .fetch_one(db)
    .await
}

/// Moves a locked run to a final status.
///
/// # Errors
/// If the database fails.
pub async fn end(db: impl PgExecutor<'_>, id: Uuid, status: RunStatus, reason: Option<&str>) -> sqlx::Result<()> {
    sqlx::query!(
        "-- test_runs.end
         UPDATE test_runs
         SET status = $2, failure_reason = $3, completed_at = now(), finalise_rung_at = now(), updated_at = now(),
             duration_ms = coalesce((extract(epoch FROM now() - started_at) * 1000)::bigint, 0)
         WHERE id = $1",
        id,
        status as RunStatus,
        reason,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Locks an ended run whose books are not written yet; `None` if there is nothing to write.
///
/// # Errors
/// If the database fails.
pub async fn lock_unfinalised(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<TestRun>> {
    sqlx::query_as(concat!(
        "-- test_runs.lock_unfinalised\nSELECT ",
        columns!(),
        " FROM test_runs WHERE id = $1 AND completed_at IS NOT NULL AND finalised_at IS NULL FOR NO KEY UPDATE"
    ))
    .bind(id)
    .fetch_optional(db)
    .await
}

/// Notes that a run's books are written.
///
/// # Errors
/// If the database fails.
pub async fn set_finalised(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("-- test_runs.set_finalised\nUPDATE test_runs SET finalised_at = now() WHERE id = $1", id)
        .execute(db)
        .await
        .map(|_| ())
}

/// Whether an ended run's books are written; `None` if there is no such run, or it has not ended.
///
/// # Errors
/// If the database fails.
pub async fn is_finalised(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<bool>> {
    sqlx::query_scalar!(
        r#"-- test_runs.is_finalised
         SELECT finalised_at IS NOT NULL AS "finalised!" FROM test_runs WHERE id = $1 AND completed_at IS NOT NULL"#,
        id,
    )
    .fetch_optional(db)
    .await
}

/// Notes where a run's report is. Not a change of the run, so `updated_at` stays: the report shows the run as of that time.
///
/// # Errors
/// If the database fails.
pub async fn set_report_path(db: impl PgExecutor<'_>, id: Uuid, path: &str) -> sqlx::Result<()> {
    sqlx::query!("-- test_runs.set_report_path\nUPDATE test_runs SET report_path = $2 WHERE id = $1", id, path)
        .execute(db)
        .await
        .map(|_| ())
}

/// Runs that a client or nobody works on and that were silent for longer than `limit_seconds`, the longest first.
///
/// # Errors
/// If the database fails.
pub async fn silent(db: impl PgExecutor<'_>, limit_seconds: f64) -> sqlx::Result<Vec<(Uuid, Uuid)>> {
    let rows = sqlx::query!(
        "-- test_runs.silent
         SELECT project_id, id
         FROM test_runs
         WHERE status IN ('queued', 'running') AND deleted_at IS NULL
             AND last_activity_at < now() - make_interval(secs => $1)
         ORDER BY last_activity_at
         LIMIT 100",
        limit_seconds,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.project_id, row.id)).collect())
}

/// Whether a locked run has been silent for longer than `limit_seconds`.
///
/// # Errors
/// If the database fails.
pub async fn is_silent(db: impl PgExecutor<'_>, id: Uuid, limit_seconds: f64) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"-- test_runs.is_silent
         SELECT last_activity_at < now() - make_interval(secs => $2) AS "silent!" FROM test_runs WHERE id = $1"#,
        id,
        limit_seconds,
    )
    .fetch_one(db)
    .await
}

/// Takes it for a sign of life of a run under way that it is noted for a refresh, which is what takes those down otherwise.
///
/// # Errors
/// If the database fails.
pub async fn hear_noted(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "-- test_runs.hear_noted
         WITH noted AS (
             SELECT r.id FROM test_runs r JOIN run_refreshes w ON w.run_id = r.id
             WHERE r.status IN ('queued', 'running')
             ORDER BY r.id
             FOR NO KEY UPDATE OF r
         )
         UPDATE test_runs r SET last_activity_at = now() FROM noted WHERE r.id = noted.id"
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Ended runs whose books should have been written by now, but for some, noted as rung again.
///
/// # Errors
/// If the database fails.
pub async fn take_unfinalised(
    db: impl PgExecutor<'_>,
    rung_before: DateTime<Utc>,
    except: &[Uuid],
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "-- test_runs.take_unfinalised
         UPDATE test_runs
         SET finalise_rung_at = clock_timestamp()
         WHERE id IN (
             SELECT id FROM test_runs
             WHERE completed_at IS NOT NULL AND finalised_at IS NULL AND finalise_rung_at < $1 AND id <> ALL($2)
             ORDER BY completed_at
             LIMIT 500
             FOR NO KEY UPDATE SKIP LOCKED
         )
         RETURNING id",
        rung_before,
        except,
    )
    .fetch_all(db)
    .await
}
