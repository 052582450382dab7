use std::fmt::Write as _;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::account::Account;

/// The cluster's superuser. Whoever gets to the socket is let in as anybody: the socket's directory is the guard.
pub(crate) const SUPERUSER: &str = "postgres";
/// Only part of the socket's name, as there is no TCP. Said in full everywhere, so that no `PGPORT` can change it.
pub(crate) const PORT: u16 = 5432;
/// What the operating systems allow for a socket's path, in bytes: 107 on Linux, 103 on macOS.
const SOCKET_PATH_LIMIT: usize = 103;

/// The directory of the server's socket.
#[derive(Debug, Clone)]
pub(crate) struct SocketDir {
    pub(crate) path: PathBuf,
    /// Whether it was made for this one run, to be removed after it.
    pub(crate) temporary: bool,
}

impl SocketDir {
    /// `preferred` if a socket can lie there, else a new private directory in `/tmp`.
    pub(crate) fn choose(preferred: &Path, account: &Account) -> Result<Self, Error> {
        if can_hold_socket(preferred) {
            return Ok(Self { path: preferred.to_owned(), temporary: false });
        }
        let path = tempfile::Builder::new()
            .prefix("testrun-postgres-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in("/tmp")
            .map_err(Error::io("make a directory for the socket in", Path::new("/tmp")))?
            .keep();
        account.give(&path)?;
        Ok(Self { path, temporary: true })
    }
}

/// Whether the path is short enough, can stand in a URL, and needs no quotes in PostgreSQL's list of directories.
fn can_hold_socket(dir: &Path) -> bool {
    let longest = dir.join(format!(".s.PGSQL.{PORT}.lock"));
    dir.to_str().is_some_and(|text| !text.contains(|c: char| c.is_control() || c == ',' || c == '"'))
        && longest.as_os_str().len() <= SOCKET_PATH_LIMIT
}

/// The URL of a database of the server whose socket lies in `socket_dir`.
///
/// Says the user, port and TLS mode outright: what is left out of a URL, clients take from `PGUSER`, `PGPORT` and the like.
pub(crate) fn url(socket_dir: &str, database: &str) -> String {
    let (database, host) = (percent_encode(database), percent_encode(socket_dir));
    format!("postgres://{SUPERUSER}@localhost:{PORT}/{database}?host={host}&sslmode=disable")
}

fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_survives_odd_names() {
        assert_eq!(
            url("/srv/a b+c", "a/b?"),
            "postgres://postgres@localhost:5432/a%2Fb%3F?host=%2Fsrv%2Fa%20b%2Bc&sslmode=disable"
        );
    }

    #[test]
    fn a_socket_needs_a_short_and_plain_path() {
        assert!(can_hold_socket(Path::new("/var/lib/testrun/postgres/run")));
        assert!(can_hold_socket(Path::new("/home/a b/testrun/postgres/run")));
        assert!(!can_hold_socket(Path::new("/srv/a,b")));
        assert!(!can_hold_socket(&PathBuf::from(format!("/{}", "d".repeat(85)))));
    }
}
