//! A private PostgreSQL server: found on this machine or downloaded, started, and tied to our life.
//!
//! [`start`] is for `testrun up`: one owner, durable data. [`join`] is for tests: many processes share one server, which
//! the first of them starts and which ends shortly after the last of them. In both cases the server ends with its users
//! however they end, because a watcher process notices the end of file on a pipe that only they hold (`watcher.rs`).
//!
//! What lies in a data directory (`place.rs`), all of it below `postgres/`:
//!
//! | Path | What |
//! |---|---|
//! | `data/` | the cluster, `PGDATA`; owned by the account PostgreSQL runs as |
//! | `run/` | the socket, private to that account |
//! | `postgres.log`, `postgres.log.1` | what the server said since its last start, and the time before |
//! | `lock` | locked by the owner for its life, by those who join while they join |
//! | `watch` | the FIFO that those who share a server hold open |

mod account;
mod address;
mod binaries;
mod cluster;
mod directories;
mod download;
mod error;
mod locate;
mod pid_file;
mod place;
mod previous;
mod processes;
mod server;
mod shared;
mod watcher;

use std::path::PathBuf;

pub use binaries::Version;
pub use directories::{default_data_dir, throw_away_dir};
pub use error::Error;
pub use locate::{Search, Step};
pub use server::{Server, start};
pub use shared::{SharedServer, join};

/// Where a server keeps its data, how much it may forget, and where its programs are looked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory; made if it is missing. Relative to the current directory unless absolute.
    pub data_dir: PathBuf,
    /// Whether committed data survives a crash of the machine (`fsync`), and of the server (`synchronous_commit`). [`join`]
    /// always goes without.
    pub durable: bool,
    /// Where PostgreSQL's programs are looked for.
    pub search: Search,
}

impl Options {
    /// A durable server in `data_dir`, its programs looked for as the environment says.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self { data_dir: data_dir.into(), durable: true, search: Search::from_env() }
    }
}
