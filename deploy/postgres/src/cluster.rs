use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::Error;
use crate::address::SUPERUSER;
use crate::binaries::Binaries;
use crate::place::{Place, is_empty};

/// A new cluster is made under such a name and becomes `data/` when it is whole.
const UNFINISHED: &str = "data.new-";
/// The first that the system knows. `C.UTF-8` tells letters apart beyond ASCII, and sorts the same everywhere.
const LOCALES: [&str; 2] = ["C.UTF-8", "C"];

/// What lies in the cluster's directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum State {
    Absent,
    /// Files of this major version.
    Made(u32),
    /// Something else.
    Unknown,
}

pub(crate) fn state(place: &Place) -> State {
    let data = place.data();
    if !data.exists() || is_empty(&data) {
        return State::Absent;
    }
    let version = fs::read_to_string(data.join("PG_VERSION")).unwrap_or_default();
    version.trim().parse().map_or(State::Unknown, State::Made)
}

/// Makes the cluster, which must be absent.
pub(crate) async fn create(place: &Place, binaries: &Binaries, durable: bool) -> Result<(), Error> {
    let (own, data) = (place.own(), place.data());
    remove_unfinished(own);
    let unfinished =
        tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(own).map_err(Error::io("make a directory in", own))?;
    place.account.give(unfinished.path())?;
    let mut output = String::new();
    for locale in LOCALES {
        match initdb(place, binaries, unfinished.path(), locale, durable).await? {
            Ok(()) => {
                let made = unfinished.keep();
                // Replaces an empty directory, too.
                fs::rename(&made, &data).map_err(Error::io("rename a new cluster to", &data))?;
                return File::open(own).and_then(|dir| dir.sync_all()).map_err(Error::io("write", own));
            }
            Err(said) => output = said,
        }
    }
    Err(Error::InitDb { dir: data, output })
}

/// Removes the cluster, whatever it is. Only for data that may be thrown away.
pub(crate) fn discard(place: &Place) -> Result<(), Error> {
    let data = place.data();
    let removed = if data.is_dir() { fs::remove_dir_all(&data) } else { fs::remove_file(&data) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", &data)(error)),
        _ => Ok(()),
    }
}

/// The inner error is what `initdb` said; it has emptied the directory again then.
async fn initdb(
    place: &Place,
    binaries: &Binaries,
    dir: &Path,
    locale: &str,
    durable: bool,
) -> Result<Result<(), String>, Error> {
    let mut command = place.account.command(binaries.initdb());
    command.arg("--pgdata").arg(dir).args(["--encoding=UTF8", "--auth=trust", "--no-instructions"]);
    command.args([format!("--locale={locale}"), format!("--username={SUPERUSER}")]);
    if !durable {
        command.arg("--no-sync");
    }
    let output = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .output()
        .await
        .map_err(Error::io("run", &binaries.initdb()))?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    let said = [output.stdout, output.stderr].concat();
    Ok(Err(format!("{}\n({})", String::from_utf8_lossy(&said).trim(), output.status)))
}

/// Removes what an end in the midst of `create` left. What cannot be removed is in nobody's way.
fn remove_unfinished(own: &Path) {
    let Ok(entries) = fs::read_dir(own) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED)
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "cannot remove an unfinished cluster");
        }
    }
}
