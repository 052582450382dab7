//! Results: what is stored with them, and what follows from them.

use rust_decimal::Decimal;
use serde_json::{Value, json};
use testrun_shared::actions::results::{add_checkpoint, add_script, add_steps};
use testrun_shared::db;
use testrun_shared::domain::execution_history::TestExecutionHistory;
use testrun_shared::domain::page::Page;
use testrun_shared::domain::test_run_item::{ItemStatus, TestRunItem};
use testrun_shared::domain::test_run_result::{ResultStatus, TestRunResult};
use testrun_shared::domain::test_step_result::NewTestStepResult;
use testrun_shared::{actions, domain::masking::MASK};
use uuid::Uuid;

use crate::world::{World, percent};

const FIRST: Page = Page { limit: 100, offset: 0 };

/// The tables that a result reaches, by their number of rows.
pub(crate) async fn rows(w: &World) -> sqlx::Result<[i64; 6]> {
    let (results, steps, checkpoints, scripts, console, network) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM test_run_results), (SELECT count(*) FROM test_step_results),
             (SELECT count(*) FROM checkpoint_results), (SELECT count(*) FROM script_results),
             (SELECT count(*) FROM console_logs), (SELECT count(*) FROM network_logs)",
    )
    .fetch_one(&w.db)
    .await?;
    Ok([results, steps, checkpoints, scripts, console, network])
}

pub(crate) async fn script(w: &World, project_id: Uuid) -> sqlx::Result<Uuid> {
    sqlx::query_scalar(
        "INSERT INTO test_scripts (project_id, name, script_type) VALUES ($1, 'Login', 'pre_execution') RETURNING id",
    )
    .bind(project_id)
    .fetch_one(&w.db)
    .await
}

fn everything(script_id: Uuid) -> Value {
    json!({
        "status": "failed", "error_message": "Timeout", "error_step_number": 2,
        "started_at": "2026-01-18T10:00:00Z", "completed_at": "2026-01-18T10:00:01.5Z",
        "data_row_values": {"username": "ada", "password": "hunter2"},
        "steps": [
            {"step_number": 1, "action": "fill", "status": "passed", "selector": "#password", "input_value": "hunter2"},
            {"step_number": 2, "action": "click", "status": "failed"},
            {"step_number": 3, "action": "click", "status": "skipped"},
        ],
        "checkpoints": [
            {"step_number": 1, "checkpoint_name": "Title", "checkpoint_type": "element", "status": "passed"},
            {"checkpoint_name": "Logo", "checkpoint_type": "screenshot", "status": "failed", "diff_percentage": 3.5},
        ],
        "scripts": [
            {"test_script_id": script_id, "script_name": "Login", "script_type": "pre_execution", "status": "failed",
             "is_critical": true},
            {"script_name": "Clean up", "script_type": "post_execution", "status": "passed"},
        ],
        "console_logs": [{"log_level": "error", "message": "Oops", "timestamp": "2026-01-18T10:00:00Z"}],
        "network_logs": [{
            "url": "https://example.com", "method": "GET", "timestamp": "2026-01-18T10:00:00Z",
            "request_headers": {"Authorization": "Bearer hunter2", "Accept": "*/*"},
            "response_headers": [{"name": "Set-Cookie", "value": "hunter2"}],
        }],
    })
}

async fn history(w: &World, item: &TestRunItem) -> sqlx::Result<Vec<(ResultStatus, [i32; 3], Decimal)>> {
    let rows = db::execution_history::list(&w.db, item.test_case_id, FIRST).await?;
    let steps = |row: &TestExecutionHistory| [row.total_steps, row.passed_steps, row.failed_steps];
    Ok(rows.into_iter().map(|row| (row.status, steps(&row), row.pass_rate)).collect())
}

pub(crate) async fn stored(w: &World, id: Uuid) -> anyhow::Result<TestRunResult> {
    let result = db::test_run_results::get(&w.db, w.tenant.project_id, id).await?;
    result.ok_or_else(|| anyhow::anyhow!("the result is gone"))
}

pub(crate) fn step(number: i32, status: &str) -> NewTestStepResult {
    serde_json::from_value(json!({"step_number": number, "action": "click", "status": status})).expect("a step")
}

#[tokio::test]
async fn a_result_is_stored_with_everything_nested_in_it() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(1).await?;
    let script_id = script(&w, w.tenant.project_id).await?;
    let answer = w.submit(&run.items[0], everything(script_id)).await?;
    assert_eq!(rows(&w).await?, [1, 3, 2, 2, 1, 1]);

    let result = stored(&w, answer.id).await?;
    assert_eq!(serde_json::to_value(&result)?, serde_json::to_value(&answer)?, "what is answered is what is stored");
    assert_eq!((result.total_steps, result.passed_steps, result.failed_steps, result.skipped_steps), (3, 1, 1, 1));
    assert_eq!((result.total_checkpoints, result.passed_checkpoints, result.failed_checkpoints), (2, 1, 1));
    assert_eq!((result.total_pre_scripts, result.failed_pre_scripts, result.total_post_scripts), (1, 1, 1));
    assert_eq!((result.pass_rate, result.checkpoint_pass_rate), (percent(3_333), percent(5_000)));
    assert_eq!((result.duration_ms, result.retry_attempt, result.pre_script_aborted), (1500, 0, true));

    let item = w.item(&run.items[0]).await?;
    assert_eq!((item.status, item.display_status.as_str()), (ItemStatus::Failed, "Fail"));
    assert_eq!((item.total_steps, item.passed_steps, item.failed_steps, item.skipped_steps), (3, 1, 1, 1));
    assert_eq!((item.total_checkpoints, item.passed_checkpoints, item.failed_checkpoints), (2, 1, 1));
    assert_eq!((item.error_message.as_deref(), item.duration_ms), (Some("Timeout"), 1500));
    assert_eq!((item.started_at, item.completed_at), (result.started_at, result.completed_at));
    assert!(!item.max_retries_exhausted, "there were no retries to exhaust");
    assert_eq!(history(&w, &item).await?, [(ResultStatus::Failed, [3, 1, 1], percent(3_333))]);
    let on_step = "SELECT count(*) FROM checkpoint_results c JOIN test_step_results s ON s.id = c.test_step_result_id
         WHERE s.step_number = 1 AND c.checkpoint_name = 'Title' AND c.test_run_result_id = $1";
    assert_eq!(w.count(on_step, answer.id).await?, 1, "the checkpoint found its step by number");
    Ok(())
}

#[tokio::test]
async fn secrets_are_masked_in_the_database() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(1).await?;
    let script_id = script(&w, w.tenant.project_id).await?;
    w.submit(&run.items[0], everything(script_id)).await?;
    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT to_jsonb(r)::text FROM test_run_results r UNION ALL SELECT to_jsonb(s)::text FROM test_step_results s
         UNION ALL SELECT to_jsonb(n)::text FROM network_logs n UNION ALL SELECT data::text FROM events",
    )
    .fetch_all(&w.db)
    .await?;
    assert!(rows.len() > 4);
    let all = rows.join("\n");
    assert!(!all.contains("hunter2"), "a secret is stored: {all}");
    assert_eq!(all.matches(MASK).count(), 4, "password, password field, Authorization, Set-Cookie");
    assert!(all.contains("ada") && all.contains("*/*"), "what is no secret stays readable");
    Ok(())
}

#[tokio::test]
async fn steps_and_checkpoints_that_come_later_change_result_item_and_history() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(1).await?;
    let caller = &w.tenant.caller;
    let id =
        w.submit(&run.items[0], json!({"steps": [{"step_number": 1, "action": "a", "status": "passed"}]})).await?.id;
    let added = add_steps(&w.db, caller, id, vec![step(2, "failed"), step(3, "skipped")]).await?;
    assert_eq!((added.total_added, added.items[1].step_number), (2, 3));
    let checkpoint =
        json!({"checkpoint_name": "Title", "checkpoint_type": "element", "status": "passed", "step_number": 3});
    let checkpoint = add_checkpoint(&w.db, caller, id, serde_json::from_value(checkpoint)?).await?;
    assert_eq!(checkpoint.test_step_result_id, Some(added.items[1].id));

    let result = stored(&w, id).await?;
    assert_eq!((result.total_steps, result.passed_steps, result.failed_steps, result.skipped_steps), (3, 1, 1, 1));
    assert_eq!((result.total_checkpoints, result.passed_checkpoints, result.failed_checkpoints), (1, 1, 0));
    assert_eq!((result.pass_rate, result.checkpoint_pass_rate), (percent(3_333), percent(10_000)));
    let item = w.item(&run.items[0]).await?;
    assert_eq!(item.status, ItemStatus::Passed, "what a result says of itself stays");
    assert_eq!([item.total_steps, item.passed_steps, item.failed_steps, item.skipped_steps], [3, 1, 1, 1]);
    assert_eq!([item.total_checkpoints, item.passed_checkpoints], [1, 1]);
    assert_eq!(history(&w, &item).await?, [(ResultStatus::Passed, [3, 1, 1], percent(3_333))]);
    Ok(())
}

#[tokio::test]
async fn steps_of_a_skipped_result_count_like_others() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(2).await?;
    let id = w.submit(&run.items[0], json!({"status": "skipped"})).await?.id;
    add_steps(&w.db, &w.tenant.caller, id, vec![step(1, "passed"), step(2, "skipped")]).await?;
    let item = w.item(&run.items[0]).await?;
    assert_eq!((item.status, item.total_steps, item.passed_steps), (ItemStatus::Skipped, 2, 1));
    assert_eq!(history(&w, &item).await?, [(ResultStatus::Skipped, [2, 1, 0], percent(5_000))]);
    Ok(())
}

#[tokio::test]
async fn an_item_that_the_stop_made_final_stays_so_when_steps_come_later() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started_with(2, json!({"retry_on_failure": true, "retry_count": 1})).await?;
    let id = w.submit(&run.items[0], json!({"status": "failed"})).await?.id;
    actions::test_runs::stop(&w.db, &w.tenant.caller, run.id).await?;
    add_steps(&w.db, &w.tenant.caller, id, vec![step(1, "failed")]).await?;
    let item = w.item(&run.items[0]).await?;
    assert_eq!((item.status, item.completed_at.is_some()), (ItemStatus::Skipped, true));
    assert_eq!(stored(&w, id).await?.total_steps, 1);
    assert_eq!(history(&w, &item).await?, [(ResultStatus::Failed, [1, 0, 1], percent(0))]);
    w.assert_counts_add_up(run.id).await
}

#[tokio::test]
async fn counts_that_the_client_stated_stay_and_the_others_follow_later_rows() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(1).await?;
    let stated = json!({"total_steps": 10, "passed_steps": 9, "failed_steps": 1, "total_checkpoints": 4, "passed_checkpoints": 3,
        "passed_pre_scripts": 1, "total_pre_scripts": 1});
    let id = w.submit(&run.items[0], stated).await?.id;
    add_steps(&w.db, &w.tenant.caller, id, vec![step(1, "failed")]).await?;
    let checkpoint = json!({"checkpoint_name": "Title", "checkpoint_type": "api", "status": "failed"});
    add_checkpoint(&w.db, &w.tenant.caller, id, serde_json::from_value(checkpoint)?).await?;
    for (kind, status) in [("pre_execution", "failed"), ("post_execution", "failed"), ("on_demand", "passed")] {
        let script = json!({"script_name": "s", "script_type": kind, "status": status, "is_critical": true});
        add_script(&w.db, &w.tenant.caller, id, serde_json::from_value(script)?).await?;
    }
    let result = stored(&w, id).await?;
    assert_eq!([result.total_steps, result.passed_steps, result.failed_steps], [10, 9, 1]);
    assert_eq!(result.pass_rate, percent(9000));
    assert_eq!([result.total_checkpoints, result.passed_checkpoints], [4, 3]);
    assert_eq!(result.failed_checkpoints, 1, "what was left out follows the rows");
    assert_eq!([result.passed_pre_scripts, result.failed_pre_scripts], [1, 1]);
    assert_eq!(result.total_pre_scripts, 2, "a total that later rows outgrow covers them");
    assert_eq!([result.total_post_scripts, result.failed_post_scripts], [1, 1]);
    assert_eq!([result.total_on_demand_scripts, result.passed_on_demand_scripts], [1, 1]);
    assert!(result.pre_script_aborted);
    assert_eq!(rows(&w).await?[1..3], [1, 1]);
    Ok(())
}

#[tokio::test]
async fn an_item_row_is_right_when_the_answer_returns_and_the_runs_row_after_the_refresh() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(2).await?;
    w.submit(&run.items[0], json!({})).await?;
    assert_eq!(w.item(&run.items[0]).await?.status, ItemStatus::Passed);
    assert_eq!(w.run(run.id).await?.passed_tests, 0, "the run's row is the worker's business");
    actions::refresh::refresh(&w.db, run.id).await?;
    assert_eq!(w.run(run.id).await?.passed_tests, 1);
    Ok(())
}

/// What is told of finished items so far.
async fn told(w: &World) -> sqlx::Result<Vec<Value>> {
    let sql = "SELECT data FROM events WHERE type = 'item.finished' ORDER BY transaction_id, sequence";
    sqlx::query_scalar(sql).fetch_all(&w.db).await
}

#[tokio::test]
async fn a_result_tells_of_the_item_that_it_finishes_and_a_refresh_where_a_webhook_wants_to_know() -> anyhow::Result<()>
{
    let w = World::new().await?;
    let run = w.started_with(2, json!({"retry_on_failure": true, "retry_count": 1})).await?;
    let failed = json!({"status": "failed", "error_message": "é".repeat(1_001), "duration_ms": 7});
    w.submit(&run.items[0], failed.clone()).await?;
    assert_eq!(told(&w).await?, Vec::<Value>::new(), "it is tried once more");
    w.submit(&run.items[0], failed.clone()).await?;
    let facts = |item: &TestRunItem, name: Value| {
        json!({
            "test_run_id": run.id, "test_run_item_id": item.id, "test_case_id": item.test_case_id, "test_case_name": name,
            "execution_order": item.execution_order, "status": "failed", "duration_ms": 7, "retry_attempt": 1,
            "error_message": "é".repeat(1_000),
        })
    };
    let first = told(&w).await?;
    let name =
        |told: &[Value], index: usize| told.get(index).map_or(Value::Null, |facts| facts["test_case_name"].clone());
    assert_eq!(first, [facts(&run.items[0], name(&first, 0))]);
    actions::refresh::refresh(&w.db, run.id).await?;
    assert_eq!(told(&w).await?, first, "once");

    w.execute(
        "INSERT INTO webhooks (id, project_id, url, event_types, secret, created_by)
         SELECT gen_random_uuid(), p.id, 'https://example.com', '{item.finished}', 'secret', u.id FROM projects p, users u",
    )
    .await?;
    w.submit(&run.items[1], failed.clone()).await?;
    w.submit(&run.items[1], failed).await?;
    assert_eq!(told(&w).await?, first, "deliveries are not a result's business");
    actions::refresh::refresh(&w.db, run.id).await?;
    let both = told(&w).await?;
    assert_eq!(both, [first[0].clone(), facts(&run.items[1], name(&both, 1))]);
    assert!(name(&both, 0).is_string() && name(&both, 0) != name(&both, 1), "{both:?}");
    assert_eq!(w.jobs("deliver_webhook").await?.len(), 1);
    let kinds = w.events(run.id).await?;
    assert_eq!(kinds[2..], ["item.finished", "run.progress", "item.finished", "run.completed"]);
    Ok(())
}
