//! Measures what a process of the API can do, and what it does when twice as much comes.

mod load;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use reqwest::Method;
use serde_json::{Value, json};
use test_support::{Client, Database, Process};

use load::{Tally, Target, closed, is_good, open};

#[derive(Parser)]
#[command(name = "overload", about = ABOUT)]
struct Arguments {
    /// How often the capacity is measured and then twice as much offered, by turns
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,

    /// How long twice the capacity is offered each time, in seconds
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,

    /// How long the capacity is measured each time, in seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    capacity_seconds: u64,

    /// How many clients measure the capacity
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    clients: u16,

    /// How many clients send 15 MB each at once in the end; 0 leaves that out
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u16).range(0..=200))]
    large: u16,

    /// Keep the service and its PostgreSQL on the first core and this program on the second (needs taskset of util-linux), so
    /// that what is offered takes nothing from what answers
    #[arg(long)]
    apart: bool,
}

const ABOUT: &str = "\
Has clients submit results one after the other for the capacity, then offers twice as many a second for a while, however \
late the answers are, by turns, and prints what came of it. On a PostgreSQL of its own, without fsync. Build it with --release.";

/// Items of a run, and most in a request.
const ITEMS: usize = 1000;
/// The share of the capacity that is offered before and after, to see whether all is as it was.
const HALF: f64 = 0.5;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let database = Database::new().await?;
    if arguments.apart {
        let folder: String = sqlx::query_scalar("SHOW data_directory").fetch_one(&database.pool).await?;
        let server = std::fs::read_to_string(Path::new(&folder).join("postmaster.pid"))?;
        // Its connections to the service are yet to be made, and go where it goes.
        keep_on(0, server.lines().next().context("no process")?.parse()?)?;
    }
    let tenant = database.tenant("Benchmark").await?;
    let settings =
        [("DATABASE_URL", database.url.as_str()), ("TESTRUN_LISTEN", "127.0.0.1:0"), ("TESTRUN_RATE_LIMIT", "0")];
    let api = Process::start("testrun-api", &settings, &[]).await?;
    if arguments.apart {
        keep_on(0, api.id()?)?;
        keep_on(1, std::process::id())?;
    }
    let target = Arc::new(Target::new(api.address().await?, &tenant.token));
    let results = Results::new(target.clone(), &Client::new(&api.url().await?, Some(&tenant.token))?).await?;
    println!("memory at the start: {} MiB", memory(&api, "VmRSS:")?);

    let clients = usize::from(arguments.clients);
    closed(clients, Duration::from_secs(3), || results.submit()).await?;
    let (mut capacities, mut shares) = (Vec::new(), Vec::new());
    let time = Duration::from_secs(arguments.capacity_seconds);
    let mut capacity = capacity_of(&results, clients, time).await?;
    let before = open(capacity * HALF, Duration::from_secs(5), || results.submit()).await?;
    let p99_before = before.percentile(99, |_| true);
    println!("half of it: p99 {p99_before:.0} ms, {}", before.statuses());
    for _ in 0..arguments.rounds {
        let goodput = goodput_at(&results, capacity * 2.0, Duration::from_secs(arguments.seconds)).await?;
        let after = capacity_of(&results, clients, time).await?;
        // The machine's own speed changes meanwhile.
        shares.push(200.0 * goodput / (capacity + after));
        capacities.push(capacity);
        capacity = after;
    }
    capacities.push(capacity);
    let least = shares.iter().copied().fold(f64::INFINITY, f64::min);
    let most = shares.iter().copied().fold(0.0, f64::max);
    println!(
        "goodput at twice the capacity of {:.0} results/s: {:.0} % ({least:.0}-{most:.0})",
        median(capacities),
        median(shares)
    );
    let normal = seconds_to_normal(&results, capacity * HALF, p99_before).await?;
    println!("as before after {normal}; memory at most {} MiB", memory(&api, "VmHWM:")?);
    if arguments.large > 0 {
        large_bodies(&results, usize::from(arguments.large)).await?;
        println!("memory at most {} MiB", memory(&api, "VmHWM:")?);
    }
    anyhow::ensure!(api.stop().await?, "the service did not end well");
    Ok(())
}

/// How many results a second so many clients get stored, each of which sends its next one once it has its answer.
async fn capacity_of(results: &Results, clients: usize, time: Duration) -> anyhow::Result<f64> {
    let measured = closed(clients, time, || results.submit()).await?;
    let capacity = per_second(&measured, time);
    let p99 = measured.percentile(99, is_good);
    println!("capacity: {capacity:.0} results/s from {clients} clients, p99 {p99:.0} ms, {}", measured.statuses());
    Ok(capacity)
}

/// How many results a second are stored when so many are sent.
async fn goodput_at(results: &Results, rate: f64, time: Duration) -> anyhow::Result<f64> {
    let overload = open(rate, time, || results.submit()).await?;
    let goodput = per_second(&overload, time);
    println!("{rate:.0} results/s for {} s: {goodput:.0} results/s; {}", time.as_secs(), overload.statuses());
    for (name, is_counted) in [("accepted", is_good as fn(u16) -> bool), ("refused", |status| status == 503)] {
        let [median, p99] = [50, 99].map(|percent| overload.percentile(percent, is_counted));
        println!("  {name}: median {median:.0} ms, p99 {p99:.0} ms");
    }
    Ok(goodput)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Has all threads of a process run on one core, and whatever it starts from now on.
fn keep_on(core: u8, process: u32) -> anyhow::Result<()> {
    let arguments = ["--all-tasks", "--cpu-list", "--pid", &core.to_string(), &process.to_string()];
    let status = Command::new("taskset").args(arguments).stdout(Stdio::null()).status().context("taskset")?;
    anyhow::ensure!(status.success(), "taskset: {status}");
    Ok(())
}

fn per_second(tally: &Tally, time: Duration) -> f64 {
    u32::try_from(tally.count(is_good)).map_or(f64::INFINITY, f64::from) / time.as_secs_f64()
}

/// What the kernel tells of the process's memory, in MiB.
fn memory(process: &Process, line: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()?))?;
    let line = status.lines().find_map(|told| told.strip_prefix(line)).context("no such line")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? / 1024)
}

/// Offers what was no trouble before, second by second, until it is none again.
async fn seconds_to_normal(results: &Results, rate: f64, p99_before: f64) -> anyhow::Result<String> {
    for second in 1..=60 {
        let tally = open(rate, Duration::from_secs(1), || results.submit()).await?;
        let is_slow = tally.percentile(99, |_| true) > (p99_before * 2.0).max(50.0);
        if !is_slow && tally.count(is_good) == tally.count(|_| true) {
            return Ok(format!("{second} s"));
        }
    }
    Ok("more than 60 s".to_owned())
}

/// Clients that send as much as a request may have, all at once.
async fn large_bodies(results: &Results, clients: usize) -> anyhow::Result<()> {
    let lines: Vec<_> = (0..150)
        .map(|_| json!({"log_level": "log", "message": "x".repeat(100_000), "timestamp": "2026-01-01T00:00:00Z"}))
        .collect();
    let body: Arc<[u8]> = serde_json::to_vec(&json!({"logs": lines}))?.into();
    let path: Arc<str> = format!("/api/v1/test-run-results/{}/console-logs/bulk", results.first).into();
    let send = || {
        let (target, path, body) = (results.target.clone(), Arc::clone(&path), Arc::clone(&body));
        async move { target.send("POST", &path, &body).await }
    };
    let tally = closed(clients, Duration::from_secs(10), send).await?;
    println!("{clients} clients with bodies of {} MB for 10 s: {}", body.len() / 1_000_000, tally.statuses());
    Ok(())
}

/// Results to be submitted, one for each item of many runs.
struct Results {
    target: Arc<Target>,
    /// Bodies that were not accepted yet.
    waiting: Arc<Mutex<Vec<String>>>,
    /// A result that is there.
    first: String,
}

impl Results {
    /// Makes runs with more items than will be needed.
    async fn new(target: Arc<Target>, client: &Client) -> anyhow::Result<Self> {
        let cases: Vec<_> =
            (0..ITEMS).map(|n| json!({"name": format!("Case {n}"), "external_key": n.to_string()})).collect();
        let stored = client.post("/api/v1/test-cases/bulk", &json!({"test_cases": cases})).await?.expect(200)?;
        let cases: Vec<&Value> = items(&stored)?.iter().map(|case| &case["id"]).collect();
        let mut waiting = Vec::new();
        for _ in 0..RUNS {
            let run = client.post("/api/v1/test-runs", &json!({})).await?.expect(201)?;
            let path = format!("/api/v1/test-runs/{}", run["id"].as_str().context("no id")?);
            let added =
                client.post(&format!("{path}/items/bulk"), &json!({"test_case_ids": cases})).await?.expect(201)?;
            client.send(Method::POST, &format!("{path}/start"), None).await?.expect(200)?;
            waiting.extend(items(&added)?.iter().map(|item| {
                json!({
                    "test_run_id": run["id"], "test_run_item_id": item["id"], "test_case_id": item["test_case_id"],
                    "status": "passed", "duration_ms": 1200, "total_steps": 3, "passed_steps": 3,
                })
                .to_string()
            }));
        }
        let body = serde_json::from_str(&waiting.pop().context("no items")?)?;
        let first = client.post("/api/v1/test-run-results", &body).await?.expect(201)?;
        let first = first["id"].as_str().context("no id")?.to_owned();
        Ok(Self { target, waiting: Arc::new(Mutex::new(waiting)), first })
    }

    /// Submits the next one. One that is refused is tried again some time.
    fn submit(&self) -> impl Future<Output = u16> + Send + 'static {
        let (target, waiting) = (self.target.clone(), self.waiting.clone());
        async move {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
            // Shown among the statuses, if ever.
            let Some(body) = next else { return 999 };
            let status = target.send("POST", "/api/v1/test-run-results", body.as_bytes()).await;
            if status == 503 {
                waiting.lock().unwrap_or_else(PoisonError::into_inner).push(body);
            }
            status
        }
    }
}

/// How many runs there are: enough for two minutes of five thousand results a second.
const RUNS: usize = 640;

fn items(list: &Value) -> anyhow::Result<&Vec<Value>> {
    list["items"].as_array().with_context(|| format!("no items in {list:.200}"))
}
