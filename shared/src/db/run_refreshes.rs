//! Table `run_refreshes`: the runs whose counts wait to be recomputed (design, rule 5).

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

/// Notes that a run's counts have to be recomputed. Returns whether nobody had noted it before.
///
/// # Errors
/// If the database fails.
pub async fn insert(db: impl PgExecutor<'_>, run_id: Uuid) -> sqlx::Result<bool> {
    sqlx::query!(
        "-- run_refreshes.insert
         INSERT INTO run_refreshes (run_id) VALUES ($1) ON CONFLICT (run_id) DO NOTHING",
        run_id,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// Notes every run that a test case is in.
///
/// # Errors
/// If the database fails.
pub async fn insert_for_test_case(db: impl PgExecutor<'_>, test_case_id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "-- run_refreshes.insert_for_test_case
         INSERT INTO run_refreshes (run_id)
         SELECT DISTINCT test_run_id FROM test_run_items WHERE test_case_id = $1
         ON CONFLICT (run_id) DO NOTHING",
        test_case_id,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Takes the note away, and says whether there was one. Only under the lock that keeps results out, so that none is missed.
///
/// # Errors
/// If the database fails.
pub async fn delete(db: impl PgExecutor<'_>, run_id: Uuid) -> sqlx::Result<bool> {
    sqlx::query!("-- run_refreshes.delete\nDELETE FROM run_refreshes WHERE run_id = $1", run_id)
        .execute(db)
        .await
        .map(|done| done.rows_affected() == 1)
}

/// Runs that should have been refreshed by now, but for some, noted as rung again.
///
/// # Errors
/// If the database fails.
pub async fn take_overdue(
    db: impl PgExecutor<'_>,
    rung_before: DateTime<Utc>,
    except: &[Uuid],
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "-- run_refreshes.take_overdue
         UPDATE run_refreshes
         SET rung_at = clock_timestamp()
         WHERE run_id IN (
             SELECT run_id FROM run_refreshes
             WHERE rung_at < $1 AND run_id <> ALL($2)
             ORDER BY rung_at
             LIMIT 500
             FOR UPDATE SKIP LOCKED
         )
         RETURNING run_id",
        rung_before,
        except,
    )
    .fetch_all(db)
    .await
}
