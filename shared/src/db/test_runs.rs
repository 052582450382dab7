//! Table `test_runs`.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::postgres::Postgres;
use sqlx::{PgExecutor, PgPool, QueryBuilder};
use uuid::Uuid;

use crate::domain::page::Page;
use crate::domain::test_run::{NewTestRun, RunSort, RunStatus, SortOrder, StartTestRun, TestRun, TestRunFilter};
use crate::domain::test_run_item::RetryPolicy;

macro_rules! columns {
    () => {
        "id, run_name, run_number, project_id, created_by, suite_path, suite_name, status, scheduled_at, started_at, \
         completed_at, duration_ms, total_tests, passed_tests, failed_tests, skipped_tests, no_run_tests, pass_rate, \
         parallel_enabled, parallel_count, retry_count, retry_on_failure, browser_name, browser_version, os_name, \
         os_version, viewport_width, viewport_height, results_folder, report_path, tags, notes, failure_reason, \
         created_at, updated_at"
    };
}

/// What else a new run needs besides its body.
#[derive(Debug, Clone, Copy)]
pub struct RunOrigin {
    /// The project.
    pub project_id: Uuid,
    /// Whose token created it.
    pub created_by: Uuid,
    /// From `projects::next_run_number`.
    pub run_number: i32,
    /// `pending`, or `queued` for a schedule's run.
    pub status: RunStatus,
    /// The due time of a schedule's run.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// How many items are inserted with it.
    pub total_tests: i32,
}

/// Inserts a run and returns its id.
///
/// # Errors
/// If the database fails.
pub async fn insert(db: impl PgExecutor<'_>, run: &NewTestRun, origin: RunOrigin) -> sqlx::Result<Uuid> {
    let default_name = format!("Run_{:03}", origin.run_number);
    sqlx::query_scalar!(
        "-- test_runs.insert
         INSERT INTO test_runs (
             id, run_name, run_number, project_id, created_by, suite_path, suite_name, status, scheduled_at,
             parallel_enabled, parallel_count, retry_on_failure, retry_count, results_folder, tags, notes, total_tests
         )
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
         RETURNING id",
        Uuid::now_v7(),
        run.run_name.as_deref().unwrap_or(&default_name),
        origin.run_number,
        origin.project_id,
        origin.created_by,
        run.suite_path.as_deref(),
        run.suite_name,
        origin.status as RunStatus,
        origin.scheduled_at,
        run.parallel_enabled.unwrap_or(false),
        run.parallel_count.unwrap_or(1),
        run.retry_on_failure.unwrap_or(false),
        run.retry_count.unwrap_or(0),
        run.results_folder,
        run.tags.as_deref(),
        run.notes,
        origin.total_tests,
    )
    .fetch_one(db)
    .await
}

/// The project's run with this id, unless it was deleted.
///
/// # Errors
/// If the database fails.
pub async fn get(db: impl PgExecutor<'_>, project_id: Uuid, id: Uuid) -> sqlx::Result<Option<TestRun>> {
    sqlx::query_as(concat!(
        "-- test_runs.get\nSELECT ",
        columns!(),
        " FROM test_runs WHERE project_id = $1 AND id = $2 AND deleted_at IS NULL"
    ))
    .bind(project_id)
    .bind(id)
    .fetch_optional(db)
    .await
}

/// The run with this id, for workers, who know no project.
///
/// # Errors
/// If the database fails.
pub async fn find(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<TestRun>> {
    sqlx::query_as(concat!("-- test_runs.find\nSELECT ", columns!(), " FROM test_runs WHERE id = $1"))
        .bind(id)
        .fetch_optional(db)
        .await
}

/// A page of the project's runs.
///
/// # Errors
/// If the database fails.
pub async fn list(
    db: impl PgExecutor<'_>,
    project_id: Uuid,
    filter: &TestRunFilter,
    page: Page,
) -> sqlx::Result<Vec<TestRun>> {
    let mut query = QueryBuilder::new(concat!("-- test_runs.list\nSELECT ", columns!(), " FROM test_runs"));
    push_where(&mut query, project_id, filter);
    // `id` breaks ties, so that pages neither repeat nor lose a row.
    query.push(match (filter.sort_by.unwrap_or(RunSort::CreatedAt), filter.sort_order.unwrap_or(SortOrder::Desc)) {
        (RunSort::CreatedAt, SortOrder::Desc) => " ORDER BY created_at DESC, id DESC",
        (RunSort::CreatedAt, SortOrder::Asc) => " ORDER BY created_at, id",
        (RunSort::StartedAt, SortOrder::Desc) => " ORDER BY started_at DESC NULLS LAST, id DESC",
        (RunSort::StartedAt, SortOrder::Asc) => " ORDER BY started_at NULLS LAST, id",
        (RunSort::PassRate, SortOrder::Desc) => " ORDER BY pass_rate DESC, id DESC",
        (RunSort::PassRate, SortOrder::Asc) => " ORDER BY pass_rate, id",
    });
    query.push(" LIMIT ").push_bind(page.limit).push(" OFFSET ").push_bind(page.offset);
    query.build_query_as().fetch_all(db).await
}

/// How many of the project's runs the filter lets through.
///
/// # Errors
/// If the database fails.
pub async fn count(db: impl PgExecutor<'_>, project_id: Uuid, filter: &TestRunFilter) -> sqlx::Result<i64> {
    let mut query = QueryBuilder::new("-- test_runs.count\nSELECT count(*) FROM test_runs");
    push_where(&mut query, project_id, filter);
    query.build_query_scalar().fetch_one(db).await
}

fn push_where(query: &mut QueryBuilder<Postgres>, project_id: Uuid, filter: &TestRunFilter) {
    query.push(" WHERE deleted_at IS NULL AND project_id = ").push_bind(project_id);
    if let Some(status) = filter.status {
        query.push(" AND status = ").push_bind(status);
    }
    if let Some(suite) = &filter.suite_path {
        let depth = i32::try_from(suite.len()).unwrap_or(i32::MAX);
        query.push(" AND suite_path[1:").push_bind(depth).push("] = ").push_bind(suite.clone());
    }
    if let Some(from) = filter.from {
        query.push(" AND created_at >= ").push_bind(from);
    }
    if let Some(before) = filter.before {
        query.push(" AND created_at < ").push_bind(before);
    }
    if let Some(user) = filter.created_by {
        query.push(" AND created_by = ").push_bind(user);
    }
    if let Some(tags) = &filter.tags {
        query.push(" AND tags @> ").push_bind(tags.clone());
    }
    if let Some(search) = &filter.search {
        query.push(" AND run_name ILIKE '%' || ").push_bind(super::escape_like(search)).push(" || '%'");
    }
}

/// Locks a run so that its status stays as it is, and returns that status; `None` if the project has no such run.
///
/// Only against other writers of the run: results, whose foreign key holds the row's KEY SHARE lock, go on. A stronger
/// lock here would deadlock with a result that holds its item and still has to check its run.
///
/// # Errors
/// If the database fails.
pub async fn lock(db: impl PgExecutor<'_>, project_id: Uuid, id: Uuid) -> sqlx::Result<Option<RunStatus>> {
    sqlx::query_scalar!(
        r#"-- test_runs.lock
         SELECT status AS "status: RunStatus"
         FROM test_runs
         WHERE project_id = $1 AND id = $2 AND deleted_at IS NULL
         FOR NO KEY UPDATE"#,
        project_id,
        id,
    )
    .fetch_optional(db)
    .await
}

/// Passes the gate before a run's results. Whoever writes one passes it before it locks the item.
///
/// Many pass at once, but nobody passes a refresh that waits there or works. The lock of the run's row could not do that:
/// the foreign keys of ever new results would pass a waiting refresh, and one that had to wait for a refresh would hold
/// its item meanwhile, which whoever stops the run needs.
///
/// # Errors
/// If the database fails.
pub async fn pass_gate(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("-- test_runs.pass_gate\nSELECT pg_advisory_xact_lock_shared(hashtextextended($1::uuid::text, 0))", id)
        .execute(db)
        .await
        .map(|_| ())
}

/// Closes the gate before a run's results until the transaction ends: returns once all that passed it are committed.
///
/// # Errors
/// If the database fails.
pub async fn close_gate(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("-- test_runs.close_gate\nSELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text, 0))", id)
        .execute(db)
        .await
        .map(|_| ())
}

/// Locks a run against results too: returns once every result that was being written is committed.
///
/// This is what makes the counts that are taken next complete (design, rule 5). Behind the gate there is nobody to wait
/// for but those who stop, cancel or change the run.
///
/// # Errors
/// If the database fails.
pub async fn lock_against_results(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<RunStatus>> {
    sqlx::query_scalar!(
        r#"-- test_runs.lock_against_results
         SELECT status AS "status: RunStatus" FROM test_runs WHERE id = $1 FOR UPDATE"#,
        id,
    )
    .fetch_optional(db)
    .await
}

/// What a result has to know of its run.
#[derive(Debug, Clone)]
pub struct RunGuard {
    /// Results are accepted only while the run is running.
    pub status: RunStatus,
    /// When failed items are tried again.
    pub retry: RetryPolicy,
    /// For the case's history.
    pub run_name: String,
    /// Whether a schedule made it.
    pub is_scheduled: bool,
    /// Whether its counts are going to be refreshed. Only a refresh changes that, so for whoever has passed the gate it
    /// stays true.
    pub awaits_refresh: bool,
    /// The database's clock.
    pub now: DateTime<Utc>,
}

/// Reads what a result has to know of its run, as committed now.
///
/// # Errors
/// If the database fails.
pub async fn guard(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<RunGuard> {
    sqlx::query!(
        r#"-- test_runs.guard
         SELECT status AS "status: RunStatus", retry_on_failure, retry_count, run_name,
             EXISTS (SELECT 1 FROM schedule_executions e WHERE e.test_run_id = r.id) AS "is_scheduled!",
             EXISTS (SELECT 1 FROM run_refreshes w WHERE w.run_id = r.id) AS "awaits_refresh!",
             clock_timestamp() AS "now!"
         FROM test_runs r
         WHERE id = $1"#,
        id,
    )
    .fetch_one(db)
    .await
    .map(|row| RunGuard {
        status: row.status,
        retry: RetryPolicy { retry_on_failure: row.retry_on_failure, retry_count: row.retry_count },
        run_name: row.run_name,
        is_scheduled: row.is_scheduled,
        awaits_refresh: row.awaits_refresh,
        now: row.now,
    })
}

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

/// How the items of a run stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemCounts {
    /// All items.
    pub total: i32,
    /// Items that passed.
    pub passed: i32,
    /// Items that failed.
    pub failed: i32,
    /// Items that were skipped.
    pub skipped: i32,
    /// Items without a recording.
    pub no_run: i32,
}

impl ItemCounts {
    /// Whether there are items and every one is final.
    #[must_use]
    pub const fn all_final(&self) -> bool {
        self.total > 0 && self.passed + self.failed + self.skipped + self.no_run == self.total
    }
}

/// Stores freshly counted items in a locked run, and that the client was heard if the run is running; and, for a refresh,
/// when that was.
///
/// # Errors
/// If the database fails.
pub async fn save_counts(
    db: impl PgExecutor<'_>,
    id: Uuid,
    counts: ItemCounts,
    pass_rate: Decimal,
    is_refresh: bool,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- test_runs.save_counts
         UPDATE test_runs
         SET total_tests = $2, passed_tests = $3, failed_tests = $4, skipped_tests = $5, no_run_tests = $6, pass_rate = $7,
             refreshed_at = CASE WHEN $8 THEN clock_timestamp() ELSE refreshed_at END, updated_at = now(),
             last_activity_at = CASE WHEN status = 'running' THEN now() ELSE last_activity_at END
         WHERE id = $1",
        id,
        counts.total,
        counts.passed,
        counts.failed,
        counts.skipped,
        counts.no_run,
        pass_rate,
        is_refresh,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// The last refresh of a run that waits for the next one.
#[derive(Debug, Clone, Copy)]
pub struct LastRefresh {
    /// How long ago it was, in milliseconds.
    pub age_ms: i64,
    /// How many items it counted.
    pub total_tests: i32,
}

/// When a run's counts were refreshed; `None` if never, or without a refresh waiting.
///
/// # Errors
/// If the database fails.
pub async fn last_refresh(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<LastRefresh>> {
    sqlx::query_as!(
        LastRefresh,
        r#"-- test_runs.last_refresh
         SELECT (extract(epoch FROM clock_timestamp() - r.refreshed_at) * 1000)::bigint AS "age_ms!", r.total_tests
         FROM test_runs r JOIN run_refreshes w ON w.run_id = r.id
         WHERE r.id = $1 AND r.refreshed_at IS NOT NULL"#,
        id,
    )
    .fetch_optional(db)
    .await
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

/// Stores the columns of a locked run that clients may change.
///
/// # Errors
/// If the database fails.
pub async fn save(db: impl PgExecutor<'_>, run: &TestRun) -> sqlx::Result<()> {
    sqlx::query!(
        "-- test_runs.save
         UPDATE test_runs
         SET run_name = $2, suite_path = $3, suite_name = $4, parallel_enabled = $5, parallel_count = $6,
             retry_on_failure = $7, retry_count = $8, browser_name = $9, browser_version = $10, os_name = $11,
             os_version = $12, viewport_width = $13, viewport_height = $14, results_folder = $15, tags = $16, notes = $17,
             updated_at = now()
         WHERE id = $1",
        run.id,
        run.run_name,
        run.suite_path.as_deref(),
        run.suite_name,
        run.parallel_enabled,
        run.parallel_count,
        run.retry_on_failure,
        run.retry_count,
        run.browser_name,
        run.browser_version,
        run.os_name,
        run.os_version,
        run.viewport_width,
        run.viewport_height,
        run.results_folder,
        run.tags.as_deref(),
        run.notes,
    )
    .execute(db)
    .await
    .map(|_| ())
}

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
