//! Schedulers whose machines have the wrong time: only the database's clock counts.

use std::path::PathBuf;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use test_support::{Process, until};
use tokio::process::Command;
use uuid::Uuid;

use crate::world::{PATIENCE, World, id, instant};

/// Set by the gate, where nothing may be left out.
const IN_GATE: &str = "TESTRUN_GATE";

/// Where Debian and others put the library that makes a process believe in another time; `None` if it is not there.
///
/// # Errors
/// If it is not there and this is the gate.
fn libfaketime() -> anyhow::Result<Option<String>> {
    let folders = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from);
    let below = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let below: Vec<PathBuf> = below.map(|entry| entry.path()).collect();
    let found = folders
        .into_iter()
        .chain(below)
        .map(|folder| folder.join("faketime/libfaketime.so.1"))
        .find(|library| library.exists());
    if found.is_none() {
        let hint = "libfaketime is not installed, so wrong clocks are not tested; get it with: apt install faketime";
        anyhow::ensure!(std::env::var_os(IN_GATE).is_none(), "{hint}");
        eprintln!("{hint}");
    }
    Ok(found.map(|library| library.display().to_string()))
}

/// What moves a program's clock by so much, such as `+1h`, but not the one that its timers go by.
fn variables<'a>(library: &'a str, offset: &'a str) -> [(&'static str, &'a str); 3] {
    [("LD_PRELOAD", library), ("FAKETIME", offset), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")]
}

/// Starts a scheduler whose clock is wrong by so much.
async fn scheduler(world: &World, library: &str, offset: &str) -> anyhow::Result<Process> {
    let process = Process::scheduler_with(&world.database.url, &variables(library, offset)).await?;
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", process.id()?))?;
    anyhow::ensure!(maps.contains("libfaketime"), "the library is not in the process");
    Ok(process)
}

/// By how much the clock of a program with these variables is wrong.
async fn error_of(library: &str, offset: &str) -> anyhow::Result<TimeDelta> {
    let output = Command::new("date").arg("+%s").envs(variables(library, offset)).output().await?;
    let shown = DateTime::from_timestamp(String::from_utf8(output.stdout)?.trim().parse()?, 0).context("no time")?;
    Ok(shown - Utc::now())
}

#[tokio::test(flavor = "multi_thread")]
async fn schedulers_with_wrong_clocks_fire_when_they_should_once() -> anyhow::Result<()> {
    let Some(library) = libfaketime()? else { return Ok(()) };
    for (offset, hours) in [("+1h", 1), ("-1h", -1)] {
        let error = error_of(&library, offset).await?;
        assert!((error - TimeDelta::hours(hours)).abs() < TimeDelta::minutes(1), "{offset} makes {error}");
    }
    let world = World::start().await?;
    let in_half_an_hour = create(&world, "In half an hour", 1800).await?;

    // Each alone: the slow one fires what is due although its clock shows that it is not; the fast one does not fire what
    // its clock says is due.
    for offset in ["-1h", "+1h"] {
        let alone = scheduler(&world, &library, offset).await?;
        let due = create(&world, offset, 1).await?;
        fired_in_time(&world, due).await?;
        assert!(world.executions(in_half_an_hour).await?.is_empty(), "{offset}: fired half an hour early");
        assert!(alone.stop().await?);
    }

    let _three =
        tokio::try_join!(world.scheduler(), scheduler(&world, &library, "+1h"), scheduler(&world, &library, "-1h"),)?;
    let mut due = Vec::new();
    for number in 0..30 {
        due.push(create(&world, &format!("Together {number}"), 3).await?);
    }
    for schedule in due {
        fired_in_time(&world, schedule).await?;
    }
    assert!(world.executions(in_half_an_hour).await?.is_empty());
    let daily = world.get(&format!("/schedules/{in_half_an_hour}")).await?;
    assert_eq!(daily["execution_count"], 0);
    Ok(())
}

/// Creates a daily schedule that is due for the first time in so many seconds.
async fn create(world: &World, name: &str, seconds: i32) -> anyhow::Result<Uuid> {
    let wall = world.wall_clock("UTC", seconds).await?;
    let body = json!({ "schedule_name": name, "suite_path": [], "scheduled_datetime": wall, "repeat_type": "none" });
    id(&world.post("/schedules", &body, 201).await?["id"])
}

/// Waits until a schedule has fired, which it must have done once and not before its time by the database's clock.
async fn fired_in_time(world: &World, schedule: Uuid) -> anyhow::Result<()> {
    let execution =
        until("the schedule to fire", PATIENCE, || async { Ok(world.executions(schedule).await?.into_iter().next()) })
            .await?;
    assert_eq!(world.executions(schedule).await?.len(), 1);
    let (due, fired) = (instant(&execution["scheduled_for"])?, instant(&execution["created_at"])?);
    assert!(due <= fired && fired - due < TimeDelta::minutes(10), "due {due}, fired {fired}");
    assert_eq!(execution["status"], "pending", "no worker is there, and nothing was missed");
    Ok(())
}
