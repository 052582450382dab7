//! Table `schedules`.

use chrono::{DateTime, Utc};
use sqlx::postgres::Postgres;
use sqlx::{PgExecutor, QueryBuilder};
use uuid::Uuid;

use crate::domain::page::Page;
use crate::domain::recurrence::{IntervalUnit, RepeatType, ZONE_DATA_VERSION};
use crate::domain::schedule::{OverlapPolicy, Schedule, ScheduleStatus};
use crate::domain::schedule_execution::ExecutionStatus;

macro_rules! columns {
    () => {
        "id, project_id, created_by, schedule_name, suite_path, suite_name, test_case_ids, scheduled_datetime, timezone, \
         repeat_type, repeat_interval, repeat_interval_unit, cron_expression, repeat_days_of_week, repeat_day_of_month, \
         repeat_end_date, max_occurrences, status, is_enabled, parallel_enabled, parallel_count, retry_on_failure, \
         retry_count, notify_on_completion, notify_on_failure, notification_emails, catchup_window_seconds, \
         overlap_policy, execution_count, last_executed_at, last_execution_status, next_execution_at, created_at, updated_at"
    };
}

/// Inserts a schedule.
///
/// # Errors
/// If the database fails.
pub async fn insert(db: impl PgExecutor<'_>, schedule: &Schedule) -> sqlx::Result<()> {
    sqlx::query!(
        "-- schedules.insert
         INSERT INTO schedules (
             id, project_id, created_by, schedule_name, suite_path, suite_name, test_case_ids, scheduled_datetime, timezone,
             repeat_type, repeat_interval, repeat_interval_unit, cron_expression, repeat_days_of_week, repeat_day_of_month,
             repeat_end_date, max_occurrences, status, is_enabled, parallel_enabled, parallel_count, retry_on_failure,
             retry_count, notify_on_completion, notify_on_failure, notification_emails, catchup_window_seconds,
             overlap_policy, next_execution_at, created_at, updated_at, zone_data_version
         )
         VALUES (
             $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
             $25, $26, $27, $28, $29, $30, $31, $32
         )",
        schedule.id,
        schedule.project_id,
        schedule.created_by,
        schedule.schedule_name,
        schedule.suite_path.as_deref(),
        schedule.suite_name,
        schedule.test_case_ids.as_deref(),
        schedule.scheduled_datetime,
        schedule.timezone,
        schedule.repeat_type as RepeatType,
        schedule.repeat_interval,
        schedule.repeat_interval_unit as Option<IntervalUnit>,
        schedule.cron_expression,
        schedule.repeat_days_of_week.as_deref(),
        schedule.repeat_day_of_month,
        schedule.repeat_end_date,
        schedule.max_occurrences,
        schedule.status as ScheduleStatus,
        schedule.is_enabled,
        schedule.parallel_enabled,
        schedule.parallel_count,
        schedule.retry_on_failure,
        schedule.retry_count,
        schedule.notify_on_completion,
        schedule.notify_on_failure,
        schedule.notification_emails.as_deref(),
        schedule.catchup_window_seconds,
        schedule.overlap_policy as OverlapPolicy,
        schedule.next_execution_at,
        schedule.created_at,
        schedule.updated_at,
        ZONE_DATA_VERSION,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// The project's schedule with this id, unless it was deleted.
///
/// # Errors
/// If the database fails.
pub async fn get(db: impl PgExecutor<'_>, project_id: Uuid, id: Uuid) -> sqlx::Result<Option<Schedule>> {
    sqlx::query_as(concat!(
        "-- schedules.get\nSELECT ",
        columns!(),
        " FROM schedules WHERE project_id = $1 AND id = $2 AND deleted_at IS NULL"
    ))
    .bind(project_id)
    .bind(id)
    .fetch_optional(db)
    .await
}

/// The schedule with this id, for workers, who know no project.
///
/// # Errors
/// If the database fails.
pub async fn find(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<Schedule>> {
    sqlx::query_as(concat!("-- schedules.find\nSELECT ", columns!(), " FROM schedules WHERE id = $1"))
        .bind(id)
        .fetch_optional(db)
        .await
}

/// Locks the schedule with this id, for workers that write its books.
///
/// # Errors
/// If the database fails.
pub async fn lock(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<Schedule>> {
    sqlx::query_as(concat!("-- schedules.lock\nSELECT ", columns!(), " FROM schedules WHERE id = $1 FOR NO KEY UPDATE"))
        .bind(id)
        .fetch_optional(db)
        .await
}

/// Locks the project's schedule with this id.
///
/// # Errors
/// If the database fails.
pub async fn lock_own(db: impl PgExecutor<'_>, project_id: Uuid, id: Uuid) -> sqlx::Result<Option<Schedule>> {
    sqlx::query_as(concat!(
        "-- schedules.lock_own\nSELECT ",
        columns!(),
        " FROM schedules WHERE project_id = $1 AND id = $2 AND deleted_at IS NULL FOR NO KEY UPDATE"
    ))
    .bind(project_id)
    .bind(id)
    .fetch_optional(db)
    .await
}

/// What a list of schedules is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct ScheduleFilter {
    /// Only this status.
    pub status: Option<ScheduleStatus>,
    /// Only enabled or disabled ones.
    pub is_enabled: Option<bool>,
    /// Only this kind.
    pub repeat_type: Option<RepeatType>,
    /// Only those due at or after this instant.
    pub from: Option<DateTime<Utc>>,
    /// Only those due before this instant.
    pub before: Option<DateTime<Utc>>,
}

/// A page of the project's schedules, newest first.
///
/// # Errors
/// If the database fails.
pub async fn list(
    db: impl PgExecutor<'_>,
    project_id: Uuid,
    filter: &ScheduleFilter,
    page: Page,
) -> sqlx::Result<Vec<Schedule>> {
    let mut query = QueryBuilder::new(concat!("-- schedules.list\nSELECT ", columns!(), " FROM schedules"));
    push_where(&mut query, project_id, filter);
    query.push(" ORDER BY created_at DESC, id DESC LIMIT ").push_bind(page.limit);
    query.push(" OFFSET ").push_bind(page.offset);
    query.build_query_as().fetch_all(db).await
}

/// How many of the project's schedules the filter lets through.
///
/// # Errors
/// If the database fails.
pub async fn count(db: impl PgExecutor<'_>, project_id: Uuid, filter: &ScheduleFilter) -> sqlx::Result<i64> {
    let mut query = QueryBuilder::new("-- schedules.count\nSELECT count(*) FROM schedules");
    push_where(&mut query, project_id, filter);
    query.build_query_scalar().fetch_one(db).await
}

fn push_where(query: &mut QueryBuilder<Postgres>, project_id: Uuid, filter: &ScheduleFilter) {
    query.push(" WHERE deleted_at IS NULL AND project_id = ").push_bind(project_id);
    if let Some(status) = filter.status {
        query.push(" AND status = ").push_bind(status);
    }
    if let Some(is_enabled) = filter.is_enabled {
        query.push(" AND is_enabled = ").push_bind(is_enabled);
    }
    if let Some(repeat_type) = filter.repeat_type {
        query.push(" AND repeat_type = ").push_bind(repeat_type);
    }
    if let Some(from) = filter.from {
        query.push(" AND next_execution_at >= ").push_bind(from);
    }
    if let Some(before) = filter.before {
        query.push(" AND next_execution_at < ").push_bind(before);
    }
}

/// A page of the project's schedules that are due, by the scheduler's own predicate and in its order.
///
/// # Errors
/// If the database fails.
pub async fn pending(db: impl PgExecutor<'_>, project_id: Uuid, page: Page) -> sqlx::Result<Vec<Schedule>> {
    sqlx::query_as(concat!(
        "-- schedules.pending\nSELECT ",
        columns!(),
        " FROM schedules WHERE project_id = $1 AND status = 'active' AND is_enabled AND deleted_at IS NULL \
          AND next_execution_at <= clock_timestamp() ORDER BY next_execution_at, id LIMIT $2 OFFSET $3"
    ))
    .bind(project_id)
    .bind(page.limit)
    .bind(page.offset)
    .fetch_all(db)
    .await
}

/// How many of the project's schedules are due.
///
/// # Errors
/// If the database fails.
pub async fn count_pending(db: impl PgExecutor<'_>, project_id: Uuid) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- schedules.count_pending
         SELECT count(*) AS "count!" FROM schedules
         WHERE project_id = $1 AND status = 'active' AND is_enabled AND deleted_at IS NULL
             AND next_execution_at <= clock_timestamp()"#,
        project_id,
    )
    .fetch_one(db)
    .await
}

/// Stores the columns of a locked schedule that clients may change, and its plan.
///
/// # Errors
/// If the database fails.
pub async fn save(db: impl PgExecutor<'_>, schedule: &Schedule) -> sqlx::Result<()> {
    sqlx::query!(
        "-- schedules.save
         UPDATE schedules
         SET schedule_name = $2, suite_path = $3, suite_name = $4, test_case_ids = $5, scheduled_datetime = $6, timezone = $7,
             repeat_type = $8, repeat_interval = $9, repeat_interval_unit = $10, cron_expression = $11,
             repeat_days_of_week = $12, repeat_day_of_month = $13, repeat_end_date = $14, max_occurrences = $15,
             status = $16, is_enabled = $17, parallel_enabled = $18, parallel_count = $19, retry_on_failure = $20,
             retry_count = $21, notify_on_completion = $22, notify_on_failure = $23, notification_emails = $24,
             catchup_window_seconds = $25, overlap_policy = $26, next_execution_at = $27, fire_failures = 0,
             zone_data_version = CASE
                 WHEN next_execution_at IS DISTINCT FROM $27 THEN $28::varchar ELSE zone_data_version
             END,
             updated_at = now()
         WHERE id = $1",
        schedule.id,
        schedule.schedule_name,
        schedule.suite_path.as_deref(),
        schedule.suite_name,
        schedule.test_case_ids.as_deref(),
        schedule.scheduled_datetime,
        schedule.timezone,
        schedule.repeat_type as RepeatType,
        schedule.repeat_interval,
        schedule.repeat_interval_unit as Option<IntervalUnit>,
        schedule.cron_expression,
        schedule.repeat_days_of_week.as_deref(),
        schedule.repeat_day_of_month,
        schedule.repeat_end_date,
        schedule.max_occurrences,
        schedule.status as ScheduleStatus,
        schedule.is_enabled,
        schedule.parallel_enabled,
        schedule.parallel_count,
        schedule.retry_on_failure,
        schedule.retry_count,
        schedule.notify_on_completion,
        schedule.notify_on_failure,
        schedule.notification_emails.as_deref(),
        schedule.catchup_window_seconds,
        schedule.overlap_policy as OverlapPolicy,
        schedule.next_execution_at,
        ZONE_DATA_VERSION,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Cancels a locked schedule and hides it; the runs it made stay.
///
/// # Errors
/// If the database fails.
pub async fn delete(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "-- schedules.delete
         UPDATE schedules
         SET status = 'cancelled', next_execution_at = NULL, deleted_at = now(), updated_at = now()
         WHERE id = $1",
        id,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// The schedules that are due, the longest first.
///
/// # Errors
/// If the database fails.
pub async fn due(db: impl PgExecutor<'_>, now: DateTime<Utc>, limit: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "-- schedules.due
         SELECT id
         FROM schedules
         WHERE status = 'active' AND is_enabled AND deleted_at IS NULL AND next_execution_at <= $1
         ORDER BY next_execution_at, id
         LIMIT $2",
        now,
        limit,
    )
    .fetch_all(db)
    .await
}

/// Locks a schedule if it is still due; `None` if somebody else has it, or has fired it, or it is paused.
///
/// # Errors
/// If the database fails.
pub async fn lock_due(db: impl PgExecutor<'_>, id: Uuid, now: DateTime<Utc>) -> sqlx::Result<Option<Schedule>> {
    sqlx::query_as(concat!(
        "-- schedules.lock_due\nSELECT ",
        columns!(),
        " FROM schedules WHERE id = $1 AND status = 'active' AND is_enabled AND deleted_at IS NULL \
          AND next_execution_at <= $2 FOR NO KEY UPDATE SKIP LOCKED"
    ))
    .bind(id)
    .bind(now)
    .fetch_optional(db)
    .await
}

/// What firing changes in a schedule.
#[derive(Debug)]
pub struct Advance {
    /// Null once nothing is left.
    pub next_execution_at: Option<DateTime<Utc>>,
    /// Active, or completed once nothing is left.
    pub status: ScheduleStatus,
    /// Runs that the plan has made.
    pub execution_count: i32,
    /// The due time that fired.
    pub last_executed_at: Option<DateTime<Utc>>,
    /// What became of it.
    pub last_execution_status: Option<ExecutionStatus>,
}

/// Moves a locked schedule on.
///
/// # Errors
/// If the database fails.
pub async fn advance(db: impl PgExecutor<'_>, id: Uuid, advance: &Advance) -> sqlx::Result<()> {
    sqlx::query!(
        "-- schedules.advance
         UPDATE schedules
         SET next_execution_at = $2, status = $3, execution_count = $4, fire_failures = 0, updated_at = now(),
             last_executed_at = coalesce($5, last_executed_at),
             last_execution_status = coalesce($6, last_execution_status), zone_data_version = $7
         WHERE id = $1",
        id,
        advance.next_execution_at,
        advance.status as ScheduleStatus,
        advance.execution_count,
        advance.last_executed_at,
        advance.last_execution_status as Option<ExecutionStatus>,
        ZONE_DATA_VERSION,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Locks active schedules whose next due time was computed with older zone data than ours, at most `limit`. Passes over
/// those that somebody else has: who fires or changes one leaves it with zone data of his own.
///
/// # Errors
/// If the database fails.
pub async fn lock_outdated(db: impl PgExecutor<'_>, limit: i64) -> sqlx::Result<Vec<Schedule>> {
    sqlx::query_as(concat!(
        "-- schedules.lock_outdated\nSELECT ",
        columns!(),
        " FROM schedules WHERE status = 'active' AND deleted_at IS NULL AND zone_data_version < $1 \
          LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED"
    ))
    .bind(ZONE_DATA_VERSION)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Stores the next due time of a locked schedule as our zone data have it; null completes the schedule.
///
/// # Errors
/// If the database fails.
pub async fn set_next(db: impl PgExecutor<'_>, id: Uuid, next: Option<DateTime<Utc>>) -> sqlx::Result<()> {
    sqlx::query!(
        "-- schedules.set_next
         UPDATE schedules
         SET updated_at = CASE WHEN next_execution_at IS DISTINCT FROM $2 THEN now() ELSE updated_at END,
             next_execution_at = $2, status = CASE WHEN $2 IS NULL THEN 'completed' ELSE status END,
             zone_data_version = $3
         WHERE id = $1",
        id,
        next,
        ZONE_DATA_VERSION,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Counts a failure to fire and returns how many there were in a row.
///
/// # Errors
/// If the database fails.
pub async fn count_failure(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<i32> {
    sqlx::query_scalar!(
        "-- schedules.count_failure
         UPDATE schedules SET fire_failures = fire_failures + 1 WHERE id = $1 RETURNING fire_failures",
        id,
    )
    .fetch_one(db)
    .await
}

/// Notes what became of a due time, if no later one has been fired since.
///
/// # Errors
/// If the database fails.
pub async fn set_last_status(
    db: impl PgExecutor<'_>,
    id: Uuid,
    scheduled_for: DateTime<Utc>,
    status: ExecutionStatus,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- schedules.set_last_status
         UPDATE schedules
         SET last_execution_status = $3, updated_at = now()
         WHERE id = $1 AND last_executed_at = $2",
        id,
        scheduled_for,
        status as ExecutionStatus,
    )
    .execute(db)
    .await
    .map(|_| ())
}
