//! A scheduler outlives its database, says so meanwhile, and makes up for it afterwards.

use anyhow::Context as _;
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor as _};
use test_support::client::Answer;
use test_support::{Client, until};
use uuid::Uuid;

use crate::world::{PATIENCE, World, id, instant, pick};

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_ready_once_all_its_parts_have_worked() -> anyhow::Result<()> {
    let world = World::start().await?;
    let queues = ["create_scheduled_run", "deliver_webhook", "finalise_run", "refresh_run", "send_email"];
    let ticks = ["fire", "invariants", "prune", "queues", "silent_runs", "sweep", "zone_data"];
    // Several, since each could be asked at a lucky moment.
    for _ in 0..3 {
        let (scheduler, worker) = tokio::try_join!(world.scheduler(), world.worker())?;
        for (process, parts) in [(scheduler, &ticks[..]), (worker, &[&["database"], &queues[..]].concat())] {
            let admin = Client::new(&process.url().await?, None)?;
            // It was, but may not be any more by the time the other one is.
            let ready = ready_once(&admin, |_| true).await?;
            let shown: Vec<&str> =
                ready.lines().skip(1).filter_map(|line| line.split_once(": last worked ")).map(|line| line.0).collect();
            let mut parts = parts.to_vec();
            parts.sort_unstable();
            assert_eq!(shown, parts, "{ready}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_whose_database_goes_away_says_since_when_and_fires_afterwards() -> anyhow::Result<()> {
    let world = World::start().await?;
    let scheduler = world.scheduler().await?;
    let admin = Client::new(&scheduler.url().await?, None)?;
    // Which is not so at any moment: a tick may come a little more than a second after the one before.
    ready_once(&admin, |ready| ready.contains("\nfire: last worked 0 s ago\n")).await?;

    // One is due while the database is away, one long before.
    let before = world.due_now("Before", json!({ "suite_path": [] })).await?;
    fired(&world, before).await?;
    let wall = world.wall_clock("UTC", 5).await?;
    let body = json!({ "schedule_name": "Meanwhile", "suite_path": [], "scheduled_datetime": wall });
    let meanwhile = world.post("/schedules", &body, 201).await?;

    let options: PgConnectOptions = world.database.url.parse()?;
    let name = options.get_database().context("no database in the URL")?.to_owned();
    let server = PgPoolOptions::new().max_connections(1).connect_with(options.database("postgres")).await?;
    server.execute(AssertSqlSafe(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"))).await?;
    let cut = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    let reason = until("the scheduler to be not ready", PATIENCE, || async {
        // Each time: a connection that was just being made when others were forbidden may not have been listed yet.
        server.execute(AssertSqlSafe(cut.clone())).await?;
        let answer = admin.get("/readyz").await?;
        Ok((answer.status == 503).then(|| text(&answer)))
    })
    .await?;
    assert!(reason.starts_with("not ready: fire: last worked "), "{reason}");
    assert_eq!(admin.get("/healthz").await?.status, 200, "it is alive");
    let metrics = text(&admin.get("/metrics").await?);
    let age = metrics.lines().find_map(|line| line.strip_prefix("testrun_last_success_age_seconds{part=\"fire\"} "));
    let age: f64 = age.with_context(|| format!("no age of the last tick in {metrics}"))?.parse()?;
    assert!(age > 10.0, "the last tick that succeeded was {age} s ago");
    assert!(metrics.contains("testrun_scheduler_ticks_total{tick=\"fire\",outcome=\"error\"}"), "{metrics}");

    server.execute(AssertSqlSafe(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"))).await?;
    let execution = fired(&world, id(&meanwhile["id"])?).await?;
    assert_eq!(instant(&execution["scheduled_for"])?, instant(&meanwhile["next_execution_at"])?, "late, but not lost");
    assert_eq!(pick(&execution, ["status", "error_message"]), json!(["pending", null]));
    ready_once(&admin, |_| true).await?;
    assert!(scheduler.stop().await?, "it is the same process still, and ends well");
    Ok(())
}

/// Waits until the one due time of a schedule has its row.
async fn fired(world: &World, schedule: Uuid) -> anyhow::Result<serde_json::Value> {
    until("the schedule to fire", PATIENCE, || async {
        // The connections of this test were cut, too.
        let executions = world.executions(schedule).await.unwrap_or_default();
        anyhow::ensure!(executions.len() <= 1, "executions of one due time: {executions:?}");
        Ok(executions.into_iter().next())
    })
    .await
}

/// Waits until a service is ready and says so in words like these, which it returns.
async fn ready_once(admin: &Client, is_wanted: impl Fn(&str) -> bool) -> anyhow::Result<String> {
    until("the service to be ready", PATIENCE, || async {
        let answer = admin.get("/readyz").await?;
        Ok((answer.status == 200).then(|| text(&answer)).filter(|text| is_wanted(text)))
    })
    .await
}

fn text(answer: &Answer) -> String {
    answer.body.as_str().unwrap_or_default().to_owned()
}
