//! The example agent, on the stream of a real service: takes the run that a schedule made, executes and reports it.

use std::time::Duration;

use e2e::agent::{Agent, Outcome};
use serde_json::json;

use crate::world::{World, pick};

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_takes_the_runs_that_schedules_make() -> anyhow::Result<()> {
    let world = World::start().await?;
    let (_worker, _scheduler) = tokio::try_join!(world.worker(), world.scheduler())?;
    world.test_cases(&["ROOT", "Agent"], &["Good", "Bad"]).await?;
    // One that waits before the agent comes, and one that comes while it waits.
    world.due_now("Before", json!({"suite_path": ["ROOT"]})).await?;
    world.queued_run("Before").await?;
    let agent = Agent::new(&world.base_url, &world.tenant.token)?;
    let (done, _) = tokio::try_join!(
        agent.work(2, async |name| outcome(name)),
        world.due_now("After", json!({"suite_path": ["ROOT"]})),
    )?;
    assert_eq!(done.len(), 2);
    for run in done {
        let run = world.completed(run).await?;
        let figures = ["total_tests", "passed_tests", "failed_tests"];
        assert_eq!(pick(&run, figures), json!([2, 1, 1]));
    }
    Ok(())
}

fn outcome(name: &str) -> Outcome {
    let (status, error_message) =
        if name == "Good" { ("passed", None) } else { ("failed", Some(format!("{name} failed"))) };
    Outcome { status, error_message, duration: Duration::from_millis(5) }
}
