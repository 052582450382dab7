//! `testrun-api`: the REST service as a process of its own.

use clap::Parser as _;
use testrun_api::Config;
use testrun_shared::telemetry;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    telemetry::init(&config.log)?;
    testrun_api::run(config, telemetry::shutdown_signal()?).await
}
