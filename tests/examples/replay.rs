//! Sends a `JUnit` report to a running server and compares what the server makes of it with the file.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use e2e::junit::{self, Counts};
use e2e::replay::{Options, Progress, RunStatus, Stage, Summary, execute, replay};
use serde::Deserialize;
use uuid::Uuid;

const DEFAULT_BASE_URL: &str = "http://127.0.0.1:8080";

#[derive(Parser)]
#[command(name = "replay", about = ABOUT, after_help = EXAMPLES)]
struct Arguments {
    /// The report, as pytest, nextest, mocha, Playwright and others write it.
    #[arg(value_name = "FILE.xml")]
    file: PathBuf,

    #[arg(
        long,
        value_name = "URL",
        help = format!("Where the server is [default: what --ready-file says, else {DEFAULT_BASE_URL}]"),
    )]
    base_url: Option<String>,

    /// API token of a member or admin [default: what --ready-file says].
    #[arg(long, env = "TESTRUN_TOKEN", hide_env_values = true)]
    token: Option<String>,

    /// JSON file with the URL and the token, as `testrun up --ready-file` writes it.
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,

    /// Name of the run [default: the server makes one up].
    #[arg(long, value_name = "NAME")]
    run_name: Option<String>,

    /// Execute this run, which a schedule made of the same suite, instead of creating one.
    #[arg(long, value_name = "ID", conflicts_with = "run_name")]
    run_id: Option<Uuid>,

    /// Suite that the test cases are filed under [default: the name of the file].
    #[arg(long, value_name = "NAME")]
    suite_name: Option<String>,

    /// Results in flight at once.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    clients: u16,

    /// Seconds for which a request is repeated while the server is away.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    retry_for: u64,

    /// Seconds that the server may take to finish the run after the last result.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    deadline: u64,
}

const ABOUT: &str = "\
Sends a JUnit XML report to a running server, as one run with one result for each test case, waits until the server has \
finished the run, and prints the run's counts beside those of the file.

Exit codes: 0 if the run completed with the counts of the file, 1 if not or if something went wrong, 2 for wrong arguments.";

const EXAMPLES: &str = "\
Examples:
  cargo run -p e2e --example replay -- tests/data/junit/requests-pytest-671tests.xml --ready-file ready.json
  TESTRUN_TOKEN=… cargo run -p e2e --example replay -- report.xml --base-url https://testrun.example --clients 16";

#[derive(Default, Deserialize)]
struct Ready {
    base_url: Option<String>,
    token: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("The run differs from the file.");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Answers whether the run is what the file says.
async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let options = options(arguments)?;
    let report = junit::read_file(&arguments.file)?;
    let counts = report.counts();
    let mut screen = Screen::new();
    let outcome = match arguments.run_id {
        Some(run) => execute(options, run, report, |progress| screen.show(progress)).await,
        None => replay(options, report, |progress| screen.show(progress)).await,
    };
    screen.close();
    let summary = outcome?;
    print_summary(&summary, &counts);
    Ok(summary.status == RunStatus::Completed && summary.counts.agree_with(&counts))
}

fn options(arguments: &Arguments) -> anyhow::Result<Options> {
    let ready = arguments.ready_file.as_deref().map(read_ready).transpose()?.unwrap_or_default();
    let base_url = arguments.base_url.clone().or(ready.base_url);
    let token = arguments.token.clone().or(ready.token);
    let file = arguments.file.file_stem().unwrap_or_default().to_string_lossy();
    let mut options = Options::new(
        base_url.unwrap_or_else(|| DEFAULT_BASE_URL.to_owned()),
        token.context("no token: give --token, TESTRUN_TOKEN or --ready-file")?,
        arguments.suite_name.as_deref().unwrap_or(&file),
    );
    options.run_name.clone_from(&arguments.run_name);
    options.clients = arguments.clients.into();
    options.retry_for = Duration::from_secs(arguments.retry_for);
    options.deadline = Duration::from_secs(arguments.deadline);
    Ok(options)
}

fn read_ready(path: &Path) -> anyhow::Result<Ready> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not the JSON of a ready file", path.display()))
}

/// Tells the progress on standard error: a bar on a terminal, else a line each second.
struct Screen {
    is_terminal: bool,
    stage: Option<Stage>,
    /// Start of the stage.
    begun: Instant,
    shown: Option<Instant>,
}

impl Screen {
    fn new() -> Self {
        Self { is_terminal: std::io::stderr().is_terminal(), stage: None, begun: Instant::now(), shown: None }
    }

    fn show(&mut self, progress: Progress) {
        if self.stage != Some(progress.stage) {
            self.stage = Some(progress.stage);
            self.begun = Instant::now();
        }
        let often = Duration::from_millis(if self.is_terminal { 100 } else { 1_000 });
        let is_due = self.shown.is_none_or(|shown| shown.elapsed() >= often);
        if !is_due && progress.done < progress.total {
            return;
        }
        self.shown = Some(Instant::now());
        let text = line(progress, self.begun.elapsed());
        if self.is_terminal {
            let filled = usize::try_from(20 * progress.done / progress.total.max(1)).unwrap_or(20).min(20);
            eprint!("\r[{:-<20}] {text}\u{1b}[K", "#".repeat(filled));
            // A bar that cannot be drawn is no reason to stop.
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{text}");
        }
    }

    fn close(&self) {
        if self.is_terminal && self.shown.is_some() {
            eprintln!();
        }
    }
}

fn line(Progress { stage, done, total }: Progress, elapsed: Duration) -> String {
    match stage {
        Stage::TestCases => format!("test cases {done}/{total}"),
        Stage::Items => format!("items {done}/{total}"),
        Stage::Results => format!("results {done}/{total}, {}", rate(done, elapsed)),
        Stage::Finishing => format!("counted by the server {done}/{total}"),
    }
}

fn rate(done: u64, elapsed: Duration) -> String {
    let milliseconds = elapsed.as_millis().max(1);
    format!("{}/s", u128::from(done) * 1_000 / milliseconds)
}

fn print_summary(summary: &Summary, file: &Counts) {
    let run = &summary.counts;
    println!();
    println!("Run {} is {:?}", summary.run_number, summary.status);
    println!("  {:<10}{:>9}{:>9}", "", "server", "file");
    for (name, server, file) in [
        ("total", run.total_tests, file.total),
        ("passed", run.passed_tests, file.passed),
        ("failed", run.failed_tests, file.failed + file.errors),
        ("skipped", run.skipped_tests, file.skipped),
        ("no run", run.no_run_tests.unwrap_or(0), 0),
    ] {
        let mark = if server == file { "" } else { "  differs" };
        println!("  {name:<10}{server:>9}{file:>9}{mark}");
    }
    if file.errors > 0 {
        println!("  (failed in the file: {} failures and {} errors)", file.failed, file.errors);
    }
    if let Some(duration) = summary.duration_ms {
        println!("  duration  {duration} ms");
    }
    let (sending, total) = (summary.sending, file.total);
    println!("  sent      {total} results in {:.1} s, {}", sending.as_secs_f32(), rate(total, sending));
    println!("  repeated  {} requests", summary.repeats);
    println!("  run       {}", summary.run_url);
    println!("  report    {}", summary.report_url);
}
