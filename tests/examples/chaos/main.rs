//! Breaks services, PostgreSQL and the network between them while clients work, then checks that nothing acknowledged is
//! lost, doubled or wrong.

mod bounds;
#[path = "../../chaos/service/mod.rs"]
mod service;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};

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

    /// What is done: faults under load, the measurements of recovery, or both
    #[arg(long, value_enum, default_value_t)]
    part: Part,

    /// Count an exceeded bound of recovery as a failure; a machine that does much else may be too slow for them
    #[arg(long)]
    strict_bounds: bool,

    /// Take the services from this folder instead of building them as this program was built, for example `target/release`
    #[arg(long)]
    programs: Option<PathBuf>,

    /// The worker that [`bounds::answer_jobs`] is
    #[arg(long, hide = true)]
    answer_jobs_of: Option<String>,

    /// How many schedules are due
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    schedules: u32,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Part {
    #[default]
    All,
    Faults,
    Bounds,
}

const ABOUT: &str = "\
Starts two REST services, three workers, two schedulers, a PostgreSQL, a mail server and a receiver of webhooks of their own, \
has clients work, and by a plan drawn from the seed kills services (SIGKILL), freezes them (SIGSTOP), restarts PostgreSQL \
(immediate), terminates its backends, and delays, cuts and loses the replies to COMMIT on the way to it. Then it compares what \
is stored with what was acknowledged, and recomputes it from its parts. Then it measures how fast single faults are recovered \
from.

Exit codes: 0 if all is as it has to be, 1 if not or if something went wrong, 2 for wrong arguments. An exceeded bound of \
recovery counts with --strict-bounds only. The services' logs are on \
standard error.";

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(database_url) = arguments.answer_jobs_of {
        return bounds::answer_jobs(database_url).await.map(|()| ExitCode::SUCCESS);
    }
    if let Some(folder) = &arguments.programs {
        test_support::processes::take_from(folder)?;
    }
    test_support::processes::path("testrun-api").await?;
    let begun = Instant::now();
    let say = |line: &str| println!("{:7.1} s  {line}", begun.elapsed().as_secs_f64());
    let mut failures = 0;
    if arguments.part != Part::Bounds {
        let verdict = service::run(arguments.options(), say).await?;
        println!("{verdict}");
        failures += verdict.violations().len();
    }
    if arguments.part != Part::Faults {
        println!("bounds of recovery");
        let exceeded = bounds::measure(say).await?.iter().filter(|bound| !bound.is_kept()).count();
        println!("bounds: {exceeded} exceeded");
        failures += if arguments.strict_bounds { exceeded } else { 0 };
    }
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Arguments {
    fn options(&self) -> service::Options {
        let Self { seed, minutes, results, kills, clients, schedules, .. } = *self;
        let duration = Duration::from_secs(minutes * 60);
        service::Options { seed, duration, results, kills, clients, schedules }
    }
}
