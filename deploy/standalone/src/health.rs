//! `testrun health`: what a container's health check runs where there is neither a shell nor `curl`.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use url::Url;

#[derive(Debug, Args)]
pub(crate) struct Config {
    /// What to ask: `/readyz`, or `/healthz` of a service
    #[arg(long, env = "TESTRUN_HEALTH_URL", default_value = "http://127.0.0.1:8080/readyz")]
    url: Url,

    /// Seconds that the answer may take
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
}

/// Ends well only if the answer is a success; prints it, or the reason why it is none.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    // There is none yet in this process.
    drop(rustls::crypto::ring::default_provider().install_default());
    // A service of this machine, by plain HTTP: neither certificates nor a proxy are wanted.
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .timeout(Duration::from_secs(config.timeout))
        .build()?;
    let asked = format!("cannot ask {}", config.url);
    let answer = client.get(config.url).send().await.context(asked.clone())?;
    let status = answer.status();
    let text = answer.text().await.context(asked)?;
    anyhow::ensure!(status.is_success(), "{}", text.trim_end());
    print!("{text}");
    Ok(())
}
