//! A deleted run is gone from every endpoint at once, whatever it was doing.

use serde_json::json;

use crate::app::{App, column, none_wrong};
use crate::document::operations;
use crate::world::World;

#[tokio::test]
async fn a_deleted_run_its_items_and_its_results_are_nowhere() -> anyhow::Result<()> {
    let app = App::start().await?;
    let world = World::new(&app.client).await?;
    app.settle().await?;
    for run in ["$waiting", "$running"] {
        app.delete(&world.fill(&format!("/api/v1/test-runs/{run}"))).await?.expect(204)?;
    }
    app.settle().await?;
    let before = app.contents().await?;
    let mut wrong = Vec::new();
    let mut count = 0;
    for operation in operations() {
        let of_runs = ["run_id", "item_id", "result_id"];
        let Some(parameter) = operation.parameters.first().filter(|name| of_runs.contains(&name.as_str())) else {
            continue;
        };
        count += 1;
        let what = match parameter.as_str() {
            "run_id" => "Test run",
            "item_id" => "Test run item",
            _ => "Test run result",
        };
        let detail = format!("{what} not found: {}", operation.parameter(&world, parameter));
        let answer = app.send(&operation.method, &operation.path_in(&world), operation.body_in(&world)).await?;
        wrong.extend(answer.not_detail(404, &detail).map(|what| format!("{}: {what}", operation.name())));
    }
    let late = json!({"test_run_id": world.fill("$running"), "test_run_item_id": world.fill("$open_item"), "status": "passed"});
    let answer = app.send("POST", "/api/v1/test-run-results", late.to_string()).await?;
    wrong.extend((answer.status != 404).then(|| format!("a late result: {} {}", answer.status, answer.text())));
    none_wrong(&wrong);
    assert!(count > 25, "only {count} operations");
    assert_eq!(app.contents().await?, before);
    let list = app.client.get("/api/v1/test-runs").await?.expect(200)?;
    assert_eq!((&list["total"], column(&list, "id").len()), (&json!(0), 0));
    Ok(())
}

#[tokio::test]
async fn deleting_a_run_that_has_not_ended_cancels_it_and_frees_its_test_cases() -> anyhow::Result<()> {
    let app = App::start().await?;
    let world = World::new(&app.client).await?;
    let case = world.fill("/api/v1/test-cases/$open_case");
    app.delete(&case).await?.expect(422)?;
    app.delete(&world.fill("/api/v1/test-runs/$running")).await?.expect(204)?;
    let row: (String, bool, i32) =
        sqlx::query_as("SELECT status, deleted_at IS NOT NULL, skipped_tests FROM test_runs WHERE id = $1::uuid")
            .bind(world.fill("$running"))
            .fetch_one(&app.db.pool)
            .await?;
    assert_eq!(row, ("cancelled".to_owned(), true, 1), "the row is purged later");
    let ends: i64 =
        sqlx::query_scalar("SELECT count(*) FROM events WHERE type = 'run.cancelled'").fetch_one(&app.db.pool).await?;
    assert_eq!(ends, 1);
    app.delete(&case).await?.expect(204)?;
    let next = app.client.post("/api/v1/test-runs", &json!({})).await?.expect(201)?;
    assert_eq!(next["run_number"], 3, "numbers are not given twice");
    Ok(())
}
