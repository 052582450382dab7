//! PostgreSQL crashes, stays away for a while and comes back.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use reqwest::header::RETRY_AFTER;
use serde_json::json;
use test_support::{Client, Fleet, until};
use tokio::task::JoinSet;

use super::world::{World, put_case, put_schedule};
use super::{Bound, PATIENCE};

const AWAY: Duration = Duration::from_secs(8);
const CLIENTS: usize = 4;

/// What clients were answered meanwhile.
#[derive(Default)]
struct Answers {
    slowest: Duration,
    /// Neither 503 with `Retry-After` nor a success.
    wrong: usize,
}

pub(super) async fn measure() -> anyhow::Result<Vec<Bound>> {
    let mut world = World::start().await?;
    let mut fleet = Fleet::start(vec![world.api(0), world.worker(0), world.scheduler()]).await?;
    let client = world.client(&fleet.addresses().url(0).context("no address")?)?;
    put_case(&client).await?;
    let before = fleet.ids().await?;
    // It comes due while nobody can fire it.
    put_schedule(&client, AWAY / 2).await?;

    world.postgres.crash().await?;
    let gone = Instant::now();
    let mut asking = JoinSet::new();
    for number in 0..CLIENTS {
        asking.spawn(ask(client.clone(), number, gone));
    }
    let mut answers = Answers::default();
    while let Some(asked) = asking.join_next().await {
        let asked = asked?;
        answers.slowest = answers.slowest.max(asked.slowest);
        answers.wrong += asked.wrong;
    }
    world.postgres.recover().await?;
    let back = Instant::now();
    until("the api to be back", PATIENCE, || async {
        Ok(client.get("/api/v1/test-runs").await?.status.is_success().then_some(()))
    })
    .await?;
    let api = back.elapsed();
    until("the schedule to fire", PATIENCE, || async {
        Ok((world.count("SELECT count(*) FROM schedule_executions").await? == 1).then_some(()))
    })
    .await?;
    let scheduler = back.elapsed();
    until("the run to be made", PATIENCE, || async {
        Ok((world.count("SELECT count(*) FROM test_runs").await? == 1).then_some(()))
    })
    .await?;
    let worker = back.elapsed();
    let exited = fleet.ids().await?.iter().zip(before).filter(|(now, before)| *now != before).count();
    Ok(vec![
        Bound::seconds("PostgreSQL away: slowest answer of the api", answers.slowest, 2.5),
        Bound::count("PostgreSQL away: answers other than 503 with Retry-After", answers.wrong, 0),
        Bound::seconds("PostgreSQL back: first success of the api", api, 5.0),
        Bound::seconds("PostgreSQL back: a schedule that came due meanwhile has fired", scheduler, 10.0),
        Bound::seconds("PostgreSQL back: a worker has made its run", worker, 10.0),
        Bound::count("PostgreSQL back: services that exited", exited + fleet.ended().len(), 0),
    ])
}

/// Reads and writes in turn until it is time for PostgreSQL to come back.
async fn ask(client: Client, number: usize, gone: Instant) -> Answers {
    let mut answers = Answers::default();
    for turn in number.. {
        if gone.elapsed() > AWAY {
            break;
        }
        let asked = Instant::now();
        let answer = if turn % 2 == 0 {
            client.get("/api/v1/test-runs").await
        } else {
            client.post("/api/v1/test-runs", &json!({})).await
        };
        answers.slowest = answers.slowest.max(asked.elapsed());
        let is_right = answer.is_ok_and(|answer| answer.status == 503 && answer.headers.contains_key(RETRY_AFTER));
        answers.wrong += usize::from(!is_right);
    }
    answers
}
