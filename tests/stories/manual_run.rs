//! The specification's first workflow: a client makes a run, executes it and reports.

use serde_json::{Value, json};
use test_support::until;
use uuid::Uuid;

use crate::world::{PATIENCE, Run, World, id, instant, pick, rows};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_makes_a_run_executes_it_and_reports() -> anyhow::Result<()> {
    let world = World::start().await?;
    let worker = world.worker().await?;
    let cases = world.test_cases(&["ROOT", "Regression", "Smoke"], &["Login", "Search", "Checkout"]).await?;

    let run = created_and_started(&world, &cases).await?;
    report_login(&world, &run).await?;
    counted_while_running(&world, &run).await?;
    report_search(&world, &run).await?;
    world.submit(&run.result_with(2, "passed", json!({ "duration_ms": 285_000 }))?).await?;

    let ended = world.completed(run.id).await?;
    let counts = ["total_tests", "passed_tests", "failed_tests", "skipped_tests", "no_run_tests", "pass_rate"];
    assert_eq!(pick(&ended, counts), json!([3, 2, 1, 0, 0, 66.67]));
    let took = (instant(&ended["completed_at"])? - instant(&ended["started_at"])?).num_milliseconds();
    assert!(ended["duration_ms"].as_i64().is_some_and(|told| (told - took).abs() <= 1), "{ended}");

    summary(&world, &run).await?;
    history(&world, cases[1], &run).await?;
    nothing_leads_out(&world, &run).await?;
    let listed = world.get("/test-runs?status=completed&suite_path=ROOT,Regression&tags=smoke").await?;
    assert_eq!(listed["total"], 1);
    assert_eq!(id(&listed["items"][0]["id"])?, run.id);
    assert!(worker.stop().await?, "a worker that is told to stop ends well");
    Ok(())
}

/// Steps 1 to 4.
async fn created_and_started(world: &World, cases: &[Uuid]) -> anyhow::Result<Run> {
    let body = json!({
        "run_name": "Smoke Test Run", "suite_path": ["ROOT", "Regression", "Smoke"], "suite_name": "Smoke",
        "parallel_enabled": true, "parallel_count": 3, "tags": ["smoke", "daily"], "notes": "Daily smoke test",
    });
    let run = world.post("/test-runs", &body, 201).await?;
    assert_eq!(pick(&run, ["status", "run_number", "total_tests", "pass_rate"]), json!(["pending", 1, 0, 0.0]));
    let owner = json!([world.tenant.project_id, world.tenant.user_id]);
    assert_eq!(pick(&run, ["project_id", "created_by"]), owner);
    let run_id = id(&run["id"])?;

    let refused = world.post(&format!("/test-runs/{run_id}/start"), &json!({}), 422).await?;
    assert_eq!(refused["detail"], "Cannot start test run: it has no test cases");
    let added = world.post(&format!("/test-runs/{run_id}/items/bulk"), &json!({ "test_case_ids": cases }), 201).await?;
    assert_eq!(added["total_added"], 3);
    let orders: Value = rows(&added)?.iter().map(|item| pick(item, ["execution_order", "status"])).collect();
    assert_eq!(orders, json!([[1, "pending"], [2, "pending"], [3, "pending"]]));

    let place = json!({ "browser_name": "chromium", "viewport_width": 1920, "viewport_height": 1080 });
    let started = world.post(&format!("/test-runs/{run_id}/start"), &place, 200).await?;
    assert_eq!(started["status"], "running");
    assert_eq!(started["message"], "Test run started with 3 test cases");
    let items = rows(&added)?.iter().zip(cases).map(|(item, case)| Ok((id(&item["id"])?, *case)));
    Ok(Run { id: run_id, items: items.collect::<anyhow::Result<_>>()? })
}

/// Step 6 as in the specification's example, which states its counts.
async fn report_login(world: &World, run: &Run) -> anyhow::Result<()> {
    let body = run.result_with(
        0,
        "passed",
        json!({
            "started_at": "2026-01-17T10:05:05Z", "completed_at": "2026-01-17T10:07:30Z", "duration_ms": 145_000,
            "total_steps": 15, "passed_steps": 15, "failed_steps": 0, "skipped_steps": 0, "pass_rate": 100.00,
            "total_checkpoints": 5, "passed_checkpoints": 5, "failed_checkpoints": 0, "checkpoint_pass_rate": 100.00,
            "environment_info": { "browser_name": "chromium", "os_name": "macOS" },
        }),
    )?;
    let result = world.submit(&body).await?;
    assert_eq!(pick(&result, ["retry_attempt", "pass_rate", "checkpoint_pass_rate"]), json!([0, 100.0, 100.0]));
    Ok(())
}

/// Step 10: the run's statistics follow, while it runs.
async fn counted_while_running(world: &World, run: &Run) -> anyhow::Result<()> {
    until("the first result to be counted", PATIENCE, || async {
        let run = world.get(&format!("/test-runs/{}", run.id)).await?;
        assert_eq!(run["status"], "running");
        let is_counted = pick(&run, ["passed_tests", "total_tests", "pass_rate"]) == json!([1, 3, 33.33]);
        Ok(is_counted.then_some(()))
    })
    .await
}

/// Steps 6 to 9: a result whose steps, checkpoints and logs come later, and make its counts.
async fn report_search(world: &World, run: &Run) -> anyhow::Result<()> {
    let error = "Element not found: #search-results";
    let body = run.result_with(1, "failed", json!({ "duration_ms": 200_000, "error_message": error }))?;
    let result = id(&world.submit(&body).await?["id"])?;
    let step = |number: u32, status: &str| json!({ "step_number": number, "action": "click", "status": status });
    let steps = [(1, "passed"), (2, "passed"), (3, "passed"), (4, "passed"), (5, "failed")].map(|(n, s)| step(n, s));
    let path = format!("/test-run-results/{result}");
    let added = world.post(&format!("{path}/steps/bulk"), &json!({ "steps": steps }), 201).await?;
    assert_eq!(added["total_added"], 5);
    let checkpoint = json!({
        "checkpoint_name": "Results are shown", "checkpoint_type": "element", "status": "failed", "step_number": 5,
    });
    world.post(&format!("{path}/checkpoints"), &checkpoint, 201).await?;
    let log = json!({ "log_level": "error", "message": "404", "timestamp": "2026-01-17T10:08:00Z" });
    let logs = world.post(&format!("{path}/console-logs/bulk"), &json!({ "logs": [log] }), 201).await?;
    assert_eq!(logs["total_added"], 1);

    let stored = world.get(&path).await?;
    assert_eq!(pick(&stored, ["total_steps", "passed_steps", "failed_steps", "pass_rate"]), json!([5, 4, 1, 80.0]));
    let checkpoints = ["total_checkpoints", "failed_checkpoints", "checkpoint_pass_rate"];
    assert_eq!(pick(&stored, checkpoints), json!([1, 1, 0.0]));
    Ok(())
}

async fn summary(world: &World, run: &Run) -> anyhow::Result<()> {
    let summary = world.get(&format!("/test-runs/{}/summary", run.id)).await?;
    assert_eq!(summary["status"], "completed");
    assert_eq!(
        summary["summary"],
        json!({
            "total_tests": 3, "passed_tests": 2, "failed_tests": 1, "skipped_tests": 0, "no_run_tests": 0,
            "pass_rate": 66.67, "total_steps": 20, "passed_steps": 19, "failed_steps": 1,
            "total_checkpoints": 6, "passed_checkpoints": 5, "failed_checkpoints": 1,
        })
    );
    assert_eq!(
        pick(&summary["items"][1], ["test_case_name", "status", "pass_rate", "duration_ms", "error_message"]),
        json!(["Search", "failed", 80.0, 200_000, "Element not found: #search-results"])
    );
    assert_eq!(world.get(&format!("/test-runs/{}/results", run.id)).await?["total"], 3);
    Ok(())
}

async fn history(world: &World, test_case: Uuid, run: &Run) -> anyhow::Result<()> {
    let history = world.get(&format!("/test-cases/{test_case}/history?limit=10")).await?;
    assert_eq!(pick(&history, ["test_case_name", "total"]), json!(["Search", 1]));
    assert_eq!(
        pick(&history["history"][0], ["test_run_id", "run_name", "status", "pass_rate", "is_scheduled"]),
        json!([run.id, "Smoke Test Run", "failed", 80.0, false])
    );
    assert_eq!(
        history["statistics"],
        json!({
            "total_executions": 1, "passed": 0, "failed": 1, "skipped": 0, "overall_pass_rate": 0.0,
            "avg_duration_ms": 200_000,
        })
    );
    Ok(())
}

async fn nothing_leads_out(world: &World, run: &Run) -> anyhow::Result<()> {
    for verb in ["start", "stop", "cancel"] {
        let refused = world.post(&format!("/test-runs/{}/{verb}", run.id), &json!({}), 422).await?;
        assert_eq!(refused["detail"], format!("Cannot {verb} test run: status is 'completed'"));
    }
    world.post("/test-run-results", &run.result_with(0, "failed", json!({ "retry_attempt": 7 }))?, 422).await?;
    assert_eq!(world.get(&format!("/test-runs/{}/results", run.id)).await?["total"], 3);
    Ok(())
}
