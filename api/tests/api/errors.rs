//! What is wrong with a body is refused with 400: each wrong field is named, and nothing changes.

use serde_json::{Value, json};

use crate::app::{App, none_wrong};
use crate::world::{World, with};

/// What is sent, where `$running` and its like stand for ids, and the fields that the answer has to name.
pub(crate) type Wrong = (String, &'static [&'static str]);

/// Sends each body to its path, with POST unless the path begins with another method.
pub(crate) async fn all_refused(requests: Vec<(&str, Vec<Wrong>)>) -> anyhow::Result<()> {
    let app = App::start().await?;
    let world = World::new(&app.client).await?;
    let mut wrong = Vec::new();
    let mut before = app.contents().await?;
    for (path, cases) in requests {
        let (method, path) = path.split_once(' ').unwrap_or(("POST", path));
        for (body, fields) in cases {
            let answer = app.send(method, &world.fill(path), world.fill(&body)).await?;
            let shown: String = body.chars().take(120).collect();
            wrong.extend(answer.not_invalid(fields).map(|what| format!("{path} {shown}: {what}")));
            let after = app.contents().await?;
            if after != before {
                wrong.push(format!("{path} {shown}: something changed"));
                before = after;
            }
        }
    }
    none_wrong(&wrong);
    Ok(())
}

/// A good body of `base` with one field replaced, for each value.
pub(crate) fn replaced(base: &Value, cases: &[(&'static [&'static str], Value)]) -> Vec<Wrong> {
    cases.iter().map(|(fields, replacement)| (with(base.clone(), replacement).to_string(), *fields)).collect()
}

/// The same for JSON that cannot be written as a `Value`.
pub(crate) fn verbatim(cases: &[(&'static [&'static str], &str)]) -> Vec<Wrong> {
    cases.iter().map(|(fields, body)| ((*body).to_owned(), *fields)).collect()
}

#[tokio::test]
async fn creating_a_run_names_what_is_wrong_with_it() -> anyhow::Result<()> {
    let long = "x".repeat(64 * 1024);
    let mut cases = replaced(
        &json!({"run_name": "Good"}),
        &[
            (&["run_name"], json!({"run_name": 5})),
            (&["run_name"], json!({"run_name": ""})),
            (&["run_name"], json!({"run_name": " \t\n"})),
            (&["run_name"], json!({"run_name": long})),
            (&["run_name"], json!({"run_name": "é".repeat(256)})),
            (&["run_name"], json!({"run_name": "a\u{0}b"})),
            (&["run_name"], json!({"run_name": ["x"]})),
            (&["suite_path"], json!({"suite_path": "ROOT"})),
            (&["suite_path[1]"], json!({"suite_path": ["ROOT", 1]})),
            (&["suite_path"], json!({"suite_path": vec!["x"; 33]})),
            (&["suite_path"], json!({"suite_path": [""]})),
            (&["suite_path"], json!({"suite_path": ["x".repeat(256)]})),
            (&["suite_path[0]"], json!({"suite_path": ["\u{0}"]})),
            (&["suite_name"], json!({"suite_name": "x".repeat(256)})),
            (&["parallel_count"], json!({"parallel_count": 0})),
            (&["parallel_count"], json!({"parallel_count": 11})),
            (&["parallel_count"], json!({"parallel_count": -1})),
            (&["parallel_count"], json!({"parallel_count": 1.5})),
            (&["parallel_count"], json!({"parallel_count": "3"})),
            (&["parallel_count"], json!({"parallel_count": 2_147_483_648_i64})),
            (&["parallel_count"], json!({"parallel_count": 1e99})),
            (&["parallel_enabled"], json!({"parallel_enabled": "yes"})),
            (&["parallel_enabled"], json!({"parallel_enabled": 1})),
            (&["retry_count"], json!({"retry_count": 11})),
            (&["tags"], json!({"tags": vec!["x"; 51]})),
            (&["tags"], json!({"tags": ["x".repeat(65)]})),
            (&["tags[0]"], json!({"tags": [null]})),
            (&["notes"], json!({"notes": "x".repeat(100_001)})),
            (&["results_folder"], json!({"results_folder": "x".repeat(501)})),
            (&["notes", "run_name"], json!({"notes": "\u{0}", "run_name": "\u{0}"})),
            (&["ignored.a[0]"], json!({"ignored": {"a": ["\u{0}"]}})),
            (
                &["parallel_count", "retry_count", "run_name", "tags[1]"],
                json!({"parallel_count": "0", "retry_count": {}, "run_name": "", "tags": ["", 5]}),
            ),
            (
                &["parallel_count", "retry_count", "run_name", "tags"],
                json!({"parallel_count": 0, "retry_count": 99, "run_name": "", "tags": vec!["x"; 51]}),
            ),
        ],
    );
    cases.extend(verbatim(&[
        (&["run_name"], r#"{"run_name": "\ud800"}"#),
        (&["run_name"], r#"{"run_name": "\udc00\ud800"}"#),
        (&["run_name"], r#"{"run_name": "a", "run_name": "b"}"#),
        (&["parallel_count"], r#"{"parallel_count": 99999999999999999999999999}"#),
        (&["parallel_count"], r#"{"parallel_count": 1e999}"#),
        (&["ignored"], r#"{"run_name": "\u0000", "ignored": "\ud800"}"#),
        (&["ignored"], r#"{"run_name": "\u0000", "ignored": 1e999}"#),
    ]));
    all_refused(vec![("/api/v1/test-runs", cases)]).await
}

#[tokio::test]
async fn starting_a_run_names_what_is_wrong_with_it() -> anyhow::Result<()> {
    let cases = replaced(
        &json!({}),
        &[
            (&["browser_name"], json!({"browser_name": "x".repeat(51)})),
            (&["os_name"], json!({"os_name": "x".repeat(101)})),
            (&["viewport_width"], json!({"viewport_width": 0})),
            (&["viewport_width", "viewport_height"], json!({"viewport_width": -5, "viewport_height": 100_001})),
            (&["viewport_height"], json!({"viewport_height": true})),
            (&["browser_version"], json!({"browser_version": "\u{0}"})),
        ],
    );
    all_refused(vec![("/api/v1/test-runs/$waiting/start", cases)]).await
}

#[tokio::test]
async fn adding_items_names_what_is_wrong_with_them() -> anyhow::Result<()> {
    let one = replaced(
        &json!({}),
        &[
            (&["test_case_id"], json!({})),
            (&["test_case_id"], json!({"test_case_id": null})),
            (&["test_case_id"], json!({"test_case_id": "x"})),
            (&["test_case_id"], json!({"test_case_id": 1})),
            (&["test_case_id"], json!({"test_case_id": "00000000-0000-0000-0000-000000000000"})),
        ],
    );
    let many = replaced(
        &json!({}),
        &[
            (&["test_case_ids"], json!({})),
            (&["test_case_ids"], json!({"test_case_ids": []})),
            (&["test_case_ids"], json!({"test_case_ids": "$spare_case"})),
            (&["test_case_ids[1]"], json!({"test_case_ids": ["$spare_case", "x"]})),
            (&["test_case_ids[1]"], json!({"test_case_ids": ["$spare_case", "$spare_case"]})),
            (&["test_case_ids"], json!({"test_case_ids": vec!["$spare_case"; 1001]})),
        ],
    );
    all_refused(vec![("/api/v1/test-runs/$waiting/items", one), ("/api/v1/test-runs/$waiting/items/bulk", many)]).await
}

fn result() -> Value {
    json!({"test_run_id": "$running", "test_run_item_id": "$open_item", "status": "passed"})
}

#[tokio::test]
async fn submitting_a_result_names_what_is_wrong_with_it() -> anyhow::Result<()> {
    let nested = (0..100).fold(json!(1), |inner, _| json!([inner]));
    let mut cases = replaced(
        &result(),
        &[
            (&["test_run_id"], json!({"test_run_id": "x"})),
            (&["test_run_item_id"], json!({"test_run_item_id": null})),
            (&["test_case_id"], json!({"test_case_id": "$spare_case"})),
            (&["status"], json!({"status": "no_run"})),
            (&["status"], json!({"status": "PASSED"})),
            (&["status"], json!({"status": 1})),
            (&["status"], json!({"status": {"passed": null}})),
            (&["iteration_number"], json!({"iteration_number": 0})),
            (&["total_iterations"], json!({"total_iterations": 1_000_001})),
            (&["retry_attempt"], json!({"retry_attempt": -1})),
            (&["started_at"], json!({"started_at": "yesterday"})),
            (&["started_at"], json!({"started_at": "2026-01-17T10:05:05"})),
            (&["started_at"], json!({"started_at": "2026-02-30T10:05:05Z"})),
            (&["started_at"], json!({"started_at": "+10000-01-01T00:00:00Z"})),
            (&["completed_at"], json!({"completed_at": "1969-12-31T23:59:59Z"})),
            (&["completed_at"], json!({"completed_at": 1_768_644_305})),
            (&["duration_ms"], json!({"duration_ms": -1})),
            (&["duration_ms"], json!({"duration_ms": i64::MAX})),
            (&["duration_ms"], json!({"duration_ms": u64::MAX})),
            (&["total_steps"], json!({"total_steps": -1})),
            (&["total_steps", "passed_steps"], json!({"total_steps": i32::MAX, "passed_steps": 1_000_001})),
            (&["total_steps"], json!({"total_steps": 1, "passed_steps": 2})),
            (&["total_steps"], json!({"total_steps": 3, "passed_steps": 2, "failed_steps": 1, "skipped_steps": 1})),
            (&["total_steps"], json!({"passed_steps": 1_000_000, "failed_steps": 1_000_000})),
            (
                &["total_checkpoints", "total_pre_scripts"],
                json!({"total_checkpoints": 1, "failed_checkpoints": 2, "total_pre_scripts": 0, "failed_pre_scripts": 1}),
            ),
            (&["pass_rate"], json!({"pass_rate": 100.01})),
            (&["pass_rate"], json!({"pass_rate": -0.01})),
            (&["checkpoint_pass_rate"], json!({"checkpoint_pass_rate": 1e300})),
            (&["initial_url"], json!({"initial_url": "x".repeat(2001)})),
            (
                &["results_folder", "report_path"],
                json!({"results_folder": "x".repeat(501), "report_path": "x".repeat(501)}),
            ),
            (&["data_row_values.pass\u{fffd}word"], json!({"data_row_values": {"pass\u{0}word": "x"}})),
            (&["data_row_values[0].a"], json!({"data_row_values": [{"a": "\u{0}"}]})),
            (&["environment_info[0]"], json!({"environment_info": ["\u{0}", nested]})),
        ],
    );
    cases.extend(verbatim(&[
        (&["test_run_id"], r#"{"test_run_item_id": "$open_item", "status": "passed"}"#),
        (&["test_run_id", "test_run_item_id", "status"], r#"{}"#),
        (
            &["test_run_id", "test_run_item_id", "status", "duration_ms", "steps[0].action", "steps[0].status"],
            r#"{"test_run_id": 5, "status": "bogus", "duration_ms": -1, "steps": [{"step_number": 1, "action": ""}]}"#,
        ),
        (&["status"], r#"{"test_run_id": "$running", "test_run_item_id": "$open_item"}"#),
    ]));
    all_refused(vec![("/api/v1/test-run-results", cases)]).await
}

#[tokio::test]
async fn rows_nested_in_a_result_are_named_by_their_place() -> anyhow::Result<()> {
    let step = json!({"step_number": 1, "action": "click", "status": "passed"});
    let checkpoint = json!({"checkpoint_name": "C", "checkpoint_type": "element", "status": "passed"});
    let script = json!({"script_name": "s", "script_type": "on_demand", "status": "passed"});
    let line = json!({"log_level": "info", "message": "m", "timestamp": "2026-01-17T10:05:05Z"});
    let request = json!({"url": "u", "method": "GET", "timestamp": "2026-01-17T10:05:05Z"});
    let second = |good: &Value, fields: Value| json!([good, with(good.clone(), &fields)]);
    let cases = replaced(
        &result(),
        &[
            (&["steps"], json!({"steps": {}})),
            (&["steps[1]"], json!({"steps": [step, 5]})),
            (&["steps[0].step_number"], json!({"steps": [{"action": "click", "status": "passed"}]})),
            (&["steps[0].step_number"], json!({"steps": [with(step.clone(), &json!({"step_number": 0}))]})),
            (&["steps[1].step_number"], json!({"steps": second(&step, json!({}))})),
            (&["steps[1].action"], json!({"steps": second(&step, json!({"step_number": 2, "action": ""}))})),
            (&["steps[1].selector"], json!({"steps": second(&step, json!({"step_number": 2, "selector": "\u{0}"}))})),
            (&["steps[1].status"], json!({"steps": second(&step, json!({"step_number": 2, "status": "no_run"}))})),
            (&["steps"], json!({"steps": vec![&step; 1001]})),
            (
                &["checkpoints[1].checkpoint_type"],
                json!({"checkpoints": second(&checkpoint, json!({"checkpoint_type": "x"}))}),
            ),
            (
                &["checkpoints[1].diff_percentage"],
                json!({"checkpoints": second(&checkpoint, json!({"diff_percentage": 101}))}),
            ),
            (&["checkpoints"], json!({"checkpoints": vec![&checkpoint; 1001]})),
            (&["scripts[1].script_type"], json!({"scripts": second(&script, json!({"script_type": "before"}))})),
            (&["scripts[1].script_name"], json!({"scripts": second(&script, json!({"script_name": "x".repeat(256)}))})),
            (&["console_logs[1].log_level"], json!({"console_logs": second(&line, json!({"log_level": "loud"}))})),
            (&["console_logs[1].timestamp"], json!({"console_logs": second(&line, json!({"timestamp": "soon"}))})),
            (&["console_logs"], json!({"console_logs": vec![&line; 10_001]})),
            (&["network_logs[1].status_code"], json!({"network_logs": second(&request, json!({"status_code": 1000}))})),
            (&["network_logs[1].method"], json!({"network_logs": second(&request, json!({"method": "PROPPATCHES"}))})),
            (
                &["network_logs[1].url", "steps[0].action", "steps[0].duration_ms"],
                json!({
                    "network_logs": second(&request, json!({"url": ""})),
                    "steps": [with(step.clone(), &json!({"action": " ", "duration_ms": -1}))],
                }),
            ),
        ],
    );
    all_refused(vec![("/api/v1/test-run-results", cases)]).await
}

#[tokio::test]
async fn references_of_nested_rows_are_refused_where_they_stand() -> anyhow::Result<()> {
    let app = App::start().await?;
    let world = World::new(&app.client).await?;
    let checkpoint = json!({"checkpoint_name": "C", "checkpoint_type": "element", "status": "passed"});
    let script = json!({"script_name": "s", "script_type": "on_demand", "status": "passed"});
    let unknown = uuid::Uuid::new_v4();
    let before = app.contents().await?;
    let mut wrong = Vec::new();
    for (collection, row, field, value) in [
        ("checkpoints", &checkpoint, "step_number", json!(9)),
        ("checkpoints", &checkpoint, "test_step_result_id", json!(unknown)),
        ("scripts", &script, "test_script_id", json!(unknown)),
    ] {
        let body = with(result(), &json!({collection: [row, with(row.clone(), &json!({field: value}))]}));
        let answer = app.send("POST", "/api/v1/test-run-results", world.fill(&body.to_string())).await?;
        wrong.extend(answer.not_invalid(&[&format!("{collection}[1].{field}")]));
    }
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn adding_rows_to_a_result_names_what_is_wrong_with_them() -> anyhow::Result<()> {
    let step = json!({"step_number": 9, "action": "click", "status": "passed"});
    let steps = replaced(
        &json!({}),
        &[
            (&["steps"], json!({})),
            (&["steps"], json!({"steps": []})),
            (&["steps"], json!({"steps": vec![&step; 1001]})),
            (&["steps[0].action"], json!({"steps": [with(step.clone(), &json!({"action": "x".repeat(101)}))]})),
            (&["steps[0].status"], json!({"steps": [with(step.clone(), &json!({"status": null}))]})),
        ],
    );
    let checkpoint = json!({"checkpoint_name": "C", "checkpoint_type": "element", "status": "passed"});
    let checkpoints = replaced(
        &checkpoint,
        &[
            (&["checkpoint_name"], json!({"checkpoint_name": ""})),
            (&["checkpoint_type"], json!({"checkpoint_type": "pixel"})),
            (&["status"], json!({"status": "skipped"})),
            (&["profile"], json!({"profile": "x".repeat(51)})),
            (&["failed_properties[0]"], json!({"failed_properties": [1]})),
            (&["diff_percentage"], json!({"diff_percentage": -1})),
            (&["test_step_result_id"], json!({"test_step_result_id": "x"})),
            (&["expected_properties.x"], json!({"expected_properties": {"x": "\u{0}"}})),
        ],
    );
    let line = json!({"log_level": "info", "message": "m", "timestamp": "2026-01-17T10:05:05Z"});
    let logs = replaced(
        &json!({}),
        &[
            (&["logs"], json!({"logs": []})),
            (&["logs[0].message"], json!({"logs": [with(line.clone(), &json!({"message": null}))]})),
            (&["logs[0].log_level"], json!({"logs": [with(line.clone(), &json!({"log_level": "fatal"}))]})),
            (&["logs[0].timestamp"], json!({"logs": [{"log_level": "info", "message": "m"}]})),
            (
                &["logs[0].line_number", "logs[1].source"],
                json!({"logs": [
                    with(line.clone(), &json!({"line_number": -1})), with(line.clone(), &json!({"source": "x".repeat(501)})),
                ]}),
            ),
            (&["logs[1].message"], json!({"logs": [line, with(line.clone(), &json!({"message": "\u{0}"}))]})),
        ],
    );
    all_refused(vec![
        ("/api/v1/test-run-results/$result/steps/bulk", steps),
        ("/api/v1/test-run-results/$result/checkpoints", checkpoints),
        ("/api/v1/test-run-results/$result/console-logs/bulk", logs),
    ])
    .await
}
