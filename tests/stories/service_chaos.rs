//! The short version of `cargo run -p e2e --example chaos`.

use std::time::Duration;

use crate::chaos::service;

#[tokio::test(flavor = "multi_thread")]
async fn no_fault_costs_or_doubles_what_was_acknowledged() -> anyhow::Result<()> {
    let duration = Duration::from_secs(30);
    let options = service::Options { seed: 11, duration, results: 400, kills: 8, clients: 4, schedules: 6 };
    let verdict = service::run(options, |line| eprintln!("chaos: {line}")).await?;
    eprintln!("chaos: {verdict}");
    assert_eq!(verdict.violations(), Vec::<String>::new());
    Ok(())
}
