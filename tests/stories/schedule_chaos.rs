//! The short version of `cargo run -p e2e --example schedule-chaos`.

use std::time::Duration;

use crate::chaos::schedules;

#[tokio::test(flavor = "multi_thread")]
async fn killed_processes_and_a_restarted_database_cost_no_occurrence() -> anyhow::Result<()> {
    let options = schedules::Options { seed: 5, occurrences: 240, duration: Duration::from_secs(30) };
    let verdict = schedules::run(options, |line| eprintln!("chaos: {line}")).await?;
    eprintln!("chaos: {verdict}");
    assert_eq!(verdict.violations, Vec::<String>::new());
    assert_eq!(verdict.occurrences, 240);
    assert_eq!((verdict.fired + verdict.missed, verdict.runs), (240, verdict.fired));
    Ok(())
}
