//! Results per second: over HTTP through the real programs, and straight into the same PostgreSQL.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::Context as _;
use chrono::Utc;
use test_support::smtp::SmtpSink;
use tokio::task::JoinSet;

use crate::bodies::{Shape, body};
use crate::http::Connection;
use crate::stage::{Postgres, Programs, ServerArguments, Stage, Work, own_programs};
use crate::{direct, pgbench, table};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How much comes with each result; both if left out
    #[arg(long, value_enum)]
    shape: Option<Shape>,

    /// Results in each measurement; a quarter of them where a result is full
    #[arg(long, default_value_t = 8_000, value_parser = clap::value_parser!(i64).range(64..=100_000))]
    results: i64,

    /// How often each way is measured, by turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pairs: u32,

    /// Connections, each with one request at a time
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u8).range(1..=64))]
    connections: u8,

    /// Folder with the programs of another build, measured by turns with ours on a database of its own
    #[arg(long, value_name = "DIR")]
    against: Option<PathBuf>,

    #[command(flatten)]
    server: ServerArguments,
}

/// One way to store results.
#[expect(clippy::large_enum_variant, reason = "there are three of them")]
enum Way<'a> {
    Http(&'a Stage, Programs),
    Direct(&'a Stage),
    PgBench(&'a Stage, PathBuf),
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let postgres = Postgres::start(&arguments.server).await?;
    let smtp = SmtpSink::start().await?;
    let ours = Stage::new(&postgres, "ours", &own_programs()?).await?;
    let other = match &arguments.against {
        Some(programs) => Some(Stage::new(&postgres, "other", programs).await?),
        None => None,
    };
    let shapes = arguments.shape.map_or(vec![Shape::Bare, Shape::Full], |shape| vec![shape]);
    let mut rows = Vec::new();
    for shape in shapes {
        let mut ways = vec![("api", Way::Http(&ours, ours.start(&smtp).await?))];
        if let Some(other) = &other {
            ways.push(("api of the other build", Way::Http(other, other.start(&smtp).await?)));
        }
        ways.push(("one statement each", Way::Direct(&ours)));
        match postgres.program("pgbench").await {
            Ok(program) if shape == Shape::Bare => ways.push(("pgbench", Way::PgBench(&ours, program))),
            Ok(_) => {}
            Err(error) => eprintln!("{error}"),
        }
        rows.extend(compare(&arguments, shape, &ways).await?);
        for (_, way) in ways {
            if let Way::Http(_, programs) = way {
                programs.stop().await?;
            }
        }
    }
    table::print(
        &format!("{} connections, durable commits, {} rounds by turns", arguments.connections, arguments.pairs),
        &["Result", "Way", "Results/s", "api ÷ way"],
        &rows,
    );
    postgres.stop().await
}

async fn compare(arguments: &Arguments, shape: Shape, ways: &[(&str, Way<'_>)]) -> anyhow::Result<Vec<Vec<String>>> {
    let results = if shape == Shape::Full { arguments.results / 4 } else { arguments.results };
    let mut rates = vec![Vec::new(); ways.len()];
    // The first round fills caches and plans and does not count.
    for round in 0..=arguments.pairs {
        for turn in 0..ways.len() {
            let index = if round % 2 == 0 { turn } else { ways.len() - 1 - turn };
            let rate = measure(&ways[index].1, shape, results, arguments.connections.into()).await?;
            eprintln!("{shape:?}, round {round}, {}: {rate:.0}/s", ways[index].0);
            if round > 0 {
                rates[index].push(rate);
            }
        }
    }
    let row = |(rates_of, (name, _)): (&Vec<f64>, &(&str, Way<'_>))| {
        let ratio = table::spread(&table::ratios(&rates[0], rates_of), 2);
        vec![format!("{shape:?}").to_lowercase(), (*name).to_owned(), table::spread(rates_of, 0), ratio]
    };
    Ok(rates.iter().zip(ways).map(row).collect())
}

/// Stores this many results and returns how many a second.
async fn measure(way: &Way<'_>, shape: Shape, results: i64, connections: usize) -> anyhow::Result<f64> {
    let (Way::Http(stage, _) | Way::Direct(stage) | Way::PgBench(stage, _)) = way;
    let work = stage.running(results).await?;
    sqlx::query("CHECKPOINT").execute(&stage.db).await?;
    let run = work.first().context("no work")?.run;
    match way {
        Way::Http(_, programs) => {
            let rate = over_http(programs, &stage.tenant.token, shape, work, connections).await?;
            stage.completed(run).await?;
            Ok(rate)
        }
        Way::Direct(_) => straight(stage, shape, work, connections).await,
        Way::PgBench(_, program) => pgbench::run(program, &stage.url, &stage.db, &work, connections).await,
    }
}

pub(crate) async fn over_http(
    programs: &Programs,
    token: &str,
    shape: Shape,
    work: Vec<Work>,
    connections: usize,
) -> anyhow::Result<f64> {
    // Made before, so that only the server's work is measured.
    let now = Utc::now();
    let bodies: Arc<Vec<String>> = Arc::new(work.into_iter().map(|work| body(shape, work, now)).collect());
    let next = Arc::new(AtomicUsize::new(0));
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(programs.address, token).await?);
    }
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for mut connection in open {
        let (bodies, next) = (Arc::clone(&bodies), Arc::clone(&next));
        tasks.spawn(async move {
            while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                connection.post("/test-run-results", body).await?;
            }
            anyhow::Ok(())
        });
    }
    finish(tasks).await?;
    rate(bodies.len(), begun)
}

async fn straight(stage: &Stage, shape: Shape, work: Vec<Work>, connections: usize) -> anyhow::Result<f64> {
    let pool = testrun_shared::db::pool(&stage.url.clone().into(), u32::try_from(connections)?, "bench")?;
    let statement = Arc::new(direct::statement(shape));
    let (work, next) = (Arc::new(work), Arc::new(AtomicUsize::new(0)));
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let (pool, statement) = (pool.clone(), Arc::clone(&statement));
        let (work, next) = (Arc::clone(&work), Arc::clone(&next));
        tasks.spawn(async move {
            // A connection for good: no pool between the client and its database.
            let mut conn = pool.acquire().await?;
            while let Some(&one) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                direct::write(&mut conn, &statement, shape, one).await?;
            }
            anyhow::Ok(())
        });
    }
    finish(tasks).await?;
    rate(work.len(), begun)
}

async fn finish(mut tasks: JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

fn rate(count: usize, begun: Instant) -> anyhow::Result<f64> {
    Ok(f64::from(u32::try_from(count)?) / begun.elapsed().as_secs_f64())
}
