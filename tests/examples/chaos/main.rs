//! Breaks services, PostgreSQL and the network between them while clients work, then checks that nothing acknowledged is
//! lost, doubled or wrong.

#[path = "../../service_chaos/mod.rs"]
mod service_chaos;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

#[derive(Parser)]
#[command(name = "chaos", about = ABOUT)]
struct Arguments {
    /// What the plan is drawn from: the same numbers give the same faults
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// For how many minutes clients work and faults happen
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1_440))]
    minutes: u64,

    /// How many results clients submit; more than the machine can take take longer
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    results: u32,

    /// How often a service is killed; other faults come in proportion
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    kills: u32,

    /// How many clients work at once
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=200))]
    clients: u64,

    /// How many schedules are due
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    schedules: u32,
}

const ABOUT: &str = "\
Starts two REST services, three workers, two schedulers, a PostgreSQL, a mail server and a receiver of webhooks of their own, \
has clients work, and by a plan drawn from the seed kills services (SIGKILL), freezes them (SIGSTOP), restarts PostgreSQL \
(immediate), terminates its backends, and delays, cuts and loses the replies to COMMIT on the way to it. Then it compares what \
is stored with what was acknowledged, and recomputes it from its parts.

Exit codes: 0 if all is as it has to be, 1 if not or if something went wrong, 2 for wrong arguments. The services' logs are on \
standard error.";

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Arguments { seed, minutes, results, kills, clients, schedules } = Arguments::parse();
    let duration = Duration::from_secs(minutes * 60);
    let options = service_chaos::Options { seed, duration, results, kills, clients, schedules };
    test_support::processes::path("testrun-api").await?;
    let begun = Instant::now();
    let verdict =
        service_chaos::run(options, |line| println!("{:7.1} s  {line}", begun.elapsed().as_secs_f64())).await?;
    println!("{verdict}");
    Ok(if verdict.violations().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
