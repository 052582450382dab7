//! Every 409 and 422 that the document promises, with its sentence, after which nothing has changed.

use serde_json::json;
use testrun_shared::domain::identity::Role;

use crate::app::{App, none_wrong};
use crate::document::operations;
use crate::world::{World, id, pending};

const RESULTS: &str = "/api/v1/test-run-results";
const STEP: &str = r#"{"step_number": 1, "action": "click", "status": "passed"}"#;
const NO_ADMIN: &str = "Cannot leave the project without an admin";
const KEY_TAKEN: &str = "A test case with the external key 'taken' exists already";
const STEP_TAKEN: &str = "A step with this number already exists in this result";
const IN_A_RUN: &str = "Cannot delete test case: it is in a test run that has not ended";

/// Operation, path, body, status, detail; with names of the world in them.
type Refusal = (&'static str, &'static str, &'static str, u16, &'static str);

const OF_RUNS: &[Refusal] = &[
    ("start_test_run", "/test-runs/$running/start", "", 422, "Cannot start test run: status is 'running'"),
    ("start_test_run", "/test-runs/$stopped/start", "", 422, "Cannot start test run: status is 'cancelled'"),
    ("start_test_run", "/test-runs/$empty/start", "", 422, "Cannot start test run: it has no test cases"),
    ("stop_test_run", "/test-runs/$waiting/stop", "", 422, "Cannot stop test run: status is 'pending'"),
    ("stop_test_run", "/test-runs/$stopped/stop", "", 422, "Cannot stop test run: status is 'cancelled'"),
    ("cancel_test_run", "/test-runs/$running/cancel", "", 422, "Cannot cancel test run: status is 'running'"),
    ("cancel_test_run", "/test-runs/$stopped/cancel", "", 422, "Cannot cancel test run: status is 'cancelled'"),
    (
        "update_test_run",
        "/test-runs/$running",
        r#"{"notes": "n", "parallel_count": 3}"#,
        422,
        "Cannot change parallel or retry settings: status is 'running'",
    ),
    (
        "update_test_run",
        "/test-runs/$stopped",
        r#"{"retry_on_failure": true}"#,
        422,
        "Cannot change parallel or retry settings: status is 'cancelled'",
    ),
    (
        "add_test_run_item",
        "/test-runs/$waiting/items",
        r#"{"test_case_id": "$waiting_case"}"#,
        409,
        "Test case already exists in this run",
    ),
    (
        "add_test_run_item",
        "/test-runs/$running/items",
        r#"{"test_case_id": "$spare_case"}"#,
        422,
        "Cannot add test run items: test run status is 'running'",
    ),
    (
        "add_test_run_items",
        "/test-runs/$waiting/items/bulk",
        r#"{"test_case_ids": ["$spare_case", "$waiting_case"]}"#,
        409,
        "Test cases already exist in this run: $waiting_case",
    ),
    (
        "add_test_run_items",
        "/test-runs/$stopped/items/bulk",
        r#"{"test_case_ids": ["$spare_case"]}"#,
        422,
        "Cannot add test run items: test run status is 'cancelled'",
    ),
    (
        "reorder_test_run_items",
        "/test-runs/$running/items/reorder",
        r#"{"item_ids": ["$done_item", "$open_item"]}"#,
        422,
        "Cannot reorder test run items: test run status is 'running'",
    ),
    (
        "update_test_run_item",
        "/test-runs/$running/items/$done_item",
        r#"{"execution_order": 2}"#,
        422,
        "Cannot reorder test run items: test run status is 'running'",
    ),
    (
        "update_test_run_item",
        "/test-runs/$running/items/$done_item",
        r#"{"status": "skipped"}"#,
        422,
        "Cannot change test run item: its status is 'passed'",
    ),
    (
        "update_test_run_item",
        "/test-runs/$running/items/$done_item",
        r#"{"total_iterations": 4}"#,
        422,
        "Cannot change test run item: its status is 'passed'",
    ),
    (
        "update_test_run_item",
        "/test-runs/$stopped/items/$stopped_item",
        r#"{"status": "no_run"}"#,
        422,
        "Cannot change test run item: test run status is 'cancelled'",
    ),
    (
        "delete_test_run_item",
        "/test-runs/$running/items/$open_item",
        "",
        422,
        "Cannot remove test run items: test run status is 'running'",
    ),
];

const OF_RESULTS: &[Refusal] = &[
    (
        "create_test_run_result",
        "/test-run-results",
        r#"{"test_run_id": "$running", "test_run_item_id": "$done_item", "status": "failed", "retry_attempt": 0}"#,
        409,
        "Attempt 0 of this test run item already has its result",
    ),
    (
        "create_test_run_result",
        "/test-run-results",
        r#"{"test_run_id": "$running", "test_run_item_id": "$done_item", "status": "failed"}"#,
        422,
        "Cannot submit result: test run item status is 'passed'",
    ),
    (
        "create_test_run_result",
        "/test-run-results",
        r#"{"test_run_id": "$waiting", "test_run_item_id": "$waiting_item", "status": "passed"}"#,
        422,
        "Cannot submit result: test run status is 'pending'",
    ),
    (
        "create_test_run_result",
        "/test-run-results",
        r#"{"test_run_id": "$stopped", "test_run_item_id": "$stopped_item", "status": "passed"}"#,
        422,
        "Cannot submit result: test run status is 'cancelled'",
    ),
    ("add_test_step_result", "/test-run-results/$result/steps", STEP, 409, STEP_TAKEN),
    ("add_test_step_results", "/test-run-results/$result/steps/bulk", r#"{"steps": [STEP]}"#, 409, STEP_TAKEN),
];

const OF_SCHEDULES: &[Refusal] = &[
    (
        "update_schedule",
        "/schedules/$finished",
        r#"{"schedule_name": "N"}"#,
        422,
        "Cannot change schedule: status is 'completed'",
    ),
    ("pause_schedule", "/schedules/$finished/pause", "", 422, "Cannot pause schedule: status is 'completed'"),
    ("resume_schedule", "/schedules/$finished/resume", "", 422, "Cannot resume schedule: status is 'completed'"),
];

const OF_CASES: &[Refusal] = &[
    ("create_test_case", "/test-cases", r#"{"name": "N", "external_key": "taken"}"#, 409, KEY_TAKEN),
    ("update_test_case", "/test-cases/$spare_case", r#"{"external_key": "taken"}"#, 409, KEY_TAKEN),
    ("delete_test_case", "/test-cases/$waiting_case", "", 422, IN_A_RUN),
    ("delete_test_case", "/test-cases/$done_case", "", 422, IN_A_RUN),
];

const OF_JOBS: &[Refusal] = &[
    ("retry_job", "/admin/jobs/$waiting_job/retry", "", 422, "Cannot retry job: its status is 'available'"),
    ("discard_job", "/admin/jobs/$waiting_job", "", 422, "Cannot discard job: its status is 'available'"),
];

const OF_PEOPLE: &[Refusal] = &[
    ("test_webhook", "/webhooks/$off/test", "", 422, "Cannot test webhook: the webhook is disabled; enable it first"),
    (
        "redeliver_webhook_delivery",
        "/webhooks/$off/deliveries/$off_delivery/redeliver",
        "",
        422,
        "Cannot redeliver: the webhook is disabled; enable it first",
    ),
    ("create_project", "/projects", r#"{"name": "Theirs"}"#, 409, "A project named 'Theirs' exists already"),
    ("update_project", "/projects/$project", r#"{"name": "Theirs"}"#, 409, "A project named 'Theirs' exists already"),
    (
        "add_member",
        "/projects/$project/members",
        r#"{"email": "$colleague_mail", "role": "admin"}"#,
        409,
        "The user is a member of the project already",
    ),
    ("update_member", "/projects/$project/members/$me", r#"{"role": "member"}"#, 422, NO_ADMIN),
    ("remove_member", "/projects/$project/members/$me", "", 422, NO_ADMIN),
    ("delete_user", "/users/$me", "", 422, NO_ADMIN),
    (
        "delete_user",
        "/users/$colleague",
        "",
        409,
        "The user has made runs or schedules; remove the member from the project instead",
    ),
    (
        "create_user",
        "/users",
        r#"{"email": "$colleague_mail", "display_name": "Twice"}"#,
        409,
        "A user with this address exists already",
    ),
    (
        "create_user",
        "/users",
        r#"{"email": "$stranger_mail", "display_name": "Twice"}"#,
        409,
        "A user with this address exists already",
    ),
];

fn all() -> impl Iterator<Item = &'static Refusal> {
    [OF_RUNS, OF_RESULTS, OF_SCHEDULES, OF_CASES, OF_JOBS, OF_PEOPLE].into_iter().flatten()
}

#[test]
fn no_documented_refusal_is_left_untried() {
    let mut wrong = Vec::new();
    let operations = operations();
    for operation in &operations {
        for status in [409, 422] {
            let described = operation.described["responses"].get(status.to_string()).is_some_and(|response| {
                // What every POST may answer to its key is tried in `idempotency.rs`.
                let description = response["description"].as_str().unwrap_or_default();
                !description.contains("Idempotency-Key") || description.contains("; or: ")
            });
            let tried = all().any(|(name, _, _, tried, _)| *name == operation.id && *tried == status);
            if described != tried {
                wrong.push(format!("{}: {status} is described: {described}, tried: {tried}", operation.id));
            }
        }
    }
    wrong.extend(
        all()
            .filter(|(name, ..)| !operations.iter().any(|operation| operation.id == *name))
            .map(|(name, ..)| format!("no operation {name}")),
    );
    none_wrong(&wrong);
}

/// A world with what stands in the way of the operations; and the ids of that.
async fn obstacles(app: &App) -> anyhow::Result<(World, Vec<(&'static str, String)>)> {
    let world = World::new(&app.client).await?;
    let client = &app.client;
    app.db.tenant("Theirs").await?;
    let empty = pending(client, &json!({"run_name": "Empty"}), 0).await?;
    let stopped = pending(client, &json!({"run_name": "Stopped"}), 1).await?;
    client.post(&format!("{}/cancel", stopped.path()), &json!({})).await?.expect(200)?;
    client.post("/api/v1/test-cases", &json!({"name": "N", "external_key": "taken"})).await?.expect(201)?;
    let finished = json!({
        "schedule_name": "Finished", "suite_path": [], "scheduled_datetime": "2020-01-01T00:00:00Z",
        "repeat_type": "daily", "repeat_end_date": "2020-02-01T00:00:00Z",
    });
    let finished = client.post("/api/v1/schedules", &finished).await?.expect(201)?;
    assert_eq!((&finished["status"], &finished["next_execution_at"]), (&json!("completed"), &json!(null)));
    let token = app.db.token("Home", &world.fill("$colleague_mail"), Role::Member).await?;
    client.with_token(Some(&token)).post("/api/v1/test-runs", &json!({})).await?.expect(201)?;
    let hook = json!({"url": "https://example.com/off", "event_types": ["webhook.disabled"]});
    let hook = id(&client.post("/api/v1/webhooks", &hook).await?.expect(201)?["id"])?;
    let hook_path = format!("/api/v1/webhooks/{hook}");
    let delivery = client.post(&format!("{hook_path}/test"), &json!({})).await?.expect(201)?;
    client.send(reqwest::Method::PUT, &hook_path, Some(&json!({"is_enabled": false}))).await?.expect(200)?;
    let jobs = client.get("/api/v1/admin/jobs?status=available&limit=1").await?.expect(200)?;
    let ids = vec![
        ("$waiting_job", id(&jobs["items"][0]["id"])?),
        ("$off_delivery", id(&delivery["id"])?),
        ("$off", hook),
        ("$empty", empty.id),
        ("$stopped_item", stopped.items[0].clone()),
        ("$stopped", stopped.id),
        ("$finished", id(&finished["id"])?),
        ("$me", app.tenant.user_id.to_string()),
    ];
    Ok((world, ids))
}

#[tokio::test]
async fn each_refusal_says_why_and_changes_nothing() -> anyhow::Result<()> {
    let app = App::start().await?;
    let (world, ids) = obstacles(&app).await?;
    let fill = |text: &str| {
        let text = ids.iter().fold(text.replace("STEP", STEP), |text, (name, id)| text.replace(name, id));
        world.fill(&text)
    };
    let methods = operations();
    let mut wrong = Vec::new();
    for (name, path, body, status, detail) in all() {
        let operation = methods.iter().find(|operation| operation.id == *name).expect("an operation");
        let path = format!("/api/v1{}", fill(path));
        let request = (operation.method.as_str(), path.as_str(), &*fill(body));
        wrong.extend(app.not_refused(request, (*status, &fill(detail))).await?);
    }
    none_wrong(&wrong);
    Ok(())
}

#[tokio::test]
async fn existence_comes_before_state_and_the_body_before_both() -> anyhow::Result<()> {
    let app = App::start().await?;
    let (world, _) = obstacles(&app).await?;
    let nowhere = uuid::Uuid::new_v4();
    let bad = json!({"test_run_id": world.fill("$waiting"), "test_run_item_id": nowhere, "status": "bogus"});
    let answer = app.send("POST", RESULTS, bad.to_string()).await?;
    assert_eq!(answer.not_invalid(&["status"]), None);
    // The run is not running either.
    let absent = json!({"test_run_id": world.fill("$waiting"), "test_run_item_id": nowhere, "status": "passed"});
    let answer = app.send("POST", RESULTS, absent.to_string()).await?;
    assert_eq!(answer.not_detail(404, &format!("Test run item not found: {nowhere}")), None);
    let started = app.send("POST", &format!("/api/v1/test-runs/{nowhere}/start"), r#"{"viewport_width": 0}"#).await?;
    assert_eq!(started.not_invalid(&["viewport_width"]), None);
    Ok(())
}
