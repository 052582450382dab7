//! How much memory idle clients of the live stream take: `cargo run --release -p e2e --example idle-streams -- --clients 1000`.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use futures_util::{StreamExt as _, TryStreamExt as _};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;
use test_support::{Database, EventStream, Process, Tenant};
use testrun_shared::db;
use testrun_shared::domain::event::EventType;

/// Clients that connect at once.
const AT_ONCE: usize = 50;
/// Clients that come and go before anything is measured, so that what the first ones cost once is not counted.
const FIRST: usize = 20;
/// How long clients are idle before they are measured: a few looks at their tokens, and a heartbeat.
const IDLE: Duration = Duration::from_secs(20);

#[derive(Parser)]
#[command(name = "idle-streams", about = ABOUT)]
struct Arguments {
    /// How many clients of each kind
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    clients: u32,
}

const ABOUT: &str = "\
For server-sent events and then for WebSockets: starts an api process on a database of its own, opens that many streams, has \
each of them show one event, lets them be idle for 20 s, and prints the resident memory (RSS) of the process before and after.

The limit of open files is raised to what the system allows (`ulimit -Hn`), for this process and the api.";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let clients = usize::try_from(Arguments::parse().clients)?;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    anyhow::ensure!(u64::try_from(clients)? + 200 < most, "only {most} open files are allowed: raise `ulimit -Hn`");
    let database = Database::new().await?;
    let tenant = database.tenant("Idle").await?;
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    println!("{clients} clients of each kind on one api process, {build} build");
    measure("server-sent events", clients, &database, &tenant, async |url, token| {
        EventStream::server_sent(url, token, None).await
    })
    .await?;
    measure("WebSocket", clients, &database, &tenant, async |url, token| {
        EventStream::web_socket(url, token, None).await
    })
    .await
}

async fn measure(
    name: &str,
    clients: usize,
    database: &Database,
    tenant: &Tenant,
    open: impl AsyncFn(&str, &str) -> anyhow::Result<EventStream>,
) -> anyhow::Result<()> {
    let api = Process::api(&database.url).await?;
    let url = api.url().await?;
    let all = async |count: usize| {
        let opened = futures_util::stream::iter(0..count).map(|_| open(&url, &tenant.token));
        let mut streams: Vec<_> = opened.buffer_unordered(AT_ONCE).try_collect().await?;
        let facts = json!({ "message": "Somebody counts" });
        db::events::insert_one(&database.pool, tenant.project_id, EventType::WebhookTest, &facts).await?;
        for stream in &mut streams {
            stream.next().await?.context("a stream ended")?;
        }
        anyhow::Ok(streams)
    };
    drop(all(FIRST).await?);
    let before = resident(&api)?;
    let began = Instant::now();
    let streams = all(clients).await?;
    let opened = began.elapsed();
    tokio::time::sleep(IDLE).await;
    let after = resident(&api)?;
    println!(
        "{name}: {} KiB before, {} KiB after, {} bytes a client; all were open and had shown an event after {:.1} s",
        before / 1024,
        after / 1024,
        after.saturating_sub(before) / u64::try_from(clients)?,
        opened.as_secs_f64()
    );
    drop(streams);
    Ok(())
}

/// The memory of a process that is not swapped out, in bytes.
fn resident(process: &Process) -> anyhow::Result<u64> {
    let path = format!("/proc/{}/status", process.id()?);
    let status = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse().with_context(|| line.to_owned())?;
    Ok(kilobytes * 1024)
}
