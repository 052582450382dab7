//! `/test-run-results/{result_id}/steps`

use serde_json::{Value, json};

use crate::app::{App, column, has, none_wrong};
use crate::world::{Run, id, running, submit};

async fn result(app: &App, fields: &Value) -> anyhow::Result<(Run, String)> {
    let run = running(&app.client, &json!({}), 1).await?;
    let result = submit(&app.client, &run, 0, fields).await?;
    let path = format!("/api/v1/test-run-results/{}", id(&result["id"])?);
    Ok((run, path))
}

#[tokio::test]
async fn steps_that_come_later_count_for_the_result_and_its_item() -> anyhow::Result<()> {
    let app = App::start().await?;
    let (run, path) = result(&app, &json!({"status": "passed"})).await?;
    let steps = json!({"steps": [
        {"step_number": 2, "action": "click", "status": "failed", "started_at": "2026-01-17T10:05:05.123456789Z"},
        {"step_number": 1, "action": "open", "status": "passed"},
        {"step_number": 3, "action": "wait", "status": "passed", "id": "00000000-0000-0000-0000-000000000001"},
    ]});
    let added = app.client.post(&format!("{path}/steps/bulk"), &steps).await?.expect(201)?;
    assert_eq!(added["total_added"], 3);
    let numbers: Vec<_> = added["items"].as_array().into_iter().flatten().map(|step| &step["step_number"]).collect();
    assert_eq!(numbers, [2, 1, 3], "in the order of the request");
    assert_eq!(added["items"][0]["started_at"], "2026-01-17T10:05:05.123456Z", "as PostgreSQL stores it");

    let read = app.client.get(&path).await?.expect(200)?;
    assert_eq!(
        (&read["total_steps"], &read["failed_steps"], &read["pass_rate"]),
        (&json!(3), &json!(1), &json!(66.67))
    );
    let items = app.client.get(&format!("{}/items", run.path())).await?.expect(200)?;
    assert_eq!((&items["items"][0]["total_steps"], &items["items"][0]["passed_steps"]), (&json!(3), &json!(2)));
    Ok(())
}

#[tokio::test]
async fn counts_that_the_client_stated_stay_and_the_others_follow() -> anyhow::Result<()> {
    let app = App::start().await?;
    let (_, path) = result(&app, &json!({"status": "passed", "total_steps": 15, "passed_steps": 14})).await?;
    let steps = json!({"steps": [{"step_number": 1, "action": "click", "status": "failed"}]});
    app.client.post(&format!("{path}/steps/bulk"), &steps).await?.expect(201)?;
    let read = app.client.get(&path).await?.expect(200)?;
    assert_eq!(
        (&read["total_steps"], &read["failed_steps"], &read["pass_rate"]),
        (&json!(15), &json!(1), &json!(93.33))
    );
    Ok(())
}

#[tokio::test]
async fn a_step_number_is_taken_once() -> anyhow::Result<()> {
    let app = App::start().await?;
    let (_, path) = result(&app, &json!({"status": "passed"})).await?;
    let path = format!("{path}/steps/bulk");
    let step = |number: i32| json!({"step_number": number, "action": "click", "status": "passed"});
    app.client.post(&path, &json!({"steps": [step(1)]})).await?.expect(201)?;
    let before = app.contents().await?;
    let mut wrong = Vec::new();
    let again = app.send("POST", &path, json!({"steps": [step(2), step(1)]}).to_string()).await?;
    wrong.extend(again.not_detail(409, "A step with this number already exists in this result"));
    let doubled = app.send("POST", &path, json!({"steps": [step(2), step(3), step(2)]}).to_string()).await?;
    wrong.extend(doubled.not_invalid(&["steps[2].step_number"]));
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn a_bulk_body_may_be_larger_than_a_megabyte() -> anyhow::Result<()> {
    let app = App::start().await?;
    let (_, path) = result(&app, &json!({"status": "passed"})).await?;
    let html = "x".repeat(900_000);
    let steps: Vec<Value> = (1..=3)
        .map(|number| json!({"step_number": number, "action": "click", "status": "passed", "element_html": html}))
        .collect();
    let added = app.client.post(&format!("{path}/steps/bulk"), &json!({"steps": steps})).await?.expect(201)?;
    assert_eq!(added["total_added"], 3);
    Ok(())
}

#[tokio::test]
async fn a_step_is_found_by_its_number() -> anyhow::Result<()> {
    let app = App::start().await?;
    let (_, path) = result(&app, &json!({"status": "passed"})).await?;
    let full = json!({
        "step_number": 7, "action": "fill", "description": "Type é", "status": "failed",
        "started_at": "2026-01-17T10:00:00Z", "completed_at": "2026-01-17T10:00:01Z", "duration_ms": 1000,
        "selector": "#name", "element_html": "<input>", "input_value": "Ada", "screenshot_path": "/a.png",
        "screenshot_url": "https://example.com/a.png", "error_message": "no", "error_stack_trace": "at x",
        "playwright_code": "page.fill()", "window_id": "w", "window_title": "t",
    });
    let added = app.client.post(&format!("{path}/steps"), &full).await?.expect(201)?;
    has(&added, &full);
    assert_eq!(app.client.get(&format!("{path}/steps/7")).await?.expect(200)?, added);
    let earlier = json!({"step_number": 2, "action": "open", "status": "passed"});
    app.client.post(&format!("{path}/steps"), &earlier).await?.expect(201)?;
    let list = app.client.get(&format!("{path}/steps")).await?.expect(200)?;
    assert_eq!((column(&list, "step_number"), &list["items"][1]), (vec![&json!(2), &json!(7)], &added));
    let mut wrong = Vec::new();
    for number in ["1", "8", "2147483647"] {
        let answer = app.send("GET", &format!("{path}/steps/{number}"), "").await?;
        wrong.extend((answer.status != 404).then(|| format!("{number}: {} {}", answer.status, answer.text())));
    }
    for number in ["seven", "2147483648", "7.0", "%37x"] {
        let answer = app.send("GET", &format!("{path}/steps/{number}"), "").await?;
        wrong.extend(answer.not_invalid(&["step_number"]).map(|what| format!("{number}: {what}")));
    }
    none_wrong(&wrong);
    Ok(())
}
