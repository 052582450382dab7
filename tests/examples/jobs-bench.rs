//! Measures the job queue: how soon a job starts on an idle queue, and how fast a long one is drained.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use serde::{Deserialize, Serialize};
use test_support::Database;
use testrun_shared::jobs::{Job, JobOutcome, Queue, ring, run};
use testrun_shared::ops::Readiness;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[derive(Parser)]
#[command(name = "jobs-bench", about = ABOUT)]
struct Arguments {
    /// How many waiting jobs are drained
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(i32).range(1_000..=1_000_000))]
    jobs: i32,

    /// How many projects they belong to
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    projects: i32,

    /// How many jobs run at once
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    slots: u16,

    /// How many jobs are rung for one by one on an idle queue
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    rings: u32,

    /// How often each is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,

    /// Measure graphile-worker and pg-boss in turns with it; needs node and npm, and installs both into the target directory
    #[arg(long)]
    peers: bool,
}

const ABOUT: &str = "\
Prints the median and the 99th percentile of the time from a ring's commit to the handler's start on an idle queue, and how \
many no-op jobs a second are drained, each on an empty database of the same PostgreSQL. Build it with --release.";

#[derive(Debug, Serialize, Deserialize)]
struct Noop {
    n: u32,
}

impl Job for Noop {
    const QUEUE: &'static str = "noop";
    const CONCURRENCY: usize = 1;
    const TIMEOUT: Duration = Duration::from_secs(5);
    const PROJECT_OF_ROW: &'static str = "SELECT $1::uuid";

    fn row_id(&self) -> Uuid {
        Uuid::nil()
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let peers = if arguments.peers { Some(install_peers().await?) } else { None };
    for round in 1..=arguments.rounds {
        println!("round {round}");
        latency(arguments.rings).await?;
        drain(&arguments).await?;
        let Some(peers) = &peers else { continue };
        let (jobs, slots, rings) =
            (arguments.jobs.to_string(), arguments.slots.to_string(), arguments.rings.to_string());
        node("graphile-worker, idle, ms (p50 p99)", peers, "graphile-worker.js", &["latency", &rings, "4"]).await?;
        node("graphile-worker, jobs/s", peers, "graphile-worker.js", &["drain", &jobs, &slots]).await?;
        node("graphile-worker, batched, jobs/s", peers, "graphile-worker.js", &["drain", &jobs, &slots, "0"]).await?;
        node("pg-boss, 4 loops, jobs/s", peers, "pg-boss.js", &["drain", &jobs, &slots, "4"]).await?;
        node("pg-boss, 4 loops of 500, jobs/s", peers, "pg-boss.js", &["drain", &jobs, "500", "4"]).await?;
    }
    Ok(())
}

/// A worker that sends when each job's handler began.
struct Worker {
    shutdown: CancellationToken,
    ended: tokio::task::JoinHandle<anyhow::Result<()>>,
    begun: mpsc::UnboundedReceiver<Instant>,
}

impl Worker {
    fn start(database: &Database, slots: usize) -> Self {
        let (sender, begun) = mpsc::unbounded_channel();
        let queue = Queue::of(move |_: Noop| {
            let sent = sender.send(Instant::now());
            async move { Ok(sent.map(|()| JobOutcome::Done)?) }
        });
        let shutdown = CancellationToken::new();
        let queues = vec![queue.with_concurrency(slots)];
        let ended = tokio::spawn(run(database.pool.clone(), queues, Readiness::default(), shutdown.clone()));
        Self { shutdown, ended, begun }
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        self.ended.await?
    }
}

async fn latency(rings: u32) -> anyhow::Result<()> {
    let database = Database::new().await?;
    let mut worker = Worker::start(&database, 4);
    let mut conn = database.pool.acquire().await?;
    let mut took = Vec::new();
    // The first few fill caches and plans.
    for n in 0..rings + 20 {
        ring(&mut conn, &Noop { n }).await?;
        let rung = Instant::now();
        let begun = worker.begun.recv().await.context("the worker is gone")?;
        if n >= 20 {
            took.push(begun.saturating_duration_since(rung).as_secs_f64() * 1000.0);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    took.sort_unstable_by(f64::total_cmp);
    let [median, p99] = [50, 99].map(|percent| took[(took.len() - 1) * percent / 100]);
    println!("{:40} {median:.2} {p99:.2}", "idle, ms (p50 p99)");
    worker.stop().await
}

async fn drain(arguments: &Arguments) -> anyhow::Result<()> {
    let database = Database::new().await?;
    sqlx::query(
        "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority, project_id)
         SELECT apalis.generate_ulid(), 'noop', convert_to(json_build_object('n', n)::text, 'UTF8'), 'Pending', 0, 1, now(), 0,
             lpad((n % $2 + 1)::text, 32, '0')::uuid
         FROM generate_series(1, $1) n",
    )
    .bind(arguments.jobs)
    .bind(arguments.projects)
    .execute(&database.pool)
    .await?;
    let began = Instant::now();
    let worker = Worker::start(&database, arguments.slots.into());
    loop {
        let waiting = "SELECT EXISTS (SELECT 1 FROM apalis.jobs WHERE status IN ('Pending', 'Running'))";
        // While it is drained the look costs more than it tells.
        if worker.begun.len() >= usize::try_from(arguments.jobs)?
            && !sqlx::query_scalar::<_, bool>(waiting).fetch_one(&database.pool).await?
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    println!("{:40} {:.0}", "jobs/s", f64::from(arguments.jobs) / began.elapsed().as_secs_f64());
    worker.stop().await
}

/// The folder in which the peers are installed.
async fn install_peers() -> anyhow::Result<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/peers");
    // target/release/examples/jobs-bench
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(3).context("not in a target directory")?;
    let folder = target.join("jobs-bench-peers");
    tokio::fs::create_dir_all(&folder).await?;
    for name in ["package.json", "graphile-worker.js", "pg-boss.js"] {
        tokio::fs::copy(sources.join(name), folder.join(name)).await?;
    }
    let status = Command::new("npm").args(["install", "--no-audit", "--no-fund"]).current_dir(&folder).status().await?;
    anyhow::ensure!(status.success(), "npm install failed in {}", folder.display());
    Ok(folder)
}

async fn node(what: &str, folder: &Path, script: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let database = Database::empty().await?;
    let mut command = Command::new("node");
    command.arg(script).args(arguments).current_dir(folder).env("DATABASE_URL", &database.url);
    let output = command.stderr(std::process::Stdio::inherit()).output().await.context("node")?;
    anyhow::ensure!(output.status.success(), "{script} failed");
    println!("{what:40} {}", String::from_utf8_lossy(&output.stdout).trim());
    Ok(())
}
