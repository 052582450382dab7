//! `/test-run-results/{result_id}/scripts`

use serde_json::json;

use crate::app::{App, column, has};
use crate::world::{id, running, submit};

#[tokio::test]
async fn scripts_that_come_later_read_as_answered_and_count_by_their_kind() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = running(&app.client, &json!({}), 1).await?;
    let result = submit(&app.client, &run, 0, &json!({"status": "passed"})).await?;
    let path = format!("/api/v1/test-run-results/{}", id(&result["id"])?);
    let scripts = format!("{path}/scripts");
    let full = json!({
        "test_script_id": null, "script_name": "Seed", "script_type": "pre_execution", "script_language": "python",
        "status": "failed", "exit_code": -1, "duration_ms": 1500, "stdout": "out", "stderr": "err \u{1b}[31m",
        "error_message": "broke", "is_critical": true, "attached_to_step": 2, "executed_at": "2026-01-17T10:05:05.250Z",
    });
    let added = app.client.post(&scripts, &full).await?.expect(201)?;
    has(&added, &full);
    assert_eq!(added["test_run_result_id"], result["id"]);
    for (script_type, status) in
        [("pre_execution", "passed"), ("post_execution", "passed"), ("on_demand", "skipped"), ("on_demand", "failed")]
    {
        let script = json!({"script_name": script_type, "script_type": script_type, "status": status});
        app.client.post(&scripts, &script).await?.expect(201)?;
    }
    let list = app.client.get(&scripts).await?.expect(200)?;
    assert_eq!((&list["items"][0], &list["total"]), (&added, &json!(5)));
    let order = ["Seed", "pre_execution", "post_execution", "on_demand", "on_demand"];
    assert_eq!(column(&list, "script_name"), order, "in the order of their arrival");
    let counts = json!({
        "total_pre_scripts": 2, "passed_pre_scripts": 1, "failed_pre_scripts": 1, "total_post_scripts": 1,
        "passed_post_scripts": 1, "failed_post_scripts": 0, "total_on_demand_scripts": 2,
        "passed_on_demand_scripts": 0, "failed_on_demand_scripts": 1, "status": "passed",
    });
    has(&app.client.get(&path).await?.expect(200)?, &counts);
    Ok(())
}

#[tokio::test]
async fn an_unknown_script_is_refused_and_nothing_is_added() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = running(&app.client, &json!({}), 1).await?;
    let result = submit(&app.client, &run, 0, &json!({"status": "passed"})).await?;
    let path = format!("/api/v1/test-run-results/{}/scripts", id(&result["id"])?);
    let script = json!({"script_name": "S", "script_type": "on_demand", "status": "passed",
        "test_script_id": uuid::Uuid::new_v4()});
    let before = app.contents().await?;
    let refused = app.send("POST", &path, script.to_string()).await?;
    assert_eq!(refused.not_invalid(&["test_script_id"]), None);
    assert_eq!(app.contents().await?, before);
    Ok(())
}
