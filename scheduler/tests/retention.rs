//! What is old enough is deleted, and nothing else.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::PgPool;
use test_support::{Database, Tenant};
use testrun_scheduler::{RetentionConfig, prune};
use testrun_shared::domain::test_run::StartTestRun;
use testrun_shared::{actions, db};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The defaults, as `--help` tells them.
fn defaults() -> anyhow::Result<RetentionConfig> {
    let keep = |text: &str| text.parse().map_err(anyhow::Error::msg);
    Ok(RetentionConfig {
        retention_runs: keep("forever")?,
        retention_logs: keep("forever")?,
        retention_history: keep("forever")?,
        retention_events: keep("7d")?,
        retention_idempotency_keys: keep("24h")?,
        retention_done_jobs: keep("24h")?,
        retention_dead_jobs: keep("14d")?,
    })
}

/// An ended run with something in every table below it, whose books are written.
async fn ended_run(pool: &PgPool, tenant: &Tenant, name: &str) -> anyhow::Result<Uuid> {
    let caller = &tenant.caller;
    let body = serde_json::from_value(json!({"run_name": name}))?;
    let run = actions::test_runs::create(pool, caller, &body).await?.id;
    let case = actions::test_cases::create(pool, caller, &serde_json::from_value(json!({"name": "Case"}))?).await?.id;
    let item = actions::test_run_items::add(pool, caller, run, case).await?.id;
    actions::test_runs::start(pool, caller, run, &StartTestRun::default()).await?;
    let at = "2026-01-17T10:05:05Z";
    let result = json!({
        "test_run_id": run, "test_run_item_id": item, "status": "passed",
        "steps": [{"step_number": 1, "action": "click", "status": "passed"}],
        "checkpoints": [{"checkpoint_name": "C", "checkpoint_type": "element", "status": "passed", "step_number": 1}],
        "scripts": [{"script_name": "s", "script_type": "on_demand", "status": "passed"}],
        "console_logs": [{"log_level": "info", "message": "hello", "timestamp": at}],
        "network_logs": [{"url": "https://example.com", "method": "GET", "timestamp": at}],
    });
    actions::results::submit(pool, caller, serde_json::from_value(result)?).await?;
    actions::refresh::refresh(pool, run).await?;
    actions::finalise::finalise(pool, run).await?;
    actions::finalise::write_report(pool, run).await?;
    let recipient = ["a@example.com".to_owned()];
    let kind = testrun_shared::domain::notification::NotificationKind::Completion;
    db::notifications::insert(pool, run, kind, &recipient).await?;
    Ok(run)
}

/// How many rows each of these tables has.
async fn rows(pool: &PgPool) -> sqlx::Result<BTreeMap<String, i64>> {
    let counts: Vec<(String, i64)> = sqlx::query_as(
        "SELECT 'test_runs', count(*) FROM test_runs UNION ALL SELECT 'test_run_items', count(*) FROM test_run_items
         UNION ALL SELECT 'test_run_results', count(*) FROM test_run_results
         UNION ALL SELECT 'test_step_results', count(*) FROM test_step_results
         UNION ALL SELECT 'checkpoint_results', count(*) FROM checkpoint_results
         UNION ALL SELECT 'script_results', count(*) FROM script_results
         UNION ALL SELECT 'console_logs', count(*) FROM console_logs
         UNION ALL SELECT 'network_logs', count(*) FROM network_logs
         UNION ALL SELECT 'notifications', count(*) FROM notifications
         UNION ALL SELECT 'test_run_reports', count(*) FROM test_run_reports
         UNION ALL SELECT 'test_run_report_parts', count(DISTINCT test_run_id) FROM test_run_report_parts
         UNION ALL SELECT 'test_execution_history', count(*) FROM test_execution_history",
    )
    .fetch_all(pool)
    .await?;
    Ok(counts.into_iter().collect())
}

async fn execute(pool: &PgPool, sql: &'static str) -> sqlx::Result<u64> {
    Ok(sqlx::query(sql).execute(pool).await?.rows_affected())
}

#[tokio::test]
async fn runs_go_with_all_that_is_below_them_once_they_ended_long_enough_ago() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let (pool, shutdown) = (&database.pool, CancellationToken::new());
    let tenant = database.tenant("A").await?;
    let old = ended_run(pool, &tenant, "Old").await?;
    let one = rows(pool).await?;
    assert!(one.values().all(|rows| *rows > 0), "{one:?}");
    ended_run(pool, &tenant, "Young").await?;
    let both = rows(pool).await?;
    execute(
        pool,
        "UPDATE test_runs SET completed_at = now() - interval '31 d', created_at = now() - interval '31 d',
        started_at = now() - interval '31 d' WHERE run_name = 'Old'",
    )
    .await?;
    // More rows below it than one transaction deletes.
    sqlx::query(
        "INSERT INTO console_logs (test_run_result_id, log_level, message, timestamp)
         SELECT id, 'info', 'more', now() FROM test_run_results, generate_series(1, 5000) WHERE test_run_id = $1",
    )
    .bind(old)
    .execute(pool)
    .await?;

    let mut keep = defaults()?;
    prune(pool, &keep, &shutdown).await?;
    assert_eq!(rows(pool).await?["test_runs"], 2, "for ever unless it is set");
    keep.retention_runs = "30d".parse().map_err(anyhow::Error::msg)?;
    execute(pool, "UPDATE test_runs SET finalised_at = NULL WHERE run_name = 'Old'").await?;
    prune(pool, &keep, &shutdown).await?;
    assert_eq!(rows(pool).await?["test_runs"], 2, "not before its books are written");
    execute(pool, "UPDATE test_runs SET finalised_at = now() WHERE run_name = 'Old'").await?;
    prune(pool, &keep, &shutdown).await?;
    // What happened to the test case stays, without the run.
    let left: BTreeMap<String, i64> = one
        .into_iter()
        .map(|(table, rows)| {
            let rows = if table == "test_execution_history" { both[&table] } else { rows };
            (table, rows)
        })
        .collect();
    assert_eq!(rows(pool).await?, left);
    let name: String = sqlx::query_scalar("SELECT run_name FROM test_runs").fetch_one(pool).await?;
    assert_eq!(name, "Young");
    Ok(())
}

#[tokio::test]
async fn a_deleted_run_is_kept_a_day() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let (pool, keep) = (&database.pool, defaults()?);
    let tenant = database.tenant("A").await?;
    for name in ["Yesterday", "Today"] {
        let run = ended_run(pool, &tenant, name).await?;
        actions::test_runs::delete(pool, &tenant.caller, run).await?;
    }
    execute(pool, "UPDATE test_runs SET deleted_at = now() - interval '25 h' WHERE run_name = 'Yesterday'").await?;
    prune(pool, &keep, &CancellationToken::new()).await?;
    let names: Vec<String> = sqlx::query_scalar("SELECT run_name FROM test_runs").fetch_all(pool).await?;
    assert_eq!(names, ["Today"]);
    Ok(())
}

#[tokio::test]
async fn logs_history_events_and_keys_go_by_their_age() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let (pool, shutdown) = (&database.pool, CancellationToken::new());
    let tenant = database.tenant("A").await?;
    ended_run(pool, &tenant, "Run").await?;
    let hook = json!({"url": "https://example.com/hook"});
    let hook = actions::webhooks::create(pool, &tenant.caller, serde_json::from_value(hook)?).await?.details.id;
    for _ in 0..2 {
        actions::webhooks::send_test(pool, &tenant.caller, hook).await?;
    }
    let late = "INSERT INTO webhook_deliveries (id, webhook_id, event_id, status)
        SELECT gen_random_uuid(), $1, id, 'failed' FROM events WHERE type = 'run.created'";
    sqlx::query(late).bind(hook).execute(pool).await?;
    sqlx::query("INSERT INTO idempotency_keys (token_id, key, request_hash, created_at) VALUES ($1, 'old', '', now() - interval '25 h'), ($1, 'new', '', now())")
        .bind(tenant.caller.token_id)
        .execute(pool)
        .await?;
    execute(
        pool,
        "UPDATE events SET created_at = now() - interval '8 d' WHERE type IN ('run.created', 'webhook.test')",
    )
    .await?;
    execute(pool, "UPDATE console_logs SET created_at = now() - interval '8 d'").await?;
    execute(pool, "UPDATE test_execution_history SET executed_at = now() - interval '400 d'").await?;

    let mut keep = defaults()?;
    prune(pool, &keep, &shutdown).await?;
    let of = |sql: &'static str| async move { sqlx::query_scalar::<_, i64>(sql).fetch_one(pool).await };
    assert_eq!(of("SELECT count(*) FROM events WHERE type = 'run.created'").await?, 0);
    assert_eq!(of("SELECT count(*) FROM webhook_deliveries WHERE status = 'failed'").await?, 0, "with its event");
    assert_eq!(of("SELECT count(*) FROM webhook_deliveries").await?, 2, "those that are still to be made stay");
    assert!(of("SELECT count(*) FROM events WHERE created_at > now() - interval '7 d'").await? > 0);
    let keys: Vec<String> = sqlx::query_scalar("SELECT key FROM idempotency_keys").fetch_all(pool).await?;
    assert_eq!(keys, ["new"]);
    let kept = rows(pool).await?;
    assert_eq!((kept["console_logs"], kept["test_execution_history"]), (1, 1), "for ever unless it is set");

    keep.retention_logs = "7d".parse().map_err(anyhow::Error::msg)?;
    keep.retention_history = "365d".parse().map_err(anyhow::Error::msg)?;
    prune(pool, &keep, &shutdown).await?;
    let kept = rows(pool).await?;
    assert_eq!((kept["console_logs"], kept["network_logs"], kept["test_execution_history"]), (0, 1, 0));
    assert_eq!(kept["test_run_results"], 1);
    Ok(())
}

#[tokio::test]
async fn executions_stay_as_long_as_their_run() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let (pool, shutdown) = (&database.pool, CancellationToken::new());
    let tenant = database.tenant("A").await?;
    let run = ended_run(pool, &tenant, "Run").await?;
    let body = json!({"schedule_name": "Nightly", "suite_path": [], "scheduled_datetime": "2999-01-18T02:00:00Z"});
    let schedule = actions::schedules::create(pool, &tenant.caller, serde_json::from_value(body)?).await?.id;
    sqlx::query(
        "INSERT INTO schedule_executions (schedule_id, scheduled_for, status, test_run_id)
         VALUES ($1, now() - interval '400 d', 'completed', $2), ($1, now() - interval '401 d', 'missed', NULL),
             ($1, now() - interval '402 d', 'pending', NULL), ($1, now() - interval '1 d', 'missed', NULL)",
    )
    .bind(schedule)
    .bind(run)
    .execute(pool)
    .await?;
    let mut keep = defaults()?;
    keep.retention_history = "365d".parse().map_err(anyhow::Error::msg)?;
    prune(pool, &keep, &shutdown).await?;
    let left: Vec<String> =
        sqlx::query_scalar("SELECT status FROM schedule_executions ORDER BY scheduled_for").fetch_all(pool).await?;
    assert_eq!(left, ["pending", "completed", "missed"]);
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_deleted_keeps_nothing_else_from_being_deleted() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let pool = &database.pool;
    let tenant = database.tenant("A").await?;
    let run = ended_run(pool, &tenant, "Run").await?;
    actions::test_runs::delete(pool, &tenant.caller, run).await?;
    execute(pool, "UPDATE test_runs SET deleted_at = now() - interval '25 h'").await?;
    execute(pool, "ALTER TABLE idempotency_keys RENAME TO elsewhere").await?;
    let outcome = prune(pool, &defaults()?, &CancellationToken::new()).await;
    assert!(
        outcome.is_err_and(|error| error.to_string().contains("idempotency_keys")),
        "the tick did not do all its work"
    );
    assert_eq!(rows(pool).await?["test_runs"], 0);
    Ok(())
}
