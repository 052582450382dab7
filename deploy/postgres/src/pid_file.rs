use std::fs;
use std::path::Path;

/// What a server writes about itself into `postmaster.pid`, one fact a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PidFile {
    pub(crate) pid: u32,
    pub(crate) socket_dir: String,
    /// Whether it takes connections.
    pub(crate) ready: bool,
}

impl PidFile {
    /// The file's name in the cluster's directory.
    pub(crate) const NAME: &str = "postmaster.pid";

    /// The file's text, if there is one.
    pub(crate) fn text(data: &Path) -> Option<String> {
        let bytes = fs::read(data.join(Self::NAME)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What the text says; `None` if it does not begin with a process number.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        // A single-user server writes its number negated.
        let pid = lines.next()?.trim().parse::<i32>().ok().filter(|pid| *pid != 0)?.unsigned_abs();
        let socket_dir = lines.nth(3).unwrap_or_default().to_owned();
        let ready = lines.nth(2).is_some_and(|status| status.trim_end() == "ready");
        Some(Self { pid, socket_dir, ready })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_server_is_read() {
        let text = "4711\n/data\n1780000000\n5432\n/data/run\n\n  5432001         7\nready   \n";
        let expected = PidFile { pid: 4711, socket_dir: "/data/run".to_owned(), ready: true };
        assert_eq!(PidFile::parse(text), Some(expected));
    }

    #[test]
    fn a_starting_server_is_not_ready() {
        let text = "4711\n/data\n1780000000\n5432\n/data/run\n\n  5432001         7\nstarting\n";
        assert!(PidFile::parse(text).is_some_and(|file| !file.ready));
        assert!(PidFile::parse("-4711\n").is_some_and(|file| file.pid == 4711 && !file.ready));
    }

    #[test]
    fn garbage_is_not_a_pid_file() {
        for text in ["", "\n", "garbage\n", "0\n", "99999999999\n"] {
            assert_eq!(PidFile::parse(text), None, "{text:?}");
        }
    }
}
