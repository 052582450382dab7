//! The same results given to Testrun and to another program, each with a database of the same PostgreSQL.
//!
//! `testo-core` (`PyPI`) is what a team finds that wants to keep the results of its tests in PostgreSQL and has no more
//! than Python at hand. It takes whole `JUnit` reports and stores each as one row, so it is measured in two ways: a report
//! of thousands of tests, which is what it is made for, and results that arrive one by one, which is what we are made for.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::Utc;
use e2e::junit;
use e2e::replay::{Options, replay};
use test_support::smtp::SmtpSink;
use test_support::until;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::bodies::{Shape, body};
use crate::http::{BOUNDARY, Connection};
use crate::stage::{Postgres, Programs, ServerArguments, Stage, own_programs};
use crate::table;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Arguments {
    /// The folder with the programs `testo` and `testo-api`
    #[arg(long, value_name = "DIR")]
    testo: PathBuf,

    /// The report
    #[arg(long, value_name = "FILE.xml", default_value = "tests/data/junit/numpy-pytest-10648tests.xml")]
    report: PathBuf,

    /// How often each is measured, by turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pairs: u32,

    /// Seconds in which results are sent one by one
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,

    #[command(flatten)]
    server: ServerArguments,
}

const EXAMPLE: &str = "\
Example:
  python3 -m venv /tmp/peer && /tmp/peer/bin/pip install 'testo-core[api,db]==1.3.*'
  target/release/bench peer --testo /tmp/peer/bin";

/// Connections over which results are sent one by one.
const CONNECTIONS: usize = 16;
/// More results than can be sent in the time.
const MOST_RESULTS: i64 = 200_000;

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let postgres = Postgres::start(&arguments.server).await?;
    let smtp = SmtpSink::start().await?;
    let stage = Stage::new(&postgres, "ours", &own_programs()?).await?;
    let programs = stage.start(&smtp).await?;
    let peer = Peer::start(&arguments.testo, &postgres.create("peer").await?).await?;

    let mut rows = Vec::new();
    let mut compare = |what: &str, ours: &[f64], theirs: &[f64]| {
        let ratio = table::spread(&table::ratios(ours, theirs), 2);
        rows.push(vec![what.to_owned(), table::spread(ours, 1), table::spread(theirs, 1), ratio]);
    };
    let (ours, theirs) = reports(&arguments, &stage, &programs, &peer).await?;
    compare("whole reports", &ours, &theirs);
    let (ours, theirs) = one_by_one(&arguments, &stage, &programs, &peer).await?;
    compare(&format!("one by one over {CONNECTIONS} connections"), &ours, &theirs);
    let title = format!("Results a second, {} rounds by turns", arguments.pairs);
    table::print(&title, &["Results", "Testrun", "testo-core", "Ratio"], &rows);
    drop(peer);
    programs.stop().await?;
    postgres.stop().await
}

/// A report from the first request to the completed run; from the command's start to its end.
async fn reports(
    arguments: &Arguments,
    stage: &Stage,
    programs: &Programs,
    peer: &Peer,
) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let file = std::fs::canonicalize(&arguments.report).context("the report")?;
    let report = junit::read_file(&file)?;
    let cases = f64::from(u32::try_from(report.cases.len())?);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // The first round fills caches and does not count.
    for round in 0..=arguments.pairs {
        let options = Options::new(format!("http://{}", programs.address), stage.tenant.token.as_str(), "Bench");
        let begun = Instant::now();
        replay(options, report.clone(), |_| {}).await?;
        let took = begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        peer.ingest(&file).await?;
        let peers = begun.elapsed().as_secs_f64();
        eprintln!("round {round}: {took:.2} s and {peers:.2} s");
        if round > 0 {
            ours.push(cases / took);
            theirs.push(cases / peers);
        }
    }
    Ok((ours, theirs))
}

async fn one_by_one(
    arguments: &Arguments,
    stage: &Stage,
    programs: &Programs,
    peer: &Peer,
) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let within = Duration::from_secs(arguments.seconds);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=arguments.pairs {
        let now = Utc::now();
        let work = stage.running(MOST_RESULTS).await?;
        let bodies: Vec<String> = work.into_iter().map(|work| body(Shape::Bare, work, now)).collect();
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(Connection::open(programs.address, &stage.tenant.token).await?);
        }
        let rate = send(connections, Request::Json(bodies), within).await?;
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(Connection::open(peer.address.parse()?, "").await?);
        }
        let peers = send(connections, Request::OneTestReport, within).await?;
        eprintln!("round {round}: {rate:.0}/s and {peers:.1}/s");
        if round > 0 {
            ours.push(rate);
            theirs.push(peers);
        }
    }
    Ok((ours, theirs))
}

/// What is sent, each once.
enum Request {
    Json(Vec<String>),
    OneTestReport,
}

async fn send(connections: Vec<Connection>, request: Request, within: Duration) -> anyhow::Result<f64> {
    let (request, next) = (Arc::new(request), Arc::new(AtomicUsize::new(0)));
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for mut connection in connections {
        let (request, next) = (Arc::clone(&request), Arc::clone(&next));
        tasks.spawn(async move {
            let mut sent = 0_u32;
            while begun.elapsed() < within {
                let number = next.fetch_add(1, Ordering::Relaxed);
                match &*request {
                    Request::Json(bodies) => {
                        let body = bodies.get(number).context("too few results were prepared")?;
                        connection.post("/test-run-results", body).await?;
                    }
                    Request::OneTestReport => connection.post_form("/ingest", &form(number)).await?,
                }
                sent += 1;
            }
            anyhow::Ok(sent)
        });
    }
    let mut sent = 0;
    while let Some(done) = tasks.join_next().await {
        sent += done??;
    }
    Ok(f64::from(sent) / begun.elapsed().as_secs_f64())
}

/// A report of one test, as `testo ingest --server` sends it.
fn form(number: usize) -> String {
    let report = format!(
        "<testsuites><testsuite name=\"bench\" tests=\"1\" failures=\"0\" time=\"1.234\">\
         <testcase classname=\"bench.test_shop\" name=\"case_{number}\" time=\"1.234\"/></testsuite></testsuites>"
    );
    let part = |disposition: &str, text: &str| {
        format!("--{BOUNDARY}\r\ncontent-disposition: form-data; {disposition}\r\n\r\n{text}\r\n")
    };
    let file = part("name=\"files\"; filename=\"report.xml\"", &report);
    format!("{}{file}--{BOUNDARY}--\r\n", part("name=\"cycle\"", "bench"))
}

/// The other program, its server running.
struct Peer {
    programs: PathBuf,
    database: String,
    address: String,
    _server: Child,
    /// Where it keeps what it does not keep in its database.
    home: tempfile::TempDir,
}

impl Peer {
    async fn start(programs: &Path, url: &str) -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        // The driver that it is installed with.
        let (_, rest) = url.split_once("://").context("not a URL")?;
        let database = format!("postgresql+psycopg://{rest}");
        let free = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let mut command = Command::new(programs.join("testo-api"));
        command.env("DATABASE_URL", &database).env("TESTO_API_PORT", free.port().to_string());
        command.current_dir(home.path()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let server = command.spawn().context("cannot start testo-api")?;
        until("testo-api to listen", Duration::from_secs(60), || async {
            Ok(tokio::net::TcpStream::connect(free).await.ok())
        })
        .await?;
        Ok(Self { programs: programs.to_owned(), database, address: free.to_string(), _server: server, home })
    }

    /// Records a report.
    async fn ingest(&self, file: &Path) -> anyhow::Result<()> {
        let mut command = Command::new(self.programs.join("testo"));
        command.arg("ingest").arg(file).args(["--cycle", "bench", "--repo", "/"]);
        command.env("DATABASE_URL", &self.database).current_dir(self.home.path()).stdout(Stdio::null());
        // It ends with 1 if a test of the report failed.
        let code = command.status().await?.code();
        anyhow::ensure!(matches!(code, Some(0 | 1)), "testo ingest ended with {code:?}");
        Ok(())
    }
}
