//! Kills workers and API processes and restarts PostgreSQL while mails, webhooks and streams tell of ended runs, before a
//! mail server and a receiver that misbehave, then accounts for all of them.
//!
//! Pauses between attempts that have lasted for ten seconds are cut by SQL (`next_attempt_at` is moved to the past), as if the
//! time had gone by; everything else is as in production.

#[path = "../chaos/faults.rs"]
mod faults;
#[path = "../chaos/notices/mod.rs"]
mod notices;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

#[derive(Parser)]
#[command(name = "notice-chaos", about = ABOUT)]
struct Arguments {
    /// What the plan is drawn from: the same seed and figures give the same faults
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// How many mails there are in all, three about each run
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    mails: u32,

    /// How many webhook deliveries there are, about: each run is told to as many webhooks as that takes
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    deliveries: u32,

    /// How many streams are open, half of them by a WebSocket
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    streams: u32,

    /// For how many minutes runs end and faults happen
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1_440))]
    minutes: u64,
}

const ABOUT: &str = "\
Starts two API processes, three workers, a scheduler and a PostgreSQL of their own, kills workers and API processes (SIGKILL) and \
restarts PostgreSQL (immediate) by a plan drawn from the seed while runs end that people, webhooks and streams are told of. \
The mail server refuses, hangs and dies; the receiver fails, is busy, hangs, resets and in one case is gone. Then checks \
that every mail and every delivery arrived, again only where nobody could know better, and that every stream showed every \
event once and in order.

Pauses between attempts that have lasted for ten seconds are cut by SQL; everything else is as in production.

Exit codes: 0 if all is accounted for, 1 if not or if something went wrong, 2 for wrong arguments. The programs' logs are on \
standard error.";

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Arguments { seed, mails, deliveries, streams, minutes } = Arguments::parse();
    let options = notices::Options {
        seed,
        mails: usize::try_from(mails)?,
        deliveries: usize::try_from(deliveries)?,
        streams: usize::try_from(streams)?,
        faulty_attempts: 3,
        duration: Duration::from_secs(minutes * 60),
    };
    test_support::processes::path("testrun-worker").await?;
    let begun = Instant::now();
    let verdict = notices::run(options, |line| println!("{:7.1} s  {line}", begun.elapsed().as_secs_f64())).await?;
    println!("{verdict}");
    Ok(if verdict.violations().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
