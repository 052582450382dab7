//! Settings that services share: flags and environment variables, no files. A bad value stops the start and names the
//! variable.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};
use secrecy::SecretString;

/// Where the database is.
#[derive(Debug, Clone, Args)]
pub struct DatabaseConfig {
    /// PostgreSQL connection URL, for example `postgres://user:password@host/testrun`
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: SecretString,

    /// Most connections that this process opens at once
    #[arg(long, env = "TESTRUN_DATABASE_CONNECTIONS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub database_connections: u32,
}

/// Where operators ask.
#[derive(Debug, Clone, Args)]
pub struct AdminConfig {
    /// Address for `/healthz`, `/readyz` and `/metrics`; port 0 takes any free one; absent: not served
    #[arg(long, env = "TESTRUN_ADMIN_LISTEN")]
    pub admin_listen: Option<SocketAddr>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone, Args)]
pub struct LogConfig {
    /// What is logged, in the syntax of tracing-subscriber's filters
    #[arg(
        long,
        env = "RUST_LOG",
        default_value = "info,sqlx=warn,apalis_core=warn,apalis_postgres=warn",
        hide_default_value = false
    )]
    pub log: String,

    /// How log lines look
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
}
