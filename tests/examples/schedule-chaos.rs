//! Kills schedulers and workers and restarts PostgreSQL while schedules fire, then accounts for every occurrence.

#[path = "../chaos/faults.rs"]
mod faults;
#[path = "../chaos/schedules/mod.rs"]
mod schedules;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

#[derive(Parser)]
#[command(name = "schedule-chaos", about = ABOUT)]
struct Arguments {
    /// What the plan is drawn from: the same seed, occurrences and minutes give the same faults
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// How many due times there are in all
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    occurrences: u32,

    /// For how many minutes schedules are due and faults happen
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1_440))]
    minutes: u64,
}

const ABOUT: &str = "\
Starts three schedulers, four workers and a PostgreSQL of their own, kills the processes (SIGKILL) and restarts PostgreSQL \
(immediate) by a plan drawn from the seed while schedules fire, and then checks that every occurrence has its one row, every \
fired one its one run, and that run numbers have no gap.

Exit codes: 0 if all is accounted for, 1 if not or if something went wrong, 2 for wrong arguments. The programs' logs are on \
standard error.";

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Arguments { seed, occurrences, minutes } = Arguments::parse();
    let options = schedules::Options { seed, occurrences, duration: Duration::from_secs(minutes * 60) };
    test_support::processes::path("testrun-scheduler").await?;
    let begun = Instant::now();
    let verdict = schedules::run(options, |line| println!("{:7.1} s  {line}", begun.elapsed().as_secs_f64())).await?;
    println!("{verdict}");
    Ok(if verdict.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
