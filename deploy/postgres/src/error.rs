use std::io;
use std::path::{Path, PathBuf};

use crate::binaries::OLDEST_MAJOR;
use crate::locate::Step;

const WAYS_OUT: &str = "Ways out, any one of them:
  apt install postgresql                  (Debian, Ubuntu; elsewhere the packages of PostgreSQL and of its contrib modules)
  brew install postgresql@17              (macOS)
  TESTRUN_PG_BIN=DIR                      the directory of an installation's `postgres` and `initdb`
  DATABASE_URL=postgres://USER@HOST/DB    a server that already runs
  docker compose up                       with deploy/compose.yaml, which brings its own";

/// Why there is no PostgreSQL server, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No step of the search led to usable programs.
    #[error(
        "no usable PostgreSQL was found: {}, with the `hstore` extension\n{}{WAYS_OUT}",
        needed(*wanted),
        steps.iter().map(|step| format!("  {step}\n")).collect::<String>()
    )]
    NotFound {
        /// The major version that made the data, if there is any.
        wanted: Option<u32>,
        /// Every place that was looked at, with the reason it was passed over.
        steps: Vec<Step>,
    },
    /// The directory in `TESTRUN_PG_BIN` cannot be used.
    #[error("TESTRUN_PG_BIN={} cannot be used: {reason}\n{WAYS_OUT}", dir.display())]
    PgBin {
        /// The directory it names.
        dir: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process has this data directory open.
    #[error(
        "{} is in use by another running server of this program: stop that one first, or choose another data directory",
        dir.display()
    )]
    InUse {
        /// The data directory.
        dir: PathBuf,
    },
    /// A PostgreSQL server without an owner still works in this data directory.
    #[error(
        "a PostgreSQL server (process {pid}) still runs in {} and did not end within {seconds} seconds: stop it, or choose \
         another data directory",
        dir.display()
    )]
    StillRunning {
        /// The cluster's directory.
        dir: PathBuf,
        /// One of the server's processes.
        pid: u32,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The process that starts the shared server takes too long over it, or its watcher does not answer.
    #[error("the shared server in {} did not answer within {seconds} seconds: {what}", dir.display())]
    Busy {
        /// The data directory.
        dir: PathBuf,
        /// How long it was waited for.
        seconds: u64,
        /// What was waited for.
        what: &'static str,
    },
    /// We are root, and the account that PostgreSQL runs as cannot get to a directory.
    #[error(
        "PostgreSQL refuses to run as root, so it runs as the user `{account}`, who may not enter {}: choose another data \
         directory (`--data-dir DIR`), or let that user pass (`chmod o+x {}`)",
        blocked.display(),
        blocked.display()
    )]
    Unreachable {
        /// The directory that stops it: the data directory or one above it.
        blocked: PathBuf,
        /// The account's name.
        account: String,
    },
    /// We are root, and there is no account for PostgreSQL to run as.
    #[error(
        "PostgreSQL refuses to run as root, and there is neither a user `postgres` nor a user `nobody`: add one of them"
    )]
    NoAccount,
    /// We are not root, and the data directory belongs to somebody else.
    #[error(
        "{} belongs to another user (number {owner}): choose another data directory, or run this as that user or as root",
        dir.display()
    )]
    Foreign {
        /// The directory.
        dir: PathBuf,
        /// The owner's user number.
        owner: u32,
    },
    /// The cluster's directory holds something that is no cluster.
    #[error("{} is not empty, yet holds no PostgreSQL data (no PG_VERSION): move it away, or choose another data directory", dir.display())]
    NotACluster {
        /// The cluster's directory.
        dir: PathBuf,
    },
    /// Neither `--data-dir` nor the environment says where data belongs.
    #[error(
        "there is no place for data: neither XDG_DATA_HOME nor HOME is set; name a data directory (`--data-dir DIR`)"
    )]
    NoHome,
    /// `initdb` failed.
    #[error("initdb could not make a cluster in {}:\n{output}", dir.display())]
    InitDb {
        /// The cluster's directory.
        dir: PathBuf,
        /// What it said.
        output: String,
    },
    /// The server ended by itself: while it started, or later.
    #[error("the PostgreSQL server in {} ended ({status}); the end of {}:\n{tail}", dir.display(), log.display())]
    Ended {
        /// The data directory.
        dir: PathBuf,
        /// The exit status.
        status: String,
        /// The log file.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// The server runs, yet takes no connections.
    #[error("the PostgreSQL server in {} takes no connections after {seconds} seconds; the end of {}:\n{tail}", dir.display(), log.display())]
    NotReady {
        /// The data directory.
        dir: PathBuf,
        /// How long it was waited for.
        seconds: u64,
        /// The log file.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// The operating system refused something.
    #[error("cannot {action} {}: {reason}", path.display())]
    Io {
        /// What was tried, a verb.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Its answer. Told in the message, hence not called the source.
        reason: io::Error,
    },
}

fn needed(wanted: Option<u32>) -> String {
    match wanted {
        Some(major) => format!("version {major} is needed, which made the data (or another data directory)"),
        None => format!("version {OLDEST_MAJOR} or later is needed"),
    }
}

impl Error {
    /// For `map_err`: what was tried, with what.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |reason| Self::Io { action, path, reason }
    }
}
