//! `/test-runs/{run_id}/items`

use serde_json::{Value, json};

use crate::app::{App, column, has, none_wrong};
use crate::world::{self, Run, id, pending, running};

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

/// What a run's items are now, in order.
async fn order(app: &App, run: &Run) -> anyhow::Result<Vec<String>> {
    let list = app.client.get(&format!("{}/items", run.path())).await?.expect(200)?;
    let places = column(&list, "execution_order");
    assert_eq!(json!(places), json!((1..=places.len()).collect::<Vec<_>>()), "1 to n without holes");
    column(&list, "id").into_iter().map(id).collect()
}

#[tokio::test]
async fn an_item_is_read_in_its_own_run_only() -> anyhow::Result<()> {
    let app = App::start().await?;
    let (run, other) = (pending(&app.client, &json!({}), 2).await?, pending(&app.client, &json!({}), 1).await?);
    let list = app.client.get(&format!("{}/items", run.path())).await?.expect(200)?;
    let item = app.client.get(&format!("{}/items/{}", run.path(), run.items[1])).await?.expect(200)?;
    assert_eq!(item, list["items"][1]);
    let path = format!("{}/items/{}", run.path(), other.items[0]);
    let detail = format!("Test run item not found: {}", other.items[0]);
    for (method, body) in [("GET", ""), ("PUT", r#"{"status": "skipped"}"#), ("DELETE", "")] {
        assert_eq!(app.not_refused((method, &path, body), (404, &detail)).await?, None);
    }
    Ok(())
}

#[tokio::test]
async fn a_client_may_skip_an_item_or_say_that_it_has_no_recording() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = running(&app.client, &json!({}), 3).await?;
    let item = |index: usize| format!("{}/items/{}", run.path(), run.items[index]);
    let skipped = app.put(&item(0), &json!({"status": "skipped", "error_message": "Not today"})).await?.expect(200)?;
    has(&skipped, &json!({"status": "skipped", "display_status": "Skipped", "error_message": "Not today"}));
    let no_run = app.put(&item(1), &json!({"status": "no_run"})).await?.expect(200)?;
    has(&no_run, &json!({"status": "no_run", "display_status": "No run"}));
    assert_eq!(app.client.get(&item(1)).await?.expect(200)?, no_run);
    let mut wrong = Vec::new();
    for status in ["passed", "failed", "running", "queued"] {
        let before = app.contents().await?;
        let answer = app.send("PUT", &item(2), json!({"status": status}).to_string()).await?;
        wrong.extend(answer.not_invalid(&["status"]));
        wrong.extend((app.contents().await? != before).then(|| format!("{status}: something changed")));
    }
    none_wrong(&wrong);
    app.settle().await?;
    assert_eq!(app.client.get(&run.path()).await?.expect(200)?["status"], "running");
    app.put(&item(2), &json!({"status": "skipped"})).await?.expect(200)?;
    app.settle().await?;
    let ended =
        json!({"status": "completed", "skipped_tests": 2, "no_run_tests": 1, "passed_tests": 0, "pass_rate": 0.0});
    has(&app.client.get(&run.path()).await?.expect(200)?, &ended);
    Ok(())
}

#[tokio::test]
async fn moving_and_removing_keep_the_places_from_one_to_n() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = pending(&app.client, &json!({}), 5).await?;
    let ids = |places: &[usize]| places.iter().map(|place| run.items[place - 1].clone()).collect::<Vec<_>>();
    let item = |place: usize| format!("{}/items/{}", run.path(), run.items[place - 1]);
    for (which, place, expected) in
        [(4, 1, [4, 1, 2, 3, 5]), (4, 5, [1, 2, 3, 5, 4]), (3, 3, [1, 2, 3, 5, 4]), (2, 4, [1, 3, 5, 2, 4])]
    {
        let moved = app.put(&item(which), &json!({"execution_order": place})).await?.expect(200)?;
        assert_eq!(moved["execution_order"], place);
        assert_eq!(order(&app, &run).await?, ids(&expected), "{which} to {place}");
    }
    let before = app.contents().await?;
    for place in [0, 6, -1] {
        let answer = app.send("PUT", &item(1), json!({"execution_order": place}).to_string()).await?;
        assert_eq!(answer.not_invalid(&["execution_order"]), None, "{place}");
    }
    assert_eq!(app.contents().await?, before);
    app.delete(&item(3)).await?.expect(204)?;
    app.delete(&item(3)).await?.expect(404)?;
    assert_eq!(order(&app, &run).await?, ids(&[1, 5, 2, 4]));
    app.settle().await?;
    assert_eq!(app.client.get(&run.path()).await?.expect(200)?["total_tests"], 4);
    Ok(())
}

#[tokio::test]
async fn a_new_order_holds_every_item_exactly_once() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = pending(&app.client, &json!({}), 3).await?;
    let foreign = pending(&app.client, &json!({}), 1).await?.items.remove(0);
    let [a, b, c] = [0, 1, 2].map(|index| run.items[index].as_str());
    let path = format!("{}/items/reorder", run.path());
    let reordered = app.client.post(&path, &json!({"item_ids": [c, a, b]})).await?.expect(200)?;
    assert_eq!((&reordered["total"], json!(column(&reordered, "id"))), (&json!(3), json!([c, a, b])));
    assert_eq!(order(&app, &run).await?, [c, a, b]);
    let before = app.contents().await?;
    let mut wrong = Vec::new();
    for (item_ids, fields) in [
        (json!([a, b]), &["item_ids"][..]),
        (json!([]), &["item_ids"]),
        (json!([a, b, c, a]), &["item_ids[3]"]),
        (json!([a, a, b]), &["item_ids[1]"]),
        (json!([a, b, c, foreign]), &["item_ids[3]"]),
        (json!([a, foreign, uuid::Uuid::new_v4()]), &["item_ids[1]", "item_ids[2]"]),
        (json!([a, b, "x"]), &["item_ids[2]"]),
        (json!(null), &["item_ids"]),
    ] {
        let answer = app.send("POST", &path, json!({"item_ids": item_ids}).to_string()).await?;
        wrong.extend(answer.not_invalid(fields).map(|what| format!("{item_ids}: {what}")));
    }
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn orders_that_are_set_at_once_leave_one_of_them() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = pending(&app.client, &json!({}), 6).await?;
    let path = format!("{}/items/reorder", run.path());
    let mut reordering = tokio::task::JoinSet::new();
    let mut orders = Vec::new();
    for turn in 0..12 {
        let mut item_ids = run.items.clone();
        item_ids.rotate_left(turn % 6);
        if turn % 2 == 1 {
            item_ids.reverse();
        }
        let (client, path, body) = (app.client.clone(), path.clone(), json!({"item_ids": item_ids}));
        reordering.spawn(async move { client.post(&path, &body).await?.expect(200) });
        orders.push(item_ids);
    }
    while let Some(answer) = reordering.join_next().await {
        answer??;
    }
    assert!(orders.contains(&order(&app, &run).await?));
    Ok(())
}
