//! What tests act in: a database of their own with a tenant, test cases and runs.

use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool};
use test_support::{Database, Tenant, until};
use testrun_shared::domain::schedule::{NewSchedule, Schedule};
use testrun_shared::domain::statistics::pass_rate;
use testrun_shared::domain::test_case::{NewTestCase, NewTestCases};
use testrun_shared::domain::test_run::{NewTestRun, StartTestRun, TestRun};
use testrun_shared::domain::test_run_item::TestRunItem;
use testrun_shared::domain::test_run_result::{NewTestRunResult, TestRunResult};
use testrun_shared::error::{Error, Result};
use testrun_shared::{actions, db};
use uuid::Uuid;

/// How long anything awaited may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A database with one tenant.
pub(crate) struct World {
    pub(crate) db: PgPool,
    pub(crate) tenant: Tenant,
    pub(crate) database: Database,
}

/// A running run and its items.
pub(crate) struct Started {
    pub(crate) id: Uuid,
    pub(crate) items: Vec<TestRunItem>,
}

impl World {
    pub(crate) async fn new() -> anyhow::Result<Self> {
        let database = Database::new().await?;
        let tenant = database.tenant("A").await?;
        // More patience than a service has: many tests share the machine.
        let options = PgPoolOptions::new().max_connections(10).acquire_timeout(Duration::from_secs(60));
        Ok(Self { db: options.connect(&database.url).await?, tenant, database })
    }

    /// The first `count` test cases of the tenant, made where they do not exist.
    pub(crate) async fn cases(&self, count: usize) -> anyhow::Result<Vec<Uuid>> {
        let case = |index| NewTestCase {
            name: format!("Case {index}"),
            external_key: Some(format!("case-{index}")),
            ..NewTestCase::default()
        };
        let body = NewTestCases { test_cases: (0..count).map(case).collect() };
        let cases = actions::test_cases::upsert(&self.db, &self.tenant.caller, body).await?;
        Ok(cases.items.into_iter().map(|case| case.id).collect())
    }

    /// A pending run of `count` test cases.
    pub(crate) async fn pending(&self, count: usize, body: Value) -> anyhow::Result<Started> {
        let body: NewTestRun = serde_json::from_value(body)?;
        let id = actions::test_runs::create(&self.db, &self.tenant.caller, &body).await?.id;
        let cases = self.cases(count).await?;
        let added = actions::test_run_items::add_many(&self.db, &self.tenant.caller, id, &cases).await?;
        Ok(Started { id, items: added.items })
    }

    /// A running run of `count` test cases.
    pub(crate) async fn started(&self, count: usize) -> anyhow::Result<Started> {
        self.started_with(count, json!({})).await
    }

    /// A running run of `count` test cases with these settings.
    pub(crate) async fn started_with(&self, count: usize, body: Value) -> anyhow::Result<Started> {
        let run = self.pending(count, body).await?;
        actions::test_runs::start(&self.db, &self.tenant.caller, run.id, &StartTestRun::default()).await?;
        Ok(run)
    }

    /// Submits a result for an item, `passed` unless `extra` says otherwise.
    pub(crate) async fn submit(&self, item: &TestRunItem, extra: Value) -> Result<TestRunResult> {
        actions::results::submit(&self.db, &self.tenant.caller, result(item, extra)).await
    }

    /// An item as it is now.
    pub(crate) async fn item(&self, item: &TestRunItem) -> anyhow::Result<TestRunItem> {
        let mut items = db::test_run_items::get_many(&self.db, item.test_run_id, &[item.id]).await?;
        items.pop().context("the item is gone")
    }

    /// A run as it is now.
    pub(crate) async fn run(&self, id: Uuid) -> anyhow::Result<TestRun> {
        db::test_runs::find(&self.db, id).await?.context("the run is gone")
    }

    /// The payloads of a queue's waiting jobs, in the order in which they were rung.
    pub(crate) async fn jobs(&self, queue: &str) -> sqlx::Result<Vec<Value>> {
        sqlx::query_scalar(
            "SELECT convert_from(job, 'UTF8')::jsonb FROM apalis.jobs
             WHERE job_type = $1 AND status = 'Pending' ORDER BY run_at, id",
        )
        .bind(queue)
        .fetch_all(&self.db)
        .await
    }

    /// Loses every job, as a restored backup of the tables alone would.
    pub(crate) async fn lose_jobs(&self) -> sqlx::Result<()> {
        self.execute("DELETE FROM apalis.jobs").await.map(|_| ())
    }

    /// The types of a run's events, in order.
    pub(crate) async fn events(&self, run_id: Uuid) -> sqlx::Result<Vec<String>> {
        sqlx::query_scalar("SELECT type FROM events WHERE test_run_id = $1 ORDER BY transaction_id, sequence")
            .bind(run_id)
            .fetch_all(&self.db)
            .await
    }

    /// How many rows a query that ends in `= $1` counts for an id.
    pub(crate) async fn count(&self, sql: &'static str, id: Uuid) -> sqlx::Result<i64> {
        sqlx::query_scalar(sql).bind(id).fetch_one(&self.db).await
    }

    /// Changes rows behind the server's back, and returns how many.
    pub(crate) async fn execute(&self, sql: &'static str) -> sqlx::Result<u64> {
        Ok(sqlx::query(sql).execute(&self.db).await?.rows_affected())
    }

    /// Fails unless the run's figures are those of its items.
    pub(crate) async fn assert_counts_add_up(&self, run_id: Uuid) -> anyhow::Result<()> {
        let (run, counts) = (self.run(run_id).await?, db::test_run_items::count(&self.db, run_id).await?);
        assert_eq!(
            [run.total_tests, run.passed_tests, run.failed_tests, run.skipped_tests, run.no_run_tests],
            [counts.total, counts.passed, counts.failed, counts.skipped, counts.no_run],
            "the run's figures are not its items'"
        );
        assert_eq!(run.pass_rate, pass_rate(counts.passed, counts.total));
        Ok(())
    }

    /// A stored schedule as it would have been created at `now`: all test cases of the project, unless `extra` says otherwise.
    pub(crate) async fn schedule(&self, extra: Value, now: DateTime<Utc>) -> anyhow::Result<Schedule> {
        let body = json!({"schedule_name": "Nightly", "suite_path": [], "scheduled_datetime": "2026-01-18T02:00:00Z"});
        let body: NewSchedule = serde_json::from_value(merged(body, extra))?;
        let schedule = body.into_row(self.tenant.project_id, self.tenant.user_id, now)?;
        db::schedules::insert(&self.db, &schedule).await?;
        Ok(schedule)
    }
}

/// The body of a result, `passed` unless `extra` says otherwise.
pub(crate) fn result(item: &TestRunItem, extra: Value) -> NewTestRunResult {
    let body = json!({"test_run_id": item.test_run_id, "test_run_item_id": item.id, "status": "passed"});
    serde_json::from_value(merged(body, extra)).expect("the body of a result")
}

fn merged(mut body: Value, extra: Value) -> Value {
    if let (Some(body), Value::Object(extra)) = (body.as_object_mut(), extra) {
        body.extend(extra);
    }
    body
}

/// A rate, given in hundredths of a percent.
pub(crate) fn percent(hundredths: i64) -> Decimal {
    Decimal::new(hundredths, 2)
}

/// An instant in RFC 3339.
pub(crate) fn utc(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

/// The fields that an error names; empty unless it is a 400.
pub(crate) fn fields(error: &Error) -> Vec<&str> {
    match error {
        Error::Invalid(errors) => errors.iter().map(|error| error.field.as_str()).collect(),
        _ => Vec::new(),
    }
}

/// The process id of a connection's server process.
pub(crate) async fn backend(conn: &mut PgConnection) -> sqlx::Result<i32> {
    sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(conn).await
}

/// Waits until as many wait for a lock that the server process `holder` has, directly or behind one another.
pub(crate) async fn until_blocked_by(db: &PgPool, holder: i32, waiters: i64) -> anyhow::Result<()> {
    until(&format!("{waiters} to wait for the lock"), SOON, || async move {
        let waiting: i64 = sqlx::query_scalar(
            "WITH RECURSIVE waiting (pid) AS (
                 SELECT $1 UNION SELECT a.pid FROM waiting w JOIN pg_stat_activity a ON w.pid = ANY(pg_blocking_pids(a.pid))
             )
             SELECT count(*) - 1 FROM waiting",
        )
        .bind(holder)
        .fetch_one(db)
        .await?;
        Ok((waiting == waiters).then_some(()))
    })
    .await
}

/// Milliseconds from one instant to another, rounded.
pub(crate) fn milliseconds(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Option<i64> {
    let took = (to? - from?).num_microseconds()?;
    Some((took + 500) / 1000)
}
