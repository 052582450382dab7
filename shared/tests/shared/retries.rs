//! Attempts and iterations: which of them decide, and what they say of their item.

use futures_util::future::join_all;
use serde_json::json;
use testrun_shared::actions::results::add_steps;
use testrun_shared::db;
use testrun_shared::domain::execution_history::TestExecutionHistory;
use testrun_shared::domain::page::Page;
use testrun_shared::domain::test_run_item::{ItemStatus, TestRunItem};
use testrun_shared::domain::test_run_result::ResultStatus;
use testrun_shared::error::{Error, Result};

use crate::world::{World, fields};

async fn history(w: &World, item: &TestRunItem) -> sqlx::Result<Vec<TestExecutionHistory>> {
    db::execution_history::list(&w.db, item.test_case_id, Page { limit: 10, offset: 0 }).await
}

#[tokio::test]
async fn an_attempt_that_is_not_named_is_the_next_free_one() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started_with(1, json!({"retry_on_failure": true, "retry_count": 2})).await?;
    let item = &run.items[0];
    for (attempt, status) in [(0, ItemStatus::Running), (1, ItemStatus::Running), (2, ItemStatus::Failed)] {
        let error = format!("attempt {attempt}");
        let result = w.submit(item, json!({"status": "failed", "error_message": error})).await?;
        assert_eq!(result.retry_attempt, attempt);
        let now = w.item(item).await?;
        assert_eq!((now.status, now.retry_attempt, now.error_message), (status, attempt, Some(error)));
        assert_eq!(now.max_retries_exhausted, status == ItemStatus::Failed);
        assert_eq!(now.completed_at.is_some(), status == ItemStatus::Failed);
    }
    let error = w.submit(item, json!({})).await.expect_err("no attempt is left");
    assert!(matches!(error, Error::InvalidState(_)), "{error}");
    assert_eq!(history(&w, item).await?.len(), 3, "each attempt is an execution");
    Ok(())
}

#[tokio::test]
async fn a_passing_retry_decides_its_item() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started_with(1, json!({"retry_on_failure": true, "retry_count": 3})).await?;
    w.submit(&run.items[0], json!({"status": "failed", "duration_ms": 50, "error_message": "x"})).await?;
    w.submit(&run.items[0], json!({"status": "passed", "duration_ms": 70})).await?;
    let item = w.item(&run.items[0]).await?;
    assert_eq!((item.status, item.retry_attempt, item.duration_ms), (ItemStatus::Passed, 1, 70));
    assert_eq!((item.error_message, item.max_retries_exhausted), (None, false));
    Ok(())
}

#[tokio::test]
async fn without_retries_the_first_failure_decides() -> anyhow::Result<()> {
    let w = World::new().await?;
    // A count without the switch is no permission.
    let run = w.started_with(1, json!({"retry_on_failure": false, "retry_count": 3})).await?;
    w.submit(&run.items[0], json!({"status": "failed"})).await?;
    let item = w.item(&run.items[0]).await?;
    assert_eq!((item.status, item.max_retries_exhausted), (ItemStatus::Failed, false));
    Ok(())
}

#[tokio::test]
async fn the_same_attempt_twice_is_a_conflict_whatever_became_of_the_item() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(1).await?;
    w.submit(&run.items[0], json!({"retry_attempt": 0})).await?;
    let error =
        w.submit(&run.items[0], json!({"retry_attempt": 0, "status": "failed"})).await.expect_err("it is there");
    assert!(matches!(error, Error::Conflict(_)), "{error}");
    let error = w.submit(&run.items[0], json!({"retry_attempt": 1})).await.expect_err("the item is final");
    assert!(matches!(error, Error::InvalidState(_)), "{error}");
    assert_eq!(w.item(&run.items[0]).await?.status, ItemStatus::Passed);
    Ok(())
}

#[tokio::test]
async fn of_twenty_results_at_once_for_one_attempt_one_is_stored() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started_with(1, json!({"retry_on_failure": true, "retry_count": 5})).await?;
    let body = json!({"retry_attempt": 0, "status": "failed"});
    let answers = join_all((0..20).map(|_| w.submit(&run.items[0], body.clone()))).await;
    let refused: Vec<Error> = answers.into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 19);
    assert!(refused.iter().all(|error| matches!(error, Error::Conflict(_))), "{refused:?}");
    let results = "SELECT count(*) FROM test_run_results WHERE test_run_id = $1";
    assert_eq!(w.count(results, run.id).await?, 1);
    Ok(())
}

#[tokio::test]
async fn results_at_once_that_name_no_attempt_become_consecutive_attempts() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started_with(1, json!({"retry_on_failure": true, "retry_count": 9})).await?;
    let answers = join_all((0..9).map(|_| w.submit(&run.items[0], json!({"status": "failed"})))).await;
    let mut attempts = answers.into_iter().map(|answer| answer.map(|r| r.retry_attempt)).collect::<Result<Vec<_>>>()?;
    attempts.sort_unstable();
    assert_eq!(attempts, (0..9).collect::<Vec<_>>());
    assert_eq!(w.item(&run.items[0]).await?.retry_attempt, 8);
    Ok(())
}

#[tokio::test]
async fn a_data_driven_item_is_final_with_its_last_iteration_and_sums_them_up() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(2).await?;
    for (item, statuses, display) in [
        (&run.items[0], ["passed", "failed", "passed"], "Fail (2/3)"),
        (&run.items[1], ["passed", "passed", "passed"], "Pass (3/3)"),
    ] {
        let mut last = None;
        // Out of order, and only the first to come tells how many there will be.
        for (iteration, total) in [(3, json!(3)), (1, json!(null)), (2, json!(null))] {
            assert_eq!(history(&w, item).await?.len(), 0, "no execution before the item is final");
            let status = statuses[iteration - 1];
            let error = (status == "failed").then(|| format!("row {iteration}"));
            let body = json!({
                "iteration_number": iteration, "total_iterations": total, "status": status, "duration_ms": 10,
                "error_message": error, "steps": [
                    {"step_number": 1, "action": "a", "status": "passed"},
                    {"step_number": 2, "action": "b", "status": status},
                ],
            });
            last = Some(w.submit(item, body).await?);
        }
        let now = w.item(item).await?;
        assert_eq!((now.display_status.as_str(), now.is_data_driven), (display, true));
        let failed = statuses.iter().filter(|status| **status == "failed").count();
        assert_eq!(usize::try_from(now.failed_iterations)?, failed);
        assert_eq!((now.total_steps, usize::try_from(now.failed_steps)?, now.duration_ms), (6, failed, 30));
        let entries = history(&w, item).await?;
        assert_eq!(entries.len(), 1);
        let status = if failed > 0 { ResultStatus::Failed } else { ResultStatus::Passed };
        assert_eq!((entries[0].status, entries[0].total_steps, entries[0].duration_ms), (status, 6, 30));
        assert_eq!(entries[0].error_message.as_deref(), (failed > 0).then_some("row 2"));

        let late = serde_json::from_value(json!({"step_number": 3, "action": "c", "status": "passed"}))?;
        add_steps(&w.db, &w.tenant.caller, last.expect("a result").id, vec![late]).await?;
        assert_eq!(w.item(item).await?.total_steps, 7);
        let entries = history(&w, item).await?;
        assert_eq!((entries.len(), entries[0].total_steps), (1, 7), "a late step changes the one entry");
    }
    Ok(())
}

#[tokio::test]
async fn a_data_driven_item_waits_until_its_total_is_told() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(1).await?;
    w.submit(&run.items[0], json!({"iteration_number": 1})).await?;
    w.submit(&run.items[0], json!({"iteration_number": 2})).await?;
    let item = w.item(&run.items[0]).await?;
    assert_eq!((item.status, item.display_status.as_str()), (ItemStatus::Running, "Running (2/0)"));
    w.submit(&run.items[0], json!({"iteration_number": 3, "total_iterations": 3, "status": "skipped"})).await?;
    let item = w.item(&run.items[0]).await?;
    assert_eq!((item.status, item.passed_iterations, item.total_iterations), (ItemStatus::Passed, 2, 3));
    Ok(())
}

#[tokio::test]
async fn sums_that_no_column_can_hold_are_capped_and_still_add_up() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(1).await?;
    for (iteration, part) in [(1, "passed"), (2, "failed"), (3, "passed")] {
        let mut body = json!({"iteration_number": iteration, "total_iterations": 3, "status": part});
        for kind in ["steps", "checkpoints"] {
            body[format!("total_{kind}")] = json!(i32::MAX);
            body[format!("{part}_{kind}")] = json!(i32::MAX);
        }
        w.submit(&run.items[0], body).await?;
    }
    let item = w.item(&run.items[0]).await?;
    assert_eq!((item.status, item.total_steps, item.total_checkpoints), (ItemStatus::Failed, i32::MAX, i32::MAX));
    assert_eq!(item.passed_steps.checked_add(item.failed_steps), Some(i32::MAX));
    Ok(())
}

#[tokio::test]
async fn each_iteration_has_attempts_of_its_own() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started_with(1, json!({"retry_on_failure": true, "retry_count": 1})).await?;
    let item = &run.items[0];
    let body =
        |iteration: i32, status: &str| json!({"iteration_number": iteration, "total_iterations": 2, "status": status});
    assert_eq!(w.submit(item, body(1, "failed")).await?.retry_attempt, 0);
    assert_eq!(w.submit(item, body(2, "failed")).await?.retry_attempt, 0);
    assert_eq!(w.item(item).await?.status, ItemStatus::Running);
    assert_eq!(w.submit(item, body(1, "passed")).await?.retry_attempt, 1);
    assert_eq!(w.item(item).await?.status, ItemStatus::Running, "iteration 2 may be tried again");
    assert_eq!(w.submit(item, body(2, "failed")).await?.retry_attempt, 1);
    let now = w.item(item).await?;
    assert_eq!((now.status, now.display_status.as_str()), (ItemStatus::Failed, "Fail (1/2)"));
    assert!(now.max_retries_exhausted);
    Ok(())
}

#[tokio::test]
async fn an_item_is_data_driven_or_not_but_never_both() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started_with(2, json!({"retry_on_failure": true, "retry_count": 3})).await?;
    w.submit(&run.items[0], json!({"status": "failed"})).await?;
    w.submit(&run.items[1], json!({"status": "failed", "iteration_number": 1, "total_iterations": 2})).await?;
    let error = w.submit(&run.items[0], json!({"iteration_number": 1})).await.expect_err("it is not data-driven");
    assert_eq!(fields(&error), ["iteration_number"]);
    let error = w.submit(&run.items[1], json!({})).await.expect_err("it is data-driven");
    assert_eq!(fields(&error), ["iteration_number"]);
    Ok(())
}
