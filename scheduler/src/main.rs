//! `testrun-scheduler`: the ticks as a process of their own. Run two, so that one may die.

use clap::Parser as _;
use testrun_scheduler::Config;
use testrun_shared::telemetry;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    telemetry::init(&config.log)?;
    testrun_scheduler::run(config, telemetry::shutdown_signal()?).await
}
