//! Services are asked to end (SIGTERM) and replaced, one by one, under load.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use test_support::fleet::Addresses;
use test_support::{Client, Fleet};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Bound;
use super::world::{Running, World, put_case};

const APIS: usize = 2;
const CLIENTS: usize = 4;
/// How often the balancer looks which services are ready.
const LOOK: Duration = Duration::from_millis(500);

/// As a balancer does it: requests go in turn to those that were ready when it looked last, and none is sent twice.
struct Balancer {
    client: Client,
    ready: Mutex<Vec<String>>,
    /// How often a service was chosen; it gets two or three requests then.
    sent: AtomicUsize,
    failed: Mutex<Vec<String>>,
}

pub(super) async fn measure() -> anyhow::Result<Vec<Bound>> {
    let world = World::start().await?;
    let members = vec![world.api(0), world.api(1), world.worker(0), world.worker(1), world.scheduler()];
    let mut fleet = Fleet::start(members).await?;
    let addresses = fleet.addresses();
    let first = addresses.url(0).unwrap_or_default();
    let client = world.client(&first)?;
    let case = put_case(&client).await?;
    let balancer = Arc::new(Balancer {
        client,
        ready: Mutex::new(vec![first]),
        sent: AtomicUsize::new(0),
        failed: Mutex::default(),
    });
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&balancer).look(addresses, stop.clone()));
    for _ in 0..CLIENTS {
        tasks.spawn(Arc::clone(&balancer).load(case.clone(), stop.clone()));
    }
    let mut slowest = Duration::ZERO;
    for number in 0..5 {
        slowest = slowest.max(fleet.roll(number).await?);
        // The new one is noticed before the next one goes.
        tokio::time::sleep(LOOK * 3).await;
    }
    stop.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    let failed = balancer.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
    failed.iter().take(5).for_each(|failure| eprintln!("chaos: a request failed in the rolling restart: {failure}"));
    let eaten =
        world.count("SELECT count(*) FROM apalis.jobs WHERE attempts > 1 OR status IN ('Failed', 'Killed')").await?;
    let sent = balancer.sent.load(Ordering::Relaxed);
    anyhow::ensure!(sent > 0, "no request was sent");
    Ok(vec![
        Bound::seconds("SIGTERM under load: slowest exit", slowest, 30.0),
        Bound::count("rolling restart of 2 apis under load: failed requests", failed.len(), 0),
        Bound::count("rolling restart of 2 workers under load: attempts eaten", eaten, 0),
    ])
}

impl Balancer {
    async fn look(self: Arc<Self>, addresses: Addresses, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let mut ready = Vec::new();
            for url in (0..APIS).filter_map(|number| addresses.url(number)) {
                if self.client.at(&url).get("/readyz").await.is_ok_and(|answer| answer.status.is_success()) {
                    ready.push(url);
                }
            }
            *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = ready;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Runs one after the other, so that workers have something to do, too.
    async fn load(self: Arc<Self>, case: String, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = self.one_run(&case).await {
                self.failed.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{error:#}"));
            }
        }
    }

    async fn one_run(&self, case: &str) -> anyhow::Result<()> {
        let run = Running::start(&self.next(), case).await?;
        run.report(&self.next()).await
    }

    fn next(&self) -> Client {
        let turn = self.sent.fetch_add(1, Ordering::Relaxed);
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.get(turn % ready.len().max(1)).map_or_else(|| self.client.clone(), |url| self.client.at(url))
    }
}
