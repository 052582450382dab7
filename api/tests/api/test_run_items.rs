//! `/test-runs/{run_id}/items`

use serde_json::{Value, json};

use crate::app::{App, none_wrong};
use crate::world::{self, pending, running};

#[tokio::test]
async fn items_are_listed_in_the_order_in_which_they_were_added() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = pending(&app.client, &json!({}), 3).await?;
    let last = world::case(&app.client, "Last").await?;
    let path = format!("{}/items", run.path());
    let item = app.client.post(&path, &json!({"test_case_id": last})).await?.expect(201)?;
    assert_eq!((&item["execution_order"], &item["status"]), (&json!(4), &json!("pending")));
    assert_eq!((&item["test_run_id"], &item["test_case_id"]), (&json!(run.id), &json!(last)));
    assert_eq!(item["display_status"], "Pending");

    let list = app.client.get(&path).await?.expect(200)?;
    let orders: Vec<_> = list["items"].as_array().into_iter().flatten().map(|item| &item["execution_order"]).collect();
    assert_eq!(orders, [1, 2, 3, 4]);
    assert_eq!(list["items"][3], item);
    let page = app.client.get(&format!("{path}?limit=2&offset=1")).await?.expect(200)?;
    let cases: Vec<_> =
        page["items"].as_array().into_iter().flatten().map(|item| item["test_case_id"].as_str()).collect();
    assert_eq!(cases, [Some(run.cases[1].as_str()), Some(run.cases[2].as_str())]);
    assert_eq!(page["total"], 4);
    app.settle().await?;
    assert_eq!(app.client.get(&run.path()).await?.expect(200)?["total_tests"], 4);
    Ok(())
}

#[tokio::test]
async fn a_thousand_test_cases_go_in_at_once() -> anyhow::Result<()> {
    let app = App::start().await?;
    let cases: Vec<Value> =
        (0..1000).map(|n| json!({"name": format!("Case {n}"), "external_key": format!("{n}")})).collect();
    let cases = app.client.post("/api/v1/test-cases/bulk", &json!({"test_cases": cases})).await?.expect(200)?;
    let ids: Vec<_> = cases["items"].as_array().into_iter().flatten().map(|case| case["id"].clone()).collect();
    let run = pending(&app.client, &json!({}), 0).await?;
    let added =
        app.client.post(&format!("{}/items/bulk", run.path()), &json!({"test_case_ids": ids})).await?.expect(201)?;
    assert_eq!(added["total_added"], 1000);
    let order: Vec<_> =
        added["items"].as_array().into_iter().flatten().map(|item| item["test_case_id"].clone()).collect();
    assert_eq!(order, ids);
    Ok(())
}

#[tokio::test]
async fn what_is_in_the_run_already_or_unknown_rejects_the_whole_request() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = pending(&app.client, &json!({}), 2).await?;
    let spare = world::case(&app.client, "Spare").await?;
    let unknown = uuid::Uuid::new_v4();
    let (one, many) = (format!("{}/items", run.path()), format!("{}/items/bulk", run.path()));
    let [first, second] = [&run.cases[0], &run.cases[1]];
    let before = app.contents().await?;
    let mut wrong = Vec::new();
    let answer = app.send("POST", &one, json!({"test_case_id": first}).to_string()).await?;
    wrong.extend(answer.not_detail(409, "Test case already exists in this run"));
    let answer = app.send("POST", &many, json!({"test_case_ids": [first]}).to_string()).await?;
    wrong.extend(answer.not_detail(409, "Test case already exists in this run"));
    let answer = app.send("POST", &many, json!({"test_case_ids": [spare, first, second]}).to_string()).await?;
    wrong.extend(answer.not_detail(409, &format!("Test cases already exist in this run: {first}, {second}")));
    let answer = app.send("POST", &one, json!({"test_case_id": unknown}).to_string()).await?;
    wrong.extend(answer.not_invalid(&["test_case_id"]));
    let answer = app.send("POST", &many, json!({"test_case_ids": [spare, unknown, spare]}).to_string()).await?;
    wrong.extend(answer.not_invalid(&["test_case_ids[1]", "test_case_ids[2]"]));
    assert!(answer.text().contains(&format!("Test case not found: {unknown}")), "{}", answer.text());
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn a_run_that_has_begun_takes_no_more_items() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = running(&app.client, &json!({}), 1).await?;
    let spare = world::case(&app.client, "Spare").await?;
    let before = app.contents().await?;
    let sentence = "Cannot add test run items: test run status is 'running'";
    let mut wrong = Vec::new();
    let one = app.send("POST", &format!("{}/items", run.path()), json!({"test_case_id": spare}).to_string()).await?;
    wrong.extend(one.not_detail(422, sentence));
    let many = json!({"test_case_ids": [spare]}).to_string();
    wrong.extend(app.send("POST", &format!("{}/items/bulk", run.path()), many).await?.not_detail(422, sentence));
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    Ok(())
}
