//! A client that executes whatever run waits for one, whatever happens meanwhile.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::json;
use sqlx::PgPool;
use test_support::Client;
use uuid::Uuid;

use super::Project;
use super::doors::Doors;

/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(200);
/// Runs that are executed at once.
const AT_ONCE: usize = 8;

#[derive(sqlx::FromRow)]
struct Item {
    id: Uuid,
    test_case_id: Uuid,
    iteration: i32,
}

/// Executes runs for ever. What fails is tried again: the service or its database may be away.
pub(super) async fn execute_all(pool: &PgPool, doors: &Doors, projects: &[Project]) -> anyhow::Result<()> {
    let mut turn = 0;
    loop {
        let waiting: Vec<(Uuid, Uuid, String)> = sqlx::query_as(
            "SELECT id, project_id, status FROM test_runs WHERE status IN ('queued', 'running') ORDER BY run_number",
        )
        .fetch_all(pool)
        .await
        .unwrap_or_default();
        futures_util::stream::iter(waiting)
            .for_each_concurrent(AT_ONCE, async |(run, project, status)| {
                let token = projects.iter().find(|known| known.tenant.project_id == project);
                let token = token.map(|project| project.tenant.token.as_str());
                let Ok(client) = Client::new(&doors.one(turn), token) else { return };
                drop(advance(pool, &client, run, &status).await);
            })
            .await;
        turn += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Starts a run, or submits the results that it lacks.
async fn advance(pool: &PgPool, client: &Client, run: Uuid, status: &str) -> anyhow::Result<()> {
    if status == "queued" {
        client.post(&format!("/api/v1/test-runs/{run}/start"), &json!({})).await?;
    }
    let missing: Vec<Item> = sqlx::query_as(
        "SELECT id, test_case_id, execution_order AS iteration FROM test_run_items
         WHERE test_run_id = $1 AND status IN ('pending', 'queued', 'running')",
    )
    .bind(run)
    .fetch_all(pool)
    .await?;
    for Item { id, test_case_id, iteration } in missing {
        let status = if iteration % 2 == 1 { "passed" } else { "failed" };
        let result =
            json!({ "test_run_id": run, "test_run_item_id": id, "test_case_id": test_case_id, "status": status });
        // One that was stored although the answer was lost is refused, which is as good.
        client.post("/api/v1/test-run-results", &result).await?;
    }
    Ok(())
}
