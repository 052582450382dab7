//! Runs that schedules make.

use futures_util::future::try_join_all;
use serde_json::json;
use testrun_shared::actions::finalise::finalise;
use testrun_shared::actions::schedules::{create_run, fire};
use testrun_shared::actions::{refresh::refresh, test_runs};
use testrun_shared::db;
use testrun_shared::domain::page::Page;
use testrun_shared::domain::schedule_execution::ExecutionStatus;
use testrun_shared::domain::test_run::{NewTestRun, RunStatus, StartTestRun};
use testrun_shared::domain::test_run_item::ItemStatus;
use uuid::Uuid;

use crate::fires::{daily_in_new_york, executions, last_execution, reasons, reload};
use crate::world::{World, utc};

#[tokio::test]
async fn a_due_time_becomes_one_run_however_often_its_job_runs() -> anyhow::Result<()> {
    let w = World::new().await?;
    w.cases(3).await?;
    let mut settings = daily_in_new_york();
    settings["retry_on_failure"] = json!(true);
    settings["retry_count"] = json!(2);
    settings["parallel_count"] = json!(4);
    let schedule = w.schedule(settings, utc("2026-01-17T12:00:00Z")).await?;
    let due = utc("2026-01-18T07:00:00Z");
    fire(&w.db, schedule.id, due).await?;
    let execution = last_execution(&w, &schedule).await?;
    let made = try_join_all((0..8).map(|_| create_run(&w.db, execution))).await?;
    let runs: Vec<Uuid> = made.into_iter().flatten().collect();
    assert_eq!(runs.len(), 1);
    assert_eq!(create_run(&w.db, execution).await?, None);

    let run = w.run(runs[0]).await?;
    assert_eq!((run.run_name.as_str(), run.run_number), ("Nightly 2026-01-18 02:00", 1), "the zone's wall clock");
    assert_eq!((run.status, run.scheduled_at), (RunStatus::Queued, Some(due)));
    assert_eq!((run.retry_on_failure, run.retry_count, run.parallel_count), (true, 2, 4));
    assert_eq!(w.events(run.id).await?, ["run.created", "run.queued"]);
    let items = db::test_run_items::list(&w.db, run.id, Page { limit: 10, offset: 0 }).await?;
    assert_eq!(items.iter().map(|item| item.execution_order).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(items.iter().all(|item| item.status == ItemStatus::Queued));
    assert_eq!(executions(&w, &schedule).await?, [(due, ExecutionStatus::Running)]);
    assert_eq!(
        reload(&w, &schedule).await?.last_execution_status,
        Some(ExecutionStatus::Running),
        "it mirrors the row"
    );
    assert_eq!(run.total_tests, 3, "its figures are there with it");
    refresh(&w.db, run.id).await?;
    assert_eq!(w.run(run.id).await?.total_tests, 3);
    assert_eq!(test_runs::create(&w.db, &w.tenant.caller, &NewTestRun::default()).await?.run_number, 2, "no gap");

    test_runs::start(&w.db, &w.tenant.caller, run.id, &StartTestRun::default()).await?;
    let told = "SELECT array_agg((data ->> 'total_tests')::int ORDER BY sequence) FROM events WHERE test_run_id = $1";
    let told: Vec<i32> = sqlx::query_scalar(told).bind(run.id).fetch_one(&w.db).await?;
    assert_eq!(told, [3, 3, 3], "created, queued, started: each event knows how many tests there are");
    w.submit(&items[0], json!({})).await?;
    let history = "SELECT count(*) FROM test_execution_history WHERE is_scheduled AND test_run_id = $1";
    assert_eq!(w.count(history, run.id).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_schedule_selects_its_suite_or_exactly_its_test_cases() -> anyhow::Result<()> {
    let w = World::new().await?;
    let b = w.database.tenant("B").await?;
    for (project, name, suite) in [
        (w.tenant.project_id, "root", vec!["ROOT"]),
        (w.tenant.project_id, "smoke", vec!["ROOT", "Smoke"]),
        (w.tenant.project_id, "deep", vec!["ROOT", "Smoke", "Deep"]),
        (w.tenant.project_id, "smoker", vec!["ROOT", "Smoker"]),
        (b.project_id, "foreign", vec!["ROOT", "Smoke"]),
    ] {
        sqlx::query("INSERT INTO test_cases (project_id, name, suite_path) VALUES ($1, $2, $3)")
            .bind(project)
            .bind(name)
            .bind(suite)
            .execute(&w.db)
            .await?;
    }
    let id_of: Vec<Uuid> =
        sqlx::query_scalar("SELECT id FROM test_cases WHERE name IN ('foreign', 'root', 'smoker') ORDER BY name DESC")
            .fetch_all(&w.db)
            .await?;
    for (extra, expected) in [
        (json!({"suite_path": ["ROOT", "Smoke"]}), vec!["smoke", "deep"]),
        (json!({"suite_path": null, "test_case_ids": id_of}), vec!["smoker", "root"]),
    ] {
        let schedule = w.schedule(extra, utc("2026-01-17T00:00:00Z")).await?;
        fire(&w.db, schedule.id, utc("2026-01-18T02:00:00Z")).await?;
        let run = create_run(&w.db, last_execution(&w, &schedule).await?).await?.expect("a run");
        let names: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM test_run_items i JOIN test_cases c ON c.id = test_case_id
             WHERE test_run_id = $1 ORDER BY execution_order",
        )
        .bind(run)
        .fetch_all(&w.db)
        .await?;
        assert_eq!(names, expected);
    }
    Ok(())
}

#[tokio::test]
async fn a_fire_that_selects_nothing_is_a_failed_run_with_its_reason() -> anyhow::Result<()> {
    let w = World::new().await?;
    let schedule = w.schedule(json!({"suite_path": ["Nowhere"]}), utc("2026-01-17T00:00:00Z")).await?;
    fire(&w.db, schedule.id, utc("2026-01-18T02:00:00Z")).await?;
    let id = create_run(&w.db, last_execution(&w, &schedule).await?).await?.expect("a run");
    let run = w.run(id).await?;
    assert_eq!((run.status, run.total_tests), (RunStatus::Failed, 0));
    assert_eq!(run.failure_reason.as_deref(), Some("The schedule selects no test cases"));
    assert_eq!(w.events(id).await?, ["run.created", "run.failed"]);
    assert_eq!(w.jobs("finalise_run").await?, [json!({"run_id": id})]);
    finalise(&w.db, id).await?;
    assert_eq!(executions(&w, &schedule).await?[0].1, ExecutionStatus::Failed);
    assert_eq!(reasons(&w).await?, ["The schedule selects no test cases"]);
    assert_eq!(reload(&w, &schedule).await?.last_execution_status, Some(ExecutionStatus::Failed));
    Ok(())
}
