//! What the programs ask of a machine.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sqlx::PgPool;
use test_support::Process;
use test_support::smtp::SmtpSink;

use crate::bodies::Shape;
use crate::stage::{Postgres, ServerArguments, Stage, own_programs};
use crate::{ingest, table};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Results that are stored for the figures under load, bare ones; and as many full ones
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(i64).range(64..=100_000))]
    results: i64,

    /// How often each program's start is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    starts: u32,

    /// Folder with the programs of another build to measure instead of ours
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,

    #[command(flatten)]
    server: ServerArguments,
}

const PROGRAMS: [&str; 3] = ["testrun-api", "testrun-worker", "testrun-scheduler"];

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let postgres = Postgres::start(&arguments.server).await?;
    let smtp = SmtpSink::start().await?;
    let programs = arguments.programs.clone().map_or_else(own_programs, Ok)?;
    let stage = Stage::new(&postgres, "ours", &programs).await?;
    let mut starts = Vec::new();
    for program in PROGRAMS {
        starts.push(start_times(&stage, &smtp, program, arguments.starts).await?);
    }
    let running = stage.start(&smtp).await?;
    let processes = [&running.api, &running.worker, &running.scheduler];
    let idle = processes.map(resident);

    let mut bytes = Vec::new();
    let peak = Peak::watch(processes)?;
    for shape in [Shape::Bare, Shape::Full] {
        let before = database_bytes(&stage.db).await?;
        let work = stage.running(arguments.results).await?;
        let run = work.first().context("no work")?.run;
        ingest::over_http(&running, &stage.tenant.token, shape, work, 16).await?;
        stage.completed(run).await?;
        bytes.push((database_bytes(&stage.db).await? - before) / arguments.results);
    }
    let together = peak.stop().await;

    let mut rows = Vec::new();
    let mut sums = [0, 0];
    for (index, program) in PROGRAMS.iter().enumerate() {
        let (idle, most) = (idle[index].as_ref().map_or(0, |kib| *kib), most(processes[index])?);
        sums = [sums[0] + idle, sums[1] + most];
        let size = std::fs::metadata(stage.program(program))?.len();
        rows.push(vec![
            (*program).to_owned(),
            mib(idle),
            mib(most),
            format!("{} ms", table::spread(&starts[index], 0)),
            mib(size / 1024),
        ]);
    }
    rows.push(vec![
        "together".to_owned(),
        mib(sums[0]),
        format!("{} at once", mib(together)),
        String::new(),
        String::new(),
    ]);
    let title = format!("{} bare and {} full results over 16 connections", arguments.results, arguments.results);
    table::print(&title, &["Program", "Idle", "Under load", "Ready after", "File"], &rows);
    println!(
        "\nIn the database, indexes and the item included: {} bytes a bare result, {} a full one.",
        bytes[0], bytes[1]
    );
    running.stop().await?;
    postgres.stop().await
}

async fn start_times(stage: &Stage, smtp: &SmtpSink, program: &str, times: u32) -> anyhow::Result<Vec<f64>> {
    let url = smtp.url();
    let mut took = Vec::new();
    for _ in 0..times {
        let begun = Instant::now();
        let variables = [
            ("TESTRUN_LISTEN", "127.0.0.1:0"),
            ("TESTRUN_ADMIN_LISTEN", "127.0.0.1:0"),
            ("SMTP_URL", url.as_str()),
            ("MAIL_FROM", "Testrun <testrun@example.com>"),
        ];
        let process = stage.process(program, &variables).await?;
        took.push(table::ms(begun.elapsed()));
        process.stop().await?;
    }
    Ok(took)
}

/// Watches how much memory processes have together.
struct Peak {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<u64>,
}

impl Peak {
    fn watch(processes: [&Process; 3]) -> anyhow::Result<Self> {
        let ids: Vec<u32> = processes.into_iter().map(Process::id).collect::<Result<_, _>>()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut most = 0;
            while !stopped.load(Ordering::Relaxed) {
                most = most.max(ids.iter().filter_map(|&id| status(id, "VmRSS:").ok()).sum());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            most
        });
        Ok(Self { stop, task })
    }

    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap_or_default()
    }
}

/// KiB of memory that a process has now.
fn resident(process: &Process) -> anyhow::Result<u64> {
    status(process.id()?, "VmRSS:")
}

/// KiB of memory that a process had at most.
fn most(process: &Process) -> anyhow::Result<u64> {
    status(process.id()?, "VmHWM:")
}

fn status(id: u32, field: &str) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let value = text.lines().find_map(|line| line.strip_prefix(field)).context("no such figure")?;
    Ok(value.trim().trim_end_matches("kB").trim().parse()?)
}

fn mib(kib: u64) -> String {
    format!("{}.{} MiB", kib / 1024, kib % 1024 * 10 / 1024)
}

async fn database_bytes(db: &PgPool) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT pg_database_size(current_database())").fetch_one(db).await
}
