//! `/test-run-results`, and the results of a run

use serde_json::{Value, json};

use crate::app::{App, has, none_wrong};
use crate::world::{id, result_body, running, submit};

const RESULTS: &str = "/api/v1/test-run-results";

#[tokio::test]
async fn a_whole_execution_comes_in_one_body_and_counts_follow_its_rows() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = running(&app.client, &json!({}), 1).await?;
    let at = "2026-01-17T10:05:05Z";
    let result = submit(&app.client, &run, 0, &json!({
        "status": "failed", "started_at": "2026-01-17T10:05:05Z", "completed_at": "2026-01-17T10:05:07.5+00:00",
        "steps": [
            {"step_number": 1, "action": "navigate", "status": "passed"},
            {"step_number": 2, "action": "fill", "status": "failed", "selector": "#password", "input_value": "hunter2"},
            {"step_number": 3, "action": "click", "status": "skipped"},
        ],
        "checkpoints": [{"step_number": 2, "checkpoint_name": "Title", "checkpoint_type": "element", "status": "failed"}],
        "scripts": [{"script_name": "setup", "script_type": "pre_execution", "status": "failed", "is_critical": true}],
        "console_logs": [{"log_level": "warn", "message": "slow", "timestamp": at}],
        "network_logs": [{"url": "https://example.com", "method": "GET", "timestamp": at,
            "request_headers": {"Authorization": "Bearer s3cret"}}],
    })).await?;
    let expected = json!({
        "duration_ms": 2500, "total_steps": 3, "passed_steps": 1, "failed_steps": 1, "skipped_steps": 1, "pass_rate": 33.33,
        "total_checkpoints": 1, "failed_checkpoints": 1, "checkpoint_pass_rate": 0.0, "total_pre_scripts": 1,
        "failed_pre_scripts": 1, "pre_script_aborted": true, "retry_attempt": 0,
    });
    has(&result, &expected);
    let rows: Vec<i64> = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM test_step_results) UNION ALL SELECT count(*) FROM checkpoint_results
         UNION ALL SELECT count(*) FROM script_results UNION ALL SELECT count(*) FROM console_logs
         UNION ALL SELECT count(*) FROM network_logs",
    )
    .fetch_all(&app.db.pool)
    .await?;
    assert_eq!(rows, [3, 1, 1, 1, 1]);
    Ok(())
}

#[tokio::test]
async fn a_result_reads_as_it_was_answered() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = running(&app.client, &json!({}), 1).await?;
    let result = submit(&app.client, &run, 0, &json!({
        "status": "passed", "started_at": "2026-01-17T10:05:05.123456789Z", "completed_at": "2026-01-17T11:05:06+01:00",
        "environment_info": {"z": 1, "a": [1.5, null, true, "é"], "big": 12345678901234567890_u64},
        "total_steps": 3, "passed_steps": 2, "skipped_steps": 1, "total_checkpoints": 8, "passed_checkpoints": 1,
        "accessibility_results": [], "captured_downloads": {}, "racing_stats": 0, "total_accessibility_violations": 2,
        "id": "00000000-0000-0000-0000-000000000001", "created_at": "2000-01-01T00:00:00Z",
    })).await?;
    let read = app.client.get(&format!("{RESULTS}/{}", id(&result["id"])?)).await?.expect(200)?;
    assert_eq!(read, result);
    assert_eq!((&read["pass_rate"], &read["checkpoint_pass_rate"]), (&json!(66.67), &json!(12.5)));
    assert_eq!(read["completed_at"], "2026-01-17T10:05:06Z");
    Ok(())
}

#[tokio::test]
async fn secrets_are_masked_before_they_are_stored() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = running(&app.client, &json!({}), 1).await?;
    let result = submit(&app.client, &run, 0, &json!({
        "status": "passed", "data_row_values": {"username": "ada", "password": "hunter2", "deep": [{"api_token": "hunter2"}]},
        "steps": [{"step_number": 1, "action": "fill", "status": "passed", "selector": "#password", "input_value": "hunter2"}],
        "network_logs": [{"url": "https://example.com", "method": "GET", "timestamp": "2026-01-17T10:05:05Z",
            "request_headers": {"Cookie": "hunter2"}, "response_headers": {"Set-Cookie": "hunter2"}}],
    })).await?;
    assert_eq!(result["data_row_values"]["username"], "ada");
    assert!(!result.to_string().contains("hunter2"), "{result}");
    let stored: String = sqlx::query_scalar(
        "SELECT concat((SELECT jsonb_agg(to_jsonb(r)) FROM test_run_results r), (SELECT jsonb_agg(to_jsonb(s))
             FROM test_step_results s), (SELECT jsonb_agg(to_jsonb(n)) FROM network_logs n))",
    )
    .fetch_one(&app.db.pool)
    .await?;
    assert!(stored.contains("********") && !stored.contains("hunter2"), "{stored}");
    Ok(())
}

#[tokio::test]
async fn the_same_attempt_twice_is_a_conflict_and_a_final_item_takes_no_more() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = running(&app.client, &json!({"retry_on_failure": true, "retry_count": 1}), 2).await?;
    submit(&app.client, &run, 0, &json!({"status": "failed", "retry_attempt": 0})).await?;
    let before = app.contents().await?;
    let mut wrong = Vec::new();
    let same = result_body(&run, 0, &json!({"status": "passed", "retry_attempt": 0})).to_string();
    let answer = app.send("POST", RESULTS, same).await?;
    wrong.extend(answer.not_detail(409, "Attempt 0 of this test run item already has its result"));
    assert_eq!(app.contents().await?, before);

    let second = submit(&app.client, &run, 0, &json!({"status": "passed"})).await?;
    assert_eq!(second["retry_attempt"], 1);
    let before = app.contents().await?;
    let third = result_body(&run, 0, &json!({"status": "passed"})).to_string();
    let answer = app.send("POST", RESULTS, third).await?;
    wrong.extend(answer.not_detail(422, "Cannot submit result: test run item status is 'passed'"));
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn a_run_that_has_not_begun_takes_no_results() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = crate::world::pending(&app.client, &json!({}), 1).await?;
    let before = app.contents().await?;
    let body = result_body(&run, 0, &json!({"status": "passed"})).to_string();
    let answer = app.send("POST", RESULTS, body).await?;
    none_wrong(&Vec::from_iter(answer.not_detail(422, "Cannot submit result: test run status is 'pending'")));
    assert_eq!(app.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn an_item_or_run_that_does_not_exist_is_not_found() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = running(&app.client, &json!({}), 1).await?;
    let other = running(&app.client, &json!({}), 1).await?;
    let unknown = uuid::Uuid::new_v4().to_string();
    let before = app.contents().await?;
    let mut wrong = Vec::new();
    for (run_id, item_id) in [(&run.id, &unknown), (&unknown, &run.items[0]), (&run.id, &other.items[0])] {
        let body = json!({"test_run_id": run_id, "test_run_item_id": item_id, "status": "passed"}).to_string();
        let answer = app.send("POST", RESULTS, body).await?;
        wrong.extend(answer.not_detail(404, &format!("Test run item not found: {item_id}")));
    }
    let body = result_body(&run, 0, &json!({"status": "passed", "test_case_id": other.cases[0]})).to_string();
    wrong.extend(app.send("POST", RESULTS, body).await?.not_invalid(&["test_case_id"]));
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn iterations_show_as_a_share_and_are_final_together() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = running(&app.client, &json!({}), 1).await?;
    let mut shown = Vec::new();
    for (iteration, status) in [(1, "passed"), (2, "failed"), (3, "passed")] {
        let fields = json!({"status": status, "iteration_number": iteration, "total_iterations": 3, "data_row_index": iteration});
        submit(&app.client, &run, 0, &fields).await?;
        let items = app.client.get(&format!("{}/items", run.path())).await?.expect(200)?;
        shown.push(items["items"][0]["display_status"].clone());
    }
    assert_eq!(shown, ["Running (1/3)", "Running (1/3)", "Fail (2/3)"]);
    let answer = app.send("POST", RESULTS, result_body(&run, 0, &json!({"status": "passed"})).to_string()).await?;
    assert_eq!(answer.status, 422, "{}", answer.text());
    let history = app.client.get(&format!("/api/v1/test-cases/{}/history", run.cases[0])).await?.expect(200)?;
    assert_eq!((&history["total"], &history["history"][0]["status"]), (&json!(1), &json!("failed")));
    Ok(())
}

#[tokio::test]
async fn results_of_a_run_are_listed_with_their_exact_number() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = running(&app.client, &json!({}), 3).await?;
    let mut results: Vec<Value> = Vec::new();
    for item in 0..3 {
        results.push(submit(&app.client, &run, item, &json!({"status": "passed"})).await?);
    }
    let path = format!("{}/results", run.path());
    let list = app.client.get(&path).await?.expect(200)?;
    let mut listed = list["items"].as_array().cloned().unwrap_or_default();
    assert_eq!((list["total"].as_i64(), listed.len()), (Some(3), 3));
    for rows in [&mut listed, &mut results] {
        rows.sort_by_key(|row| row["id"].to_string());
    }
    assert_eq!(listed, results);
    let page = app.client.get(&format!("{path}?limit=1&offset=2")).await?.expect(200)?;
    assert_eq!((&page["total"], page["items"].as_array().map(Vec::len)), (&json!(3), Some(1)));
    Ok(())
}
