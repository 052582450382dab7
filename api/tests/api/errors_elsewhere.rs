//! The same as in `errors`, for schedules, test cases, scripts, people, and what is changed by PUT.

use serde_json::json;

use crate::app::{App, none_wrong};
use crate::errors::{all_refused, replaced, verbatim};
use crate::world::{World, running, submit, with};

#[tokio::test]
async fn creating_a_schedule_names_what_is_wrong_with_it() -> anyhow::Result<()> {
    let base = json!({"schedule_name": "S", "suite_path": ["ROOT"], "scheduled_datetime": "2050-01-18T02:00:00Z"});
    let mut cases = replaced(
        &base,
        &[
            (&["schedule_name"], json!({"schedule_name": ""})),
            (&["schedule_name"], json!({"schedule_name": null})),
            (&["suite_path"], json!({"suite_path": null})),
            (&["suite_path"], json!({"test_case_ids": ["$spare_case"]})),
            (&["test_case_ids"], json!({"suite_path": null, "test_case_ids": []})),
            (&["scheduled_datetime"], json!({"scheduled_datetime": "tomorrow"})),
            (&["scheduled_datetime"], json!({"scheduled_datetime": "2050-02-30T02:00:00Z"})),
            (&["scheduled_datetime"], json!({"scheduled_datetime": 5})),
            (&["timezone"], json!({"timezone": "Mars/Olympus"})),
            (&["timezone"], json!({"timezone": "x".repeat(64 * 1024)})),
            (&["repeat_type"], json!({"repeat_type": "yearly"})),
            (&["repeat_interval"], json!({"repeat_type": "custom"})),
            (&["repeat_interval"], json!({"repeat_type": "custom", "repeat_interval": 0})),
            (&["cron_expression"], json!({"repeat_type": "custom", "cron_expression": "every day"})),
            (&["cron_expression"], json!({"repeat_type": "custom", "cron_expression": "* ".repeat(128)})),
            (&["repeat_days_of_week"], json!({"repeat_type": "weekly", "repeat_days_of_week": [8]})),
            (&["repeat_days_of_week[0]"], json!({"repeat_type": "weekly", "repeat_days_of_week": ["Mon"]})),
            (&["repeat_day_of_month"], json!({"repeat_type": "monthly", "repeat_day_of_month": 32})),
            (&["repeat_days_of_week"], json!({"repeat_type": "daily", "repeat_days_of_week": [1]})),
            (&["max_occurrences"], json!({"repeat_type": "daily", "max_occurrences": 0})),
            (&["repeat_end_date"], json!({"repeat_type": "daily", "repeat_end_date": "never"})),
            (&["parallel_count", "retry_count"], json!({"parallel_count": 11, "retry_count": -1})),
            (&["notification_emails"], json!({"notification_emails": ["not an address"]})),
            (&["notification_emails"], json!({"notification_emails": ["a@b.c\r\nBcc: x@y.z"]})),
            (&["notification_emails"], json!({"notification_emails": vec!["a@b.c"; 51]})),
            (&["catchup_window_seconds"], json!({"catchup_window_seconds": -1})),
            (&["overlap_policy"], json!({"overlap_policy": "queue"})),
            (&["schedule_name"], json!({"schedule_name": "\u{0}"})),
            (&["scheduled_datetime"], json!({"scheduled_datetime": "2050-01-18T02:00:00Z\u{0}"})),
            (
                &["max_occurrences", "repeat_days_of_week"],
                json!({"repeat_type": "weekly", "max_occurrences": 0, "repeat_days_of_week": []}),
            ),
        ],
    );
    cases.extend(verbatim(&[(&["scheduled_datetime"], r#"{"schedule_name": "S", "suite_path": ["ROOT"]}"#)]));
    all_refused(vec![("/api/v1/schedules", cases)]).await
}

#[tokio::test]
async fn creating_test_cases_names_what_is_wrong_with_them() -> anyhow::Result<()> {
    let one = replaced(
        &json!({"name": "N"}),
        &[
            (&["name"], json!({"name": ""})),
            (&["name"], json!({"name": "x".repeat(64 * 1024)})),
            (&["external_key"], json!({"external_key": "x".repeat(501)})),
            (&["external_key"], json!({"external_key": ""})),
            (&["description"], json!({"description": "x".repeat(100_001)})),
            (&["has_recording"], json!({"has_recording": "no"})),
            (&["tags"], json!({"tags": [" "]})),
        ],
    );
    let case = json!({"name": "N", "external_key": "k"});
    let many = replaced(
        &json!({}),
        &[
            (&["test_cases"], json!({})),
            (&["test_cases"], json!({"test_cases": []})),
            (&["test_cases"], json!({"test_cases": vec![&case; 1001]})),
            (&["test_cases[0].name"], json!({"test_cases": [{"external_key": "k"}]})),
            (
                &["test_cases[0].name", "test_cases[1].tags"],
                json!({"test_cases": [
                    {"name": "", "external_key": "a"}, {"name": "N", "external_key": "b", "tags": [""]},
                ]}),
            ),
        ],
    );
    all_refused(vec![("/api/v1/test-cases", one), ("/api/v1/test-cases/bulk", many)]).await
}

#[tokio::test]
async fn previewing_a_plan_names_what_is_wrong_with_it() -> anyhow::Result<()> {
    let base = json!({"scheduled_datetime": "2050-01-18T02:00:00Z"});
    let cases = replaced(
        &base,
        &[
            (&["scheduled_datetime"], json!({"scheduled_datetime": "2050-13-01T00:00:00Z"})),
            (&["scheduled_datetime"], json!({"scheduled_datetime": null})),
            (&["timezone"], json!({"timezone": "EST5"})),
            (&["timezone"], json!({"timezone": ""})),
            (&["repeat_type"], json!({"repeat_type": "Daily"})),
            (&["cron_expression"], json!({"repeat_type": "custom", "cron_expression": "0 0 0 * * *"})),
            (&["cron_expression"], json!({"repeat_type": "custom", "cron_expression": "60 0 * * *"})),
            (&["cron_expression"], json!({"repeat_type": "custom", "cron_expression": ""})),
            (
                &["repeat_interval_unit"],
                json!({"repeat_type": "custom", "repeat_interval": 1, "repeat_interval_unit": "weeks"}),
            ),
            (&["repeat_end_date"], json!({"repeat_type": "daily", "repeat_end_date": "2050-01-17T00:00:00Z"})),
            (&["from"], json!({"from": "now"})),
            (&["from"], json!({"from": "1969-12-31T00:00:00Z"})),
            (&["count"], json!({"count": 0})),
            (&["count"], json!({"count": 51})),
            (&["count", "from"], json!({"count": "ten", "from": 5})),
        ],
    );
    all_refused(vec![("/api/v1/schedules/preview", cases)]).await
}

#[tokio::test]
async fn changing_runs_and_items_names_what_is_wrong() -> anyhow::Result<()> {
    let run = replaced(
        &json!({"notes": "Good"}),
        &[
            (&["run_name"], json!({"run_name": null})),
            (&["run_name"], json!({"run_name": "\u{2003}"})),
            (&["run_name"], json!({"run_name": "x".repeat(64 * 1024)})),
            (&["viewport_width", "viewport_height"], json!({"viewport_width": 0, "viewport_height": 1e10})),
            (&["parallel_count", "retry_count"], json!({"parallel_count": null, "retry_count": -1})),
            (&["tags"], json!({"tags": "smoke"})),
            (&["tags[1]"], json!({"tags": ["smoke", "\u{0}"]})),
            (&["suite_path"], json!({"suite_path": ["ROOT", " "]})),
            (&["notes"], json!({"notes": ["a"]})),
            (&["browser_name", "os_name"], json!({"browser_name": "x".repeat(51), "os_name": "x".repeat(101)})),
        ],
    );
    let item = replaced(
        &json!({"results_folder": "/good"}),
        &[
            (&["status"], json!({"status": "bogus"})),
            (&["status"], json!({"status": null})),
            (&["status"], json!({"status": "passed"})),
            (&["execution_order"], json!({"execution_order": 0})),
            (&["execution_order"], json!({"execution_order": 2})),
            (&["execution_order"], json!({"execution_order": "1"})),
            (&["total_iterations"], json!({"total_iterations": 1_000_001})),
            (
                &["results_folder", "error_screenshot_path"],
                json!({"results_folder": "x".repeat(501), "error_screenshot_path": "x".repeat(501)}),
            ),
        ],
    );
    let orders = verbatim(&[
        (&["item_ids"], r#"{}"#),
        (&["item_ids[1]"], r#"{"item_ids": ["$waiting_item", "$waiting_item"]}"#),
        (&["item_ids[0]"], r#"{"item_ids": ["$open_item"]}"#),
        (&["item_ids"], r#"{"item_ids": []}"#),
    ]);
    all_refused(vec![
        ("PUT /api/v1/test-runs/$waiting", run),
        ("PUT /api/v1/test-runs/$waiting/items/$waiting_item", item),
        ("/api/v1/test-runs/$waiting/items/reorder", orders),
    ])
    .await
}

#[tokio::test]
async fn people_projects_and_scripts_are_named_field_by_field() -> anyhow::Result<()> {
    let long = "x".repeat(64 * 1024);
    let project = replaced(
        &json!({"name": "Good"}),
        &[
            (&["name"], json!({"name": ""})),
            (&["name"], json!({"name": null})),
            (&["name"], json!({"name": long})),
            (&["name", "description"], json!({"name": 5, "description": "\u{0}"})),
        ],
    );
    let user = replaced(
        &json!({"email": "good@example.com", "display_name": "Good"}),
        &[
            (&["email"], json!({"email": "good"})),
            (&["email"], json!({"email": "a@b@c"})),
            (&["email"], json!({"email": "a@b.c\r\nBcc: x@y.z"})),
            (&["email"], json!({"email": format!("{}@example.com", "x".repeat(320))})),
            (&["email", "display_name"], json!({"email": null, "display_name": " "})),
            (&["role"], json!({"role": "owner"})),
        ],
    );
    let member = verbatim(&[
        (&["email", "role"], r#"{}"#),
        (&["role"], r#"{"email": "$stranger_mail", "role": "Admin"}"#),
        (&["email"], r#"{"email": "$stranger", "role": "admin"}"#),
    ]);
    let script = replaced(
        &json!({"name": "Good", "script_type": "on_demand"}),
        &[
            (&["script_type"], json!({"script_type": "sometimes"})),
            (&["script_type", "name"], json!({"script_type": null, "name": long})),
            (&["script_language"], json!({"script_language": "x".repeat(51)})),
            (&["body"], json!({"body": null})),
            (&["body"], json!({"body": "x".repeat(1_000_001)})),
        ],
    );
    all_refused(vec![
        ("/api/v1/projects", project.clone()),
        ("PUT /api/v1/projects/$project", project),
        ("/api/v1/users", user),
        ("/api/v1/projects/$project/members", member),
        ("/api/v1/test-scripts", script),
    ])
    .await
}

#[tokio::test]
async fn single_rows_of_a_result_name_what_is_wrong_with_them() -> anyhow::Result<()> {
    let step = replaced(
        &json!({"step_number": 9, "action": "click", "status": "passed"}),
        &[
            (&["step_number"], json!({"step_number": 0})),
            (&["step_number"], json!({"step_number": 2_147_483_648_i64})),
            (&["action", "status"], json!({"action": "", "status": "no_run"})),
            (&["started_at", "completed_at"], json!({"started_at": "10:00", "completed_at": "1969-01-01T00:00:00Z"})),
            (&["duration_ms"], json!({"duration_ms": -1})),
        ],
    );
    let script = replaced(
        &json!({"script_name": "s", "script_type": "on_demand", "status": "passed"}),
        &[
            (&["exit_code"], json!({"exit_code": 2_147_483_648_i64})),
            (&["attached_to_step"], json!({"attached_to_step": -1})),
            (&["is_critical"], json!({"is_critical": null})),
            (&["executed_at"], json!({"executed_at": "+10000-01-01T00:00:00Z"})),
            (&["test_script_id"], json!({"test_script_id": "s"})),
        ],
    );
    let of_another_result =
        json!({"checkpoint_name": "C", "checkpoint_type": "element", "status": "passed", "step_number": 9});
    let checkpoint = vec![(of_another_result.to_string(), &["step_number"][..])];
    all_refused(vec![
        ("/api/v1/test-run-results/$result/steps", step),
        ("/api/v1/test-run-results/$result/scripts", script),
        ("/api/v1/test-run-results/$result/checkpoints", checkpoint),
    ])
    .await
}

#[tokio::test]
async fn ids_of_another_run_or_result_are_no_ids_here() -> anyhow::Result<()> {
    let app = App::start().await?;
    let world = World::new(&app.client).await?;
    let run = running(&app.client, &json!({}), 1).await?;
    let step = json!([{"step_number": 1, "action": "click", "status": "passed"}]);
    let other = submit(&app.client, &run, 0, &json!({"status": "passed", "steps": step})).await?;
    let path = format!("/api/v1/test-run-results/{}/steps", other["id"].as_str().unwrap_or_default());
    let step = app.client.get(&path).await?.expect(200)?["items"][0]["id"].clone();
    let before = app.contents().await?;
    let mut wrong = Vec::new();
    let result = json!({"test_run_id": world.fill("$running"), "test_run_item_id": run.items[0], "status": "passed"});
    let answer = app.send("POST", "/api/v1/test-run-results", result.to_string()).await?;
    wrong.extend(answer.not_detail(404, &format!("Test run item not found: {}", run.items[0])));
    let case = with(result, &json!({"test_run_item_id": world.fill("$open_item"), "test_case_id": run.cases[0]}));
    let answer = app.send("POST", "/api/v1/test-run-results", case.to_string()).await?;
    wrong.extend(answer.not_invalid(&["test_case_id"]));
    let checkpoint =
        json!({"checkpoint_name": "C", "checkpoint_type": "element", "status": "passed", "test_step_result_id": step});
    let path = world.fill("/api/v1/test-run-results/$result/checkpoints");
    let answer = app.send("POST", &path, checkpoint.to_string()).await?;
    wrong.extend(answer.not_invalid(&["test_step_result_id"]));
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    Ok(())
}
