//! `/test-run-results/{result_id}/checkpoints`

use serde_json::json;

use crate::app::{App, none_wrong};
use crate::world::{id, running, submit};

#[tokio::test]
async fn a_checkpoint_belongs_to_its_result_or_to_one_of_its_steps_and_counts() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = running(&app.client, &json!({}), 2).await?;
    let steps = json!([{"step_number": 4, "action": "click", "status": "passed"}]);
    let result = submit(&app.client, &run, 0, &json!({"status": "passed", "steps": steps})).await?;
    let other = submit(&app.client, &run, 1, &json!({"status": "passed", "steps": steps})).await?;
    let step_of = async |result: &serde_json::Value| -> anyhow::Result<String> {
        let id = uuid::Uuid::parse_str(&id(&result["id"])?)?;
        let step: uuid::Uuid = sqlx::query_scalar("SELECT id FROM test_step_results WHERE test_run_result_id = $1")
            .bind(id)
            .fetch_one(&app.db.pool)
            .await?;
        Ok(step.to_string())
    };
    let (step, foreign) = (step_of(&result).await?, step_of(&other).await?);
    let result_path = format!("/api/v1/test-run-results/{}", id(&result["id"])?);
    let path = format!("{result_path}/checkpoints");
    let body = |field: &str, value: &serde_json::Value| json!({"checkpoint_name": "Title", "checkpoint_type": "element", "status": "failed", field: value});
    let by_number = app.client.post(&path, &body("step_number", &json!(4))).await?.expect(201)?;
    assert_eq!(by_number["test_step_result_id"], step);
    let by_id = app.client.post(&path, &body("test_step_result_id", &json!(step))).await?.expect(201)?;
    assert_eq!(by_id["test_step_result_id"], step);
    let alone = app.client.post(&path, &body("selector", &json!("h1"))).await?.expect(201)?;
    assert_eq!((&alone["test_step_result_id"], &alone["test_run_result_id"]), (&json!(null), &result["id"]));
    let share = app.client.post(&path, &body("diff_percentage", &json!(0.125))).await?.expect(201)?;
    let stored: rust_decimal::Decimal =
        sqlx::query_scalar("SELECT max(diff_percentage) FROM checkpoint_results").fetch_one(&app.db.pool).await?;
    assert_eq!((&share["diff_percentage"], stored.to_string()), (&json!(0.13), "0.13".to_owned()));

    let read = app.client.get(&result_path).await?.expect(200)?;
    assert_eq!((&read["total_checkpoints"], &read["failed_checkpoints"]), (&json!(4), &json!(4)));

    let before = app.contents().await?;
    let mut wrong = Vec::new();
    let answer = app.send("POST", &path, body("test_step_result_id", &json!(foreign)).to_string()).await?;
    wrong.extend(answer.not_invalid(&["test_step_result_id"]));
    let answer = app.send("POST", &path, body("step_number", &json!(5)).to_string()).await?;
    wrong.extend(answer.not_invalid(&["step_number"]));
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn a_checkpoint_may_come_after_its_run_has_ended() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = running(&app.client, &json!({}), 1).await?;
    let result = submit(&app.client, &run, 0, &json!({"status": "passed"})).await?;
    app.settle().await?;
    let path = format!("/api/v1/test-run-results/{}/checkpoints", id(&result["id"])?);
    let body = json!({"checkpoint_name": "Late", "checkpoint_type": "download", "status": "passed"});
    app.client.post(&path, &body).await?.expect(201)?;
    app.settle().await?;
    let summary = app.client.get(&format!("{}/summary", run.path())).await?.expect(200)?;
    assert_eq!((&summary["status"], &summary["summary"]["total_checkpoints"]), (&json!("completed"), &json!(1)));
    Ok(())
}
