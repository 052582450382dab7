//! Table `schedule_executions`.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::domain::page::Page;
use crate::domain::schedule_execution::{ExecutionStatus, ScheduleExecution};

macro_rules! columns {
    () => {
        "id, schedule_id, test_run_id, scheduled_for, executed_at, status, total_tests, passed_tests, failed_tests, \
         duration_ms, error_message, created_at"
    };
}

/// Claims a due time. Returns the new execution's id, or `None` if the due time has its row already: the unique key
/// is what makes one occurrence one run (design, rule 3).
///
/// # Errors
/// If the database fails.
pub async fn claim(
    db: impl PgExecutor<'_>,
    schedule_id: Uuid,
    scheduled_for: DateTime<Utc>,
    status: ExecutionStatus,
    reason: Option<&str>,
) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar!(
        "-- schedule_executions.claim
         INSERT INTO schedule_executions (id, schedule_id, scheduled_for, status, error_message)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (schedule_id, scheduled_for) DO NOTHING
         RETURNING id",
        Uuid::now_v7(),
        schedule_id,
        scheduled_for,
        status as ExecutionStatus,
        reason,
    )
    .fetch_optional(db)
    .await
}

/// Writes many due times down as missed, in one statement, and returns how many had no row yet.
///
/// # Errors
/// If the database fails.
pub async fn insert_missed(
    db: impl PgExecutor<'_>,
    schedule_id: Uuid,
    due_times: &[DateTime<Utc>],
    reason: &str,
) -> sqlx::Result<u64> {
    let ids: Vec<Uuid> = due_times.iter().map(|_| Uuid::now_v7()).collect();
    sqlx::query!(
        "-- schedule_executions.insert_missed
         INSERT INTO schedule_executions (id, schedule_id, scheduled_for, status, error_message)
         SELECT missed.id, $1, missed.scheduled_for, 'missed', $4
         FROM unnest($2::uuid[], $3::timestamptz[]) AS missed (id, scheduled_for)
         ON CONFLICT (schedule_id, scheduled_for) DO NOTHING",
        schedule_id,
        &ids,
        due_times,
        reason,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected())
}

/// Whether a run that the schedule made has not ended.
///
/// # Errors
/// If the database fails.
pub async fn has_unfinished(db: impl PgExecutor<'_>, schedule_id: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"-- schedule_executions.has_unfinished
         SELECT EXISTS (
             SELECT 1 FROM schedule_executions WHERE schedule_id = $1 AND status IN ('pending', 'running')
         ) AS "unfinished!""#,
        schedule_id,
    )
    .fetch_one(db)
    .await
}

/// Locks an execution that waits for its run; `None` if its run was made already.
///
/// # Errors
/// If the database fails.
pub async fn lock_pending(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<ScheduleExecution>> {
    sqlx::query_as(concat!(
        "-- schedule_executions.lock_pending\nSELECT ",
        columns!(),
        " FROM schedule_executions WHERE id = $1 AND status = 'pending' AND test_run_id IS NULL FOR NO KEY UPDATE"
    ))
    .bind(id)
    .fetch_optional(db)
    .await
}

/// The execution that made a run, if a schedule made it.
///
/// # Errors
/// If the database fails.
pub async fn of_run(db: impl PgExecutor<'_>, run_id: Uuid) -> sqlx::Result<Option<ScheduleExecution>> {
    sqlx::query_as(concat!(
        "-- schedule_executions.of_run\nSELECT ",
        columns!(),
        " FROM schedule_executions WHERE test_run_id = $1"
    ))
    .bind(run_id)
    .fetch_optional(db)
    .await
}

/// How many executions of the same schedule failed in a row directly before the one of this run.
///
/// Failed is one with failed tests or whose run failed or could not be made. What proves nothing is passed over: what was
/// missed or cancelled, has not ended, or ran no test.
///
/// # Errors
/// If the database fails.
pub async fn count_failed_before(db: impl PgExecutor<'_>, run_id: Uuid) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- schedule_executions.count_failed_before
         SELECT count(e.id) AS "count!"
         FROM schedule_executions this
         JOIN schedule_executions e ON e.schedule_id = this.schedule_id AND e.scheduled_for < this.scheduled_for
         WHERE this.test_run_id = $1
             AND (e.status = 'failed' OR (e.status = 'completed' AND e.failed_tests > 0))
             AND e.scheduled_for > coalesce((
                 SELECT passed.scheduled_for FROM schedule_executions passed
                 WHERE passed.schedule_id = this.schedule_id AND passed.scheduled_for < this.scheduled_for
                     AND passed.status = 'completed' AND passed.failed_tests = 0 AND passed.passed_tests > 0
                 ORDER BY passed.scheduled_for DESC
                 LIMIT 1
             ), '-infinity')"#,
        run_id,
    )
    .fetch_one(db)
    .await
}

/// The execution of a due time.
///
/// # Errors
/// If the database fails.
pub async fn of_due_time(
    db: impl PgExecutor<'_>,
    schedule_id: Uuid,
    scheduled_for: DateTime<Utc>,
) -> sqlx::Result<Option<ScheduleExecution>> {
    sqlx::query_as(concat!(
        "-- schedule_executions.of_due_time\nSELECT ",
        columns!(),
        " FROM schedule_executions WHERE schedule_id = $1 AND scheduled_for = $2"
    ))
    .bind(schedule_id)
    .bind(scheduled_for)
    .fetch_optional(db)
    .await
}

/// Gives a locked execution its run.
///
/// # Errors
/// If the database fails.
pub async fn set_run(db: impl PgExecutor<'_>, id: Uuid, run_id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "-- schedule_executions.set_run
         UPDATE schedule_executions SET test_run_id = $2, executed_at = now(), status = 'running' WHERE id = $1",
        id,
        run_id,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Gives a locked execution up that waits for its run.
///
/// # Errors
/// If the database fails.
pub async fn give_up(db: impl PgExecutor<'_>, id: Uuid, reason: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "-- schedule_executions.give_up
         UPDATE schedule_executions SET status = 'failed', error_message = $2 WHERE id = $1",
        id,
        reason,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Takes the figures of an ended run over into its execution.
///
/// # Errors
/// If the database fails.
pub async fn finish(
    db: impl PgExecutor<'_>,
    run_id: Uuid,
    status: ExecutionStatus,
    reason: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- schedule_executions.finish
         UPDATE schedule_executions e
         SET status = $2, error_message = $3, total_tests = r.total_tests, passed_tests = r.passed_tests,
             failed_tests = r.failed_tests, duration_ms = r.duration_ms
         FROM test_runs r
         WHERE r.id = $1 AND e.test_run_id = r.id AND e.status IN ('pending', 'running')",
        run_id,
        status as ExecutionStatus,
        reason,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// A page of a schedule's executions, newest due time first, narrowed to a status if one is given.
///
/// # Errors
/// If the database fails.
pub async fn list(
    db: impl PgExecutor<'_>,
    schedule_id: Uuid,
    status: Option<ExecutionStatus>,
    page: Page,
) -> sqlx::Result<Vec<ScheduleExecution>> {
    sqlx::query_as(concat!(
        "-- schedule_executions.list\nSELECT ",
        columns!(),
        " FROM schedule_executions WHERE schedule_id = $1 AND ($2 IS NULL OR status = $2) \
          ORDER BY scheduled_for DESC, id DESC LIMIT $3 OFFSET $4"
    ))
    .bind(schedule_id)
    .bind(status)
    .bind(page.limit)
    .bind(page.offset)
    .fetch_all(db)
    .await
}

/// How many executions of a schedule have this status, or how many there are.
///
/// # Errors
/// If the database fails.
pub async fn count(db: impl PgExecutor<'_>, schedule_id: Uuid, status: Option<ExecutionStatus>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- schedule_executions.count
         SELECT count(*) AS "count!" FROM schedule_executions
         WHERE schedule_id = $1 AND ($2::varchar IS NULL OR status = $2)"#,
        schedule_id,
        status as Option<ExecutionStatus>,
    )
    .fetch_one(db)
    .await
}

/// Executions that should have their run by now, but for some, noted as rung again.
///
/// # Errors
/// If the database fails.
pub async fn take_overdue(
    db: impl PgExecutor<'_>,
    rung_before: DateTime<Utc>,
    except: &[Uuid],
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "-- schedule_executions.take_overdue
         UPDATE schedule_executions
         SET rung_at = clock_timestamp()
         WHERE id IN (
             SELECT id FROM schedule_executions
             WHERE status = 'pending' AND test_run_id IS NULL AND rung_at < $1 AND id <> ALL($2)
             ORDER BY rung_at
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

/// Deletes executions that have ended, were due more than `age_seconds` ago and whose run, if they had one, is gone, at most
/// `limit`, and returns how many.
///
/// # Errors
/// If the database fails.
pub async fn prune(db: impl PgExecutor<'_>, age_seconds: f64, limit: i64) -> sqlx::Result<u64> {
    sqlx::query!(
        "-- schedule_executions.prune
         DELETE FROM schedule_executions
         WHERE id IN (
             SELECT id FROM schedule_executions
             WHERE scheduled_for < now() - make_interval(secs => $1)
                 AND test_run_id IS NULL AND status NOT IN ('pending', 'running')
             ORDER BY scheduled_for
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
