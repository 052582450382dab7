//! Every job may come twice, or to many workers at once: what it does is done once.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use testrun_shared::actions::{finalise, refresh, schedules, test_runs};
use testrun_shared::db::{notifications, webhook_deliveries};
use testrun_shared::domain::page::Page;
use testrun_shared::domain::test_run::StartTestRun;
use testrun_shared::error::Result;
use testrun_shared::{actions, db};
use uuid::Uuid;

use crate::world::{World, utc};

/// Every row of every table of ours and of the queue, without the columns that only say when something was looked at.
async fn everything(w: &World) -> anyhow::Result<BTreeMap<String, Value>> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT schemaname || '.' || tablename FROM pg_tables
         WHERE schemaname = 'public' OR (schemaname = 'apalis' AND tablename = 'jobs')",
    )
    .fetch_all(&w.db)
    .await?;
    anyhow::ensure!(tables.len() > 20, "{tables:?}");
    let mut all = BTreeMap::new();
    for table in tables {
        let rows = format!(
            "SELECT coalesce(jsonb_agg(row ORDER BY row), '[]')
             FROM (SELECT to_jsonb(t) - '{{refreshed_at,updated_at,last_activity_at}}'::text[] AS row FROM {table} t) AS rows"
        );
        all.insert(table, sqlx::query_scalar(AssertSqlSafe(rows)).fetch_one(&w.db).await?);
    }
    Ok(all)
}

/// Does something, and fails if doing it once more, and then by eight at once, changes anything.
async fn once_is_enough(w: &World, what: &str, job: impl AsyncFn() -> Result<()>) -> anyhow::Result<()> {
    let before = everything(w).await?;
    job().await?;
    let after = everything(w).await?;
    assert_ne!(before, after, "{what} did nothing");
    job().await?;
    assert_eq!(everything(w).await?, after, "{what}, the second time");
    try_join_all((0..8).map(|_| job())).await?;
    assert_eq!(everything(w).await?, after, "{what}, by many at once");
    Ok(())
}

async fn only(w: &World, sql: &'static str) -> sqlx::Result<Uuid> {
    sqlx::query_scalar(sql).fetch_one(&w.db).await
}

#[tokio::test]
async fn every_job_of_a_scheduled_run_may_come_twice() -> anyhow::Result<()> {
    let w = World::new().await?;
    w.cases(2).await?;
    sqlx::query(
        "INSERT INTO webhooks (id, project_id, url, event_types, secret, created_by)
         VALUES (gen_random_uuid(), $1, 'https://example.com', '{run.completed}', 'secret', $2)",
    )
    .bind(w.tenant.project_id)
    .bind(w.tenant.user_id)
    .execute(&w.db)
    .await?;
    let due = utc("2026-01-18T02:00:00Z");
    let schedule = w.schedule(json!({"notification_emails": ["a@example.com"]}), utc("2026-01-17T00:00:00Z")).await?;
    once_is_enough(&w, "fire", async || schedules::fire(&w.db, schedule.id, due).await.map(|_| ())).await?;
    let execution = only(&w, "SELECT id FROM schedule_executions").await?;
    once_is_enough(&w, "create_scheduled_run", async || schedules::create_run(&w.db, execution).await.map(|_| ()))
        .await?;

    let run = only(&w, "SELECT id FROM test_runs").await?;
    test_runs::start(&w.db, &w.tenant.caller, run, &StartTestRun::default()).await?;
    let items = db::test_run_items::list(&w.db, run, Page { limit: 100, offset: 0 }).await?;
    w.submit(&items[0], json!({})).await?;
    once_is_enough(&w, "refresh_run", async || refresh::refresh(&w.db, run).await).await?;
    w.submit(&items[1], json!({"status": "failed"})).await?;
    once_is_enough(&w, "refresh_run of the last result", async || refresh::refresh(&w.db, run).await).await?;
    once_is_enough(&w, "finalise_run", async || finalise::finalise(&w.db, run).await).await?;

    let mail = only(&w, "SELECT id FROM notifications").await?;
    once_is_enough(&w, "send_email", async || {
        let Some(claimed) = notifications::claim(&w.db, mail, 20.0).await? else { return Ok(()) };
        actions::deliveries::mail_failed(&w.db, &claimed, "421 busy", false).await
    })
    .await?;
    w.execute("UPDATE notifications SET next_attempt_at = now()").await?;
    once_is_enough(&w, "send_email, the second attempt", async || {
        let Some(claimed) = notifications::claim(&w.db, mail, 20.0).await? else { return Ok(()) };
        Ok(notifications::set_sent(&w.db, mail, claimed.attempt).await.map(|_| ())?)
    })
    .await?;
    let delivery = only(&w, "SELECT id FROM webhook_deliveries").await?;
    once_is_enough(&w, "deliver_webhook", async || {
        let Some(claimed) = webhook_deliveries::claim(&w.db, delivery, 20.0).await? else { return Ok(()) };
        Ok(webhook_deliveries::set_delivered(&w.db, delivery, claimed.attempt, Some(200)).await.map(|_| ())?)
    })
    .await?;
    Ok(())
}
