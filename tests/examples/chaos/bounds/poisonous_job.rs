//! A job whose handler ends the process, each time it is begun.
//!
//! No handler of ours does, so this program starts itself again as a worker with a handler that does.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::Context as _;
use test_support::until;
use testrun_shared::jobs::{self, JobOutcome, Queue, SendEmail};
use testrun_shared::{db, ops};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::world::World;
use super::{Bound, PATIENCE};

const POISON: Uuid = Uuid::from_u128(0xdead);
const OTHERS: u128 = 50;

/// Answers jobs until it is killed, or kills itself.
pub(crate) async fn answer_jobs(database_url: String) -> anyhow::Result<()> {
    let db = db::pool(&database_url.into(), 5, "testrun-worker")?;
    let queue = Queue::of(|job: SendEmail| async move {
        if job.notification_id == POISON {
            std::process::abort();
        }
        Ok(JobOutcome::Done)
    });
    jobs::run(db, vec![queue], ops::Readiness::default(), CancellationToken::new()).await
}

pub(super) async fn measure() -> anyhow::Result<Vec<Bound>> {
    let world = World::start().await?;
    let deaths = Arc::new(AtomicUsize::new(0));
    let keepers = [spawn(&world)?, spawn(&world)?]
        .map(|worker| tokio::spawn(keep(worker, world.postgres.url().to_owned(), Arc::clone(&deaths))));
    let mut conn = world.pool.acquire().await?;
    jobs::ring(&mut conn, &SendEmail { notification_id: POISON }).await?;
    let begun = Instant::now();
    for number in 0..OTHERS {
        jobs::ring(&mut conn, &SendEmail { notification_id: Uuid::from_u128(number) }).await?;
    }
    drop(conn);
    let (done, dead) = (
        "SELECT count(*) FROM apalis.jobs WHERE status = 'Done'",
        "SELECT count(*) FROM apalis.jobs WHERE status IN ('Failed', 'Killed')",
    );
    until("the other jobs to be done", PATIENCE, || async {
        Ok((world.count(done).await? == usize::try_from(OTHERS)?).then_some(()))
    })
    .await?;
    let flowed = begun.elapsed();
    until("the poisonous job to be dead", PATIENCE, || async { Ok((world.count(dead).await? == 1).then_some(())) })
        .await?;
    let given_up = begun.elapsed();
    keepers.each_ref().iter().for_each(|keeper| keeper.abort());
    Ok(vec![
        Bound::count("job that kills its worker: starts before it is dead", deaths.load(Ordering::Relaxed), 3),
        Bound::seconds("job that kills its worker: 50 others are done", flowed, 25.0),
        Bound::seconds("job that kills its worker: dead", given_up, 120.0),
    ])
}

fn spawn(world: &World) -> anyhow::Result<Child> {
    start(world.postgres.url())
}

fn start(database_url: &str) -> anyhow::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--answer-jobs-of", database_url]).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    command.spawn().context("cannot start this program again")
}

/// Starts a worker anew whenever it dies.
async fn keep(mut worker: Child, database_url: String, deaths: Arc<AtomicUsize>) -> anyhow::Result<()> {
    loop {
        worker.wait().await?;
        deaths.fetch_add(1, Ordering::Relaxed);
        worker = start(&database_url)?;
    }
}
