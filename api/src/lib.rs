//! The REST service: routes, what they accept and what they answer. Rules and SQL are in `testrun-shared`.

mod admission;
mod app;
mod connections;
mod decode;
mod error;
mod etag;
mod extract;
mod feed;
mod group_commit;
mod idempotency;
mod list;
mod observe;
mod openapi;
mod rate_limit;
mod routes;
mod subscription;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use axum::http::HeaderValue;
use clap::Parser;
use testrun_shared::config::{DatabaseConfig, LogConfig};
use testrun_shared::{db, ops, systemd};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

pub use admission::{Admission, Door};
pub use app::{AppState, service};
pub use connections::{Patience, serve as serve_connections};
pub use feed::Feeds;
pub use openapi::document;
pub use rate_limit::RateLimit;

/// How long requests that are under way may take when the process stops.
const DRAIN: Duration = Duration::from_secs(25);

/// Settings of the REST service.
#[derive(Debug, Clone, Parser)]
#[command(name = "testrun-api", version, about = "The REST service of Testrun")]
pub struct Config {
    /// Where the database is
    #[command(flatten)]
    pub database: DatabaseConfig,

    /// Address for clients; port 0 takes any free one
    #[arg(long, env = "TESTRUN_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// The address under which clients reach the service, for links; default `http://` and the listening address
    #[arg(long, env = "TESTRUN_PUBLIC_URL")]
    pub public_url: Option<Url>,

    /// How much is taken on
    #[command(flatten)]
    pub limits: LimitConfig,

    /// Origins whose pages may call the API, comma-separated, for example `https://ci.example.com`; default none
    #[arg(long, env = "TESTRUN_CORS_ORIGINS", value_delimiter = ',')]
    pub cors_origins: Vec<HeaderValue>,

    /// Seconds for which a stopping service, which is not ready any more, still takes requests: time for a balancer to notice
    #[arg(long, env = "TESTRUN_SHUTDOWN_DELAY", default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=60))]
    pub shutdown_delay: u64,

    /// What is logged, and how
    #[command(flatten)]
    pub log: LogConfig,
}

/// How much the service takes on.
#[derive(Debug, Clone, clap::Args)]
pub struct LimitConfig {
    /// Requests a second that a token may send to a process; 0 is no limit
    #[arg(long, env = "TESTRUN_RATE_LIMIT", default_value_t = 2000)]
    pub rate_limit: u32,

    /// Requests that a process works on at once; further ones wait for an instant or get 503; default as many as
    /// connections to the database
    #[arg(long, env = "TESTRUN_MAX_IN_PROGRESS", value_parser = clap::value_parser!(u16).range(2..=1000))]
    pub max_in_progress: Option<u16>,

    /// Event streams, over WebSocket or not, that a process keeps open at once; further ones get 503
    #[arg(long, env = "TESTRUN_MAX_STREAMS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_streams: u32,
}

impl LimitConfig {
    /// The limits of a process with so many connections.
    fn admission(&self, connections: u32) -> anyhow::Result<Admission> {
        let in_progress = self.max_in_progress.map_or(connections, u32::from);
        Ok(Admission::new(usize::try_from(in_progress)?, usize::try_from(self.max_streams)?))
    }
}

/// Serves until `shutdown` and the delay after it, then lets requests that are under way end, for at most 25 s.
///
/// # Errors
/// If the address cannot be listened on, or the database cannot be reached or is not migrated.
pub async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("TESTRUN_LISTEN: cannot listen on {}", config.listen))?;
    let readiness = ops::Readiness::default();
    // Before systemd asks: a service that has not reached its database is not ready.
    ops::expect_database(&readiness);
    let serving = Box::pin(serve(config, listener, readiness.clone(), shutdown.clone()));
    systemd::notified(serving, readiness, shutdown).await
}

/// Like [`run`], on a socket that the caller opened, and telling the caller whether it is ready.
///
/// # Errors
/// If the database cannot be reached or is not migrated.
pub async fn serve(
    config: Config,
    listener: TcpListener,
    readiness: ops::Readiness,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    ops::start_metrics();
    let address = listener.local_addr()?;
    let db = db::pool(&config.database.database_url, config.database.database_connections, "testrun-api")
        .context("DATABASE_URL: not a PostgreSQL URL")?;
    db::ensure_migrated(&db).await?;
    db::server::warn_if_short_of_connections(&db).await?;
    let watch = tokio::spawn(ops::watch_database(db.clone(), readiness.clone(), shutdown.clone()));
    let state = AppState {
        rate_limit: RateLimit::new(config.limits.rate_limit),
        admission: config.limits.admission(config.database.database_connections)?,
        cors_origins: config.cors_origins,
        stopping: shutdown.clone(),
        ..AppState::new(db, readiness.clone())
    };

    tracing::info!(%address, "api listens");
    let farewell = Duration::from_secs(config.shutdown_delay);
    let patience = Patience { farewell, ..Patience::default() };
    let stop = async move {
        shutdown.cancelled().await;
        readiness.stop();
    };
    tokio::select! {
        () = connections::serve(listener, service(state), patience, stop) => {}
        () = async { watch.await.ok(); tokio::time::sleep(farewell + DRAIN).await } => {
            tracing::warn!("requests did not end in time");
        }
    }
    Ok(())
}
