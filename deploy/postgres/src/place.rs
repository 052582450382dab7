use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::Uid;

use crate::Error;
use crate::account::Account;
use crate::directories;

/// How much of the log an error shows.
const TAIL_BYTES: u64 = 8 * 1024;
const TAIL_LINES: usize = 20;

/// A data directory, and the account PostgreSQL runs as in it.
///
/// Where that is another account than ours, it owns nothing but `data/` and `run/`: root must not open files by name in a
/// directory where somebody else may put links.
#[derive(Debug)]
pub(crate) struct Place {
    /// The data directory as it was named, made absolute.
    pub(crate) dir: PathBuf,
    pub(crate) account: Account,
    own: PathBuf,
}

impl Place {
    /// Makes what is missing, and sees to it that the account can get there.
    pub(crate) fn prepare(data_dir: &Path) -> Result<Self, Error> {
        let dir = std::path::absolute(data_dir).map_err(Error::io("find", data_dir))?;
        let account = Account::choose(&dir.join("postgres/data"))?;
        // Before anything is made, so that a refusal leaves nothing behind.
        if let Some(existing) = dir.ancestors().skip(1).find(|dir| dir.is_dir())
            && let Some(blocked) = account.first_blocked(existing)?
        {
            return Err(Error::Unreachable { blocked, account: account.name().to_owned() });
        }
        directories::create(&dir)?;
        let dir = dir.canonicalize().map_err(Error::io("find", data_dir))?;
        let own = dir.join("postgres");
        let place = Self { dir, account, own };
        place.clear_the_way()?;
        place.make_own()?;
        Ok(place)
    }

    /// The cluster's directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.own.join("data")
    }

    /// Where the account may write: the socket, and the watcher's answers.
    pub(crate) fn run(&self) -> PathBuf {
        self.own.join("run")
    }

    /// What the watcher of a shared server writes when it is spoken to.
    pub(crate) fn answer(&self) -> PathBuf {
        self.run().join("answer")
    }

    /// The FIFO that holds a shared server up.
    pub(crate) fn watch(&self) -> PathBuf {
        self.own.join("watch")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.own.join("postgres.log")
    }

    /// What the command lines of all processes of this server contain, and those of no other.
    pub(crate) fn mark(&self) -> String {
        format!("testrun-{:016x}", directories::fingerprint(&self.own))
    }

    /// The directory of all this, `postgres/` in the data directory.
    pub(crate) fn own(&self) -> &Path {
        &self.own
    }

    /// A lock that ends with the returned file; `None` if another process has it.
    pub(crate) fn try_lock(&self) -> Result<Option<File>, Error> {
        let path = self.own.join("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&path)
            .map_err(Error::io("open", &path))?;
        self.account.give(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(Error::io("lock", &path)(source)),
        }
    }

    /// A new log for the server that is about to start; the last one is kept beside it.
    pub(crate) fn new_log(&self) -> Result<File, Error> {
        let path = self.log();
        match fs::rename(&path, self.own.join("postgres.log.1")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::io("rename", &path)(error)),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.append(true).create_new(true).mode(0o600).open(&path).map_err(Error::io("make", &path))
    }

    /// The last lines of the log.
    pub(crate) fn log_tail(&self) -> String {
        let path = self.log();
        match read_end(&path) {
            Ok(text) => {
                let lines: Vec<&str> = text.lines().collect();
                lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
            }
            Err(error) => format!("(cannot read {}: {error})", path.display()),
        }
    }

    /// Gives a data directory that is closed to the account to it, if it is empty or holds nothing but ours, and refuses one
    /// that it cannot get to otherwise.
    fn clear_the_way(&self) -> Result<(), Error> {
        match self.account.first_blocked(&self.dir)? {
            Some(blocked) if blocked == self.dir && self.is_only_ours() => self.account.give(&self.dir),
            Some(blocked) => Err(Error::Unreachable { blocked, account: self.account.name().to_owned() }),
            None => Ok(()),
        }
    }

    fn is_only_ours(&self) -> bool {
        fs::read_dir(&self.dir).is_ok_and(|entries| entries.flatten().all(|entry| entry.path() == self.own))
    }

    /// Everything is set right however it came to be, since another process may be half-way through the same.
    fn make_own(&self) -> Result<(), Error> {
        let us = Uid::effective();
        make_dir(&self.own)?;
        let owner = fs::metadata(&self.own).map_err(Error::io("look at", &self.own))?.uid();
        if owner == us.as_raw() {
            directories::set_mode(&self.own, if self.account.is_other() { 0o755 } else { 0o700 })?;
        } else if !us.is_root() {
            return Err(Error::Foreign { dir: self.own.clone(), owner });
        }
        make_dir(&self.run())?;
        self.account.give(&self.run())
    }
}

/// Makes a private directory, unless it is there.
fn make_dir(path: &Path) -> Result<(), Error> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Error::io("make the directory", path)(error)),
        _ => Ok(()),
    }
}

pub(crate) fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
}

fn read_end(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
