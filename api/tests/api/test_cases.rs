//! `/test-cases`

use serde_json::{Value, json};

use crate::app::{App, has, none_wrong};
use crate::world::{id, running, submit};

const CASES: &str = "/api/v1/test-cases";

#[tokio::test]
async fn a_test_case_has_defaults_and_reads_as_it_was_answered() -> anyhow::Result<()> {
    let app = App::start().await?;
    let case = app.client.post(CASES, &json!({"name": "Login", "project_id": "x", "id": 7})).await?.expect(201)?;
    let expected = json!({
        "name": "Login", "suite_path": [], "external_key": null, "description": null, "tags": [], "has_recording": true,
        "project_id": app.tenant.project_id,
    });
    has(&case, &expected);
    assert_eq!(app.client.get(&format!("{CASES}/{}", id(&case["id"])?)).await?.expect(200)?, case);
    Ok(())
}

#[tokio::test]
async fn an_external_key_is_taken_once_in_a_project() -> anyhow::Result<()> {
    let app = App::start().await?;
    let other = app.db.tenant("Other").await?;
    let body = json!({"name": "Login", "external_key": "login"});
    app.client.post(CASES, &body).await?.expect(201)?;
    app.client.with_token(Some(&other.token)).post(CASES, &body).await?.expect(201)?;
    let before = app.contents().await?;
    let again = app.send("POST", CASES, body.to_string()).await?;
    none_wrong(&Vec::from_iter(again.not_detail(409, "A test case with the external key 'login' exists already")));
    assert_eq!(app.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn a_bulk_request_creates_what_is_new_and_updates_what_is_known() -> anyhow::Result<()> {
    let app = App::start().await?;
    let known = app.client.post(CASES, &json!({"name": "Old", "external_key": "b"})).await?.expect(201)?;
    let body = json!({"test_cases": [
        {"name": "First", "external_key": "a", "suite_path": ["ROOT"], "tags": ["t"]},
        {"name": "New", "external_key": "b", "has_recording": false},
    ]});
    let done = app.client.post(&format!("{CASES}/bulk"), &body).await?.expect(200)?;
    assert_eq!((&done["total_created"], &done["total_updated"]), (&json!(1), &json!(1)));
    assert_eq!((&done["items"][0]["name"], &done["items"][1]["id"]), (&json!("First"), &known["id"]));
    let read = app.client.get(&format!("{CASES}/{}", id(&known["id"])?)).await?.expect(200)?;
    assert_eq!(read, done["items"][1]);
    assert_eq!((&read["name"], &read["has_recording"]), (&json!("New"), &json!(false)));
    Ok(())
}

#[tokio::test]
async fn a_bulk_request_names_each_missing_and_each_doubled_key_and_writes_nothing() -> anyhow::Result<()> {
    let app = App::start().await?;
    let body = json!({"test_cases": [
        {"name": "A", "external_key": "a"}, {"name": "B"}, {"name": "C", "external_key": "a"}, {"name": "D", "external_key": "d"},
    ]});
    let before = app.contents().await?;
    let refused = app.send("POST", &format!("{CASES}/bulk"), body.to_string()).await?;
    none_wrong(&Vec::from_iter(refused.not_invalid(&["test_cases[1].external_key", "test_cases[2].external_key"])));
    assert_eq!(app.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn a_list_is_narrowed_by_each_filter() -> anyhow::Result<()> {
    let app = App::start().await?;
    let body = json!({"test_cases": [
        {"name": "Sign_in", "external_key": "1", "suite_path": ["ROOT", "Auth"], "tags": ["smoke", "fast"]},
        {"name": "Sign out", "external_key": "2", "suite_path": ["ROOT", "Auth", "Deep"], "tags": ["smoke"]},
        {"name": "Search", "external_key": "3%", "suite_path": ["ROOT"]},
    ]});
    app.client.post(&format!("{CASES}/bulk"), &body).await?.expect(200)?;
    let filters: &[(&str, &[&str])] = &[
        ("", &["Search", "Sign out", "Sign_in"]),
        ("suite_path=ROOT,Auth", &["Sign out", "Sign_in"]),
        ("tags=smoke,fast", &["Sign_in"]),
        ("search=SIGN", &["Sign out", "Sign_in"]),
        ("search=sign_", &["Sign_in"]),
        ("external_key=3%25", &["Search"]),
        ("external_key=%25", &[]),
        ("search=sign&tags=fast&suite_path=ROOT&external_key=1", &["Sign_in"]),
    ];
    let mut wrong = Vec::new();
    for (query, expected) in filters {
        let list = app.client.get(&format!("{CASES}?{query}")).await?.expect(200)?;
        let mut names: Vec<_> =
            list["items"].as_array().into_iter().flatten().filter_map(|case| case["name"].as_str()).collect();
        names.sort_unstable();
        if names != *expected || list["total"] != json!(expected.len()) {
            wrong.push(format!("{query}: {names:?} of {} instead of {expected:?}", list["total"]));
        }
    }
    none_wrong(&wrong);
    Ok(())
}

#[tokio::test]
async fn a_case_that_never_ran_has_an_empty_history() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = running(&app.client, &json!({}), 2).await?;
    submit(&app.client, &run, 0, &json!({"status": "skipped", "duration_ms": 7})).await?;
    let history = async |case: &str| -> anyhow::Result<Value> {
        app.client.get(&format!("{CASES}/{case}/history")).await?.expect(200)
    };
    let never = history(&run.cases[1]).await?;
    assert_eq!((&never["history"], &never["total"], &never["limit"]), (&json!([]), &json!(0), &json!(20)));
    let statistics = json!({
        "total_executions": 0, "passed": 0, "failed": 0, "skipped": 0, "overall_pass_rate": 0.0, "avg_duration_ms": 0,
    });
    assert_eq!(never["statistics"], statistics);
    let once = history(&run.cases[0]).await?;
    assert_eq!(
        (&once["total"], &once["statistics"]["skipped"], &once["statistics"]["avg_duration_ms"]),
        (&json!(1), &json!(1), &json!(7))
    );
    Ok(())
}
