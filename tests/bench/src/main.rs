//! Measures Testrun, and what it is compared with in the same run; `docs/performance.md` has what came out.

mod bodies;
mod direct;
mod footprint;
mod http;
mod ingest;
mod peer;
mod pgbench;
mod reads;
mod runs;
mod stage;
mod table;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "bench", about = ABOUT, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Results per second over HTTP, against the same rows written straight into the same PostgreSQL
    Ingest(ingest::Arguments),
    /// Time from the first result of a run to its completion and its mail, and how it grows with the run
    Runs(runs::Arguments),
    /// Lists, summaries and histories in a full database, and the plans of their queries
    Reads(reads::Arguments),
    /// Memory, start-up time, size of the programs and of a result in the database
    Footprint(footprint::Arguments),
    /// A `JUnit` report sent to Testrun, and recorded by another program in the same PostgreSQL
    Peer(peer::Arguments),
}

const ABOUT: &str = "\
Measures the programs that lie beside this one, on a durable PostgreSQL of their own that it starts, and prints a table in \
Markdown. Everything that is compared is measured in the same run, by turns.";

const EXAMPLES: &str = "\
Examples:
  cargo build --release && target/release/bench ingest
  target/release/bench ingest --shape full --against ../older/target/release
  target/release/bench runs --cases 1000,10000,100000
  target/release/bench reads --results 1000000";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse().what {
        What::Ingest(arguments) => ingest::run(arguments).await,
        What::Runs(arguments) => runs::run(arguments).await,
        What::Reads(arguments) => reads::run(arguments).await,
        What::Footprint(arguments) => footprint::run(arguments).await,
        What::Peer(arguments) => peer::run(arguments).await,
    }
}
