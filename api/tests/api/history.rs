//! `/test-cases/{test_case_id}/history`

use serde_json::{Value, json};

use crate::app::{App, has};
use crate::world::{Run, case, id, pending, submit};

/// A running run of this case alone.
async fn run_of(app: &App, case: &str, body: &Value) -> anyhow::Result<Run> {
    let mut run = pending(&app.client, body, 0).await?;
    let item = app.client.post(&format!("{}/items", run.path()), &json!({"test_case_id": case})).await?.expect(201)?;
    run.items.push(id(&item["id"])?);
    app.client.post(&format!("{}/start", run.path()), &json!({})).await?.expect(200)?;
    Ok(run)
}

#[tokio::test]
async fn every_attempt_is_an_entry_and_skipped_ones_count() -> anyhow::Result<()> {
    let app = App::start().await?;
    let case = case(&app.client, "Tried").await?;
    let run = run_of(&app, &case, &json!({"run_name": "Retried", "retry_on_failure": true, "retry_count": 1})).await?;
    let failed =
        json!({"status": "failed", "started_at": "2026-01-17T10:00:00Z", "duration_ms": 100, "error_message": "no"});
    let first = submit(&app.client, &run, 0, &failed).await?;
    let passed = json!({"status": "passed", "started_at": "2026-01-17T10:01:00Z", "duration_ms": 201, "total_steps": 3,
        "passed_steps": 2});
    submit(&app.client, &run, 0, &passed).await?;
    let skipped = run_of(&app, &case, &json!({"run_name": "Skipped"})).await?;
    let nothing = json!({"status": "skipped", "started_at": "2026-01-17T09:00:00Z"});
    submit(&app.client, &skipped, 0, &nothing).await?;
    // An item that nobody executed leaves nothing.
    let stopped = run_of(&app, &case, &json!({})).await?;
    app.client.post(&format!("{}/stop", stopped.path()), &Value::Null).await?.expect(200)?;

    let path = format!("/api/v1/test-cases/{case}/history");
    let history = app.client.get(&path).await?.expect(200)?;
    let entries = history["history"].as_array().cloned().unwrap_or_default();
    let told: Vec<_> = entries.iter().map(|entry| (&entry["status"], &entry["run_name"])).collect();
    let (retried, other) = (json!("Retried"), json!("Skipped"));
    let expected = [(&json!("passed"), &retried), (&json!("failed"), &retried), (&json!("skipped"), &other)];
    assert_eq!(told, expected, "newest first");
    has(
        &entries[0],
        &json!({"total_steps": 3, "passed_steps": 2, "pass_rate": 66.67, "duration_ms": 201, "is_scheduled": false}),
    );
    has(&entries[1], &json!({"error_message": "no", "test_run_id": run.id, "test_run_result_id": first["id"]}));
    let statistics = json!({
        "total_executions": 3, "passed": 1, "failed": 1, "skipped": 1, "overall_pass_rate": 33.33,
        "avg_duration_ms": 100,
    });
    has(&history["statistics"], &statistics);
    has(&history, &json!({"test_case_id": case, "test_case_name": "Tried", "total": 3, "limit": 20, "offset": 0}));

    let page = app.client.get(&format!("{path}?limit=1&offset=1")).await?.expect(200)?;
    assert_eq!((&page["history"], &page["statistics"]), (&json!([entries[1]]), &history["statistics"]));
    Ok(())
}

#[tokio::test]
async fn a_data_driven_item_is_one_entry_once_it_is_final() -> anyhow::Result<()> {
    let app = App::start().await?;
    let case = case(&app.client, "Rows").await?;
    let run = run_of(&app, &case, &json!({})).await?;
    let path = format!("/api/v1/test-cases/{case}/history");
    for (iteration, status) in [(1, "passed"), (2, "failed")] {
        let result =
            json!({"status": status, "iteration_number": iteration, "total_iterations": 3, "duration_ms": 100});
        submit(&app.client, &run, 0, &result).await?;
        assert_eq!(app.client.get(&path).await?.expect(200)?["total"], 0, "after iteration {iteration}");
    }
    let last =
        json!({"status": "passed", "iteration_number": 3, "duration_ms": 100, "total_steps": 4, "passed_steps": 4});
    submit(&app.client, &run, 0, &last).await?;
    let history = app.client.get(&path).await?.expect(200)?;
    assert_eq!(history["total"], 1);
    has(&history["history"][0], &json!({"status": "failed", "test_run_id": run.id, "total_steps": 4}));
    has(&history["statistics"], &json!({"total_executions": 1, "failed": 1, "overall_pass_rate": 0.0}));
    Ok(())
}
