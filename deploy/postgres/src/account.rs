use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{Uid, User};

use crate::Error;

/// What of our environment PostgreSQL's programs get to see: what they need to run, and none of our secrets.
const KEPT_VARIABLES: [&str; 5] =
    ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "LOCALE_ARCHIVE", "TZDIR"];

/// Whom PostgreSQL's programs run as: ourselves, unless we are root, as whom they refuse to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    name: String,
    /// The user and group to change to.
    switch: Option<(u32, u32)>,
}

impl Account {
    /// Who it is for the cluster in `data`. For root: the cluster's owner if there is one, so that data made by an
    /// ordinary user stays theirs; else `postgres`, else `nobody`.
    pub(crate) fn choose(data: &Path) -> Result<Self, Error> {
        let own = Uid::effective();
        if !own.is_root() {
            return Ok(Self { name: user_name(own), switch: None });
        }
        if let Ok(metadata) = fs::symlink_metadata(data)
            && metadata.uid() != 0
        {
            let name = user_name(Uid::from_raw(metadata.uid()));
            return Ok(Self { name, switch: Some((metadata.uid(), metadata.gid())) });
        }
        Self::unprivileged()
    }

    /// Who it is where there is no cluster yet.
    pub(crate) fn unprivileged() -> Result<Self, Error> {
        let own = Uid::effective();
        if !own.is_root() {
            return Ok(Self { name: user_name(own), switch: None });
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| User::from_name(name).ok().flatten())
            .map(|user| Self { name: user.name, switch: Some((user.uid.as_raw(), user.gid.as_raw())) })
            .ok_or(Error::NoAccount)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the programs run as somebody else than us.
    pub(crate) fn is_other(&self) -> bool {
        self.switch.is_some()
    }

    /// A command that runs as this account, with next to no environment and no input.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        // The watcher needs `sleep` and `rm`, whatever our own PATH is.
        let mut path = std::env::var_os("PATH").filter(|path| !path.is_empty()).unwrap_or_else(|| "/usr/bin".into());
        path.push(":/usr/bin:/bin");
        let mut command = Command::new(program);
        command.env_clear().env("PATH", path).env("LC_ALL", "C");
        command.envs(KEPT_VARIABLES.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.current_dir("/").stdin(Stdio::null());
        if let Some((user, group)) = self.switch {
            command.uid(user).gid(group);
        }
        command
    }

    /// Makes this account the owner of `path`.
    pub(crate) fn give(&self, path: &Path) -> Result<(), Error> {
        let Some((user, group)) = self.switch else { return Ok(()) };
        std::os::unix::fs::lchown(path, Some(user), Some(group)).map_err(Error::io("change the owner of", path))
    }

    /// The first directory on the way from the root to `dir`, itself included, that this account may not enter.
    pub(crate) fn first_blocked(&self, dir: &Path) -> Result<Option<PathBuf>, Error> {
        if !self.is_other() {
            return Ok(None);
        }
        let mut way: Vec<&Path> = dir.ancestors().collect();
        way.reverse();
        // Asked of the kernel as that user, so that groups, ACLs and whatever else decides are counted in.
        let probe = r#"for dir; do [ -x "$dir" ] || { printf %s "$dir"; exit; }; done"#;
        let output = self
            .command("/bin/sh")
            .args(["-c", probe, "sh"])
            .args(way)
            .output()
            .map_err(Error::io("run /bin/sh as the user", Path::new(&self.name)))?;
        Ok((!output.stdout.is_empty()).then(|| PathBuf::from(OsString::from_vec(output.stdout))))
    }
}

fn user_name(uid: Uid) -> String {
    User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}
