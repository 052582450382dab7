//! Clients that pause, change, resume or delete a schedule while its due time comes.

use std::collections::BTreeMap;

use anyhow::Context as _;
use chrono::TimeDelta;
use futures_util::future::join_all;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use serde_json::json;
use testrun_shared::actions::schedules::{delete, fire, pause, resume, update};
use testrun_shared::db;
use testrun_shared::domain::schedule::{Schedule, ScheduleStatus};

use crate::fires::{executions, reload};
use crate::world::{World, backend, until_blocked_by};

/// What a client does while schedulers fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Command {
    Pause,
    Disable,
    Postpone,
    Delete,
    Resume,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Client,
    Scheduler,
}

/// A daily schedule whose due time came half a minute ago.
async fn due(w: &World) -> anyhow::Result<Schedule> {
    let now = db::now(&w.db).await?;
    let anchor = (now - TimeDelta::days(1) - TimeDelta::seconds(30)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let schedule = w.schedule(json!({"scheduled_datetime": anchor, "repeat_type": "daily"}), now).await?;
    sqlx::query("UPDATE schedules SET next_execution_at = $2 WHERE id = $1")
        .bind(schedule.id)
        .bind(schedule.next_execution_at.map(|next| next - TimeDelta::days(1)))
        .execute(&w.db)
        .await?;
    reload(w, &schedule).await
}

/// Does it and returns how many executions there were once it had answered.
async fn command(w: &World, schedule: &Schedule, command: Command) -> anyhow::Result<usize> {
    let (caller, id) = (&w.tenant.caller, schedule.id);
    let patch = |body| serde_json::from_value(body).context("a patch");
    match command {
        Command::Pause => drop(pause(&w.db, caller, id).await?),
        Command::Disable => drop(update(&w.db, caller, id, patch(json!({"is_enabled": false}))?).await?),
        Command::Postpone => {
            let far = json!({"scheduled_datetime": "2090-01-01T00:00:00Z"});
            drop(update(&w.db, caller, id, patch(far)?).await?);
        }
        Command::Delete => delete(&w.db, caller, id).await?,
        Command::Resume => drop(resume(&w.db, caller, id).await?),
    }
    Ok(executions(w, schedule).await?.len())
}

/// Fires the schedule as a scheduler would whose tick began just now, and whose look at what is due is older still.
async fn tick(w: &World, schedule: &Schedule) -> anyhow::Result<Option<usize>> {
    let now = db::now(&w.db).await?;
    fire(&w.db, schedule.id, now).await?;
    Ok(None)
}

#[tokio::test]
async fn nothing_fires_after_the_answer() -> anyhow::Result<()> {
    let w = World::new().await?;
    let mut winners: BTreeMap<(Command, bool), u32> = BTreeMap::new();
    for seed in 0..60_u64 {
        let all = [Command::Pause, Command::Disable, Command::Postpone, Command::Delete, Command::Resume];
        let chosen = all[usize::try_from(seed)? % all.len()];
        let schedule = due(&w).await?;
        if chosen == Command::Resume {
            pause(&w.db, &w.tenant.caller, schedule.id).await?;
        }
        let mut steps = [Step::Client, Step::Scheduler, Step::Scheduler, Step::Scheduler];
        steps.shuffle(&mut StdRng::seed_from_u64(seed));
        // A race alone may be won by the same side every time, on one machine or another. So in every second of them one
        // side has done its first step before the others begin: in turn the client and a scheduler, for each command.
        let first = [Some(Step::Client), Some(Step::Scheduler), None, None][usize::try_from(seed / 5 % 4)?];
        if let Some(first) = first {
            steps.sort_by_key(|step| *step != first);
        }
        let take = async |step: Step| match step {
            Step::Client => command(&w, &schedule, chosen).await.map(Some),
            Step::Scheduler => tick(&w, &schedule).await,
        };
        let (before, at_once) = steps.split_at(usize::from(first.is_some()));
        let mut counts: Vec<Option<usize>> = Vec::new();
        for step in before {
            counts.push(take(*step).await?);
        }
        for answer in join_all(at_once.iter().map(|step| take(*step))).await {
            counts.push(answer?);
        }
        let at_answer = counts.into_iter().flatten().next().context("no answer")?;
        // One more that began after the answer.
        tick(&w, &schedule).await?;
        let after = executions(&w, &schedule).await?;
        assert_eq!(after.len(), at_answer, "seed {seed}, {chosen:?}: fired after the answer: {after:?}");
        check(&w, &schedule, chosen).await?;
        *winners.entry((chosen, at_answer > 0)).or_default() += 1;
    }
    assert!(
        !winners.contains_key(&(Command::Resume, true)),
        "what came while it was paused does not fire: {winners:?}"
    );
    assert!(winners.keys().any(|(_, fired)| *fired), "no seed let a scheduler win: {winners:?}");
    assert!(
        winners.keys().any(|(command, fired)| !fired && *command != Command::Resume),
        "none let a client: {winners:?}"
    );
    Ok(())
}

async fn check(w: &World, schedule: &Schedule, command: Command) -> anyhow::Result<()> {
    let end = reload(w, schedule).await?;
    let expected = match command {
        Command::Pause => (ScheduleStatus::Paused, true),
        Command::Disable => (ScheduleStatus::Active, false),
        Command::Postpone | Command::Resume => (ScheduleStatus::Active, true),
        Command::Delete => (ScheduleStatus::Cancelled, true),
    };
    assert_eq!((end.status, end.is_enabled), expected, "{command:?}");
    if matches!(command, Command::Postpone | Command::Resume) {
        assert!(end.next_execution_at > Some(db::now(&w.db).await?), "{command:?}: {end:?}");
    }
    Ok(())
}

/// The order that a race may or may not bring about: the scheduler has looked, the client comes first.
#[tokio::test]
async fn a_scheduler_that_comes_second_passes_over_it() -> anyhow::Result<()> {
    let w = World::new().await?;
    let schedule = due(&w).await?;
    let now = db::now(&w.db).await?;
    let mut client = w.db.begin().await?;
    let mut paused = db::schedules::lock_own(&mut *client, schedule.project_id, schedule.id).await?.context("gone")?;
    paused.status = ScheduleStatus::Paused;
    db::schedules::save(&mut *client, &paused).await?;
    assert_eq!(fire(&w.db, schedule.id, now).await?, None, "it waits for nobody");
    client.commit().await?;
    assert_eq!(fire(&w.db, schedule.id, now).await?, None);
    assert!(executions(&w, &schedule).await?.is_empty());
    Ok(())
}

/// And the other way round: the answer waits for the fire that was first, and counts it.
#[tokio::test]
async fn a_client_that_comes_second_answers_after_the_fire() -> anyhow::Result<()> {
    let w = World::new().await?;
    let schedule = due(&w).await?;
    let mut scheduler = w.db.begin().await?;
    let pid = backend(&mut scheduler).await?;
    db::schedules::lock_due(&mut *scheduler, schedule.id, db::now(&w.db).await?).await?.context("not due")?;
    let (answered, ()) = tokio::join!(pause(&w.db, &w.tenant.caller, schedule.id), async {
        until_blocked_by(&w.db, pid, 1).await.expect("the pause to wait");
        scheduler.rollback().await.expect("a rollback");
    });
    assert_eq!(answered?.status, ScheduleStatus::Paused);
    Ok(())
}
