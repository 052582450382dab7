//! New zone data: next due times that older data left are computed anew, once, and none that has come is lost.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::try_join_all;
use serde_json::json;
use testrun_shared::actions::schedules::fire;
use testrun_shared::actions::zone_data::recompute;
use testrun_shared::db;
use testrun_shared::domain::recurrence::ZONE_DATA_VERSION;
use testrun_shared::domain::schedule::{Schedule, SchedulePatch, ScheduleStatus};
use testrun_shared::domain::schedule_execution::ExecutionStatus;

use crate::fires::{executions, reload};
use crate::world::{World, utc};

/// Leaves a schedule as a process with other zone data would: with that version and this next due time.
async fn leave(w: &World, schedule: &Schedule, version: &str, next: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query("UPDATE schedules SET zone_data_version = $2, next_execution_at = $3 WHERE id = $1")
        .bind(schedule.id)
        .bind(version)
        .bind(next)
        .execute(&w.db)
        .await
        .map(|_| ())
}

async fn version(w: &World, schedule: &Schedule) -> sqlx::Result<String> {
    sqlx::query_scalar("SELECT zone_data_version FROM schedules WHERE id = $1").bind(schedule.id).fetch_one(&w.db).await
}

/// Daily at two in New York, from a day long after this test on.
async fn daily(w: &World) -> anyhow::Result<Schedule> {
    let timing =
        json!({"scheduled_datetime": "2090-01-18T02:00:00Z", "timezone": "America/New_York", "repeat_type": "daily"});
    w.schedule(timing, utc("2026-01-17T12:00:00Z")).await
}

/// Daily at a time that was so many minutes ago, by the database's clock, for a week.
async fn daily_since(w: &World, minutes: i64) -> anyhow::Result<(Schedule, DateTime<Utc>)> {
    let now = db::now(&w.db).await?;
    let today = DateTime::from_timestamp(now.timestamp(), 0).expect("an instant") - TimeDelta::minutes(minutes);
    let anchor = (today - TimeDelta::days(7)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    Ok((w.schedule(json!({"scheduled_datetime": anchor, "repeat_type": "daily"}), now).await?, today))
}

const DUE: &str = "2090-01-18T07:00:00Z";
const WRONG: &str = "2090-01-18T06:00:00Z";

#[tokio::test]
async fn older_data_give_way_and_newer_data_stay() -> anyhow::Result<()> {
    let w = World::new().await?;
    let mut expected = Vec::new();
    for (old, next) in [("", DUE), ("1999z", DUE), ("2024a", DUE), (ZONE_DATA_VERSION, WRONG), ("2999a", WRONG)] {
        let schedule = daily(&w).await?;
        assert_eq!(version(&w, &schedule).await?, ZONE_DATA_VERSION, "whoever computes it notes it");
        leave(&w, &schedule, old, utc(WRONG)).await?;
        expected.push((schedule, old.max(ZONE_DATA_VERSION), utc(next)));
    }
    let paused = daily(&w).await?;
    leave(&w, &paused, "2024a", utc(WRONG)).await?;
    sqlx::query("UPDATE schedules SET status = 'paused' WHERE id = $1").bind(paused.id).execute(&w.db).await?;

    assert_eq!(recompute(&w.db).await?, 3);
    for (schedule, by, next) in &expected {
        assert_eq!(
            (version(&w, schedule).await?.as_str(), reload(&w, schedule).await?.next_execution_at),
            (*by, Some(*next))
        );
    }
    assert_eq!(reload(&w, &paused).await?.next_execution_at, Some(utc(WRONG)), "it is computed when it is resumed");
    assert_eq!(recompute(&w.db).await?, 0, "there is nothing left to do");
    Ok(())
}

#[tokio::test]
async fn versions_sort_as_the_zone_data_were_published() -> anyhow::Result<()> {
    let w = World::new().await?;
    let sorted: Vec<String> = sqlx::query_scalar(
        "SELECT v COLLATE \"C\" FROM unnest(ARRAY['2026a', '2025za', '2025b', '', '2025z', '2025c']) v ORDER BY 1",
    )
    .fetch_all(&w.db)
    .await?;
    assert_eq!(sorted, ["", "2025b", "2025c", "2025z", "2025za", "2026a"]);
    let collation: String = sqlx::query_scalar(
        "SELECT collation_name::text FROM information_schema.columns
         WHERE table_name = 'schedules' AND column_name = 'zone_data_version'",
    )
    .fetch_one(&w.db)
    .await?;
    assert_eq!(collation, "C", "the column sorts so wherever the database is");
    Ok(())
}

#[tokio::test]
async fn a_due_time_that_has_come_stays_and_fires() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (schedule, today) = daily_since(&w, 30).await?;
    // Older data had it at another time, which has come, too.
    let promised = today + TimeDelta::minutes(10);
    leave(&w, &schedule, "2024a", promised).await?;
    assert_eq!(recompute(&w.db).await?, 1);
    assert_eq!(reload(&w, &schedule).await?.next_execution_at, Some(promised));
    assert_eq!(fire(&w.db, schedule.id, db::now(&w.db).await?).await?, Some(promised));
    assert_eq!(reload(&w, &schedule).await?.next_execution_at, Some(today + TimeDelta::days(1)));
    Ok(())
}

#[tokio::test]
async fn a_due_time_that_the_new_data_move_into_the_past_fires_late() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (schedule, today) = daily_since(&w, 30).await?;
    leave(&w, &schedule, "2024a", today + TimeDelta::hours(1)).await?;
    assert_eq!(recompute(&w.db).await?, 1);
    assert_eq!(fire(&w.db, schedule.id, db::now(&w.db).await?).await?, Some(today));
    assert_eq!(executions(&w, &schedule).await?, [(today, ExecutionStatus::Pending)]);
    Ok(())
}

#[tokio::test]
async fn a_due_time_that_fired_does_not_fire_again_where_the_new_data_move_it_ahead() -> anyhow::Result<()> {
    let w = World::new().await?;
    // By our data it comes in half an hour; by the older ones it came, and fired, half an hour ago.
    let (schedule, today) = daily_since(&w, -30).await?;
    let fired = today - TimeDelta::hours(1);
    leave(&w, &schedule, "2024a", fired).await?;
    assert_eq!(fire(&w.db, schedule.id, db::now(&w.db).await?).await?, Some(fired));
    leave(&w, &schedule, "2024a", fired + TimeDelta::days(1)).await?;
    assert_eq!(recompute(&w.db).await?, 1);
    assert_eq!(reload(&w, &schedule).await?.next_execution_at, Some(today + TimeDelta::days(1)));
    Ok(())
}

#[tokio::test]
async fn many_schedulers_that_start_at_once_share_the_work() -> anyhow::Result<()> {
    let w = World::new().await?;
    let schedule = daily(&w).await?;
    leave(&w, &schedule, "2024a", utc(WRONG)).await?;
    // As many columns as there are, but for the id.
    let copies = w
        .execute(
            "INSERT INTO schedules
             SELECT (jsonb_populate_record(s, jsonb_build_object('id', gen_random_uuid()))).* FROM schedules s, generate_series(1, 999)",
        )
        .await?;
    assert_eq!(copies, 999);
    let shares = try_join_all((0..6).map(|_| recompute(&w.db))).await?;
    assert_eq!(shares.iter().sum::<u64>(), 1000, "each was computed by one of them: {shares:?}");
    let right: i64 =
        sqlx::query_scalar("SELECT count(*) FROM schedules WHERE next_execution_at = $1 AND zone_data_version = $2")
            .bind(utc(DUE))
            .bind(ZONE_DATA_VERSION)
            .fetch_one(&w.db)
            .await?;
    assert_eq!(right, 1000);
    Ok(())
}

#[tokio::test]
async fn a_schedule_that_somebody_has_is_left_to_the_next_time() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (held, free) = (daily(&w).await?, daily(&w).await?);
    for schedule in [&held, &free] {
        leave(&w, schedule, "2024a", utc(WRONG)).await?;
    }
    let mut tx = w.db.begin().await?;
    db::schedules::lock(&mut *tx, held.id).await?;
    let recomputed = tokio::time::timeout(Duration::from_secs(20), recompute(&w.db)).await??;
    assert_eq!(recomputed, 1, "it waits for nobody");
    tx.rollback().await?;
    assert_eq!(reload(&w, &held).await?.next_execution_at, Some(utc(WRONG)));
    assert_eq!(recompute(&w.db).await?, 1);
    assert_eq!(reload(&w, &held).await?.next_execution_at, Some(utc(DUE)));
    Ok(())
}

#[tokio::test]
async fn a_zone_that_is_gone_keeps_its_due_time_and_one_without_a_fire_left_is_completed() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (gone, over) = (daily(&w).await?, daily(&w).await?);
    for schedule in [&gone, &over] {
        leave(&w, schedule, "2024a", utc(WRONG)).await?;
    }
    sqlx::query("UPDATE schedules SET timezone = 'Nowhere/Land' WHERE id = $1").bind(gone.id).execute(&w.db).await?;
    // Its last fire, on the 18th, has been dealt with.
    sqlx::query(
        "UPDATE schedules SET repeat_end_date = '2090-01-18T02:00:00Z', last_executed_at = $2, next_execution_at = $3
         WHERE id = $1",
    )
    .bind(over.id)
    .bind(utc(DUE))
    .bind(utc(DUE) + TimeDelta::hours(1))
    .execute(&w.db)
    .await?;
    assert_eq!(recompute(&w.db).await?, 2);
    let gone = reload(&w, &gone).await?;
    assert_eq!((gone.status, gone.next_execution_at), (ScheduleStatus::Active, Some(utc(WRONG))));
    let over = reload(&w, &over).await?;
    assert_eq!((over.status, over.next_execution_at), (ScheduleStatus::Completed, None));
    let told = "SELECT count(*) FROM events WHERE type = 'schedule.completed' AND data ->> 'schedule_id' = $1::text";
    assert_eq!(w.count(told, over.id).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_change_that_leaves_the_plan_alone_leaves_the_version_alone() -> anyhow::Result<()> {
    let w = World::new().await?;
    let schedule = daily(&w).await?;
    leave(&w, &schedule, "2024a", utc(WRONG)).await?;
    let change = |body| serde_json::from_value::<SchedulePatch>(body).expect("a body");
    let update = async |body| {
        testrun_shared::actions::schedules::update(&w.db, &w.tenant.caller, schedule.id, change(body)).await
    };
    update(json!({"schedule_name": "Renamed"})).await?;
    assert_eq!(version(&w, &schedule).await?, "2024a", "its due time is still that of the older data");
    let replanned = update(json!({"scheduled_datetime": "2090-01-19T02:00:00Z"})).await?;
    assert_eq!(replanned.next_execution_at, Some(utc("2090-01-19T07:00:00Z")));
    assert_eq!(version(&w, &schedule).await?, ZONE_DATA_VERSION);
    Ok(())
}
