//! A run's figures, counted from its items.

use rust_decimal::Decimal;
use sqlx::PgExecutor;
use uuid::Uuid;

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
    /// How long the run had been under way, in milliseconds.
    pub ran_ms: i64,
    /// How many items it counted.
    pub total_tests: i32,
    /// How many of them were final.
    pub final_tests: i32,
}

/// When a run's counts were refreshed; `None` if never, or without a refresh waiting.
///
/// # Errors
/// If the database fails.
pub async fn last_refresh(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<LastRefresh>> {
    sqlx::query_as!(
        LastRefresh,
        r#"-- test_runs.last_refresh
         SELECT (extract(epoch FROM clock_timestamp() - r.refreshed_at) * 1000)::bigint AS "age_ms!",
             coalesce((extract(epoch FROM r.refreshed_at - r.started_at) * 1000)::bigint, 0) AS "ran_ms!",
             r.total_tests, r.passed_tests + r.failed_tests + r.skipped_tests + r.no_run_tests AS "final_tests!"
         FROM test_runs r JOIN run_refreshes w ON w.run_id = r.id
         WHERE r.id = $1 AND r.refreshed_at IS NOT NULL"#,
        id,
    )
    .fetch_optional(db)
    .await
}
