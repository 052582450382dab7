//! Every query parameter of every list, and what it leaves over.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::app::{App, none_wrong};
use crate::document::{Operation, operations};
use crate::world::{self, id, pending, running, submit};

/// Operations, each with the field by which the rows of its answer are told apart.
type Lists = &'static [(&'static str, &'static str)];
/// Operation, query, and the rows that are left, in their order.
type Rows = &'static [(&'static str, &'static str, &'static [&'static str])];

const RUNS: (Lists, Rows) = (
    &[("list_test_runs", "run_name")],
    &[
        ("list_test_runs", "status=running", &["Gamma", "Beta"]),
        ("list_test_runs", "suite_path=ROOT,Two", &["Beta"]),
        ("list_test_runs", "from_date=2026-01-12", &["Gamma", "Beta"]),
        ("list_test_runs", "to_date=2026-01-12", &["Beta", "Alpha"]),
        ("list_test_runs", "created_by=$colleague", &["Gamma"]),
        ("list_test_runs", "tags=y,x", &["Alpha"]),
        ("list_test_runs", "search=ET", &["Beta"]),
        ("list_test_runs", "sort_by=created_at", &["Gamma", "Beta", "Alpha"]),
        ("list_test_runs", "sort_by=started_at", &["Beta", "Gamma", "Alpha"]),
        ("list_test_runs", "sort_by=pass_rate&status=running", &["Beta", "Gamma"]),
        ("list_test_runs", "sort_order=asc", &["Alpha", "Beta", "Gamma"]),
    ],
);

const SCHEDULES: (Lists, Rows) = (
    &[
        ("list_schedules", "schedule_name"),
        ("list_pending_schedules", "schedule_name"),
        ("list_schedule_executions", "status"),
        ("preview_stored_schedule", "utc"),
    ],
    &[
        ("list_schedules", "status=paused", &["Once"]),
        ("list_schedules", "is_enabled=false", &["Daily"]),
        ("list_schedules", "repeat_type=hourly", &["Hourly"]),
        ("list_schedules", "from_date=2051-01-01", &["Once", "Daily"]),
        ("list_schedules", "to_date=2050-01-01T00:00:00Z", &["Hourly", "Late", "Overdue"]),
        ("list_pending_schedules", "limit=20", &["Overdue", "Late"]),
        ("list_schedule_executions", "status=running", &["running"]),
        ("list_schedule_executions", "status=pending", &["pending"]),
        ("list_schedule_executions", "status=missed", &[]),
        ("preview_stored_schedule", "count=2", &["2050-01-01T00:00:00Z", "2050-01-01T01:00:00Z"]),
    ],
);

const CASES: (Lists, Rows) = (
    &[("list_test_cases", "name")],
    &[
        ("list_test_cases", "suite_path=ROOT,A", &["Login"]),
        ("list_test_cases", "suite_path=ROOT", &["Logout", "Login"]),
        ("list_test_cases", "tags=y", &["Logout"]),
        ("list_test_cases", "search=GIN", &["Login"]),
        ("list_test_cases", "external_key=k1", &["Login"]),
        ("list_test_cases", "external_key=k", &[]),
    ],
);

const RESULTS: (Lists, Rows) = (
    &[
        ("list_test_run_items", "execution_order"),
        ("list_test_run_results", "retry_attempt"),
        ("list_test_run_item_results", "retry_attempt"),
        ("get_test_case_history", "status"),
        ("list_test_step_results", "action"),
        ("list_checkpoint_results", "checkpoint_name"),
        ("list_script_results", "script_name"),
        ("list_console_logs", "message"),
        ("list_network_logs", "url"),
    ],
    &[
        ("list_test_step_results", "status=failed", &["click"]),
        ("list_checkpoint_results", "status=passed", &["Title"]),
        ("list_script_results", "script_type=post_execution", &["After"]),
        ("list_script_results", "status=passed", &["Before"]),
        ("list_script_results", "script_type=post_execution&status=passed", &[]),
        ("list_console_logs", "log_level=error", &["oops"]),
        ("list_console_logs", "step_index=1", &["hello"]),
        ("list_console_logs", "log_level=error&step_index=1", &[]),
        ("list_network_logs", "status_code=404", &["https://b.example"]),
        ("list_network_logs", "step_index=1", &["https://a.example"]),
    ],
);

const PEOPLE: (Lists, Rows) = (
    &[
        ("list_users", "display_name"),
        ("list_members", "user_id"),
        ("list_tokens", "name"),
        ("list_projects", "name"),
        ("list_test_scripts", "name"),
    ],
    &[
        ("list_users", "search=ZOE@", &["Somebody"]),
        ("list_users", "search=some", &["Somebody"]),
        ("list_test_scripts", "script_type=on_demand", &["Clean up"]),
        ("list_test_scripts", "search=LOG", &["Log in"]),
        ("list_test_scripts", "search=%25", &[]),
    ],
);

const WEBHOOKS: (Lists, Rows) = (
    &[("list_webhooks", "description"), ("list_webhook_deliveries", "status")],
    &[("list_webhook_deliveries", "status=failed", &["failed"]), ("list_webhook_deliveries", "status=delivered", &[])],
);

const OPERATIONS: (Lists, Rows) = (
    &[("list_queues", "queue"), ("list_jobs", "id")],
    &[
        ("list_jobs", "status=available", &["01ARZ3NDEKTSV4RRFFQ69G5FA1"]),
        ("list_jobs", "status=scheduled", &["01ARZ3NDEKTSV4RRFFQ69G5FA2"]),
        ("list_jobs", "status=running", &["01ARZ3NDEKTSV4RRFFQ69G5FA4", "01ARZ3NDEKTSV4RRFFQ69G5FA3"]),
        ("list_jobs", "status=dead", &["01ARZ3NDEKTSV4RRFFQ69G5FA5"]),
        ("list_jobs", "status=done", &["01ARZ3NDEKTSV4RRFFQ69G5FA6"]),
        ("list_jobs", "queue=refresh_run", &["01ARZ3NDEKTSV4RRFFQ69G5FA4"]),
        ("list_jobs", "queue=refresh_run&status=dead", &[]),
    ],
);

const ALL: [(Lists, Rows); 7] = [RUNS, SCHEDULES, CASES, RESULTS, PEOPLE, WEBHOOKS, OPERATIONS];

fn parameters(operation: &Operation) -> impl Iterator<Item = &str> {
    let described = operation.described["parameters"].as_array().into_iter().flatten();
    described.filter(|parameter| parameter["in"] == "query").filter_map(|parameter| parameter["name"].as_str())
}

#[test]
fn no_documented_parameter_is_left_untried() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for operation in operations() {
        for parameter in parameters(&operation) {
            count += 1;
            // Every list that is named is paged through.
            let paged = ["limit", "offset"].contains(&parameter)
                && ALL.iter().flat_map(|(lists, _)| *lists).any(|(name, _)| *name == operation.id);
            let given = format!("&{parameter}=");
            let tried = ALL.iter().flat_map(|(_, rows)| *rows);
            let tried = tried.filter(|(name, ..)| *name == operation.id);
            if !paged && !tried.into_iter().any(|(_, query, _)| format!("&{query}").contains(&given)) {
                wrong.push(format!("{}: nothing tries '{parameter}'", operation.id));
            }
        }
    }
    none_wrong(&wrong);
    assert!(count > 60, "only {count} parameters");
}

/// Asks every list of a group for each of its rows, and for its pages.
async fn check(app: &App, (lists, rows): (Lists, Rows), ids: &BTreeMap<&str, String>) -> anyhow::Result<()> {
    let mut wrong = Vec::new();
    for (name, label) in lists {
        let operation = operations().into_iter().find(|operation| operation.id == *name).expect("an operation");
        let path = operation.path_with(|parameter| ids[parameter].clone());
        let ask = async |query: &str| {
            let answer = app.client.get(&format!("{path}?{query}")).await?.expect(200)?;
            anyhow::Ok((labels(&answer, label), answer["total"].clone()))
        };
        let (all, total) = ask("").await?;
        if all.len() < 2 && *name != "list_projects" {
            wrong.push(format!("{name} has too few rows to tell: {all:?}"));
        }
        for (_, query, expected) in rows.iter().filter(|(of, ..)| of == name) {
            let query = query.replace("$colleague", ids.get("user_id").map_or("", |id| id));
            let (left, total) = ask(&query).await?;
            if left != *expected || !(total.is_null() || total == json!(expected.len())) {
                wrong.push(format!("{name}?{query}: {left:?} of {total} instead of {expected:?}"));
            }
        }
        if parameters(&operation).any(|parameter| parameter == "offset") {
            let (first, of) = ask("limit=1").await?;
            let (others, of_others) = ask("offset=1").await?;
            if first != all[..1] || others != all[1..] || of != total || of_others != total {
                wrong.push(format!("{name}: {all:?} begins with {first:?} and goes on with {others:?}"));
            }
        }
    }
    none_wrong(&wrong);
    Ok(())
}

/// What the rows of an answer are told apart by.
fn labels(answer: &Value, label: &str) -> Vec<String> {
    let rows = ["items", "history", "fires"].iter().find_map(|name| answer[name].as_array());
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    rows.into_iter().flatten().map(|row| text(&row[label])).collect()
}

#[tokio::test]
async fn runs_are_narrowed_and_sorted() -> anyhow::Result<()> {
    let app = App::start().await?;
    let mail = "colleague@example.com";
    let colleague = world::user(&app.client, mail).await?;
    let token = app.db.token("Home", mail, testrun_shared::domain::identity::Role::Member).await?;
    let alpha = json!({"run_name": "Alpha", "tags": ["x", "y"], "suite_path": ["ROOT", "One"]});
    pending(&app.client, &alpha, 1).await?;
    let beta = json!({"run_name": "Beta", "tags": ["x"], "suite_path": ["ROOT", "Two"]});
    let beta = pending(&app.client, &beta, 2).await?;
    running(&app.client.with_token(Some(&token)), &json!({"run_name": "Gamma"}), 1).await?;
    app.client.post(&format!("{}/start", beta.path()), &json!({})).await?.expect(200)?;
    submit(&app.client, &beta, 0, &json!({"status": "passed"})).await?;
    app.settle().await?;
    // The runs' days are told apart by hand: the server alone sets them.
    let days = "UPDATE test_runs SET created_at = make_timestamptz(2026, 1, 10 + run_number, 12, 0, 0, 'UTC')";
    sqlx::query(days).execute(&app.db.pool).await?;
    check(&app, RUNS, &BTreeMap::from([("user_id", colleague)])).await
}

#[tokio::test]
async fn schedules_and_their_executions_are_narrowed() -> anyhow::Result<()> {
    let app = App::start().await?;
    world::case(&app.client, "Any").await?;
    let mut ids = BTreeMap::new();
    for (name, at, repeat_type, is_enabled) in [
        ("Overdue", "2020-01-01T00:00:00Z", "none", true),
        ("Late", "2021-01-01T00:00:00Z", "none", true),
        ("Hourly", "2050-01-01T00:00:00Z", "hourly", true),
        ("Daily", "2051-01-01T00:00:00Z", "daily", false),
        ("Once", "2052-01-01T00:00:00Z", "none", true),
    ] {
        let body = json!({"schedule_name": name, "suite_path": [], "scheduled_datetime": at, "repeat_type": repeat_type,
            "is_enabled": is_enabled});
        let schedule = app.client.post("/api/v1/schedules", &body).await?.expect(201)?;
        ids.insert(name, id(&schedule["id"])?);
    }
    app.client.post(&format!("/api/v1/schedules/{}/pause", ids["Once"]), &Value::Null).await?.expect(200)?;
    let run_now = format!("/api/v1/schedules/{}/run-now", ids["Hourly"]);
    app.client.post(&run_now, &Value::Null).await?.expect(201)?;
    app.settle().await?;
    app.client.post(&run_now, &Value::Null).await?.expect(201)?;
    check(&app, SCHEDULES, &BTreeMap::from([("schedule_id", ids["Hourly"].clone())])).await
}

#[tokio::test]
async fn test_cases_are_narrowed() -> anyhow::Result<()> {
    let app = App::start().await?;
    for case in [
        json!({"name": "Login", "suite_path": ["ROOT", "A"], "tags": ["x"], "external_key": "k1"}),
        json!({"name": "Logout", "suite_path": ["ROOT", "B"], "tags": ["x", "y"]}),
        json!({"name": "Elsewhere", "external_key": "k2"}),
    ] {
        app.client.post("/api/v1/test-cases", &case).await?.expect(201)?;
    }
    check(&app, CASES, &BTreeMap::new()).await
}

#[tokio::test]
async fn what_belongs_to_a_result_is_narrowed() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = running(&app.client, &json!({"retry_on_failure": true, "retry_count": 3}), 2).await?;
    let result = json!({
        "status": "failed",
        "steps": [{"step_number": 1, "action": "open", "status": "passed"},
            {"step_number": 2, "action": "click", "status": "failed"}],
        "checkpoints": [{"checkpoint_name": "Title", "checkpoint_type": "element", "status": "passed"},
            {"checkpoint_name": "Logo", "checkpoint_type": "screenshot", "status": "failed"}],
        "scripts": [{"script_name": "Before", "script_type": "pre_execution", "status": "passed"},
            {"script_name": "After", "script_type": "post_execution", "status": "failed"}],
        "console_logs": [
            {"log_level": "info", "message": "hello", "step_index": 1, "timestamp": "2026-01-17T10:05:05Z"},
            {"log_level": "error", "message": "oops", "step_index": 2, "timestamp": "2026-01-17T10:05:06Z"}],
        "network_logs": [
            {"url": "https://a.example", "method": "GET", "status_code": 200, "step_index": 1,
                "timestamp": "2026-01-17T10:05:05Z"},
            {"url": "https://b.example", "method": "GET", "status_code": 404, "step_index": 2,
                "timestamp": "2026-01-17T10:05:06Z"}],
    });
    let result = submit(&app.client, &run, 0, &result).await?;
    submit(&app.client, &run, 0, &json!({"status": "passed"})).await?;
    let ids = [
        ("run_id", run.id.clone()),
        ("item_id", run.items[0].clone()),
        ("test_case_id", run.cases[0].clone()),
        ("result_id", id(&result["id"])?),
    ];
    check(&app, RESULTS, &BTreeMap::from(ids)).await
}

#[tokio::test]
async fn people_tokens_and_scripts_are_narrowed() -> anyhow::Result<()> {
    let app = App::start().await?;
    let zoe = json!({"email": "zoe@example.com", "display_name": "Somebody"});
    app.client.post("/api/v1/users", &zoe).await?.expect(201)?;
    app.client.post("/api/v1/tokens", &json!({"name": "CI", "role": "viewer"})).await?.expect(201)?;
    for (name, script_type) in [("Log in", "pre_execution"), ("Clean up", "on_demand")] {
        let script = json!({"name": name, "script_type": script_type});
        app.client.post("/api/v1/test-scripts", &script).await?.expect(201)?;
    }
    check(&app, PEOPLE, &BTreeMap::from([("project_id", app.tenant.project_id.to_string())])).await
}

#[tokio::test]
async fn webhooks_and_their_deliveries_are_narrowed() -> anyhow::Result<()> {
    let app = App::start().await?;
    let mut hook = String::new();
    for description in ["One", "Two"] {
        let body = json!({"url": "https://example.com/hook", "description": description});
        hook = id(&app.client.post("/api/v1/webhooks", &body).await?.expect(201)?["id"])?;
    }
    for _delivery in 0..2 {
        app.client.post(&format!("/api/v1/webhooks/{hook}/test"), &Value::Null).await?.expect(201)?;
    }
    let failed = "UPDATE webhook_deliveries SET status = 'failed' WHERE id = (SELECT min(id::text)::uuid FROM webhook_deliveries)";
    sqlx::query(failed).execute(&app.db.pool).await?;
    check(&app, WEBHOOKS, &BTreeMap::from([("webhook_id", hook)])).await
}

#[tokio::test]
async fn queues_and_jobs_are_narrowed() -> anyhow::Result<()> {
    let app = App::start().await?;
    sqlx::query("DELETE FROM apalis.jobs").execute(&app.db.pool).await?;
    sqlx::query(
        "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority)
         SELECT '01ARZ3NDEKTSV4RRFFQ69G5FA' || number, queue, '{}', status, 1, 1, now() + make_interval(secs => late), 0
         FROM (VALUES (1, 'send_email', 'Pending', -10), (2, 'send_email', 'Pending', 600), (3, 'send_email', 'Queued', -9),
             (4, 'refresh_run', 'Running', -8), (5, 'send_email', 'Killed', -7), (6, 'send_email', 'Done', -6))
             AS jobs (number, queue, status, late)",
    )
    .execute(&app.db.pool)
    .await?;
    check(&app, OPERATIONS, &BTreeMap::new()).await
}
