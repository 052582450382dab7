//! Schedules: what is stored of them, and when they are due first.

use chrono::TimeDelta;
use serde_json::{Value, json};
use testrun_shared::actions::schedules::create;
use testrun_shared::db;
use testrun_shared::domain::schedule::{NewSchedule, ScheduleStatus};
use uuid::Uuid;

use crate::world::{World, fields, utc};

fn body(body: Value) -> NewSchedule {
    serde_json::from_value(body).expect("the body of a schedule")
}

#[tokio::test]
async fn the_specifications_example_is_due_at_seven_utc() -> anyhow::Result<()> {
    let example = json!({
        "schedule_name": "Nightly Regression", "suite_path": ["ROOT", "Regression"], "suite_name": "Regression",
        "scheduled_datetime": "2026-01-18T02:00:00Z", "timezone": "America/New_York", "repeat_type": "daily",
        "notification_emails": ["team@example.com"],
    });
    let now = utc("2026-01-17T12:00:00Z");
    let row = body(example).into_row(Uuid::now_v7(), Uuid::now_v7(), now)?;
    assert_eq!(row.next_execution_at, Some(utc("2026-01-18T07:00:00Z")));
    assert_eq!(row.scheduled_datetime, utc("2026-01-18T02:00:00Z"), "the digits are echoed");
    assert_eq!((row.status, row.is_enabled, row.execution_count), (ScheduleStatus::Active, true, 0));
    Ok(())
}

#[tokio::test]
async fn a_created_schedule_is_stored_as_it_is_answered() -> anyhow::Result<()> {
    let w = World::new().await?;
    let cases = w.cases(2).await?;
    let created = create(
        &w.db,
        &w.tenant.caller,
        body(json!({
            "schedule_name": "Nightly", "test_case_ids": cases, "scheduled_datetime": "2050-01-18T02:00:00Z",
            "timezone": "America/New_York", "repeat_type": "weekly", "repeat_days_of_week": [2], "max_occurrences": 5,
            "notification_emails": ["team@example.com"], "catchup_window_seconds": 60, "overlap_policy": "skip",
        })),
    )
    .await?;
    assert_eq!(created.next_execution_at, Some(utc("2050-01-18T07:00:00Z")), "a Tuesday");
    let stored = db::schedules::get(&w.db, w.tenant.project_id, created.id).await?;
    assert_eq!(serde_json::to_value(stored)?, serde_json::to_value(created)?);
    Ok(())
}

#[tokio::test]
async fn a_one_time_schedule_in_the_past_is_due_at_once_and_a_recurring_one_does_not_back_fill() -> anyhow::Result<()> {
    let w = World::new().await?;
    let past = json!({"schedule_name": "S", "suite_path": [], "scheduled_datetime": "2020-05-01T00:00:00Z"});
    let once = create(&w.db, &w.tenant.caller, body(past.clone())).await?;
    let now = db::now(&w.db).await?;
    assert_eq!(db::schedules::due(&w.db, now, 10).await?, [once.id]);
    let mut recurring = past;
    recurring["repeat_type"] = json!("daily");
    let recurring = create(&w.db, &w.tenant.caller, body(recurring)).await?;
    let next = recurring.next_execution_at.expect("a next time");
    // It may have been midnight meanwhile.
    assert!(next > now && next <= db::now(&w.db).await? + TimeDelta::days(1), "{next}");
    Ok(())
}

#[tokio::test]
async fn a_schedule_names_only_test_cases_of_its_project() -> anyhow::Result<()> {
    let w = World::new().await?;
    let mine = w.cases(1).await?[0];
    let foreign: Uuid = sqlx::query_scalar("INSERT INTO test_cases (project_id, name) VALUES ($1, 'x') RETURNING id")
        .bind(w.database.tenant("B").await?.project_id)
        .fetch_one(&w.db)
        .await?;
    let ids = [mine, foreign, Uuid::now_v7()];
    let wrong = json!({"schedule_name": "S", "test_case_ids": ids, "scheduled_datetime": "2050-01-18T02:00:00Z"});
    let error = create(&w.db, &w.tenant.caller, body(wrong)).await.expect_err("two are not the project's");
    assert_eq!(fields(&error), ["test_case_ids[1]", "test_case_ids[2]"]);
    let schedules = "SELECT count(*) FROM schedules WHERE project_id = $1";
    assert_eq!(w.count(schedules, w.tenant.project_id).await?, 0);
    Ok(())
}
