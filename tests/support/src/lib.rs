//! What tests stand on: a PostgreSQL, a fresh migrated database for each test, real processes, a real mail server, a real
//! receiver of webhooks.

pub mod client;
pub mod database;
pub mod event_stream;
pub mod fleet;
pub mod postgres;
pub mod postgres_proxy;
pub mod processes;
pub mod receiver;
pub mod refusing;
pub mod smtp;
pub mod wait;

pub use client::Client;
pub use database::{Database, Tenant};
pub use event_stream::EventStream;
pub use fleet::{Fleet, Member};
pub use postgres::Postgres;
pub use postgres_proxy::PostgresProxy;
pub use processes::Process;
pub use refusing::refusing_port;
pub use wait::until;
