use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::account::Account;

/// The oldest major version that is used.
pub(crate) const OLDEST_MAJOR: u32 = 15;
/// For one program to say its version.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A version of PostgreSQL, such as 15.18 or 19beta1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The number that decides whether a cluster's files can be read.
    pub major: u32,
    text: String,
}

impl Version {
    /// Reads the answer to `--version`: `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
    fn parse(answer: &str) -> Option<Self> {
        let (_, rest) = answer.split_once("(PostgreSQL) ")?;
        let text = rest.split_whitespace().next()?;
        let digits = text.split(|c: char| !c.is_ascii_digit()).next()?;
        Some(Self { major: digits.parse().ok()?, text: text.to_owned() })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An installation of PostgreSQL that can be used.
#[derive(Debug, Clone)]
pub(crate) struct Binaries {
    pub(crate) dir: PathBuf,
    pub(crate) version: Version,
}

impl Binaries {
    /// Looks whether `account` can run what lies in `dir`, by running it: what a name or a place says proves nothing.
    /// `wanted` is the only major version that will do, if a cluster exists already. The error says why not.
    pub(crate) async fn check(dir: &Path, account: &Account, wanted: Option<u32>) -> Result<Self, String> {
        let dir = dir.canonicalize().map_err(|error| format!("{}: {error}", dir.display()))?;
        for program in ["postgres", "initdb"] {
            if !dir.join(program).is_file() {
                return Err(format!("there is no `{program}` in {}", dir.display()));
            }
        }
        let version = version(&dir.join("postgres"), account).await?;
        if version.major < OLDEST_MAJOR {
            return Err(format!("{} has version {version}, older than {OLDEST_MAJOR}", dir.display()));
        }
        if let Some(wanted) = wanted.filter(|wanted| *wanted != version.major) {
            return Err(format!("{} has version {version}, but the data was made by version {wanted}", dir.display()));
        }
        let hstore = share_dir(&dir.join("initdb"), account).await?.join("extension/hstore.control");
        if !hstore.is_file() {
            let hstore = hstore.display();
            return Err(format!("{} has no `hstore` extension (no {hstore}): add the contrib modules", dir.display()));
        }
        Ok(Self { dir, version })
    }

    pub(crate) fn postgres(&self) -> PathBuf {
        self.dir.join("postgres")
    }

    pub(crate) fn initdb(&self) -> PathBuf {
        self.dir.join("initdb")
    }
}

async fn version(postgres: &Path, account: &Account) -> Result<Version, String> {
    let mut command = account.command(postgres);
    command.arg("--version");
    let answer = answer(command, account).await?;
    Version::parse(&answer).ok_or_else(|| format!("{} --version said {:?}", postgres.display(), answer.trim()))
}

/// Where this installation keeps its extensions, by its own account: packagers and relocated installations differ.
async fn share_dir(initdb: &Path, account: &Account) -> Result<PathBuf, String> {
    let mut command = account.command(initdb);
    command.args(["--show", "-D", "/nonexistent"]);
    let answer = answer(command, account).await?;
    answer
        .lines()
        .find_map(|line| line.strip_prefix("share_path="))
        .map(PathBuf::from)
        .ok_or_else(|| format!("{} --show said {:?}", initdb.display(), answer.trim()))
}

/// Runs a program to its end and gives what it said on both its outputs.
pub(crate) async fn answer(command: Command, account: &Account) -> Result<String, String> {
    let program = format!("{} (run as {})", Path::new(command.get_program()).display(), account.name());
    let output = tokio::process::Command::from(command).kill_on_drop(true).output();
    let output = tokio::time::timeout(ANSWER_LIMIT, output)
        .await
        .map_err(|_elapsed| format!("{program} did not answer within {} s", ANSWER_LIMIT.as_secs()))?
        .map_err(|error| format!("{program}: {error}"))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    if !output.status.success() {
        return Err(format!("{program} failed ({}): {}", output.status, text.trim().replace('\n', " ")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_postgres_says() {
        for (answer, major, text) in [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", 15, "15.18"),
            ("postgres (PostgreSQL) 17.6\n", 17, "17.6"),
            ("postgres (PostgreSQL) 19beta1\n", 19, "19beta1"),
            ("postgres (PostgreSQL) 9.6.24\n", 9, "9.6.24"),
        ] {
            assert_eq!(Version::parse(answer), Some(Version { major, text: text.to_owned() }), "{answer}");
        }
        for answer in ["", "usage: postgres\n", "postgres (PostgreSQL) devel\n"] {
            assert_eq!(Version::parse(answer), None, "{answer:?}");
        }
    }
}
