use std::fs::{self, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use crate::Error;
use crate::account::Account;

/// Where data belongs unless somebody says otherwise: `/var/lib/testrun` for root, else `$XDG_DATA_HOME/testrun` or
/// `~/.local/share/testrun`.
///
/// # Errors
/// If neither `XDG_DATA_HOME` nor `HOME` is set to an absolute path.
pub fn default_data_dir() -> Result<PathBuf, Error> {
    if Uid::effective().is_root() {
        return Ok(PathBuf::from("/var/lib/testrun"));
    }
    let home = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
    Ok(home.ok_or(Error::NoHome)?.join("testrun"))
}

/// Where the tests' shared server keeps its data: `test-postgres` in the target directory that the running executable was
/// built in, or in `/var/cache/testrun` where root's target directory is closed to the account PostgreSQL runs as.
///
/// # Errors
/// If the running executable's place cannot be told, or there is no account to run PostgreSQL as.
pub fn throw_away_dir() -> Result<PathBuf, Error> {
    let executable =
        std::env::current_exe().map_err(Error::io("find the place of", Path::new("the running program")))?;
    // TARGET/PROFILE/{deps,examples}/EXECUTABLE
    let target = executable.ancestors().nth(3).unwrap_or(Path::new("/"));
    if Account::unprivileged()?.first_blocked(target)?.is_none() {
        return Ok(target.join("test-postgres"));
    }
    Ok(PathBuf::from(format!("/var/cache/testrun/test-postgres-{:016x}", fingerprint(target))))
}

/// Where downloaded programs are kept; `None` without a home.
pub(crate) fn cache_dir() -> Option<PathBuf> {
    if Uid::effective().is_root() {
        // Not below root's home, which the account that PostgreSQL runs as may not enter.
        return Some(PathBuf::from("/var/cache/testrun/postgres"));
    }
    let home = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(home.join("testrun/postgres"))
}

/// Makes `dir` and what is missing above it. What root makes, others may enter, whatever the umask.
pub(crate) fn create(dir: &Path) -> Result<(), Error> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent()
        && parent != Path::new("")
    {
        create(parent)?;
    }
    match fs::create_dir(dir) {
        Ok(()) if Uid::effective().is_root() => set_mode(dir, 0o755),
        Ok(()) => Ok(()),
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(error) => Err(Error::io("make the directory", dir)(error)),
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(Error::io("change the permissions of", path))
}

/// A number that stands for the path, the same in every process.
pub(crate) fn fingerprint(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

fn absolute(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}
