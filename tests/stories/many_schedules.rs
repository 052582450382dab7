//! Five hundred schedules that are due in the same second.

use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::json;
use test_support::until;

use crate::world::{PATIENCE, World};

const SCHEDULES: i64 = 500;

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_schedules_due_in_one_second_make_five_hundred_runs() -> anyhow::Result<()> {
    let world = World::start().await?;
    let _fleet = tokio::try_join!(
        world.scheduler(),
        world.scheduler(),
        world.scheduler(),
        world.worker(),
        world.worker(),
        world.worker(),
        world.worker(),
    )?;
    world.test_cases(&["ROOT"], &["Login", "Search"]).await?;
    // Far enough ahead for all to be created before. On a busy machine some come late, and are due at once.
    let wall = world.wall_clock("UTC", 15).await?;
    let create = |number| {
        let body = json!({
            "schedule_name": format!("Schedule {number}"), "suite_path": ["ROOT"], "scheduled_datetime": &wall,
        });
        let world = &world;
        async move { world.post("/schedules", &body, 201).await }
    };
    futures_util::stream::iter(0..SCHEDULES).map(create).buffer_unordered(16).try_collect::<Vec<_>>().await?;
    until("all runs to be made", PATIENCE, || async {
        let made: i64 = sqlx::query_scalar("SELECT count(*) FROM test_runs").fetch_one(&world.database.pool).await?;
        Ok((made >= SCHEDULES).then_some(()))
    })
    .await?;

    let figures: (i64, i64, i64, i64, i32, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM test_runs), count(*), count(DISTINCT schedule_id), count(DISTINCT test_run_id),
             (SELECT max(run_number) FROM test_runs),
             (SELECT count(*) FROM schedules WHERE status = 'completed' AND execution_count = 1)
         FROM schedule_executions WHERE status = 'running'",
    )
    .fetch_one(&world.database.pool)
    .await?;
    assert_eq!(
        figures,
        (SCHEDULES, SCHEDULES, SCHEDULES, SCHEDULES, i32::try_from(SCHEDULES)?, SCHEDULES),
        "runs, executions, their schedules, their runs, the last run number, schedules that are through"
    );
    let took: (f64, f64) = sqlx::query_as(
        "SELECT max(extract(epoch FROM e.created_at - greatest(scheduled_for, s.created_at)))::float8,
             max(extract(epoch FROM r.created_at - greatest(scheduled_for, s.created_at)))::float8
         FROM schedule_executions e JOIN schedules s ON s.id = schedule_id JOIN test_runs r ON r.id = test_run_id",
    )
    .fetch_one(&world.database.pool)
    .await?;
    // For who reads the log; a bound would be a test of the machine.
    eprintln!(
        "{SCHEDULES} schedules: the last fired {:.2} s after the due time, its run came after {:.2} s",
        took.0, took.1
    );
    Ok(())
}
