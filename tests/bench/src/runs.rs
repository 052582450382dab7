//! Whole runs: a report sent by eight clients until the run is completed and its mail accepted.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use e2e::junit::{self, Case, Report};
use e2e::replay::{Options, RunStatus, Stage as Phase, execute, put_test_cases};
use test_support::smtp::SmtpSink;
use uuid::Uuid;

use crate::stage::{Postgres, Programs, ServerArguments, Stage, own_programs};
use crate::table;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many test cases the runs have, comma-separated
    #[arg(long, value_delimiter = ',', default_value = "1000,3400,10000,100000")]
    cases: Vec<usize>,

    /// How often each size up to 10,000 is measured, by turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,

    /// Results in flight at once
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    clients: u16,

    /// The report whose test cases the runs are made of, over and over until there are enough
    #[arg(long, value_name = "FILE.xml", default_value = "tests/data/junit/numpy-pytest-10648tests.xml")]
    report: PathBuf,

    /// Folder with the programs of another build to measure instead of ours
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,

    #[command(flatten)]
    server: ServerArguments,
}

/// Seconds since the first result was sent.
#[derive(Debug, Clone, Copy)]
struct Times {
    sent: f64,
    completed: f64,
    mailed: f64,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let report = junit::read_file(&arguments.report)?;
    let postgres = Postgres::start(&arguments.server).await?;
    let smtp = SmtpSink::start().await?;
    let programs = arguments.programs.clone().map_or_else(own_programs, Ok)?;
    let stage = Stage::new(&postgres, "ours", &programs).await?;
    let programs = stage.start(&smtp).await?;
    let mut times = vec![Vec::new(); arguments.cases.len()];
    // The first round fills caches and plans and does not count, but for sizes that are measured once.
    for round in 0..=arguments.rounds {
        for (&size, times) in arguments.cases.iter().zip(&mut times) {
            let is_large = size > 10_000;
            if is_large && round != 1 {
                continue;
            }
            let took = replay(&stage, &programs, &smtp, arguments.clients, &repeated(&report, size)).await?;
            eprintln!("round {round}, {size} cases: {took:.2?}");
            if round > 0 {
                times.push(took);
            }
        }
    }
    show(&arguments, &times);
    programs.stop().await?;
    postgres.stop().await
}

fn show(arguments: &Arguments, times: &[Vec<Times>]) {
    let mut points = Vec::new();
    let mut rows = Vec::new();
    for (&size, times) in arguments.cases.iter().zip(times) {
        let of = |which: fn(&Times) -> f64| times.iter().map(which).collect::<Vec<_>>();
        let (sent, completed) = (of(|times| times.sent), of(|times| times.completed));
        let count = f64::from(u32::try_from(size).unwrap_or(u32::MAX));
        points.push((count, table::median(&completed)));
        rows.push(vec![
            size.to_string(),
            table::spread(&sent, 2),
            table::spread(&completed, 2),
            table::spread(&of(|times| times.mailed), 2),
            format!("{:.0}", count / table::median(&sent)),
        ]);
    }
    table::print(
        &format!("{} clients; seconds since the first result, median of {}", arguments.clients, arguments.rounds),
        &["Cases", "All sent", "Completed", "Mail accepted", "Results/s"],
        &rows,
    );
    if points.len() > 1 {
        println!("\nTime to completion grows with cases to the power of {:.3}.", table::exponent(&points));
    }
}

/// The report's cases over and over, under names of their own, until there are this many.
fn repeated(report: &Report, count: usize) -> Report {
    let named = |(number, case): (usize, &Case)| {
        let lap = number / report.cases.len();
        Case { suite: format!("{} {lap}", case.suite), ..case.clone() }
    };
    Report { cases: report.cases.iter().cycle().take(count).enumerate().map(named).collect() }
}

async fn replay(
    stage: &Stage,
    programs: &Programs,
    smtp: &SmtpSink,
    clients: u16,
    report: &Report,
) -> anyhow::Result<Times> {
    let mut options = Options::new(format!("http://{}", programs.address), stage.tenant.token.as_str(), "Bench");
    options.clients = clients.into();
    options.deadline = Duration::from_secs(600);
    let cases = put_test_cases(&options, report, |_| {}).await?;
    let mails = smtp.mails().len();
    let run = scheduled(stage, &cases).await?;
    let (mut begun, mut sent) = (None, None);
    let done = execute(options, run, report.clone(), |progress| {
        // The last look at the items comes just before the start.
        if progress.stage == Phase::Items {
            begun = Some(Instant::now());
        } else if progress.stage == Phase::Results {
            sent = Some(Instant::now());
        }
    })
    .await?;
    anyhow::ensure!(done.status == RunStatus::Completed, "the run is {:?}", done.status);
    smtp.wait_for(mails + 1, Duration::from_secs(600)).await?;
    let mailed = Instant::now();
    let begun = begun.context("no items")?;
    // By the database's clock: the client only looks from time to time.
    let completed: f64 =
        sqlx::query_scalar("SELECT extract(epoch FROM completed_at - started_at)::float8 FROM test_runs WHERE id = $1")
            .bind(run)
            .fetch_one(&stage.db)
            .await?;
    let since = |end: Instant| (end - begun).as_secs_f64();
    Ok(Times { sent: since(sent.context("no results")?), completed, mailed: since(mailed) })
}

/// A run as a schedule with a recipient has it made, waiting for its client.
async fn scheduled(stage: &Stage, cases: &[Uuid]) -> anyhow::Result<Uuid> {
    let run: Uuid = sqlx::query_scalar(
        "WITH number AS (
             UPDATE projects SET last_run_number = last_run_number + 1 WHERE id = $1 RETURNING last_run_number AS n
         ), run AS (
             INSERT INTO test_runs (run_name, run_number, project_id, created_by, status, total_tests)
             SELECT 'Run ' || n, n, $1, $2, 'queued', $3 FROM number RETURNING id
         ), schedule AS (
             INSERT INTO schedules (project_id, created_by, schedule_name, scheduled_datetime, status, notification_emails)
             VALUES ($1, $2, 'Bench', now(), 'completed', '{bench@example.com}') RETURNING id
         ), execution AS (
             INSERT INTO schedule_executions (schedule_id, test_run_id, scheduled_for, executed_at, status)
             SELECT schedule.id, run.id, now(), now(), 'running' FROM schedule, run
         )
         SELECT id FROM run",
    )
    .bind(stage.tenant.project_id)
    .bind(stage.tenant.user_id)
    .bind(i32::try_from(cases.len())?)
    .fetch_one(&stage.db)
    .await?;
    sqlx::query(
        "INSERT INTO test_run_items (test_run_id, test_case_id, execution_order, status)
         SELECT $1, c, n, 'queued' FROM unnest($2::uuid[]) WITH ORDINALITY AS u (c, n)",
    )
    .bind(run)
    .bind(cases)
    .execute(&stage.db)
    .await?;
    Ok(run)
}
