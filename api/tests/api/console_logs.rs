//! `/test-run-results/{result_id}/console-logs`

use serde_json::{Value, json};

use crate::app::App;
use crate::world::{id, running, submit};

#[tokio::test]
async fn ten_thousand_lines_come_at_once_and_one_more_is_refused() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = running(&app.client, &json!({}), 1).await?;
    let result = submit(&app.client, &run, 0, &json!({"status": "passed"})).await?;
    let path = format!("/api/v1/test-run-results/{}/console-logs/bulk", id(&result["id"])?);
    let lines = |number: usize| -> Vec<Value> {
        let line =
            |n| json!({"log_level": "debug", "message": format!("line {n}"), "timestamp": "2026-01-17T10:05:05.5Z"});
        (0..number).map(line).collect()
    };
    let added = app.client.post(&path, &json!({"logs": lines(10_000)})).await?.expect(201)?;
    assert_eq!(added, json!({"total_added": 10_000}));
    let refused = app.send("POST", &path, json!({"logs": lines(10_001)}).to_string()).await?;
    assert_eq!(refused.not_invalid(&["logs"]), None);
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM console_logs").fetch_one(&app.db.pool).await?;
    assert_eq!(stored, 10_000);
    Ok(())
}
