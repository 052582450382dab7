//! Due times: fired once however many try, missed, passed over, and moved on from.

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use testrun_shared::actions::schedules::{create_run, fire, fire_failed};
use testrun_shared::actions::{finalise::finalise, test_runs};
use testrun_shared::db;
use testrun_shared::domain::schedule::{Schedule, ScheduleStatus};
use testrun_shared::domain::schedule_execution::ExecutionStatus;
use uuid::Uuid;

use crate::world::{World, fields, utc};

pub(crate) fn daily_in_new_york() -> Value {
    json!({"scheduled_datetime": "2026-01-18T02:00:00Z", "timezone": "America/New_York", "repeat_type": "daily"})
}

pub(crate) async fn reload(w: &World, schedule: &Schedule) -> anyhow::Result<Schedule> {
    db::schedules::find(&w.db, schedule.id).await?.ok_or_else(|| anyhow::anyhow!("the schedule is gone"))
}

/// A schedule's executions by due time.
pub(crate) async fn executions(w: &World, schedule: &Schedule) -> sqlx::Result<Vec<(DateTime<Utc>, ExecutionStatus)>> {
    sqlx::query_as(
        "SELECT scheduled_for, status FROM schedule_executions WHERE schedule_id = $1 ORDER BY scheduled_for",
    )
    .bind(schedule.id)
    .fetch_all(&w.db)
    .await
}

pub(crate) async fn reasons(w: &World) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT error_message FROM schedule_executions WHERE error_message IS NOT NULL ORDER BY scheduled_for",
    )
    .fetch_all(&w.db)
    .await
}

/// The execution that a schedule's last fire left.
pub(crate) async fn last_execution(w: &World, schedule: &Schedule) -> sqlx::Result<Uuid> {
    sqlx::query_scalar("SELECT id FROM schedule_executions WHERE schedule_id = $1 ORDER BY scheduled_for DESC LIMIT 1")
        .bind(schedule.id)
        .fetch_one(&w.db)
        .await
}

async fn schedule_events(w: &World) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("SELECT type FROM events WHERE type LIKE 'schedule.%' ORDER BY sequence").fetch_all(&w.db).await
}

/// What the only event about missed due times says.
async fn missed_event(w: &World) -> sqlx::Result<Value> {
    sqlx::query_scalar("SELECT data FROM events WHERE type = 'schedule.missed'").fetch_one(&w.db).await
}

#[tokio::test]
async fn days_without_a_scheduler_leave_missed_rows_and_one_fire() -> anyhow::Result<()> {
    let w = World::new().await?;
    let schedule = w.schedule(daily_in_new_york(), utc("2026-01-17T12:00:00Z")).await?;
    assert_eq!(fire(&w.db, schedule.id, utc("2026-01-18T06:59:59Z")).await?, None, "it is not due");
    let now = utc("2026-01-21T12:00:00Z");
    assert_eq!(fire(&w.db, schedule.id, now).await?, Some(utc("2026-01-21T07:00:00Z")));
    let day = |day: u32| utc(&format!("2026-01-{day}T07:00:00Z"));
    use ExecutionStatus::{Missed, Pending};
    let expected = [(day(18), Missed), (day(19), Missed), (day(20), Missed), (day(21), Pending)];
    assert_eq!(executions(&w, &schedule).await?, expected);
    let after = reload(&w, &schedule).await?;
    assert_eq!((after.next_execution_at, after.execution_count), (Some(day(22)), 1));
    assert_eq!((after.last_executed_at, after.last_execution_status), (Some(day(21)), Some(Pending)));
    assert_eq!(schedule_events(&w).await?, ["schedule.missed", "schedule.fired"]);
    assert_eq!(
        missed_event(&w).await?,
        json!({
            "schedule_id": schedule.id, "schedule_name": "Nightly", "scheduled_for": "2026-01-18T07:00:00Z",
            "last_scheduled_for": "2026-01-20T07:00:00Z", "missed": 3, "reason": "No scheduler was running at the due time",
        })
    );
    let execution = last_execution(&w, &schedule).await?;
    assert_eq!(w.jobs("create_scheduled_run").await?, [json!({"execution_id": execution})]);
    assert_eq!(fire(&w.db, schedule.id, now).await?, None, "a second tick finds nothing due");
    Ok(())
}

#[tokio::test]
async fn hours_without_a_scheduler_beyond_a_hundred_are_told_of_in_one_row() -> anyhow::Result<()> {
    let w = World::new().await?;
    let hourly = json!({"scheduled_datetime": "2026-01-01T00:00:00Z", "repeat_type": "hourly"});
    let schedule = w.schedule(hourly, utc("2025-12-31T23:00:00Z")).await?;
    let fired = fire(&w.db, schedule.id, utc("2026-01-31T00:30:00Z")).await?;
    assert_eq!(fired, Some(utc("2026-01-31T00:00:00Z")));
    let rows = executions(&w, &schedule).await?;
    assert_eq!(rows.len(), 1 + 100 + 1);
    assert_eq!(rows[0], (utc("2026-01-01T00:00:00Z"), ExecutionStatus::Missed), "the row that stands for the others");
    assert_eq!(rows[1].0, utc("2026-01-31T00:00:00Z") - TimeDelta::hours(100));
    assert!(rows[1..101].iter().all(|(_, status)| *status == ExecutionStatus::Missed));
    let reasons = reasons(&w).await?;
    assert!(reasons[0].ends_with("this row stands for 620 due times"), "{}", reasons[0]);
    assert!(reasons[1..].iter().all(|reason| reason == "No scheduler was running at the due time"));
    assert_eq!(reload(&w, &schedule).await?.next_execution_at, Some(utc("2026-01-31T01:00:00Z")));
    let told = missed_event(&w).await?;
    assert_eq!(
        (&told["scheduled_for"], &told["last_scheduled_for"], &told["missed"]),
        (&json!("2026-01-01T00:00:00Z"), &json!("2026-01-30T23:00:00Z"), &json!(720)),
        "one event tells of all"
    );
    Ok(())
}

#[tokio::test]
async fn a_schedule_with_nothing_left_is_completed() -> anyhow::Result<()> {
    let w = World::new().await?;
    let mut ending = daily_in_new_york();
    ending["repeat_end_date"] = json!("2026-01-19T02:00:00Z");
    let mut counted = daily_in_new_york();
    counted["max_occurrences"] = json!(1);
    let once = json!({"timezone": "America/New_York"});
    let created = utc("2026-01-17T12:00:00Z");
    for (extra, tick, fired) in [
        (ending, "2026-01-20T12:00:00Z", "2026-01-19T07:00:00Z"),
        (counted, "2026-01-18T07:00:01Z", "2026-01-18T07:00:00Z"),
        (once, "2026-02-18T00:00:00Z", "2026-01-18T07:00:00Z"),
    ] {
        let schedule = w.schedule(extra, created).await?;
        assert_eq!(fire(&w.db, schedule.id, utc(tick)).await?, Some(utc(fired)), "{schedule:?}");
        let after = reload(&w, &schedule).await?;
        assert_eq!((after.status, after.next_execution_at), (ScheduleStatus::Completed, None), "{schedule:?}");
        assert_eq!(after.execution_count, 1);
    }
    let after_downtime = ["schedule.missed", "schedule.fired", "schedule.completed"];
    let in_time = ["schedule.fired", "schedule.completed"];
    assert_eq!(schedule_events(&w).await?, [&after_downtime[..], &in_time, &in_time].concat());
    Ok(())
}

#[tokio::test]
async fn what_is_paused_disabled_cancelled_or_deleted_does_not_fire() -> anyhow::Result<()> {
    let w = World::new().await?;
    let now = utc("2026-01-21T12:00:00Z");
    let schedule = w.schedule(daily_in_new_york(), utc("2026-01-17T12:00:00Z")).await?;
    for (off, on) in [
        ("UPDATE schedules SET status = 'paused'", "UPDATE schedules SET status = 'active'"),
        ("UPDATE schedules SET is_enabled = FALSE", "UPDATE schedules SET is_enabled = TRUE"),
        ("UPDATE schedules SET deleted_at = now()", "UPDATE schedules SET deleted_at = NULL"),
    ] {
        w.execute(off).await?;
        assert!(db::schedules::due(&w.db, now, 10).await?.is_empty(), "{off}");
        assert_eq!(fire(&w.db, schedule.id, now).await?, None, "{off}");
        fire_failed(&w.db, schedule.id, now, "x").await?;
        w.execute(on).await?;
    }
    assert!(executions(&w, &schedule).await?.is_empty(), "nothing was missed either");
    assert_eq!(fire(&w.db, schedule.id, now).await?, Some(utc("2026-01-21T07:00:00Z")));
    Ok(())
}

#[tokio::test]
async fn many_schedulers_at_once_fire_a_due_time_once() -> anyhow::Result<()> {
    let w = World::new().await?;
    let schedule = w.schedule(daily_in_new_york(), utc("2026-01-17T12:00:00Z")).await?;
    let now = utc("2026-01-18T07:00:00Z");
    let fired = try_join_all((0..12).map(|_| fire(&w.db, schedule.id, now))).await?;
    assert_eq!(fired.iter().flatten().count(), 1, "{fired:?}");
    assert_eq!(executions(&w, &schedule).await?, [(now, ExecutionStatus::Pending)]);
    assert_eq!(w.jobs("create_scheduled_run").await?.len(), 1);
    assert_eq!(reload(&w, &schedule).await?.execution_count, 1);

    // A clock that was set back cannot fire the same time twice.
    w.execute("UPDATE schedules SET next_execution_at = '2026-01-18T07:00:00Z'").await?;
    assert_eq!(fire(&w.db, schedule.id, now).await?, None);
    let after = reload(&w, &schedule).await?;
    assert_eq!((after.execution_count, after.next_execution_at), (1, Some(utc("2026-01-19T07:00:00Z"))));
    assert_eq!(w.jobs("create_scheduled_run").await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_due_time_outside_the_catch_up_window_is_missed_unless_it_is_the_only_one() -> anyhow::Result<()> {
    let w = World::new().await?;
    let created = utc("2026-01-17T12:00:00Z");
    let mut windowed = daily_in_new_york();
    windowed["catchup_window_seconds"] = json!(3600);
    let schedule = w.schedule(windowed, created).await?;
    assert_eq!(fire(&w.db, schedule.id, utc("2026-01-18T08:00:01Z")).await?, None);
    assert_eq!(executions(&w, &schedule).await?, [(utc("2026-01-18T07:00:00Z"), ExecutionStatus::Missed)]);
    assert_eq!(reasons(&w).await?, ["Due 3601 seconds ago, which is outside the catch-up window"]);
    let after = reload(&w, &schedule).await?;
    assert_eq!((after.execution_count, after.next_execution_at), (0, Some(utc("2026-01-19T07:00:00Z"))));
    assert_eq!(schedule_events(&w).await?, ["schedule.missed"]);
    let told = missed_event(&w).await?;
    assert_eq!((&told["scheduled_for"], &told["missed"]), (&json!("2026-01-18T07:00:00Z"), &json!(1)));
    assert_eq!(told["reason"], "Due 3601 seconds ago, which is outside the catch-up window");
    assert_eq!(fire(&w.db, schedule.id, utc("2026-01-19T08:00:00Z")).await?, Some(utc("2026-01-19T07:00:00Z")));

    let once = w.schedule(json!({"catchup_window_seconds": 0}), created).await?;
    assert_eq!(fire(&w.db, once.id, utc("2026-03-01T00:00:00Z")).await?, Some(utc("2026-01-18T02:00:00Z")));
    Ok(())
}

#[tokio::test]
async fn a_schedule_that_must_not_overlap_waits_for_its_previous_run() -> anyhow::Result<()> {
    let w = World::new().await?;
    w.cases(1).await?;
    let mut skipping = daily_in_new_york();
    skipping["overlap_policy"] = json!("skip");
    let schedule = w.schedule(skipping, utc("2026-01-17T12:00:00Z")).await?;
    let day = |day: u32| utc(&format!("2026-01-{day}T07:00:00Z"));
    assert_eq!(fire(&w.db, schedule.id, day(18)).await?, Some(day(18)));
    assert_eq!(fire(&w.db, schedule.id, day(19)).await?, None, "its run is not even made");
    let run = create_run(&w.db, last_of(&w, day(18)).await?).await?.expect("a run");
    assert_eq!(fire(&w.db, schedule.id, day(20)).await?, None, "its run waits for a client");
    assert_eq!(reasons(&w).await?, ["The previous run has not ended", "The previous run has not ended"]);
    assert_eq!(reload(&w, &schedule).await?.execution_count, 1);
    test_runs::cancel(&w.db, &w.tenant.caller, run).await?;
    finalise(&w.db, run).await?;
    assert_eq!(fire(&w.db, schedule.id, day(21)).await?, Some(day(21)));
    Ok(())
}

async fn last_of(w: &World, due: DateTime<Utc>) -> sqlx::Result<Uuid> {
    sqlx::query_scalar("SELECT id FROM schedule_executions WHERE scheduled_for = $1").bind(due).fetch_one(&w.db).await
}

#[tokio::test]
async fn a_schedule_that_cannot_be_fired_moves_on_after_the_third_failure() -> anyhow::Result<()> {
    let w = World::new().await?;
    let schedule = w.schedule(daily_in_new_york(), utc("2026-01-17T12:00:00Z")).await?;
    let day = |day: u32| utc(&format!("2026-01-{day}T07:00:00Z"));
    for _ in 0..2 {
        fire_failed(&w.db, schedule.id, day(18), "disk full").await?;
    }
    assert_eq!(fire(&w.db, schedule.id, day(18)).await?, Some(day(18)), "the third try went well");
    for failures in 1..=3 {
        assert_eq!(executions(&w, &schedule).await?.len(), 1, "{failures} failures in a row");
        fire_failed(&w.db, schedule.id, day(19), "disk full").await?;
    }
    let expected = [(day(18), ExecutionStatus::Pending), (day(19), ExecutionStatus::Failed)];
    assert_eq!(executions(&w, &schedule).await?, expected);
    assert_eq!(reasons(&w).await?, ["disk full"]);
    let after = reload(&w, &schedule).await?;
    assert_eq!((after.status, after.next_execution_at), (ScheduleStatus::Active, Some(day(20))));
    assert_eq!(after.execution_count, 1, "no run was made");
    fire_failed(&w.db, schedule.id, day(19), "disk full").await?;
    assert_eq!(executions(&w, &schedule).await?, expected, "it is not due any more");
    Ok(())
}

#[tokio::test]
async fn a_schedule_whose_timing_makes_no_sense_holds_up_nobody() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (created, now) = (utc("2026-01-17T12:00:00Z"), utc("2026-01-18T12:00:00Z"));
    let broken = w.schedule(daily_in_new_york(), created).await?;
    w.execute("UPDATE schedules SET timezone = 'Nowhere/Land'").await?;
    let sound = w.schedule(daily_in_new_york(), created).await?;
    for _ in 0..3 {
        let error = fire(&w.db, broken.id, now).await.expect_err("there is no such zone");
        assert_eq!(fields(&error), ["timezone"]);
        fire_failed(&w.db, broken.id, now, &error.to_string()).await?;
    }
    assert!(fire(&w.db, sound.id, now).await?.is_some());
    assert_eq!(executions(&w, &broken).await?, [(utc("2026-01-18T07:00:00Z"), ExecutionStatus::Failed)]);
    assert!(reasons(&w).await?[0].contains("timezone"));
    let after = reload(&w, &broken).await?;
    assert_eq!((after.status, after.next_execution_at), (ScheduleStatus::Completed, None), "nobody knows what is next");
    Ok(())
}
