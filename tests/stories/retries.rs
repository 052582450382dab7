//! Failed tests are tried again as often as their run says.

use anyhow::Context as _;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{Run, World, pick};

const STATE: [&str; 3] = ["status", "retry_attempt", "max_retries_exhausted"];

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_waits_for_its_retry_and_the_last_attempt_decides() -> anyhow::Result<()> {
    let world = World::start().await?;
    let _worker = world.worker().await?;
    let cases = world.test_cases(&["ROOT"], &["Flaky", "Broken", "Sound", "Left out"]).await?;
    let run = world.started_run(&json!({ "retry_on_failure": true, "retry_count": 2 }), &cases).await?;

    let attempt = world.submit(&failed(&run, 0, "first")?).await?;
    assert_eq!(attempt["retry_attempt"], 0);
    assert_eq!(pick(&world.item(&run, 0).await?, STATE), json!(["running", 0, false]));
    let attempt = world.submit(&run.result_with(0, "passed", json!({ "duration_ms": 7 }))?).await?;
    assert_eq!(attempt["retry_attempt"], 1, "the next free attempt");
    let flaky = world.item(&run, 0).await?;
    assert_eq!(pick(&flaky, STATE), json!(["passed", 1, false]));
    assert_eq!(pick(&flaky, ["error_message", "duration_ms"]), json!([null, 7]), "of the attempt that decided");

    for (number, exhausted) in [(0, false), (1, false), (2, true)] {
        let mut body = failed(&run, 1, &format!("attempt {number}"))?;
        body["retry_attempt"] = json!(number);
        world.submit(&body).await?;
        world.post("/test-run-results", &body, 409).await?;
        let status = if exhausted { "failed" } else { "running" };
        assert_eq!(pick(&world.item(&run, 1).await?, STATE), json!([status, number, exhausted]));
    }
    assert_eq!(world.item(&run, 1).await?["error_message"], "attempt 2");
    let refused = world.post("/test-run-results", &run.result(1, "passed"), 422).await?;
    assert_eq!(refused["detail"], "Cannot submit result: test run item status is 'failed'");

    world.submit(&run.result(2, "passed")).await?;
    assert_eq!(world.get(&format!("/test-runs/{}", run.id)).await?["status"], "running", "one item is left");
    world.submit(&run.result(3, "skipped")).await?;
    let ended = world.completed(run.id).await?;
    let counts = ["total_tests", "passed_tests", "failed_tests", "skipped_tests", "pass_rate"];
    assert_eq!(pick(&ended, counts), json!([4, 2, 1, 1, 50.0]));
    history_has_every_attempt(&world, &cases[..2]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_retry_on_failure_the_first_failure_decides() -> anyhow::Result<()> {
    let world = World::start().await?;
    let _worker = world.worker().await?;
    let cases = world.test_cases(&["ROOT"], &["Broken"]).await?;
    let run = world.started_run(&json!({ "retry_on_failure": false, "retry_count": 2 }), &cases).await?;
    world.submit(&failed(&run, 0, "only")?).await?;
    assert_eq!(pick(&world.item(&run, 0).await?, STATE), json!(["failed", 0, false]));
    assert_eq!(pick(&world.completed(run.id).await?, ["failed_tests", "pass_rate"]), json!([1, 0.0]));
    Ok(())
}

fn failed(run: &Run, item: usize, message: &str) -> anyhow::Result<Value> {
    run.result_with(item, "failed", json!({ "error_message": message, "duration_ms": 5 }))
}

/// Newest first.
async fn history_has_every_attempt(world: &World, cases: &[Uuid]) -> anyhow::Result<()> {
    for (case, attempts) in cases.iter().zip([json!(["passed", "failed"]), json!(["failed", "failed", "failed"])]) {
        let history = world.get(&format!("/test-cases/{case}/history")).await?;
        let entries = history["history"].as_array().context("no history")?;
        assert_eq!(entries.iter().map(|entry| entry["status"].clone()).collect::<Value>(), attempts);
        assert_eq!(history["statistics"]["total_executions"], json!(entries.len()));
    }
    Ok(())
}
