//! `testrun`: everything in one process on a PostgreSQL of its own, and the commands that set a database up.

mod admin;
mod health;
mod migrate;
mod screen;
mod seed;
#[cfg(test)]
mod tests;
mod up;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

/// A distributed server for test runs. Without a command it starts everything in one process (`up`).
#[derive(Debug, Parser)]
#[command(name = "testrun", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    up: up::Config,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything in one process, on a PostgreSQL of its own unless `DATABASE_URL` is set
    Up(Box<up::Config>),
    /// Bring a database's schema up to date
    Migrate(migrate::Config),
    /// Create projects, users and API tokens, and look after queues and jobs
    Admin(admin::Config),
    /// Ask a service whether it is ready; exit with 1 if it is not
    Health(health::Config),
}

fn command() -> clap::Command {
    // `up` talks to a person on a screen; what services log at `info` would bury it.
    let quiet = |command: clap::Command| command.mut_arg("log", |log| log.default_value("warn"));
    quiet(Cli::command()).mut_subcommand("up", quiet)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::from_arg_matches(&command().get_matches())?;
    match cli.command {
        None => Box::pin(up::run(cli.up)).await,
        Some(Command::Up(config)) => Box::pin(up::run(*config)).await,
        Some(Command::Migrate(config)) => migrate::run(&config).await,
        Some(Command::Admin(config)) => admin::run(config).await,
        Some(Command::Health(config)) => health::run(config).await,
    }
}
