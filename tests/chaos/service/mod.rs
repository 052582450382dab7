//! The whole service under fire: clients work while services, PostgreSQL and the network between them break by a seeded
//! plan; afterwards what is stored is compared with what was acknowledged, and recomputed from its parts.
//!
//! For the command `cargo run -p e2e --example chaos` and for a short story of the same.

mod bodies;
mod book;
mod client;
mod load;
mod plan;
mod stage;
#[cfg(test)]
mod tests;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio::time::Instant;

use client::Client;
use load::Load;
use plan::{Fault, Plan};
use stage::{APIS, MEMBERS, Stage};
pub(crate) use verdict::Verdict;

const RECIPIENTS: [&str; 3] = ["lead@example.com", "qa@example.com", "team@example.com"];
/// After the last fault: for what dead and frozen services left behind, and a few times over.
const PATIENCE: Duration = Duration::from_secs(300);
/// Longest time that a fault waits for a load that is behind.
const BEHIND: Duration = Duration::from_secs(20);

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    /// How long faults go on.
    pub(crate) duration: Duration,
    /// How many results clients submit, besides those of schedules' runs.
    pub(crate) results: u32,
    /// How many services are killed; there are other faults in proportion.
    pub(crate) kills: u32,
    pub(crate) clients: u64,
    pub(crate) schedules: u32,
}

/// Lets it all happen, tells of it by `say`, and judges.
pub(crate) async fn run(options: Options, say: impl Fn(&str)) -> anyhow::Result<Verdict> {
    let Options { seed, duration, results, kills, clients, schedules } = options;
    let plan = Plan::draw(seed, duration, kills, MEMBERS);
    say(&format!(
        "seed {seed}: {results} results of {clients} clients, {schedules} schedules, {} s",
        duration.as_secs()
    ));
    say(&format!("plan: {}", plan.summary()));
    let mut stage = Stage::set(seed).await?;
    let (load, unsettled) = perform(&mut stage, options, &plan, &say).await?;
    say("checking");
    let mut verdict = Verdict::reach(&mut stage, &load, &RECIPIENTS).await?;
    verdict.check("left undone", 0, unsettled);
    stage.clear().await?;
    Ok(verdict)
}

/// Has clients work while things break, and waits until nothing is left to do; what is left nevertheless is returned.
async fn perform(
    stage: &mut Stage,
    options: Options,
    plan: &Plan,
    say: impl Fn(&str),
) -> anyhow::Result<(Arc<Load>, Vec<String>)> {
    let Options { seed, duration, results, clients, schedules, .. } = options;
    let client = Client::new(stage.fleet.addresses(), APIS, &stage.tenant.token)?;
    let load = Arc::new(Load::new(client, results, duration));
    load.prepare(&due_times(seed, schedules, duration), &stage.webhooks.url("/hook"), &RECIPIENTS).await?;
    let mut working = JoinSet::new();
    for number in 0..clients {
        working.spawn(Arc::clone(&load).work(seed, number));
    }
    break_things(stage, plan, &load, |line| say(&format!("{:6} results, {line}", load.progress()))).await?;
    say(&format!("no more faults; {} results are submitted", load.progress()));
    stage.fleet.ready().await?;
    while let Some(ended) = working.join_next().await {
        ended?;
    }
    say("no more results; what is left is done");
    let unsettled = settle(stage, &load, seed).await?;
    Ok((load, unsettled))
}

/// One-time schedules are due at any time.
fn due_times(seed: u64, schedules: u32, duration: Duration) -> Vec<Duration> {
    let mut random = StdRng::seed_from_u64(!seed);
    (0..schedules).map(|_| duration.mul_f64(random.random_range(0.0..1.0))).collect()
}

/// Does what the plan says when it says so, or later where the load is behind its own plan: there is to be something to
/// break until the end.
async fn break_things(stage: &mut Stage, plan: &Plan, load: &Load, say: impl Fn(&str)) -> anyhow::Result<()> {
    let begun = Instant::now();
    for (at, fault) in &plan.0 {
        tokio::time::sleep_until(begun + *at).await;
        let patience = Instant::now() + BEHIND;
        // What is mended is what the load may wait for.
        while !fault.mends() && load.is_behind(*at) && Instant::now() < patience {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        say(&stage.describe(*fault));
        stage.suffer(*fault).await?;
    }
    stage.suffer(Fault::Delay(0)).await
}

/// Executes runs that wait for a client until nothing is left to do, and returns what is left nevertheless.
async fn settle(stage: &Stage, load: &Load, seed: u64) -> anyhow::Result<Vec<String>> {
    let begun = Instant::now();
    loop {
        load.drain(seed).await?;
        let left = verdict::leftovers::left(&stage.pool).await?;
        if left.is_empty() || begun.elapsed() > PATIENCE {
            return Ok(left);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
