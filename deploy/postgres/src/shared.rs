use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::cluster::{self, State};
use crate::locate::{Found, locate};
use crate::place::Place;
use crate::server::describe;
use crate::watcher::{self, Manner};
use crate::{Error, Options, address, previous};

/// For another process to find, download, set up and start a server.
const LOCK_LIMIT: Duration = Duration::from_secs(240);
/// For the watcher to answer, on a machine that is busy with many tests.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);
/// Two seconds, in which `cargo test` gets from one test program to the next.
const MANNER: Manner = Manner { durable: false, linger: 20 };

/// A share in a server that several processes use. The server ends about two seconds after the last share, and a share ends
/// with this value, and with this process however that ends.
#[derive(Debug)]
pub struct SharedServer {
    socket_dir: String,
    description: String,
    /// Held open for its own sake.
    _lifeline: File,
}

impl SharedServer {
    /// The URL of a database, existing or not. A new server has the database `postgres` and no other of use.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        address::url(&self.socket_dir, database)
    }

    /// In one line: the version, where it comes from, and where its data is.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }
}

/// Joins the throw-away server of a data directory, and starts it if nobody has.
///
/// Its data is kept for the next start, but not with care: it is made anew if it is broken or of another major version.
///
/// # Errors
/// If the data directory is out of reach, no usable PostgreSQL is found, or it does not start; each says what to do.
pub async fn join(options: Options) -> Result<SharedServer, Error> {
    let place = Place::prepare(&options.data_dir)?;
    let _lock = lock(&place).await?;
    if let Some(server) = join_running(&place).await? {
        return Ok(server);
    }
    previous::await_end(&place).await?;
    let found = locate(&options.search, &place.account, None).await?;
    let state = cluster::state(&place);
    if state != State::Made(found.binaries.version.major) {
        cluster::discard(&place)?;
        cluster::create(&place, &found.binaries, MANNER.durable).await?;
        return launch(&place, &found).await;
    }
    match launch(&place, &found).await {
        Err(error @ Error::Ended { .. }) => {
            tracing::warn!(%error, "the throw-away server does not start, its data is made anew");
            previous::await_end(&place).await?;
            cluster::discard(&place)?;
            cluster::create(&place, &found.binaries, MANNER.durable).await?;
            launch(&place, &found).await
        }
        other => other,
    }
}

async fn lock(place: &Place) -> Result<File, Error> {
    let deadline = Instant::now() + LOCK_LIMIT;
    loop {
        if let Some(lock) = place.try_lock()? {
            return Ok(lock);
        }
        if Instant::now() >= deadline {
            return Err(busy(place, LOCK_LIMIT, "another process starts it, or has it for itself"));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// A share in the server that runs, if one does.
async fn join_running(place: &Place) -> Result<Option<SharedServer>, Error> {
    let Some(lifeline) = open_for_writing(&place.watch())? else { return Ok(None) };
    let answer = place.answer();
    match fs::remove_file(&answer) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::io("remove", &answer)(error)),
        _ => {}
    }
    let deadline = Instant::now() + ANSWER_LIMIT;
    while is_watched(&lifeline, &place.watch())? {
        if answer.exists()
            && let Some(server) = watcher::ready(place, None)
        {
            let description = describe_running(place);
            return Ok(Some(SharedServer { socket_dir: server.socket_dir, description, _lifeline: lifeline }));
        }
        if Instant::now() >= deadline {
            return Err(busy(place, ANSWER_LIMIT, "its watcher runs but does not answer"));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(None)
}

async fn launch(place: &Place, found: &Found) -> Result<SharedServer, Error> {
    let (input, lifeline) = make_fifo(&place.watch()).map_err(Error::io("make the FIFO", &place.watch()))?;
    // An ordinary user whose server root has started may join it again.
    place.account.give(&place.watch())?;
    let (_watcher, socket_dir) = watcher::launch(place, &found.binaries, MANNER, Stdio::from(input)).await?;
    Ok(SharedServer { socket_dir, description: describe(found, place), _lifeline: lifeline })
}

/// Both ends of a new FIFO, first the reading one.
fn make_fifo(path: &Path) -> io::Result<(File, File)> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)?;
    let nonblocking = OFlag::O_NONBLOCK.bits();
    let first_reader = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    let writer = OpenOptions::new().write(true).custom_flags(nonblocking).open(path)?;
    // The watcher's reads must block. With a writer there, opening does not.
    let reader = OpenOptions::new().read(true).open(path)?;
    drop(first_reader);
    Ok((reader, writer))
}

/// `None` if nobody reads it.
fn open_for_writing(path: &Path) -> Result<Option<File>, Error> {
    let opened = OpenOptions::new().write(true).custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW).bits()).open(path);
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(Errno::ENXIO as i32) => Ok(None),
        Err(error) => Err(Error::io("open", path)(error)),
    }
}

/// Speaks to the watcher; whether it is there to hear.
fn is_watched(mut lifeline: &File, path: &Path) -> Result<bool, Error> {
    match lifeline.write(b"\n") {
        Ok(_) => Ok(true),
        // It has enough to read already.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::io("write to", path)(error)),
    }
}

fn describe_running(place: &Place) -> String {
    let version = match cluster::state(place) {
        State::Made(major) => major.to_string(),
        State::Absent | State::Unknown => String::new(),
    };
    format!("PostgreSQL {version} that another process started, data in {}", place.dir.display())
}

fn busy(place: &Place, limit: Duration, what: &'static str) -> Error {
    Error::Busy { dir: place.dir.clone(), seconds: limit.as_secs(), what }
}
