//! A worker is killed, or frozen for a minute, with a job in hand.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use test_support::receiver::{Reply, WebhookReceiver, script};
use test_support::{Client, Process, until};

use super::world::{Running, World, put_case, text};
use super::{Bound, PATIENCE};

/// How long the frozen one is.
const FROZEN: Duration = Duration::from_secs(60);
/// How long it is watched afterwards: longer than any job may take.
const WATCHED: Duration = Duration::from_secs(25);

/// A worker with a delivery in hand whose receiver is silent, and another worker and a scheduler that have nothing to do.
struct InHand {
    world: World,
    receiver: WebhookReceiver,
    worker: Process,
    _others: (Process, Process, Process),
}

impl InHand {
    async fn start() -> anyhow::Result<Self> {
        let world = World::start().await?;
        let receiver = WebhookReceiver::start_with(script([Reply::Hang])).await?;
        let (api, worker) = tokio::try_join!(start(world.api(0)), start(world.worker(0)))?;
        let client = world.client(&api.url().await?)?;
        let webhook = client.post("/api/v1/webhooks", &json!({ "url": receiver.url("/hook") })).await?.expect(201)?;
        let path = format!("/api/v1/webhooks/{}/test", text(&webhook["id"])?);
        client.send(reqwest::Method::POST, &path, None).await?.expect(201)?;
        receiver.wait_for(1, PATIENCE).await?;
        let (other, scheduler) = tokio::try_join!(start(world.worker(1)), start(world.scheduler()))?;
        Ok(Self { world, receiver, worker, _others: (api, other, scheduler) })
    }
}

async fn start(member: test_support::Member) -> anyhow::Result<Process> {
    member.start().await
}

pub(super) async fn killed_in_a_delivery() -> anyhow::Result<Vec<Bound>> {
    let InHand { receiver, worker, world: _world, _others } = InHand::start().await?;
    worker.crash().await?;
    let killed = Instant::now();
    receiver.wait_for(2, PATIENCE).await?;
    Ok(vec![Bound::seconds("worker killed: its delivery is made by another", killed.elapsed(), 25.0)])
}

pub(super) async fn killed_in_a_refresh() -> anyhow::Result<Vec<Bound>> {
    let world = World::start().await?;
    let (api, worker) = tokio::try_join!(start(world.api(0)), start(world.worker(0)))?;
    let client = world.client(&api.url().await?)?;
    let run = Running::start(&client, &put_case(&client).await?).await?;
    // Counted once: from here on the worker waits for the row.
    until("the first count", PATIENCE, || refreshed(&world)).await?;
    let mut lock = world.pool.begin().await?;
    sqlx::query("SELECT 1 FROM test_runs FOR NO KEY UPDATE").execute(&mut *lock).await?;
    run.report(&client).await?;
    until("the worker to wait for the run", PATIENCE, || async {
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE application_name = 'testrun-worker' AND wait_event_type = 'Lock'";
        Ok((world.count(sql).await? > 0).then_some(()))
    })
    .await?;
    let (_other, _scheduler) = tokio::try_join!(start(world.worker(1)), start(world.scheduler()))?;
    worker.crash().await?;
    let killed = Instant::now();
    lock.rollback().await?;
    until("the run to be completed", PATIENCE, || completed(&run, &client)).await?;
    Ok(vec![Bound::seconds("worker killed: its run is counted and completed by another", killed.elapsed(), 25.0)])
}

async fn refreshed(world: &World) -> anyhow::Result<Option<()>> {
    Ok((world.count("SELECT count(*) FROM run_refreshes").await? == 0).then_some(()))
}

async fn completed(run: &Running, client: &Client) -> anyhow::Result<Option<()>> {
    run.is_completed(client).await
}

/// The delivery that the frozen worker has in hand is made by the other one; then it wakes, and believes it still had it.
pub(super) async fn frozen() -> anyhow::Result<Vec<Bound>> {
    let InHand { world, receiver, worker, _others } = InHand::start().await?;
    worker.signal(Signal::SIGSTOP)?;
    let frozen = Instant::now();
    receiver.wait_for(2, PATIENCE).await?;
    let elsewhere = frozen.elapsed();
    tokio::time::sleep(FROZEN.saturating_sub(elsewhere)).await;
    worker.signal(Signal::SIGCONT)?;
    tokio::time::sleep(WATCHED).await;
    let requests = receiver.requests().len();
    let sound = "SELECT count(*) FROM webhook_deliveries WHERE status = 'delivered' AND attempt = 2";
    let wrong = 1_usize.saturating_sub(world.count(sound).await?);
    Ok(vec![
        Bound::seconds("worker frozen: its delivery is made by another", elsewhere, 25.0),
        Bound::count("worker frozen for 60 s: further deliveries after it woke", requests.saturating_sub(2), 0),
        Bound::count("worker frozen for 60 s: records of the delivery that are wrong", wrong, 0),
    ])
}
