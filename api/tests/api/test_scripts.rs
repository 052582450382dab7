//! `/test-scripts` and what they leave in results

use serde_json::json;

use crate::app::{App, column, has};
use crate::world::{id, running, submit};

const SCRIPTS: &str = "/api/v1/test-scripts";

#[tokio::test]
async fn a_script_has_defaults_and_reads_as_it_was_answered() -> anyhow::Result<()> {
    let app = App::start().await?;
    let bare = app.client.post(SCRIPTS, &json!({"name": "Bare", "script_type": "on_demand"})).await?.expect(201)?;
    has(&bare, &json!({"script_language": null, "body": "", "project_id": app.tenant.project_id}));
    let full = json!({
        "name": "Log in", "script_type": "pre_execution", "script_language": "shell", "body": "#!/bin/sh\nexit 1 # é\r\n",
    });
    let created = app.client.post(SCRIPTS, &full).await?.expect(201)?;
    has(&created, &full);
    assert_eq!(app.client.get(&format!("{SCRIPTS}/{}", id(&created["id"])?)).await?.expect(200)?, created);
    let list = app.client.get(SCRIPTS).await?.expect(200)?;
    assert_eq!(column(&list, "name"), ["Log in", "Bare"], "newest first");
    assert_eq!(list["items"][1], bare);
    Ok(())
}

#[tokio::test]
async fn deleting_a_script_leaves_the_results_that_name_it() -> anyhow::Result<()> {
    let app = App::start().await?;
    let script = app.client.post(SCRIPTS, &json!({"name": "S", "script_type": "on_demand"})).await?.expect(201)?;
    let run = running(&app.client, &json!({}), 1).await?;
    let ran =
        json!([{"script_name": "S", "script_type": "on_demand", "status": "passed", "test_script_id": script["id"]}]);
    let result = submit(&app.client, &run, 0, &json!({"status": "passed", "scripts": ran})).await?;
    let (path, results) =
        (format!("{SCRIPTS}/{}", id(&script["id"])?), format!("/api/v1/test-run-results/{}", id(&result["id"])?));
    let scripts = format!("{results}/scripts");
    let before = app.client.get(&scripts).await?.expect(200)?;
    assert_eq!(column(&before, "test_script_id"), [&script["id"]]);
    app.delete(&path).await?.expect(204)?;
    app.delete(&path).await?.expect(404)?;
    app.client.get(&path).await?.expect(404)?;
    let after = app.client.get(&scripts).await?.expect(200)?;
    assert_eq!(
        (column(&after, "test_script_id"), column(&after, "script_name")),
        (vec![&json!(null)], vec![&json!("S")])
    );
    assert_eq!(app.client.get(&results).await?.expect(200)?["total_on_demand_scripts"], 1);
    Ok(())
}
