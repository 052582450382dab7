//! A run's figures follow its items: no result is missed, however many come at once, and the run ends once.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{join_all, try_join_all};
use futures_util::stream;
use serde_json::{Value, json};
use sqlx::PgConnection;
use testrun_shared::actions::refresh::{COALESCE, pause_before, refresh};
use testrun_shared::actions::results::add_steps;
use testrun_shared::db;
use testrun_shared::domain::test_run::RunStatus;
use testrun_shared::error::Result;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::world::{World, backend, milliseconds, percent, until_blocked_by};

/// Takes one doorbell, as a worker would, and answers it. Returns whether there was one.
async fn answer_one(w: &World) -> anyhow::Result<bool> {
    let taken: Option<Value> = sqlx::query_scalar(
        "DELETE FROM apalis.jobs WHERE id = (
             SELECT id FROM apalis.jobs WHERE job_type = 'refresh_run' ORDER BY run_at LIMIT 1 FOR UPDATE SKIP LOCKED
         ) RETURNING convert_from(job, 'UTF8')::jsonb",
    )
    .fetch_optional(&w.db)
    .await?;
    let Some(job) = taken else { return Ok(false) };
    refresh(&w.db, serde_json::from_value(job["run_id"].clone())?).await?;
    Ok(true)
}

#[tokio::test]
async fn no_last_result_is_missed_while_workers_refresh() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(120).await?;
    let submitted = CancellationToken::new();
    let submit = async {
        let statuses = ["passed", "failed", "skipped"].into_iter().cycle();
        let results: Vec<_> = stream::iter(run.items.iter().zip(statuses))
            .map(|(item, status)| w.submit(item, json!({"status": status})))
            .buffer_unordered(6)
            .collect()
            .await;
        submitted.cancel();
        anyhow::Ok(results.into_iter().collect::<Result<Vec<_>>>()?.len())
    };
    let worker = async || {
        // The last look comes after the last result.
        loop {
            let last = submitted.is_cancelled();
            while answer_one(&w).await? {}
            if last {
                return anyhow::Ok(());
            }
        }
    };
    let (results, one, two) = tokio::join!(submit, worker(), worker());
    one?;
    two?;
    assert_eq!(results?, 120);

    let end = w.run(run.id).await?;
    assert_eq!((end.status, end.total_tests), (RunStatus::Completed, 120), "{end:?}");
    assert_eq!([end.passed_tests, end.failed_tests, end.skipped_tests], [40, 40, 40]);
    w.assert_counts_add_up(run.id).await?;
    assert_eq!(w.count("SELECT count(*) FROM run_refreshes WHERE run_id = $1", run.id).await?, 0);
    assert_eq!(w.jobs("finalise_run").await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn many_results_at_once_ring_once() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(80).await?;
    assert!(answer_one(&w).await?, "the start rang");
    assert_eq!(w.jobs("refresh_run").await?, Vec::<Value>::new());
    try_join_all(run.items[..40].iter().map(|item| w.submit(item, json!({})))).await?;
    assert_eq!(w.jobs("refresh_run").await?, [json!({"run_id": run.id})], "forty results, one doorbell");
    assert!(answer_one(&w).await?);
    assert_eq!(w.run(run.id).await?.passed_tests, 40);
    try_join_all(run.items[40..].iter().map(|item| w.submit(item, json!({})))).await?;
    assert_eq!(w.jobs("refresh_run").await?.len(), 1, "and once more after the refresh");
    Ok(())
}

/// What a result does to its item and its run, in a transaction that stays open.
async fn write_as_a_result_does(conn: &mut PgConnection, run_id: Uuid, item_id: Uuid) -> sqlx::Result<bool> {
    sqlx::query(
        "WITH item AS (
             UPDATE test_run_items SET status = 'passed', completed_at = now() WHERE id = $1 RETURNING *
         )
         INSERT INTO test_run_results (test_run_id, test_run_item_id, test_case_id, status)
         SELECT test_run_id, id, test_case_id, 'passed' FROM item",
    )
    .bind(item_id)
    .execute(&mut *conn)
    .await?;
    db::run_refreshes::insert(conn, run_id).await
}

#[tokio::test]
async fn a_refresh_waits_for_results_that_are_being_written() -> anyhow::Result<()> {
    let w = World::new().await?;
    for (commit, expected) in [(true, 1), (false, 0)] {
        let run = w.started(2).await?;
        refresh(&w.db, run.id).await?;
        let mut result = w.db.begin().await?;
        let pid = backend(&mut result).await?;
        assert!(write_as_a_result_does(&mut result, run.id, run.items[0].id).await?, "the first one rings");
        let worker = tokio::spawn({
            let db = w.db.clone();
            async move { refresh(&db, run.id).await }
        });
        until_blocked_by(&w.db, pid, 1).await?;
        assert!(!worker.is_finished());
        if commit {
            result.commit().await?;
        } else {
            result.rollback().await?;
        }
        worker.await??;
        assert_eq!(w.run(run.id).await?.passed_tests, expected, "commit: {commit}");
    }
    Ok(())
}

#[tokio::test]
async fn a_refresh_that_waits_is_not_passed_by_ever_new_results() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(3).await?;
    let earlier = w.submit(&run.items[2], json!({})).await?;
    refresh(&w.db, run.id).await?;
    let mut result = w.db.begin().await?;
    let pid = backend(&mut result).await?;
    db::test_runs::pass_gate(&mut *result, run.id).await?;
    write_as_a_result_does(&mut result, run.id, run.items[0].id).await?;
    let in_time = tokio::spawn({
        let db = w.db.clone();
        async move { refresh(&db, run.id).await }
    });
    until_blocked_by(&w.db, pid, 1).await?;
    let step = serde_json::from_value(json!({"step_number": 1, "action": "click", "status": "passed"}))?;
    let (later, steps, ()) = tokio::join!(
        w.submit(&run.items[1], json!({})),
        add_steps(&w.db, &w.tenant.caller, earlier.id, vec![step]),
        async {
            until_blocked_by(&w.db, pid, 3).await.expect("both to queue behind the refresh");
            result.commit().await.expect("a commit");
        }
    );
    later?;
    steps?;
    in_time.await??;
    assert_eq!(w.run(run.id).await?.passed_tests, 2, "the refresh did not wait for the later result");
    refresh(&w.db, run.id).await?;
    assert_eq!(w.run(run.id).await?.status, RunStatus::Completed);
    Ok(())
}

#[tokio::test]
async fn a_stop_does_not_wait_for_the_locks_of_foreign_keys() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(1).await?;
    let mut result = w.db.begin().await?;
    // What is behind the gate is waited for; this is only the lock that a reference to the run takes.
    db::run_refreshes::delete(&w.db, run.id).await?;
    db::run_refreshes::insert(&mut *result, run.id).await?;
    let stopped = testrun_shared::actions::test_runs::stop(&w.db, &w.tenant.caller, run.id);
    let stopped = tokio::time::timeout(Duration::from_secs(20), stopped).await;
    assert_eq!(stopped??.status, RunStatus::Cancelled);
    result.commit().await?;
    Ok(())
}

/// A run without the columns that note when it was looked at.
async fn facts(w: &World, id: Uuid) -> anyhow::Result<Value> {
    let sql =
        "SELECT to_jsonb(r) - '{refreshed_at,updated_at,last_activity_at}'::text[] FROM test_runs r WHERE id = $1";
    Ok(sqlx::query_scalar(sql).bind(id).fetch_one(&w.db).await?)
}

#[tokio::test]
async fn a_second_refresh_changes_nothing() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (going, over) = (w.started(2).await?, w.started(1).await?);
    w.submit(&going.items[0], json!({})).await?;
    w.submit(&over.items[0], json!({"status": "failed"})).await?;
    for run in [going.id, over.id] {
        refresh(&w.db, run).await?;
        let before = (facts(&w, run).await?, w.events(run).await?, w.jobs("finalise_run").await?);
        refresh(&w.db, run).await?;
        assert_eq!((facts(&w, run).await?, w.events(run).await?, w.jobs("finalise_run").await?), before);
    }
    let end = w.run(over.id).await?;
    assert_eq!((end.status, end.failed_tests), (RunStatus::Completed, 1), "completed, whatever passed");
    refresh(&w.db, Uuid::now_v7()).await?;
    Ok(())
}

#[tokio::test]
async fn of_twenty_refreshes_at_once_one_completes_the_run() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(2).await?;
    for item in &run.items {
        w.submit(item, json!({})).await?;
    }
    for answer in join_all((0..20).map(|_| refresh(&w.db, run.id))).await {
        answer?;
    }
    let events = ["run.created", "run.started", "item.finished", "item.finished", "run.completed"];
    assert_eq!(w.events(run.id).await?, events);
    assert_eq!(w.jobs("finalise_run").await?, [json!({"run_id": run.id})]);
    let end = w.run(run.id).await?;
    assert_eq!(Some(end.duration_ms), milliseconds(end.started_at, end.completed_at));
    assert_eq!(end.pass_rate, percent(10_000));
    Ok(())
}

#[tokio::test]
async fn a_run_that_was_deleted_meanwhile_is_no_obstacle() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(1).await?;
    w.submit(&run.items[0], json!({})).await?;
    w.execute("UPDATE test_runs SET deleted_at = now()").await?;
    refresh(&w.db, run.id).await?;
    assert_eq!(w.count("SELECT count(*) FROM run_refreshes WHERE run_id = $1", run.id).await?, 0);
    w.assert_counts_add_up(run.id).await
}

#[tokio::test]
async fn only_a_run_that_waits_and_was_just_refreshed_has_to_wait() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(3).await?;
    assert_eq!(pause_before(&w.db, run.id).await?, Duration::ZERO, "it was never refreshed");
    refresh(&w.db, run.id).await?;
    assert_eq!(pause_before(&w.db, run.id).await?, Duration::ZERO, "nothing waits");
    w.submit(&run.items[0], json!({})).await?;
    sqlx::query("UPDATE test_runs SET refreshed_at = clock_timestamp() + interval '1 h'").execute(&w.db).await?;
    assert_eq!(pause_before(&w.db, run.id).await?, Duration::ZERO, "a clock that stepped back costs nothing");
    sqlx::query("UPDATE test_runs SET refreshed_at = clock_timestamp()").execute(&w.db).await?;
    assert!(pause_before(&w.db, run.id).await? <= COALESCE);
    sqlx::query("UPDATE test_runs SET refreshed_at = clock_timestamp() - interval '1 h'").execute(&w.db).await?;
    assert_eq!(pause_before(&w.db, run.id).await?, Duration::ZERO, "it waited long enough");
    Ok(())
}

#[tokio::test]
async fn it_waits_less_when_the_last_item_is_to_be_expected() -> anyhow::Result<()> {
    let w = World::new().await?;
    let run = w.started(10).await?;
    for item in &run.items[..9] {
        w.submit(item, json!({})).await?;
    }
    refresh(&w.db, run.id).await?;
    w.submit(&run.items[9], json!({})).await?;
    // Just refreshed, and nine had come in 900 ms.
    w.execute(
        "UPDATE test_runs SET refreshed_at = clock_timestamp(), started_at = clock_timestamp() - interval '900 ms'",
    )
    .await?;
    let pause = pause_before(&w.db, run.id).await?;
    assert!(pause <= Duration::from_millis(100), "{pause:?}");
    Ok(())
}
