//! `/schedules`: what fires, and its history

use serde_json::{Value, json};
use testrun_shared::actions::schedules::fire;
use testrun_shared::db;
use uuid::Uuid;

use crate::app::{App, column, has};
use crate::world::{Run, case, id, submit, with};

const SCHEDULES: &str = "/api/v1/schedules";

async fn create(app: &App, fields: &Value) -> anyhow::Result<String> {
    let body = json!({"schedule_name": "Nightly", "suite_path": [], "scheduled_datetime": "2050-06-01T09:30:00Z"});
    let schedule = app.client.post(SCHEDULES, &with(body, fields)).await?.expect(201)?;
    Ok(format!("{SCHEDULES}/{}", id(&schedule["id"])?))
}

async fn history(app: &App, path: &str) -> anyhow::Result<Vec<Value>> {
    let list = app.client.get(&format!("{path}/history")).await?.expect(200)?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

async fn run_now(app: &App, path: &str) -> anyhow::Result<Value> {
    app.client.post(&format!("{path}/run-now"), &Value::Null).await?.expect(201)
}

#[tokio::test]
async fn run_now_makes_a_run_that_a_client_executes_and_the_history_follows() -> anyhow::Result<()> {
    let app = App::start().await?;
    let cases = [case(&app.client, "One").await?, case(&app.client, "Two").await?];
    let settings = json!({"test_case_ids": cases, "suite_path": null, "parallel_enabled": true, "parallel_count": 4,
        "repeat_type": "daily"});
    let path = create(&app, &settings).await?;
    let planned = app.client.get(&path).await?.expect(200)?;
    let execution = run_now(&app, &path).await?;
    has(&execution, &json!({"status": "pending", "test_run_id": null, "total_tests": 0, "error_message": null}));
    assert_eq!(history(&app, &path).await?, std::slice::from_ref(&execution));
    app.settle().await?;

    let executing = history(&app, &path).await?.remove(0);
    has(&executing, &json!({"id": execution["id"], "status": "running", "scheduled_for": execution["scheduled_for"]}));
    let mut run = Run { id: id(&executing["test_run_id"])?, items: Vec::new(), cases: cases.to_vec() };
    let read = app.client.get(&run.path()).await?.expect(200)?;
    has(
        &read,
        &json!({"status": "queued", "total_tests": 2, "parallel_enabled": true, "parallel_count": 4,
        "created_by": app.tenant.user_id, "scheduled_at": execution["scheduled_for"]}),
    );
    let due = id(&execution["scheduled_for"])?;
    assert_eq!(read["run_name"], format!("Nightly {} {}", &due[..10], &due[11..16]), "named after the due time");
    let items = app.client.get(&format!("{}/items", run.path())).await?.expect(200)?;
    assert_eq!(column(&items, "status"), ["queued", "queued"]);
    assert_eq!(json!(column(&items, "test_case_id")), json!(cases), "in the order of the list");
    run.items = column(&items, "id").into_iter().map(id).collect::<Result<_, _>>()?;

    app.client.post(&format!("{}/start", run.path()), &json!({})).await?.expect(200)?;
    submit(&app.client, &run, 0, &json!({"status": "passed"})).await?;
    submit(&app.client, &run, 1, &json!({"status": "failed"})).await?;
    app.settle().await?;
    let ended = history(&app, &path).await?.remove(0);
    has(&ended, &json!({"status": "completed", "total_tests": 2, "passed_tests": 1, "failed_tests": 1}));
    assert!(ended["executed_at"].is_string(), "{ended}");
    let after = app.client.get(&path).await?.expect(200)?;
    for field in ["next_execution_at", "execution_count", "last_executed_at", "last_execution_status", "status"] {
        assert_eq!(after[field], planned[field], "{field} belongs to the plan");
    }
    let entry = app.client.get(&format!("/api/v1/test-cases/{}/history", cases[0])).await?.expect(200)?;
    assert_eq!(entry["history"][0]["is_scheduled"], true);
    Ok(())
}

#[tokio::test]
async fn run_now_works_on_paused_disabled_and_completed_schedules() -> anyhow::Result<()> {
    let app = App::start().await?;
    case(&app.client, "Any").await?;
    let (paused, disabled) = (create(&app, &json!({})).await?, create(&app, &json!({"is_enabled": false})).await?);
    app.client.post(&format!("{paused}/pause"), &Value::Null).await?.expect(200)?;
    let over = json!({"scheduled_datetime": "2020-01-01T00:00:00Z", "repeat_type": "daily",
        "repeat_end_date": "2020-01-05T00:00:00Z"});
    let completed = create(&app, &over).await?;
    for path in [paused, disabled, completed] {
        let before = app.client.get(&path).await?.expect(200)?;
        run_now(&app, &path).await?;
        run_now(&app, &path).await?;
        app.settle().await?;
        let executions = history(&app, &path).await?;
        assert!(executions.len() == 2 && executions.iter().all(|one| one["test_run_id"].is_string()), "{executions:?}");
        assert!(executions[0]["scheduled_for"].as_str() > executions[1]["scheduled_for"].as_str(), "newest first");
        assert_eq!(app.client.get(&path).await?.expect(200)?["status"], before["status"]);
    }
    Ok(())
}

#[tokio::test]
async fn a_schedule_that_selects_nothing_makes_a_failed_run_that_says_why() -> anyhow::Result<()> {
    let app = App::start().await?;
    case(&app.client, "Elsewhere").await?;
    let path = create(&app, &json!({"suite_path": ["No", "such"]})).await?;
    run_now(&app, &path).await?;
    app.settle().await?;
    let execution = history(&app, &path).await?.remove(0);
    let reason = "The schedule selects no test cases";
    has(&execution, &json!({"status": "failed", "error_message": reason, "total_tests": 0}));
    let run = app.client.get(&format!("/api/v1/test-runs/{}", id(&execution["test_run_id"])?)).await?.expect(200)?;
    has(&run, &json!({"status": "failed", "failure_reason": reason, "total_tests": 0}));
    Ok(())
}

#[tokio::test]
async fn a_suite_selects_what_is_in_and_below_it_when_it_fires() -> anyhow::Result<()> {
    let app = App::start().await?;
    let path = create(&app, &json!({"suite_path": ["ROOT", "Smoke"], "suite_name": "Smoke"})).await?;
    for (name, suite) in [
        ("In", json!(["ROOT", "Smoke"])),
        ("Below", json!(["ROOT", "Smoke", "Deep"])),
        ("Beside", json!(["ROOT", "Smoke2"])),
        ("Above", json!(["ROOT"])),
    ] {
        app.client.post("/api/v1/test-cases", &json!({"name": name, "suite_path": suite})).await?.expect(201)?;
    }
    run_now(&app, &path).await?;
    app.settle().await?;
    let run = id(&history(&app, &path).await?[0]["test_run_id"])?;
    let summary = app.client.get(&format!("/api/v1/test-runs/{run}/summary")).await?.expect(200)?;
    let items = summary["items"].as_array().into_iter().flatten();
    let mut names: Vec<_> = items.filter_map(|item| item["test_case_name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["Below", "In"]);
    Ok(())
}

#[tokio::test]
async fn a_one_time_schedule_that_fired_is_completed_and_keeps_its_run_when_deleted() -> anyhow::Result<()> {
    let app = App::start().await?;
    case(&app.client, "Any").await?;
    let path = create(&app, &json!({"scheduled_datetime": "2021-06-01T09:30:00Z"})).await?;
    let schedule = Uuid::parse_str(path.rsplit('/').next().unwrap_or_default())?;
    // As a scheduler does.
    let now = db::now(&app.db.pool).await?;
    assert!(fire(&app.db.pool, schedule, now).await?.is_some());
    assert!(fire(&app.db.pool, schedule, now).await?.is_none(), "once");
    app.settle().await?;
    let fired = json!({"status": "completed", "next_execution_at": null, "execution_count": 1,
        "last_executed_at": "2021-06-01T09:30:00Z", "last_execution_status": "running"});
    has(&app.client.get(&path).await?.expect(200)?, &fired);
    let execution = history(&app, &path).await?.remove(0);
    assert_eq!(execution["scheduled_for"], "2021-06-01T09:30:00Z");
    let run = format!("/api/v1/test-runs/{}", id(&execution["test_run_id"])?);
    app.client.post(&format!("{run}/cancel"), &Value::Null).await?.expect(200)?;
    app.settle().await?;
    assert_eq!(history(&app, &path).await?[0]["status"], "cancelled");
    assert_eq!(app.client.get(&path).await?.expect(200)?["last_execution_status"], "cancelled");
    app.delete(&path).await?.expect(204)?;
    has(
        &app.client.get(&run).await?.expect(200)?,
        &json!({"status": "cancelled", "run_name": "Nightly 2021-06-01 09:30"}),
    );
    Ok(())
}
