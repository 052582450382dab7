//! Test cases in a run: added all or none, each once, in an order without holes.

use futures_util::future::join_all;
use serde_json::json;
use testrun_shared::actions;
use testrun_shared::actions::refresh::refresh;
use testrun_shared::actions::test_run_items::{add, add_many};
use testrun_shared::db;
use testrun_shared::domain::page::Page;
use testrun_shared::error::Error;
use uuid::Uuid;

use crate::world::{World, fields};

/// Order and test case of each item of a run.
async fn order(w: &World, run: Uuid) -> sqlx::Result<Vec<(i32, Uuid)>> {
    let items = db::test_run_items::list(&w.db, run, Page { limit: 100, offset: 0 }).await?;
    Ok(items.into_iter().map(|item| (item.execution_order, item.test_case_id)).collect())
}

#[tokio::test]
async fn a_bulk_addition_with_one_wrong_test_case_adds_none_and_names_each() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.pending(1, json!({})).await?;
    let cases = w.cases(3).await?;
    let foreign: Uuid = sqlx::query_scalar("INSERT INTO test_cases (project_id, name) VALUES ($1, 'x') RETURNING id")
        .bind(w.database.tenant("B").await?.project_id)
        .fetch_one(&w.db)
        .await?;
    let caller = &w.tenant.caller;
    let ids = [cases[1], foreign, cases[2], cases[1], Uuid::now_v7()];
    let error = add_many(&w.db, caller, run.id, &ids).await.expect_err("three are wrong");
    assert_eq!(fields(&error), ["test_case_ids[1]", "test_case_ids[3]", "test_case_ids[4]"]);
    let error = add_many(&w.db, caller, run.id, &[cases[1], cases[0]]).await.expect_err("one is there");
    assert!(matches!(&error, Error::Conflict(text) if text.contains(&cases[0].to_string())), "{error}");
    let error = add(&w.db, caller, run.id, foreign).await.expect_err("it is another project's");
    assert_eq!(fields(&error), ["test_case_id"]);
    assert_eq!(order(&w, run.id).await?, [(1, cases[0])], "nothing was added");
    Ok(())
}

#[tokio::test]
async fn additions_at_once_leave_no_hole_in_the_order_and_no_case_twice() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.pending(0, json!({})).await?;
    let cases = w.cases(12).await?;
    let both = cases.iter().chain(cases.iter());
    let answers = join_all(both.map(|case| add(&w.db, &w.tenant.caller, run.id, *case))).await;
    for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert!(matches!(error, Error::Conflict(_)), "{error}");
    }
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 12);
    let (numbers, mut added): (Vec<i32>, Vec<Uuid>) = order(&w, run.id).await?.into_iter().unzip();
    assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
    added.sort_unstable();
    let mut expected = cases;
    expected.sort_unstable();
    assert_eq!(added, expected);
    Ok(())
}

#[tokio::test]
async fn a_run_that_has_begun_takes_no_more_test_cases() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(1).await?;
    let case = w.cases(2).await?[1];
    let error = add(&w.db, &w.tenant.caller, run.id, case).await.expect_err("it has begun");
    assert_eq!(error.to_string(), "Cannot add test run items: test run status is 'running'");
    assert_eq!(order(&w, run.id).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_test_case_that_is_deleted_leaves_runs_that_add_up() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(3).await?;
    for (item, status) in run.items.iter().zip(["passed", "failed", "passed"]) {
        w.submit(item, json!({"status": status})).await?;
    }
    refresh(&w.db, run.id).await?;
    let case = run.items[1].test_case_id;
    actions::test_cases::delete(&w.db, &w.tenant.caller, case).await?;
    let left = [(1, run.items[0].test_case_id), (2, run.items[2].test_case_id)];
    assert_eq!(order(&w, run.id).await?, left, "the order has no hole");
    refresh(&w.db, run.id).await?;
    let end = w.run(run.id).await?;
    assert_eq!((end.total_tests, end.passed_tests, end.failed_tests), (2, 2, 0));
    w.assert_counts_add_up(run.id).await
}
