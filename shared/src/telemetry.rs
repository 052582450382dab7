//! Logging, traces, and the signals that end a process.

mod json;
pub mod trace;

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::JsonFields;

use crate::config::{LogConfig, LogFormat};

/// Starts logging to standard error. Call it once.
///
/// # Errors
/// If `RUST_LOG` is not a filter, naming it.
pub fn init(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log).context("RUST_LOG: not a log filter")?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let subscriber = subscriber.with_ansi(std::io::stderr().is_terminal());
    let set = match config.log_format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.fmt_fields(JsonFields::new()).event_format(json::FlatJson).try_init(),
    };
    set.map_err(|error| anyhow::anyhow!("logging could not be started: {error}"))
}

/// A token that is cancelled by the first SIGTERM or SIGINT.
///
/// # Errors
/// If the signals cannot be listened for.
pub fn shutdown_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};

    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        cancelled.cancel();
    });
    Ok(token)
}
