//! `testrun-worker`: the job workers as a process of their own. Start as many as there is work for.

use clap::Parser as _;
use testrun_shared::telemetry;
use testrun_worker::Config;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    telemetry::init(&config.log)?;
    testrun_worker::run(config, telemetry::shutdown_signal()?).await
}
