//! Executes the runs that schedules make: the client side of the specification's scheduled workflow.
//!
//! ```text
//! cargo run -p e2e --example agent -- --base-url http://127.0.0.1:8080 --token trn_… -- COMMAND
//! ```
//!
//! Runs COMMAND with the name of a test case as its last argument, for each test case of each run; it passed if COMMAND
//! ends with 0.

use std::time::Instant;

use clap::Parser;
use e2e::agent::{Agent, Outcome};
use tokio::process::Command;

/// Executes the runs that schedules make.
#[derive(Parser)]
struct Arguments {
    /// Where the server is.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    base_url: String,
    /// API token of a member or admin.
    #[arg(long, env = "TESTRUN_TOKEN", hide_env_values = true)]
    token: String,
    /// How many runs to execute [default: no end].
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true)]
    runs: usize,
    /// What executes a test case.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let agent = Agent::new(&arguments.base_url, &arguments.token)?;
    let done = agent.work(arguments.runs, async |name| execute(&arguments.command, name).await).await?;
    println!("{} runs executed", done.len());
    Ok(())
}

async fn execute(command: &[String], name: &str) -> Outcome {
    let begin = Instant::now();
    let ended = Command::new(&command[0]).args(&command[1..]).arg(name).output().await;
    let (status, error_message) = match ended {
        Ok(output) if output.status.success() => ("passed", None),
        Ok(output) => ("failed", Some(String::from_utf8_lossy(&output.stderr).into_owned())),
        Err(error) => ("failed", Some(format!("cannot run {}: {error}", command[0]))),
    };
    Outcome { status, error_message, duration: begin.elapsed() }
}
