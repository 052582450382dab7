//! The look for due schedules, which happens every second, costs what is due and not what there is.

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection};
use testrun_shared::db;

use crate::world::World;

const INDEX: &str = "idx_schedules_next_exec";

/// A hundred thousand active schedules, due one after the other in the seconds after `first`.
async fn fill(w: &World, first: DateTime<Utc>) -> anyhow::Result<()> {
    let filled = sqlx::query(
        "INSERT INTO schedules (project_id, created_by, schedule_name, suite_path, scheduled_datetime, next_execution_at)
         SELECT $1, $2, 'S' || n, '{}', now(), $3 + n * interval '1 s' FROM generate_series(1, 100000) n",
    )
    .bind(w.tenant.project_id)
    .bind(w.tenant.user_id)
    .bind(first)
    .execute(&w.db)
    .await?;
    assert_eq!(filled.rows_affected(), 100_000);
    w.execute("ANALYZE schedules").await?;
    Ok(())
}

/// The plan of the very statement that [`db::schedules::due`] runs on this connection, as it is prepared there.
async fn plan_of_due(conn: &mut PgConnection, now: DateTime<Utc>) -> anyhow::Result<Value> {
    db::schedules::due(&mut *conn, now, 500).await?;
    let name: String =
        sqlx::query_scalar("SELECT name FROM pg_prepared_statements WHERE statement LIKE '-- schedules.due%'")
            .fetch_one(&mut *conn)
            .await
            .context("the statement is not prepared under this name")?;
    let explain =
        format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE \"{name}\"('{}', 500)", now.to_rfc3339());
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(explain)).persistent(false).fetch_one(conn).await?;
    Ok(plan[0]["Plan"].clone())
}

/// Every node of a plan.
fn nodes(plan: &Value) -> Vec<&Value> {
    let inner = plan["Plans"].as_array().into_iter().flatten().flat_map(nodes);
    [plan].into_iter().chain(inner).collect()
}

#[tokio::test]
async fn the_scan_of_a_hundred_thousand_schedules_reads_the_partial_index() -> anyhow::Result<()> {
    let w = World::new().await?;
    let first = db::now(&w.db).await?;
    fill(&w, first).await?;
    // None is due, a hundred are, all are.
    for (elapsed, due) in [(0, 0_u64), (100, 100), (200_000, 500)] {
        // As planned for these values, and as planned once for all.
        for mode in ["force_custom_plan", "force_generic_plan"] {
            let mut conn = w.db.acquire().await?.detach();
            sqlx::query("SELECT set_config('plan_cache_mode', $1, FALSE)").bind(mode).execute(&mut conn).await?;
            let plan = plan_of_due(&mut conn, first + TimeDelta::seconds(elapsed)).await?;
            let nodes = nodes(&plan);
            assert!(nodes.iter().any(|node| node["Index Name"] == INDEX), "{mode}, {due} due: {plan:#}");
            assert!(nodes.iter().all(|node| node["Node Type"] != "Seq Scan"), "{mode}, {due} due: {plan:#}");
            assert_eq!(plan["Actual Rows"].as_f64(), Some(due as f64), "{mode}: {plan:#}");
            let pages = ["Shared Hit Blocks", "Shared Read Blocks"].map(|key| plan[key].as_u64().unwrap_or_default());
            assert!(pages.iter().sum::<u64>() < 100 + due, "{mode}, {due} due: it reads {pages:?} pages: {plan:#}");
        }
    }
    Ok(())
}
