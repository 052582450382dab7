//! Results that are refused, and that nothing of them stays.

use serde_json::{Value, json};
use testrun_shared::actions;
use testrun_shared::actions::results::{add_checkpoint, add_console_logs, add_steps};
use testrun_shared::domain::test_run_item::ItemStatus;
use testrun_shared::error::Error;
use uuid::Uuid;

use crate::results::{rows, script, step, stored};
use crate::world::{World, fields, result};

#[tokio::test]
async fn counts_that_do_not_add_up_name_their_field() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(1).await?;
    for (extra, field) in [
        (json!({"total_steps": 1, "passed_steps": 2}), "total_steps"),
        (json!({"passed_checkpoints": 1}), "total_checkpoints"),
        (json!({"total_post_scripts": 1, "passed_post_scripts": 1, "failed_post_scripts": 1}), "total_post_scripts"),
    ] {
        let error = w.submit(&run.items[0], extra).await.expect_err("it does not add up");
        assert_eq!(fields(&error), [field]);
    }
    assert_eq!(rows(&w).await?, [0; 6]);
    Ok(())
}

#[tokio::test]
async fn whatever_is_wrong_in_a_result_nothing_of_it_stays() -> anyhow::Result<()> {
    let w = World::new().await?;
    let other = w.database.tenant("B").await?;
    let run = w.started(2).await?;
    actions::refresh::refresh(&w.db, run.id).await?;
    w.lose_jobs().await?;
    let foreign_script = script(&w, other.project_id).await?;
    let ok = json!({"step_number": 1, "action": "click", "status": "passed"});
    let checkpoint = json!({"checkpoint_name": "c", "checkpoint_type": "api", "status": "passed"});
    let with = |key: &str, value: Value| {
        let mut row = checkpoint.clone();
        row[key] = value;
        json!({"steps": [ok], "checkpoints": [row]})
    };
    for (extra, field) in [
        (json!({"steps": [ok, ok]}), "steps[1].step_number"),
        (with("step_number", json!(7)), "checkpoints[0].step_number"),
        (with("test_step_result_id", json!(Uuid::now_v7())), "checkpoints[0].test_step_result_id"),
        (
            json!({"steps": [ok], "scripts": [{"test_script_id": foreign_script, "script_name": "s",
                "script_type": "on_demand", "status": "passed"}]}),
            "scripts[0].test_script_id",
        ),
        (json!({"test_case_id": run.items[1].test_case_id}), "test_case_id"),
    ] {
        let error = w.submit(&run.items[0], extra).await.expect_err(field);
        assert_eq!(fields(&error), [field]);
        assert_eq!(rows(&w).await?, [0; 6], "{field}");
        assert_eq!(w.item(&run.items[0]).await?.status, ItemStatus::Pending);
        assert_eq!(w.jobs("refresh_run").await?, Vec::<Value>::new(), "{field}: nobody rang");
    }
    Ok(())
}

#[tokio::test]
async fn a_step_number_that_is_taken_is_a_conflict_and_adds_nothing() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(1).await?;
    let id =
        w.submit(&run.items[0], json!({"steps": [{"step_number": 1, "action": "a", "status": "passed"}]})).await?.id;
    let error =
        add_steps(&w.db, &w.tenant.caller, id, vec![step(2, "passed"), step(1, "passed")]).await.expect_err("taken");
    assert!(matches!(error, Error::Conflict(_)), "{error}");
    let error =
        add_steps(&w.db, &w.tenant.caller, id, vec![step(3, "passed"), step(3, "passed")]).await.expect_err("twice");
    assert_eq!(fields(&error), ["steps[1].step_number"]);
    assert_eq!((rows(&w).await?[1], stored(&w, id).await?.total_steps), (1, 1));
    Ok(())
}

#[tokio::test]
async fn a_checkpoint_finds_only_steps_of_its_own_result() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(2).await?;
    let id = w.submit(&run.items[0], json!({})).await?.id;
    let elsewhere = w.submit(&run.items[1], json!({})).await?.id;
    let step_id = add_steps(&w.db, &w.tenant.caller, elsewhere, vec![step(1, "passed")]).await?.items[0].id;
    for (key, value) in [("test_step_result_id", json!(step_id)), ("step_number", json!(1))] {
        let mut body = json!({"checkpoint_name": "c", "checkpoint_type": "api", "status": "passed"});
        body[key] = value;
        let error = add_checkpoint(&w.db, &w.tenant.caller, id, serde_json::from_value(body)?).await.expect_err(key);
        assert_eq!(fields(&error), [key]);
    }
    assert_eq!(rows(&w).await?[2], 0);
    Ok(())
}

#[tokio::test]
async fn another_projects_items_and_results_are_not_found() -> anyhow::Result<()> {
    let w = World::new().await?;
    let other = w.database.tenant("B").await?;
    let run = w.started(2).await?;
    let id = w.submit(&run.items[0], json!({})).await?.id;
    let before = rows(&w).await?;
    let checkpoint = json!({"checkpoint_name": "c", "checkpoint_type": "api", "status": "passed"});
    for answer in [
        actions::results::submit(&w.db, &other.caller, result(&run.items[1], json!({}))).await.map(|_| ()),
        add_steps(&w.db, &other.caller, id, vec![step(1, "passed")]).await.map(|_| ()),
        add_checkpoint(&w.db, &other.caller, id, serde_json::from_value(checkpoint)?).await.map(|_| ()),
        add_console_logs(&w.db, &other.caller, id, Vec::new()).await.map(|_| ()),
    ] {
        assert!(matches!(answer, Err(Error::NotFound { .. })), "{answer:?}");
    }
    let mut elsewhere = result(&run.items[1], json!({}));
    elsewhere.test_run_id = w.pending(1, json!({})).await?.id;
    let answer = actions::results::submit(&w.db, &w.tenant.caller, elsewhere).await;
    assert!(matches!(answer, Err(Error::NotFound { .. })), "an item of another run: {answer:?}");
    assert_eq!(rows(&w).await?, before);
    Ok(())
}

#[tokio::test]
async fn a_result_before_the_start_or_after_the_stop_is_refused_and_changes_nothing() -> anyhow::Result<()> {
    let w = World::new().await?;
    let pending = w.pending(1, json!({})).await?;
    let error = w.submit(&pending.items[0], json!({})).await.expect_err("it has not begun");
    assert_eq!(error.to_string(), "Cannot submit result: test run status is 'pending'");

    let run = w.started(2).await?;
    w.submit(&run.items[0], json!({})).await?;
    actions::test_runs::stop(&w.db, &w.tenant.caller, run.id).await?;
    let (before, ended) = (rows(&w).await?, w.run(run.id).await?);
    for item in &run.items {
        let error = w.submit(item, json!({"status": "failed"})).await.expect_err("it was stopped");
        assert!(matches!(error, Error::InvalidState(_)), "{error}");
        assert_eq!(error.to_string(), "Cannot submit result: test run status is 'cancelled'");
    }
    assert_eq!(rows(&w).await?, before);
    assert_eq!(serde_json::to_value(w.run(run.id).await?)?, serde_json::to_value(ended)?);
    assert_eq!(w.item(&run.items[1]).await?.status, ItemStatus::Skipped);
    Ok(())
}
