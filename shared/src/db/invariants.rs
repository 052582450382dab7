//! What is always so, whoever crashes when: checked while the service works.
//!
//! Each check is one statement, so it sees one snapshot, and finds rows that break a rule which no constraint holds. All of
//! them read only. Given an instant they look at what changed since then, by indexes; without one at everything. They ask
//! about `apalis.*` too, so they are checked against a database by tests, not by the compiler.

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool};

/// How long one check may take, in seconds.
const PATIENCE_SECONDS: u32 = 15;
/// Violations are counted up to this number.
const COUNTED: u32 = 10_000;
/// Where replicas agree on who checks: an advisory lock with this number.
const LOCK: i64 = 0x7465_7374_7275_6e01;

/// A rule, and how to find what breaks it.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Its name in the metric and in the log.
    pub name: &'static str,
    /// What is always so.
    pub rule: &'static str,
    /// Gives the id of each row that breaks the rule, as text; `$1` is the instant, or null.
    sql: &'static str,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The check's name.
    pub check: &'static str,
    /// How many rows break the rule, counted up to 10,000; must be 0.
    pub violations: i64,
    /// The ids of some of them.
    pub examples: Vec<String>,
}

impl Check {
    /// Looks at what changed since then, or at everything.
    ///
    /// # Errors
    /// If the database fails, or the check takes too long.
    pub async fn run(&self, conn: &mut PgConnection, since: Option<DateTime<Utc>>) -> sqlx::Result<Finding> {
        let sql = format!(
            "-- invariants.{}
             SELECT count(*), coalesce((array_agg(id ORDER BY id))[1:5], '{{}}')
             FROM (SELECT * FROM ({}) AS every (id) LIMIT {COUNTED}) AS bad (id)",
            self.name, self.sql
        );
        let (violations, examples) =
            sqlx::query_as(AssertSqlSafe(sql)).bind(since).persistent(false).fetch_one(conn).await?;
        Ok(Finding { check: self.name, violations, examples })
    }
}

/// Does every check, one after the other, and returns what each found.
///
/// # Errors
/// If the database fails, or a check takes too long.
pub async fn check(db: &PgPool, since: Option<DateTime<Utc>>) -> sqlx::Result<Vec<Finding>> {
    let mut tx = db.begin_with("BEGIN READ ONLY").await?;
    limit(&mut tx).await?;
    let mut findings = Vec::with_capacity(CHECKS.len());
    for check in CHECKS {
        findings.push(check.run(&mut tx, since).await?);
    }
    Ok(findings)
}

/// Like [`check`] for what changed in the last `window_seconds`, unless another process is at it: `None` then. A check that
/// fails does not keep the others from being done.
///
/// # Errors
/// If the database cannot be asked at all.
pub async fn check_alone(
    db: &PgPool,
    window_seconds: f64,
) -> sqlx::Result<Option<Vec<(&'static str, sqlx::Result<Finding>)>>> {
    let mut tx = db.begin_with("BEGIN READ ONLY").await?;
    let alone: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)").bind(LOCK).fetch_one(&mut *tx).await?;
    if !alone {
        return Ok(None);
    }
    limit(&mut tx).await?;
    let since: DateTime<Utc> = sqlx::query_scalar("SELECT clock_timestamp() - make_interval(secs => $1)")
        .bind(window_seconds)
        .fetch_one(&mut *tx)
        .await?;
    let mut findings = Vec::with_capacity(CHECKS.len());
    for check in CHECKS {
        // What fails takes its own savepoint back, and nothing else: neither the lock nor the other checks.
        let mut one = tx.begin().await?;
        let finding = check.run(&mut one, Some(since)).await;
        one.rollback().await?;
        findings.push((check.name, finding));
    }
    // Waited for: a dropped transaction ends a little later, and whoever looks next would find the lock taken.
    tx.rollback().await?;
    Ok(Some(findings))
}

async fn limit(conn: &mut PgConnection) -> sqlx::Result<()> {
    conn.execute(AssertSqlSafe(format!("SET LOCAL statement_timeout = '{PATIENCE_SECONDS}s'"))).await.map(|_| ())
}

/// The items that changed, and what follows from their results (`domain::test_run_item::derive` in SQL). What operators or
/// the retention deleted is being taken apart and does not count.
macro_rules! derived_items {
    () => {
        "WITH changed AS (
             SELECT i.id
             FROM test_runs r JOIN test_run_items i ON i.test_run_id = r.id
             WHERE r.updated_at >= coalesce($1, '-infinity') AND i.updated_at >= coalesce($1, '-infinity')
             UNION
             SELECT test_run_item_id FROM test_run_results WHERE created_at >= $1
         ),
         deciding AS (
             SELECT DISTINCT ON (o.test_run_item_id, o.iteration_number) o.*
             FROM changed c JOIN test_run_results o ON o.test_run_item_id = c.id
             ORDER BY o.test_run_item_id, o.iteration_number, o.retry_attempt DESC
         ),
         judged AS (
             SELECT o.*, o.status <> 'failed' OR NOT r.retry_on_failure OR o.retry_attempt >= r.retry_count AS decides
             FROM deciding o JOIN test_runs r ON r.id = o.test_run_id
         ),
         sums AS (
             SELECT test_run_item_id AS id, bool_or(iteration_number IS NOT NULL) AS is_data_driven,
                 count(*) FILTER (WHERE decides) AS decided,
                 count(*) FILTER (WHERE decides AND status = 'passed') AS passed,
                 count(*) FILTER (WHERE decides AND status = 'failed') AS failed,
                 sum(total_steps) AS total_steps, sum(passed_steps) AS passed_steps,
                 sum(failed_steps) AS failed_steps, sum(skipped_steps) AS skipped_steps,
                 sum(total_checkpoints) AS total_checkpoints, sum(passed_checkpoints) AS passed_checkpoints,
                 sum(failed_checkpoints) AS failed_checkpoints
             FROM judged
             GROUP BY test_run_item_id
         ),
         derived AS (
             SELECT i.id, s.is_data_driven,
                 CASE
                     WHEN s.id IS NULL THEN NULL
                     WHEN s.decided < CASE WHEN NOT s.is_data_driven THEN 1 ELSE nullif(i.total_iterations, 0) END THEN 'running'
                     WHEN s.is_data_driven AND i.total_iterations = 0 THEN 'running'
                     WHEN s.failed > 0 THEN 'failed'
                     WHEN s.passed > 0 THEN 'passed'
                     ELSE 'skipped'
                 END AS status
             FROM changed c
             JOIN test_run_items i USING (id)
             JOIN test_runs r ON r.id = i.test_run_id AND r.deleted_at IS NULL
             LEFT JOIN sums s ON s.id = i.id
         )
         "
    };
}

/// A row that is late counts only while its queue flows: one that is paused or merely long is told of by its depth.
macro_rules! queue_flows {
    ($queue:literal) => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM paused_queues WHERE queue = '",
            $queue,
            "') AND NOT EXISTS (SELECT 1 FROM apalis.jobs
                 WHERE job_type = '",
            $queue,
            "' AND status = 'Pending' AND run_at < now() - interval '10 minutes')"
        )
    };
}

/// Every check.
pub const CHECKS: &[Check] = &[
    Check {
        name: "run_counts",
        rule: "A run's figures are those of its items, unless it is noted for a refresh",
        sql: "WITH changed AS (
                  SELECT id FROM test_runs WHERE updated_at >= coalesce($1, '-infinity')
                  UNION
                  SELECT test_run_id FROM test_run_results WHERE created_at >= $1
              )
              SELECT r.id::text
              FROM changed JOIN test_runs r USING (id)
              CROSS JOIN LATERAL (
                  SELECT count(*) AS total, count(*) FILTER (WHERE status = 'passed') AS passed,
                      count(*) FILTER (WHERE status = 'failed') AS failed,
                      count(*) FILTER (WHERE status = 'skipped') AS skipped,
                      count(*) FILTER (WHERE status = 'no_run') AS no_run
                  FROM test_run_items i
                  WHERE i.test_run_id = r.id
              ) AS n
              WHERE r.deleted_at IS NULL
                  AND NOT EXISTS (SELECT 1 FROM run_refreshes w WHERE w.run_id = r.id)
                  AND (r.total_tests, r.passed_tests, r.failed_tests, r.skipped_tests, r.no_run_tests, r.pass_rate)
                      IS DISTINCT FROM (n.total, n.passed, n.failed, n.skipped, n.no_run,
                          CASE WHEN n.total = 0 THEN 0 ELSE round(100.0 * n.passed / n.total, 2) END)",
    },
    Check {
        name: "item_status",
        rule: "An item's status follows from its results, unless it was skipped or is without a recording",
        sql: concat!(
            derived_items!(),
            "SELECT i.id::text
             FROM derived d JOIN test_run_items i USING (id)
             WHERE CASE
                 WHEN d.status IS NULL THEN i.status IN ('running', 'passed', 'failed')
                 WHEN i.status IN ('skipped', 'no_run') THEN NOT d.is_data_driven AND d.status IN ('passed', 'failed')
                 ELSE i.status <> d.status
             END"
        ),
    },
    Check {
        name: "item_counts",
        rule: "An item's figures are the sums of the results that decide it",
        sql: concat!(
            derived_items!(),
            "SELECT i.id::text
             FROM derived d JOIN test_run_items i USING (id, status) JOIN sums s USING (id)
             WHERE s.total_steps < 2147483647 AND s.total_checkpoints < 2147483647
                 AND (i.is_data_driven, i.total_steps, i.passed_steps, i.failed_steps, i.skipped_steps,
                         i.total_checkpoints, i.passed_checkpoints, i.failed_checkpoints,
                         i.passed_iterations, i.failed_iterations)
                     IS DISTINCT FROM (s.is_data_driven, s.total_steps, s.passed_steps, s.failed_steps, s.skipped_steps,
                         s.total_checkpoints, s.passed_checkpoints, s.failed_checkpoints,
                         CASE WHEN s.is_data_driven THEN s.passed ELSE 0 END,
                         CASE WHEN s.is_data_driven THEN s.failed ELSE 0 END)"
        ),
    },
    Check {
        name: "unfinished_items",
        rule: "A run that has ended has no unfinished item",
        sql: "SELECT r.id::text
              FROM test_runs r
              WHERE r.updated_at >= coalesce($1, '-infinity') AND r.deleted_at IS NULL
                  AND r.status IN ('completed', 'cancelled', 'failed')
                  AND EXISTS (SELECT 1 FROM test_run_items i
                      WHERE i.test_run_id = r.id AND i.status IN ('pending', 'queued', 'running'))",
    },
    Check {
        name: "completed_at",
        rule: "A run or an item has a time of completion exactly if its status is final",
        sql: "SELECT id::text
              FROM test_runs
              WHERE updated_at >= coalesce($1, '-infinity')
                  AND (completed_at IS NOT NULL) <> (status IN ('completed', 'cancelled', 'failed'))
              UNION ALL
              SELECT i.id::text
              FROM test_runs r JOIN test_run_items i ON i.test_run_id = r.id
              WHERE r.updated_at >= coalesce($1, '-infinity') AND i.updated_at >= coalesce($1, '-infinity')
                  AND (i.completed_at IS NOT NULL) <> (i.status IN ('passed', 'failed', 'skipped', 'no_run'))",
    },
    Check {
        name: "occurrences",
        rule: "A run with a due time belongs to the one execution of its schedule at that time",
        sql: "SELECT r.id::text
              FROM test_runs r LEFT JOIN schedule_executions e ON e.test_run_id = r.id
              WHERE r.updated_at >= coalesce($1, '-infinity') AND r.scheduled_at IS NOT NULL
                  AND e.scheduled_for IS DISTINCT FROM r.scheduled_at",
    },
    Check {
        name: "executions",
        rule: "An execution runs until its run's books are written, and then has ended as the run did",
        sql: "SELECT e.id::text
              FROM test_runs r JOIN schedule_executions e ON e.test_run_id = r.id
              WHERE r.updated_at >= coalesce($1, '-infinity')
                  AND e.status <> CASE WHEN r.finalised_at IS NULL THEN 'running' ELSE r.status END
              UNION ALL
              SELECT id::text FROM schedule_executions WHERE status = 'running' AND test_run_id IS NULL",
    },
    Check {
        name: "run_numbers",
        rule: "A project's run numbers go on without a gap to the number given last",
        // Deleted runs keep their number until their rows are purged, a day later at the earliest.
        sql:
            "WITH lately AS (
                  SELECT project_id, min(run_number) AS first
                  FROM test_runs
                  WHERE created_at >= greatest(coalesce($1, '-infinity'), now() - interval '12 hours')
                  GROUP BY project_id
              )
              SELECT p.id::text
              FROM lately l JOIN projects p ON p.id = l.project_id
              WHERE p.last_run_number - l.first + 1
                  <> (SELECT count(*) FROM test_runs r WHERE r.project_id = p.id AND r.run_number >= l.first)
              UNION
              SELECT p.id::text
              FROM projects p
              WHERE $1 IS NULL
                  AND EXISTS (SELECT 1 FROM test_runs r WHERE r.project_id = p.id AND r.run_number > p.last_run_number)",
    },
    Check {
        name: "notifications",
        rule: "Nobody gets two mails about a run",
        sql: "SELECT n.id::text
              FROM notifications n
              WHERE n.created_at >= coalesce($1, '-infinity')
                  AND EXISTS (SELECT 1 FROM notifications other
                      WHERE other.test_run_id = n.test_run_id AND other.recipient = n.recipient AND other.id <> n.id)",
    },
    Check {
        name: "unfinalised_runs",
        rule: "The books of a run that has ended are written within ten minutes",
        sql: concat!(
            "SELECT id::text
             FROM test_runs
             WHERE completed_at < now() - interval '10 minutes' AND finalised_at IS NULL AND ",
            queue_flows!("finalise_run")
        ),
    },
    Check {
        name: "unrefreshed_runs",
        rule: "A run that is noted for a refresh is counted within ten minutes",
        sql: concat!(
            "SELECT run_id::text
             FROM run_refreshes
             WHERE rung_at < now() - interval '10 minutes' AND ",
            queue_flows!("refresh_run")
        ),
    },
    Check {
        name: "orphaned_jobs",
        rule: "A job in hand is in the hands of a worker that lives",
        sql: "SELECT j.id
              FROM apalis.jobs j LEFT JOIN apalis.workers w ON w.id = j.lock_by
              WHERE j.status IN ('Queued', 'Running') AND j.lock_at < now() - interval '1 minute'
                  AND coalesce(w.last_seen < now() - interval '1 minute', TRUE)",
    },
];
