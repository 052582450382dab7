//! What nobody may leave behind.

use sqlx::PgPool;

/// Each is a name and a count that has to be zero once everything has settled.
const LEFT: [(&str, &str); 8] = [
    ("schedules that are to fire", "SELECT count(*) FROM schedules WHERE status = 'active'"),
    ("executions without an end", "SELECT count(*) FROM schedule_executions WHERE status IN ('pending', 'running')"),
    ("runs without an end", "SELECT count(*) FROM test_runs WHERE completed_at IS NULL"),
    ("runs whose books are not written", "SELECT count(*) FROM test_runs WHERE finalised_at IS NULL"),
    ("runs that wait to be counted", "SELECT count(*) FROM run_refreshes"),
    ("mails to be sent", "SELECT count(*) FROM notifications WHERE status IN ('pending', 'sending')"),
    ("deliveries to be made", "SELECT count(*) FROM webhook_deliveries WHERE status IN ('pending', 'sending')"),
    ("jobs to be done", "SELECT count(*) FROM apalis.jobs WHERE status NOT IN ('Done', 'Failed', 'Killed')"),
];

/// Transactions of services that do nothing and hold what they hold.
const IDLE: &str = "SELECT count(*) FROM pg_stat_activity
     WHERE application_name LIKE 'testrun-%' AND state LIKE 'idle in transaction%' AND state_change < now() - interval '1 s'";

/// What is left, each in a line; nothing once everything has settled.
pub(crate) async fn left(pool: &PgPool) -> sqlx::Result<Vec<String>> {
    let mut left = Vec::new();
    for (name, sql) in LEFT.into_iter().chain([("idle transactions", IDLE)]) {
        let count: i64 = sqlx::query_scalar(sql).fetch_one(pool).await?;
        if count > 0 {
            left.push(format!("{count} {name}"));
        }
    }
    Ok(left)
}
