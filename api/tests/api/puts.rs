//! PUT everywhere: absent keeps, a value sets, null clears what may be null, and whoever puts back what he got changes
//! nothing.

use serde_json::{Map, Value, json};

use crate::app::{App, has, none_wrong};
use crate::document::{Operation, document, operations};
use crate::world::{World, with};

/// Another value for each field of each body.
fn values(operation_id: &str) -> Value {
    match operation_id {
        "update_test_run" => json!({
            "run_name": "Renamed", "suite_path": ["ROOT", "New"], "suite_name": "New", "parallel_enabled": true,
            "parallel_count": 4, "retry_on_failure": true, "retry_count": 2, "browser_name": "firefox",
            "browser_version": "130", "os_name": "Linux", "os_version": "6.1", "viewport_width": 1024,
            "viewport_height": 768, "results_folder": "/results/new", "tags": ["new"], "notes": "New",
        }),
        "update_test_run_item" => json!({
            "execution_order": 1, "status": "pending", "total_iterations": 3, "error_message": "New",
            "error_screenshot_path": "/new.png", "results_folder": "/results/new",
        }),
        "update_schedule" => json!({
            "schedule_name": "Renamed", "suite_path": ["ROOT", "New"], "suite_name": "New", "test_case_ids": null,
            "scheduled_datetime": "2998-01-06T03:00:00Z", "timezone": "Europe/Berlin", "repeat_type": "weekly",
            "repeat_interval": null, "repeat_interval_unit": null, "cron_expression": null,
            "repeat_days_of_week": [1, 5], "repeat_day_of_month": null, "repeat_end_date": "2999-12-31T00:00:00Z",
            "max_occurrences": 9, "is_enabled": false, "parallel_enabled": true, "parallel_count": 4,
            "retry_on_failure": true, "retry_count": 2, "notify_on_completion": false, "notify_on_failure": false,
            "notification_emails": ["new@example.com"], "catchup_window_seconds": 60, "overlap_policy": "skip",
        }),
        "update_test_case" => json!({
            "name": "Renamed", "suite_path": ["ROOT", "New"], "external_key": "new", "description": "New",
            "tags": ["new"], "has_recording": false,
        }),
        "update_test_script" => {
            json!({"name": "Renamed", "script_type": "pre_execution", "script_language": "python", "body": "pass"})
        }
        "update_project" => json!({"name": "Renamed", "description": "New"}),
        "update_member" => json!({"role": "viewer"}),
        "update_user" => json!({"display_name": "Renamed"}),
        "update_token" => json!({"name": "Renamed"}),
        "update_webhook" => json!({
            "url": "https://example.com/new", "event_types": ["run.failed"], "is_enabled": false, "description": "New",
        }),
        other => panic!("what could {other} set? Add it here"),
    }
}

fn fields(document: &Value, operation: &Operation) -> Map<String, Value> {
    let path = &operation.described["requestBody"]["content"]["application/json"]["schema"]["$ref"];
    let schema = document.pointer(path.as_str().unwrap_or_default().trim_start_matches('#'));
    schema.and_then(|schema| schema["properties"].as_object()).cloned().unwrap_or_default()
}

fn may_be_null(field: &Value) -> bool {
    let null = json!("null");
    field["type"].as_array().is_some_and(|types| types.contains(&null))
        || field["oneOf"].as_array().is_some_and(|choices| choices.iter().any(|choice| choice["type"] == null))
}

/// Without what changes with every write, and without `skipped`.
fn rest(mut thing: Value, skipped: &str) -> Value {
    let fields = thing.as_object_mut().expect("an object");
    fields.remove("updated_at");
    fields.remove(skipped);
    thing
}

#[tokio::test]
async fn each_field_is_kept_when_absent_set_by_a_value_and_cleared_by_null() -> anyhow::Result<()> {
    let app = App::start().await?;
    let world = World::new(&app.client).await?;
    let document = document();
    let mut wrong = Vec::new();
    for operation in operations().iter().filter(|operation| operation.method == "PUT") {
        let (path, values, name) = (operation.path_in(&world), values(&operation.id), operation.name());
        let read = async || app.client.get(&path).await?.expect(200);
        if operation.id != "update_member" {
            let before = read().await?;
            let kept = app.put(&path, &json!({})).await?.expect(200)?;
            wrong.extend((rest(kept, "") != rest(before, "")).then(|| format!("{name}: {{}} changes something")));
        }
        let set = app.put(&path, &values).await?.expect(200)?;
        has(&set, &values);
        wrong.extend((read().await? != set).then(|| format!("{name}: reads differently from its answer")));
        let back = app.put(&path, &set).await?;
        if back.status != 200 || rest(back.body.clone(), "") != rest(set, "") {
            wrong.push(format!("{name}: putting back what it answered gives {} {}", back.status, back.body));
        }
        for (field, described) in fields(&document, operation) {
            assert!(values.get(&field).is_some(), "{name}: there is no value of {field} to try");
            // A schedule has to run something.
            let needed = operation.id == "update_schedule" && field == "suite_path";
            let before = read().await?;
            let answer = app.send("PUT", &path, json!({&field: null}).to_string()).await?;
            let after = read().await?;
            if !may_be_null(&described) || needed {
                wrong.extend(answer.not_invalid(&[&field]).map(|what| format!("{name}: {what}")));
                wrong.extend((after != before).then(|| format!("{name}: a refused null of {field} changes something")));
                continue;
            }
            // Next due times follow from the timing.
            let follows = ["repeat_days_of_week", "repeat_end_date"].contains(&field.as_str());
            let same = follows || rest(after.clone(), &field) == rest(before, &field);
            if answer.status != 200 || !after[&field].is_null() || !same {
                wrong.push(format!("{name}: null in {field} gives {} {}", answer.status, answer.text()));
            }
        }
    }
    none_wrong(&wrong);
    Ok(())
}

#[tokio::test]
async fn what_the_server_owns_is_not_put() -> anyhow::Result<()> {
    let app = App::start().await?;
    let world = World::new(&app.client).await?;
    let foreign = "00000000-0000-0000-0000-000000000001";
    let owned = json!({
        "id": foreign, "project_id": foreign, "created_by": foreign, "test_run_id": foreign, "user_id": foreign,
        "run_number": 99, "passed_tests": 99, "total_steps": 99, "execution_count": 99, "report_path": "/x",
        "created_at": "2001-01-01T00:00:00Z", "deleted_at": "2001-01-01T00:00:00Z", "email": "x@example.com",
        "next_execution_at": "2001-01-01T00:00:00Z", "token": "trn_x", "token_hint": "x", "revoked_at": null,
        "started_at": "2001-01-01T00:00:00Z", "pass_rate": 99.0, "is_data_driven": true,
    });
    let mut wrong = Vec::new();
    for operation in operations().iter().filter(|operation| operation.method == "PUT") {
        let path = operation.path_in(&world);
        let before = app.client.get(&path).await?.expect(200)?;
        let needed = if operation.id == "update_member" { json!({"role": before["role"]}) } else { json!({}) };
        let after = app.put(&path, &with(needed, &owned)).await?.expect(200)?;
        wrong.extend((rest(after.clone(), "") != rest(before, "")).then(|| format!("{}: {after}", operation.name())));
    }
    none_wrong(&wrong);
    Ok(())
}
