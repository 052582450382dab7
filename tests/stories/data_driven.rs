//! The specification's third workflow: one test, many rows of data.

use serde_json::{Value, json};

use crate::world::{Run, World, pick};

const STATE: [&str; 5] = ["status", "total_iterations", "passed_iterations", "failed_iterations", "display_status"];

#[tokio::test(flavor = "multi_thread")]
async fn an_item_is_final_with_its_last_iteration_and_fails_with_any() -> anyhow::Result<()> {
    let world = World::start().await?;
    let _worker = world.worker().await?;
    let cases = world.test_cases(&["ROOT"], &["Login per user", "Search per word", "Plain"]).await?;
    let run = world.started_run(&json!({ "run_name": "Data" }), &cases).await?;

    world.submit(&run.result(2, "passed")).await?;
    // In no order, the number of iterations told with the second that comes.
    world.submit(&iteration(&run, 0, 3, "passed")?).await?;
    assert_eq!(pick(&world.item(&run, 0).await?, ["status", "is_data_driven"]), json!(["running", true]));
    let mut told = iteration(&run, 0, 1, "passed")?;
    told["total_iterations"] = json!(3);
    let stored = world.submit(&told).await?;
    assert_eq!(stored["data_row_values"], json!({ "user": "user 1", "password": "********" }));
    assert_eq!(pick(&world.item(&run, 0).await?, STATE), json!(["running", 3, 2, 0, "Running (2/3)"]));
    told["retry_attempt"] = json!(0);
    world.post("/test-run-results", &told, 409).await?;
    world.post("/test-run-results", &run.result(0, "passed"), 400).await?;
    world.submit(&iteration(&run, 0, 2, "failed")?).await?;
    assert_eq!(pick(&world.item(&run, 0).await?, STATE), json!(["failed", 3, 2, 1, "Fail (2/3)"]));

    for number in 1..=3 {
        let mut body = iteration(&run, 1, number, "passed")?;
        body["total_iterations"] = json!(3);
        world.submit(&body).await?;
    }
    assert_eq!(pick(&world.item(&run, 1).await?, STATE), json!(["passed", 3, 3, 0, "Pass (3/3)"]));

    let ended = world.completed(run.id).await?;
    assert_eq!(pick(&ended, ["total_tests", "passed_tests", "failed_tests", "pass_rate"]), json!([3, 2, 1, 66.67]));
    let sums = ["total_steps", "passed_steps", "failed_steps", "duration_ms", "error_message"];
    assert_eq!(pick(&world.item(&run, 0).await?, sums), json!([6, 5, 1, 300, "user 2 cannot log in"]));
    assert_eq!(world.get(&format!("/test-runs/{}/results", run.id)).await?["total"], 7);
    let history = world.get(&format!("/test-cases/{}/history", cases[0])).await?;
    assert_eq!(history["total"], 1, "one entry for the item, not one for each iteration");
    assert_eq!(pick(&history["history"][0], ["status", "total_steps", "duration_ms"]), json!(["failed", 6, 300]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_iteration_is_retried_like_any_other_result() -> anyhow::Result<()> {
    let world = World::start().await?;
    let _worker = world.worker().await?;
    let cases = world.test_cases(&["ROOT"], &["Login per user"]).await?;
    let run = world.started_run(&json!({ "retry_on_failure": true, "retry_count": 1 }), &cases).await?;

    let mut first = iteration(&run, 0, 1, "failed")?;
    first["total_iterations"] = json!(2);
    world.submit(&first).await?;
    world.submit(&iteration(&run, 0, 2, "passed")?).await?;
    assert_eq!(pick(&world.item(&run, 0).await?, STATE), json!(["running", 2, 1, 0, "Running (1/2)"]));
    let retried = world.submit(&iteration(&run, 0, 1, "passed")?).await?;
    assert_eq!(pick(&retried, ["iteration_number", "retry_attempt"]), json!([1, 1]));
    assert_eq!(pick(&world.item(&run, 0).await?, STATE), json!(["passed", 2, 2, 0, "Pass (2/2)"]));
    assert_eq!(world.completed(run.id).await?["passed_tests"], 1);
    Ok(())
}

/// Two steps, the second of which fails where the iteration does.
fn iteration(run: &Run, item: usize, number: u32, status: &str) -> anyhow::Result<Value> {
    let error = (status == "failed").then(|| format!("user {number} cannot log in"));
    run.result_with(
        item,
        status,
        json!({
            "iteration_number": number, "data_row_index": number - 1, "duration_ms": 100, "error_message": error,
            "data_row_values": { "user": format!("user {number}"), "password": "hunter2" },
            "steps": [
                { "step_number": 1, "action": "navigate", "status": "passed" },
                { "step_number": 2, "action": "click", "status": status },
            ],
        }),
    )
}
