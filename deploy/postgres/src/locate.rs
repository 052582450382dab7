use std::collections::HashSet;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Error;
use crate::account::Account;
use crate::binaries::{self, Binaries};
use crate::{directories, download};

/// Where packages put PostgreSQL; the star stands for the major version, the newest of which is tried first.
const PACKAGES: [&str; 3] =
    ["/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin"];
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(60);

/// Where PostgreSQL's programs are looked for, in the order of the fields.
#[derive(Debug, Clone)]
pub struct Search {
    /// The one directory to use, if it is set (`TESTRUN_PG_BIN`): nothing else is tried then.
    pub pg_bin: Option<PathBuf>,
    /// Directories separated by colons (`PATH`), asked for `pg_config` first and for `postgres` after it.
    pub path: OsString,
    /// Directories of packages, each with one `*` for a version.
    pub packages: Vec<String>,
    /// Where downloads are kept.
    pub cache_dir: Option<PathBuf>,
    /// How long a download may take; `None` for no download.
    pub download: Option<Duration>,
}

impl Search {
    /// What the environment and the usual places of packages say.
    #[must_use]
    pub fn from_env() -> Self {
        Self {
            pg_bin: std::env::var_os("TESTRUN_PG_BIN").filter(|dir| !dir.is_empty()).map(PathBuf::from),
            path: std::env::var_os("PATH").unwrap_or_default(),
            packages: PACKAGES.map(str::to_owned).to_vec(),
            cache_dir: directories::cache_dir(),
            download: Some(DOWNLOAD_LIMIT),
        }
    }
}

/// A place where PostgreSQL was looked for, and why it was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The place, such as `PATH`.
    pub place: String,
    /// What was wrong there.
    pub reason: String,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

/// The programs to use, and the way to them.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) binaries: Binaries,
    /// Where they were found.
    pub(crate) place: String,
    /// The places before it.
    pub(crate) passed_over: Vec<Step>,
}

/// Finds programs that `account` can run, of the major version `wanted` if there is one.
pub(crate) async fn locate(search: &Search, account: &Account, wanted: Option<u32>) -> Result<Found, Error> {
    let mut hunt = Hunt { search, account, wanted, steps: Vec::new(), seen: HashSet::new() };
    if let Some(dir) = &search.pg_bin {
        let checked = Binaries::check(dir, account, wanted).await;
        let binaries = checked.map_err(|reason| Error::PgBin { dir: dir.clone(), reason })?;
        return Ok(hunt.found(binaries, "TESTRUN_PG_BIN"));
    }
    hunt.pass_over("TESTRUN_PG_BIN", "not set");
    if let Some(binaries) = hunt.pg_config().await {
        return Ok(hunt.found(binaries, "pg_config --bindir"));
    }
    if let Some(binaries) = hunt.path().await {
        return Ok(hunt.found(binaries, "PATH"));
    }
    for pattern in &search.packages {
        if let Some(binaries) = hunt.package(pattern).await {
            return Ok(hunt.found(binaries, pattern));
        }
    }
    if let Some(binaries) = hunt.cached().await {
        return Ok(hunt.found(binaries, "earlier download"));
    }
    if let Some(binaries) = hunt.downloaded().await {
        return Ok(hunt.found(binaries, "download"));
    }
    Err(Error::NotFound { wanted, steps: hunt.steps })
}

struct Hunt<'a> {
    search: &'a Search,
    account: &'a Account,
    wanted: Option<u32>,
    steps: Vec<Step>,
    /// Directories that were checked, so that one installation that is found in three ways is told once.
    seen: HashSet<PathBuf>,
}

impl Hunt<'_> {
    fn found(self, binaries: Binaries, place: &str) -> Found {
        Found { binaries, place: place.to_owned(), passed_over: self.steps }
    }

    fn pass_over(&mut self, place: &str, reason: impl Into<String>) {
        self.steps.push(Step { place: place.to_owned(), reason: reason.into() });
    }

    async fn check(&mut self, place: &str, dir: &Path) -> Option<Binaries> {
        // Where a directory holds links to the programs, what matters is where they lead.
        let programs = dir.join("postgres").canonicalize().unwrap_or_else(|_| dir.join("postgres"));
        if !self.seen.insert(programs) {
            self.pass_over(place, format!("{} is the same again", dir.display()));
            return None;
        }
        match Binaries::check(dir, self.account, self.wanted).await {
            Ok(binaries) => Some(binaries),
            Err(reason) => {
                self.pass_over(place, reason);
                None
            }
        }
    }

    async fn pg_config(&mut self) -> Option<Binaries> {
        const PLACE: &str = "pg_config --bindir";
        let Some(pg_config) = self.in_path("pg_config").into_iter().next() else {
            self.pass_over(PLACE, "no `pg_config` in PATH");
            return None;
        };
        let mut command = self.account.command(pg_config);
        command.arg("--bindir");
        match binaries::answer(command, self.account).await {
            Ok(dir) => self.check(PLACE, Path::new(dir.trim())).await,
            Err(reason) => {
                self.pass_over(PLACE, reason);
                None
            }
        }
    }

    async fn path(&mut self) -> Option<Binaries> {
        let programs = self.in_path("postgres");
        if programs.is_empty() {
            self.pass_over("PATH", "no `postgres` in it");
        }
        for program in programs {
            if let Some(dir) = program.parent()
                && let Some(binaries) = self.check("PATH", dir).await
            {
                return Some(binaries);
            }
        }
        None
    }

    async fn package(&mut self, pattern: &str) -> Option<Binaries> {
        let dirs = newest_first(pattern);
        if dirs.is_empty() {
            self.pass_over(pattern, "nothing there");
        }
        for dir in dirs {
            if let Some(binaries) = self.check(pattern, &dir).await {
                return Some(binaries);
            }
        }
        None
    }

    async fn cached(&mut self) -> Option<Binaries> {
        const PLACE: &str = "earlier download";
        let Some(cache_dir) = self.search.cache_dir.clone() else {
            self.pass_over(PLACE, "no directory for it: neither XDG_CACHE_HOME nor HOME is set");
            return None;
        };
        let dirs = newest_first(&format!("{}/*/bin", cache_dir.display()));
        if dirs.is_empty() {
            self.pass_over(PLACE, format!("none in {}", cache_dir.display()));
        }
        for dir in dirs {
            if let Some(binaries) = self.check(PLACE, &dir).await {
                return Some(binaries);
            }
        }
        None
    }

    async fn downloaded(&mut self) -> Option<Binaries> {
        const PLACE: &str = "download";
        let (Some(cache_dir), Some(limit)) = (&self.search.cache_dir, self.search.download) else {
            self.pass_over(PLACE, "not wanted, or no directory for it");
            return None;
        };
        match download::fetch(cache_dir, self.wanted, limit).await {
            Ok(dir) => self.check(PLACE, &dir).await,
            Err(reason) => {
                self.pass_over(PLACE, reason);
                None
            }
        }
    }

    fn in_path(&self, program: &str) -> Vec<PathBuf> {
        std::env::split_paths(&self.search.path)
            .filter(|dir| dir.is_absolute())
            .map(|dir| dir.join(program))
            .filter(|path| path.is_file())
            .collect()
    }
}

/// The directories that a pattern with one star stands for, the highest version first.
fn newest_first(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else { return vec![PathBuf::from(pattern)] };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or((".", before));
    let Ok(entries) = std::fs::read_dir(format!("{parent}/")) else { return Vec::new() };
    let mut versions: Vec<(Vec<u32>, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
            Some((version, PathBuf::from(format!("{parent}/{name}{after}"))))
        })
        .collect();
    versions.sort_by(|(left, _), (right, _)| right.cmp(left));
    versions.into_iter().map(|(_, dir)| dir).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_comes_first() -> std::io::Result<()> {
        let root = tempfile::tempdir()?;
        for name in ["postgresql@9.6", "postgresql@15", "postgresql@17", "postgresql@x", "mysql@18"] {
            std::fs::create_dir(root.path().join(name))?;
        }
        let found = newest_first(&format!("{}/postgresql@*/bin", root.path().display()));
        let expected = ["postgresql@17/bin", "postgresql@15/bin", "postgresql@9.6/bin"];
        assert_eq!(found, expected.map(|name| root.path().join(name)));
        Ok(())
    }
}
