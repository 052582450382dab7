use std::fs::File;
use std::io::PipeWriter;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Child;

use crate::cluster::{self, State};
use crate::locate::{Found, Step, locate};
use crate::place::Place;
use crate::previous;
use crate::watcher::{self, Manner};
use crate::{Error, Options, Version, address};

/// The watcher's ten seconds of patience, PostgreSQL's own five, and some more.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A server of our own. It ends with this value, and with this process however that ends.
#[derive(Debug)]
pub struct Server {
    place: Place,
    found: Found,
    socket_dir: String,
    watcher: Child,
    /// Nothing is ever written to it: that it closes is the message.
    lifeline: PipeWriter,
    /// Keeps others out of the data directory.
    lock: File,
}

/// Starts a server that nobody else may use the data of.
///
/// A server that was left behind by an owner who was killed is waited for. Data that exists is used by the major version of
/// PostgreSQL that made it.
///
/// # Errors
/// If the data directory is in use or out of reach, no usable PostgreSQL is found, or it does not start; each says what to
/// do.
pub async fn start(options: Options) -> Result<Server, Error> {
    let place = Place::prepare(&options.data_dir)?;
    let lock = place.try_lock()?.ok_or_else(|| Error::InUse { dir: place.dir.clone() })?;
    previous::await_end(&place).await?;
    let state = cluster::state(&place);
    let wanted = match state {
        State::Absent => None,
        State::Made(major) => Some(major),
        State::Unknown => return Err(Error::NotACluster { dir: place.data() }),
    };
    let found = locate(&options.search, &place.account, wanted).await?;
    if state == State::Absent {
        cluster::create(&place, &found.binaries, options.durable).await?;
    }
    let manner = Manner { durable: options.durable, linger: 0 };
    let (input, lifeline) = std::io::pipe().map_err(Error::io("make a pipe for", &place.dir))?;
    let (watcher, socket_dir) = watcher::launch(&place, &found.binaries, manner, Stdio::from(input)).await?;
    tracing::info!(dir = %place.dir.display(), version = %found.binaries.version, "PostgreSQL started");
    Ok(Server { place, found, socket_dir, watcher, lifeline, lock })
}

impl Server {
    /// The URL of a database, existing or not. A new server has the database `postgres` and no other of use.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        address::url(&self.socket_dir, database)
    }

    /// In one line: the version, where its programs were found, and where its data is.
    #[must_use]
    pub fn description(&self) -> String {
        describe(&self.found, &self.place)
    }

    /// The version of the server.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.found.binaries.version
    }

    /// The places where programs were looked for in vain before they were found.
    #[must_use]
    pub fn passed_over(&self) -> &[Step] {
        &self.found.passed_over
    }

    /// Waits until the server ends by itself, which it should not, and says how it ended. May be cancelled.
    pub async fn exited(&mut self) -> Error {
        let status = self.watcher.wait().await;
        watcher::ended(&self.place, status)
    }

    /// Ends the server and waits until it is gone. Connections that are open are closed, their transactions rolled back.
    ///
    /// # Errors
    /// If it is not gone after 30 seconds.
    pub async fn stop(self) -> Result<(), Error> {
        let Self { place, mut watcher, lifeline, lock, .. } = self;
        drop(lifeline);
        let gone = tokio::time::timeout(STOP_LIMIT, watcher.wait()).await;
        drop(lock);
        match gone {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(source)) => Err(Error::io("wait for the server in", &place.dir)(source)),
            Err(_elapsed) => Err(Error::StillRunning {
                dir: place.data(),
                pid: watcher.id().unwrap_or_default(),
                seconds: STOP_LIMIT.as_secs(),
            }),
        }
    }
}

pub(crate) fn describe(found: &Found, place: &Place) -> String {
    let (version, dir) = (&found.binaries.version, found.binaries.dir.display());
    format!("PostgreSQL {version} from {dir} (found by {}), data in {}", found.place, place.dir.display())
}
