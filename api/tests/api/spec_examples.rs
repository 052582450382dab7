//! The specification's own examples and models, word for word in `spec/`, sent in order with only the ids replaced.

use serde_json::{Value, json};

use crate::app::{App, Raw, none_wrong};
use crate::shape::{differences, disorder};
use crate::world::{self, id, running, with};

/// A conversation in which the specification's ids stand for real ones.
struct Conversation {
    app: App,
    ids: Vec<(&'static str, String)>,
}

impl Conversation {
    async fn begin() -> anyhow::Result<Self> {
        Ok(Self { app: App::start().await?, ids: Vec::new() })
    }

    fn is(&mut self, example: &'static str, real: String) {
        self.ids.push((example, real));
    }

    fn translate(&self, text: &str) -> String {
        self.ids.iter().fold(text.to_owned(), |text, (example, real)| text.replace(example, real))
    }

    /// Sends an example and returns the answer, which has to be as the specification shows it, in its order.
    async fn say(
        &self,
        (method, path, request): (&str, &str, &str),
        (status, response): (u16, &str),
        undetermined: &[&str],
    ) -> anyhow::Result<Value> {
        let answer = self.say_in_any_order((method, path, request), (status, response), undetermined).await?;
        none_wrong(&disorder(response, &answer.bytes));
        Ok(answer.json())
    }

    async fn say_in_any_order(
        &self,
        (method, path, request): (&str, &str, &str),
        (status, response): (u16, &str),
        undetermined: &[&str],
    ) -> anyhow::Result<Raw> {
        let answer = self.app.send(method, &self.translate(path), self.translate(request)).await?;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        let example: Value = serde_json::from_str(&self.translate(response))?;
        let wrong = differences(&example, &answer.json(), undetermined, &[]);
        assert!(wrong.is_empty(), "{method} {path}: {wrong:#?}\n{}", answer.text());
        Ok(answer)
    }
}

const RUN: &str = "550e8400-e29b-41d4-a716-446655440000";

/// Creates the three test cases, the run and its items as the examples do.
async fn three_tests() -> anyhow::Result<Conversation> {
    let mut talk = Conversation::begin().await?;
    for (example, name) in
        [("tc-uuid-001", "Login Test"), ("tc-uuid-002", "Search Test"), ("tc-uuid-003", "Checkout Test")]
    {
        let case = world::case(&talk.app.client, name).await?;
        talk.is(example, case);
    }
    // The model and this example disagree on which of the two retry fields comes first; the model's order is kept.
    let shown = include_str!("spec/create_test_run.response.json").replace("  \"retry_on_failure\": true,\n", "");
    let shown = shown.replace(RUN, "run-uuid");
    let request = ("POST", "/api/v1/test-runs", include_str!("spec/create_test_run.request.json"));
    let run = talk.say(request, (201, &shown), &[]).await?;
    assert_eq!(run["retry_on_failure"], true);
    assert_eq!(run["project_id"], talk.app.tenant.project_id.to_string());
    assert_eq!(run["created_by"], talk.app.tenant.user_id.to_string());
    talk.is(RUN, id(&run["id"])?);

    let path = format!("/api/v1/test-runs/{RUN}/items/bulk");
    let request = ("POST", path.as_str(), include_str!("spec/add_test_run_items.request.json"));
    let added = talk.say(request, (201, include_str!("spec/add_test_run_items.response.json")), &[]).await?;
    for (index, example) in ["item-uuid-001", "item-uuid-002", "item-uuid-003"].into_iter().enumerate() {
        talk.is(example, id(&added["items"][index]["id"])?);
    }
    Ok(talk)
}

/// The result of the example, for another item: failed with 12 of 15 steps, or passed.
fn other_result(number: &str, fields: &Value) -> String {
    let example = include_str!("spec/create_test_run_result.request.json").replace("uuid-001", number);
    with(serde_json::from_str(&example).expect("the example is JSON"), fields).to_string()
}

#[tokio::test]
async fn a_manual_run_goes_as_the_examples_show() -> anyhow::Result<()> {
    let talk = three_tests().await?;
    let path = format!("/api/v1/test-runs/{RUN}/start");
    let request = ("POST", path.as_str(), include_str!("spec/start_test_run.request.json"));
    let started = talk.say(request, (200, include_str!("spec/start_test_run.response.json")), &[]).await?;
    assert_eq!(started["message"], "Test run started with 3 test cases");

    // The specification shows no response: the answer is the result, so it has what was sent. PostgreSQL does not keep the
    // order of what is in environment_info.
    let submit = "/api/v1/test-run-results";
    let first = include_str!("spec/create_test_run_result.request.json");
    talk.say_in_any_order(("POST", submit, first), (201, first), &[]).await?;
    let failed = json!({
        "status": "failed", "duration_ms": 200_000, "passed_steps": 12, "failed_steps": 3, "pass_rate": 80.00,
        "passed_checkpoints": 4, "failed_checkpoints": 1, "checkpoint_pass_rate": 80.00,
        "error_message": "Element not found: #search-results",
    });
    let failed = other_result("uuid-002", &failed);
    // The run tries failed items once more, and the second failure decides.
    talk.say_in_any_order(("POST", submit, &failed), (201, &failed), &[]).await?;
    let again = talk.say_in_any_order(("POST", submit, &failed), (201, &failed), &[]).await?.json();
    assert_eq!(again["retry_attempt"], 1);
    let third = other_result("uuid-003", &json!({"duration_ms": 285_000}));
    talk.say_in_any_order(("POST", submit, &third), (201, &third), &[]).await?;
    talk.app.settle().await?;

    let path = format!("/api/v1/test-runs/{RUN}/summary");
    let shown = include_str!("spec/test_run_summary.response.json");
    let summary = talk.say(("GET", &path, ""), (200, shown), &["duration_ms"]).await?;
    let durations: Vec<_> =
        summary["items"].as_array().into_iter().flatten().map(|item| &item["duration_ms"]).collect();
    assert_eq!(durations, [145_000, 200_000, 285_000]);
    assert!(summary["items"][0].get("error_message").is_none(), "the example shows none for an item that passed");
    let instant = |name: &str| summary[name].as_str().unwrap_or_default().parse::<chrono::DateTime<chrono::Utc>>();
    let took = (instant("completed_at")? - instant("started_at")?).num_milliseconds();
    let shown = summary["duration_ms"].as_i64();
    assert!(shown == Some(took) || shown == Some(took + 1), "{shown:?} instead of {took}, rounded");
    Ok(())
}

#[tokio::test]
async fn rows_of_a_result_can_be_sent_as_the_models_show_them() -> anyhow::Result<()> {
    let mut talk = Conversation::begin().await?;
    let run = running(&talk.app.client, &json!({}), 1).await?;
    let result = world::submit(&talk.app.client, &run, 0, &json!({"status": "passed"})).await?;
    talk.is("$result", id(&result["id"])?);
    let path = format!("/api/v1/test-run-results/{}", id(&result["id"])?);

    let step = include_str!("spec/test_step_result.model.json");
    let (request, shown) = (format!(r#"{{"steps": [{step}]}}"#), format!(r#"{{"items": [{step}], "total_added": 1}}"#));
    let steps = talk.say(("POST", &format!("{path}/steps/bulk"), &request), (201, &shown), &[]).await?;
    assert_eq!(steps["items"][0]["test_run_result_id"], result["id"]);
    assert_eq!(steps["items"][0]["started_at"], "2026-01-17T10:00:10Z");

    let checkpoint = r##"{
        "checkpoint_name": "Submit button", "checkpoint_type": "element", "status": "passed", "selector": "#submit",
        "profile": "functional", "expected_properties": {"text": "Submit"}, "actual_properties": {"text": "Submit"},
        "failed_properties": [],
        "property_verifications": [{"actual_value": "Submit", "expected_value": "Submit", "operator": "equals",
            "passed": true, "property_name": "text"}],
        "screenshot_index": 0, "baseline_screenshot_path": "/b.png", "actual_screenshot_path": "/a.png",
        "diff_screenshot_path": "/d.png", "diff_percentage": 0.25, "error_message": null
    }"##;
    let request = ("POST", format!("{path}/checkpoints"));
    let answer = talk.say((request.0, &request.1, checkpoint), (201, checkpoint), &[]).await?;
    assert_eq!(answer["test_run_result_id"], result["id"]);

    let log = r#"{"logs": [{"log_level": "error", "message": "Uncaught TypeError", "source": "https://example.com/app.js",
        "line_number": 10, "column_number": 4, "stack_trace": "at app.js:10:4", "step_index": 1,
        "timestamp": "2026-01-17T10:05:06.789Z"}]}"#;
    talk.say(("POST", &format!("{path}/console-logs/bulk"), log), (201, r#"{"total_added": 1}"#), &[]).await?;

    let after = talk.app.client.get(&path).await?.expect(200)?;
    assert_eq!((&after["total_steps"], &after["pass_rate"]), (&json!(1), &json!(100.0)));
    assert_eq!((&after["total_checkpoints"], &after["checkpoint_pass_rate"]), (&json!(1), &json!(100.0)));
    Ok(())
}

#[tokio::test]
async fn a_run_reads_as_its_model_shows() -> anyhow::Result<()> {
    let app = App::start().await?;
    let model: Value = serde_json::from_str(include_str!("spec/test_run.model.json"))?;
    let run = running_from_model(&app, &model).await?;
    for item in 0..8 {
        world::submit(&app.client, &run, item, &json!({"status": "passed"})).await?;
    }
    for item in [8, 9, 8, 9] {
        world::submit(&app.client, &run, item, &json!({"status": "failed"})).await?;
    }
    app.settle().await?;
    let answer = app.send("GET", &run.path(), "").await?;
    let mut wrong =
        differences(&model, &answer.json(), &["run_number", "duration_ms"], &["scheduled_at", "report_path"]);
    wrong.extend(disorder(include_str!("spec/test_run.model.json"), &answer.bytes));
    none_wrong(&wrong);
    assert_eq!(answer.json()["pass_rate"], 80.0);
    Ok(())
}

/// A run of ten items that was created and started with the model's own values.
async fn running_from_model(app: &App, model: &Value) -> anyhow::Result<world::Run> {
    let run = world::pending(&app.client, model, 10).await?;
    app.client.post(&format!("{}/start", run.path()), model).await?.expect(200)?;
    Ok(run)
}

#[tokio::test]
async fn a_result_and_its_item_read_as_their_models_show() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = running(&app.client, &json!({}), 1).await?;
    let text = include_str!("spec/test_run_result.model.json");
    let model: Value = serde_json::from_str(text)?;
    let ids = json!({"test_run_id": run.id, "test_run_item_id": run.items[0], "test_case_id": run.cases[0]});
    let model = with(model, &ids);
    let result = app.client.post("/api/v1/test-run-results", &model).await?.expect(201)?;

    let answer = app.send("GET", &format!("/api/v1/test-run-results/{}", id(&result["id"])?), "").await?;
    let mut wrong = differences(&model, &answer.json(), &[], &[]);
    wrong.extend(disorder(text, &answer.bytes));
    let text = include_str!("spec/test_run_item.model.json");
    let model: Value = serde_json::from_str(text)?;
    let answer = app.send("GET", &format!("{}/items", run.path()), "").await?;
    let ids = json!({"test_run_id": run.id, "test_case_id": run.cases[0]});
    wrong.extend(differences(&with(model, &ids), &answer.json()["items"][0], &[], &[]));
    wrong.extend(disorder(&format!(r#"{{"items": [{text}]}}"#), &answer.bytes));
    none_wrong(&wrong);
    Ok(())
}

/// The example's dates lie in the past, where a schedule looks for its next date from now; these do not.
fn later(example: &str) -> String {
    example.replace("2026-01-18", "2050-01-18")
}

#[tokio::test]
async fn a_schedule_goes_as_the_example_shows() -> anyhow::Result<()> {
    let talk = Conversation::begin().await?;
    let request = later(include_str!("spec/create_schedule.request.json"));
    let shown = later(include_str!("spec/create_schedule.response.json"));
    let schedule = talk.say(("POST", "/api/v1/schedules", &request), (201, &shown), &[]).await?;
    assert_eq!(schedule["scheduled_datetime"], "2050-01-18T02:00:00Z");
    assert_eq!(schedule["next_execution_at"], "2050-01-18T07:00:00Z", "two o'clock in New York");

    let path = format!("/api/v1/schedules/{}", id(&schedule["id"])?);
    let model: Value = serde_json::from_str(&later(include_str!("spec/schedule.model.json")))?;
    let answer = talk.app.send("GET", &path, "").await?;
    let mut wrong =
        differences(&model, &answer.json(), &["execution_count"], &["last_executed_at", "last_execution_status"]);
    wrong.extend(disorder(include_str!("spec/schedule.model.json"), &answer.bytes));
    none_wrong(&wrong);
    assert_eq!(answer.json(), schedule);
    Ok(())
}

#[tokio::test]
async fn the_schedule_example_itself_goes_on_from_today() -> anyhow::Result<()> {
    let talk = Conversation::begin().await?;
    let request = include_str!("spec/create_schedule.request.json");
    let shown = include_str!("spec/create_schedule.response.json");
    let schedule = talk.say(("POST", "/api/v1/schedules", request), (201, shown), &[]).await?;
    assert_eq!(schedule["scheduled_datetime"], "2026-01-18T02:00:00Z");
    let next = id(&schedule["next_execution_at"])?;
    assert!(next > id(&schedule["created_at"])?, "{next}");
    // New York is five or four hours behind.
    assert!(next.ends_with("T07:00:00Z") || next.ends_with("T06:00:00Z"), "{next}");
    Ok(())
}

#[tokio::test]
async fn the_list_of_completed_runs_reads_as_the_example_shows() -> anyhow::Result<()> {
    let talk = Conversation::begin().await?;
    let run = running(&talk.app.client, &json!({"run_name": "Smoke Test Run #42"}), 10).await?;
    for item in 0..10 {
        let status = if item == 3 { "failed" } else { "passed" };
        world::submit(&talk.app.client, &run, item, &json!({"status": status})).await?;
    }
    running(&talk.app.client, &json!({"run_name": "Not completed"}), 1).await?;
    talk.app.settle().await?;
    let path = "/api/v1/test-runs?status=completed&from_date=2026-01-01&limit=20&offset=0";
    let shown = include_str!("spec/list_test_runs.response.json");
    // A listed run has its model's fields in its model's order, which is not this example's.
    let list = talk.say_in_any_order(("GET", path, ""), (200, shown), &["duration_ms", "total"]).await?.json();
    assert_eq!((&list["total"], list["items"].as_array().map(Vec::len)), (&json!(1), Some(1)));
    Ok(())
}

#[tokio::test]
async fn the_history_of_a_test_case_reads_as_the_example_shows() -> anyhow::Result<()> {
    let mut talk = Conversation::begin().await?;
    let case = world::case(&talk.app.client, "Login Test").await?;
    // Two executions as shown, and 23 before them with which the example's statistics come true.
    let newest = json!({
        "status": "passed", "started_at": "2026-01-17T10:05:00Z", "duration_ms": 145_000, "total_steps": 4, "passed_steps": 4,
    });
    let before = json!({
        "status": "failed", "started_at": "2026-01-16T02:00:00Z", "duration_ms": 95_000, "total_steps": 4,
        "passed_steps": 3, "failed_steps": 1, "error_message": "Login button not clickable",
    });
    let run = execute(&talk, &case, "Smoke Test Run #42", &newest).await?;
    talk.is("run-uuid-1", run);
    let run = execute(&talk, &case, "Nightly Regression", &before).await?;
    talk.is("run-uuid-2", run);
    for day in 1..=23 {
        let status = if day <= 2 { "failed" } else { "passed" };
        let duration_ms = if day == 23 { 143_000 } else { 136_000 };
        let started_at = format!("2025-12-{day:02}T02:00:00Z");
        let result = json!({"status": status, "duration_ms": duration_ms, "started_at": started_at});
        execute(&talk, &case, "Earlier", &result).await?;
    }
    talk.is("tc-uuid-001", case);
    let shown = include_str!("spec/test_case_history.response.json");
    let history = talk.say(("GET", "/api/v1/test-cases/tc-uuid-001/history?limit=10", ""), (200, shown), &[]).await?;
    assert_eq!(history["history"].as_array().map(Vec::len), Some(10));
    assert_eq!(history["history"][0]["executed_at"], "2026-01-17T10:05:00Z");
    Ok(())
}

/// Runs one test case in a run of its own, and returns the run's id.
async fn execute(talk: &Conversation, case: &str, run_name: &str, result: &Value) -> anyhow::Result<String> {
    let client = &talk.app.client;
    let mut run = world::pending(client, &json!({"run_name": run_name}), 0).await?;
    let item = client.post(&format!("{}/items", run.path()), &json!({"test_case_id": case})).await?.expect(201)?;
    run.items.push(id(&item["id"])?);
    client.post(&format!("{}/start", run.path()), &json!({})).await?.expect(200)?;
    world::submit(client, &run, 0, result).await?;
    Ok(run.id)
}
