use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Error;
use crate::address::PORT;
use crate::pid_file::PidFile;
use crate::place::Place;
use crate::processes::{self, Process};

/// A server whose owner has gone gets 10 s to end, and the 5 s after which PostgreSQL kills its own processes.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);

/// Waits until no process of an earlier server works in this place, and removes the files that would stop a new one. Only
/// for whoever holds the lock.
pub(crate) async fn await_end(place: &Place) -> Result<(), Error> {
    let deadline = Instant::now() + PATIENCE;
    while let Some(pid) = running(place) {
        if Instant::now() >= deadline {
            return Err(Error::StillRunning { dir: place.data(), pid, seconds: PATIENCE.as_secs() });
        }
        tokio::time::sleep(POLL).await;
    }
    remove_stale_pid_file(&place.data())?;
    for name in [format!(".s.PGSQL.{PORT}"), format!(".s.PGSQL.{PORT}.lock")] {
        remove(&place.run().join(name))?;
    }
    Ok(())
}

/// A process that still works on the cluster: the server, or what a killed server has left behind.
fn running(place: &Place) -> Option<u32> {
    let (mark, data) = (place.mark(), place.data());
    let recorded = PidFile::text(&data).as_deref().and_then(PidFile::parse).map(|file| file.pid);
    processes::all()
        .into_iter()
        .find(|process| process.command.contains(&mark) || (Some(process.pid) == recorded && works_in(process, &data)))
        .map(|process| process.pid)
}

/// Whether it is a PostgreSQL server, started by somebody else, that does not clearly work elsewhere.
fn works_in(process: &Process, data: &Path) -> bool {
    let command = &process.command;
    let is_server = ["postgres", "postmaster"].into_iter().any(|name| command.contains(name));
    let works_elsewhere = match fs::read_link(format!("/proc/{}/cwd", process.pid)) {
        Ok(dir) => dir != data,
        Err(_) => command.contains(" -D") && !command.contains(&*data.to_string_lossy()),
    };
    is_server && !works_elsewhere
}

/// Removes a pid file that the server would stumble over: an unreadable one, and one whose number another process has by
/// now. That of a dead server stays, since the server itself first looks by it for processes that still use its memory.
fn remove_stale_pid_file(data: &Path) -> Result<(), Error> {
    let Some(text) = PidFile::text(data) else { return Ok(()) };
    match PidFile::parse(&text) {
        Some(file) if !processes::exists(file.pid) => Ok(()),
        _ => remove(&data.join(PidFile::NAME)),
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// A process that goes by `title` until its input ends.
    fn process(title: &str) -> std::process::Child {
        Command::new("/bin/sh").args(["-c", "read line", title]).stdin(Stdio::piped()).spawn().unwrap()
    }

    #[tokio::test]
    async fn what_a_killed_server_left_behind_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::prepare(dir.path()).unwrap();
        let mut left = process(&format!("postgres: {}: checkpointer", place.mark()));
        // Its command line changes only when the new process has begun to run the shell.
        while running(&place).is_none() {
            assert_eq!(left.try_wait().unwrap(), None);
            tokio::task::yield_now().await;
        }
        assert_eq!(running(&place), Some(left.id()));
        let ((), waited) = tokio::join!(async { drop(left.stdin.take()) }, await_end(&place));
        waited.unwrap();
        left.wait().unwrap();
    }

    #[test]
    fn a_server_that_works_elsewhere_is_not_waited_for() {
        let data = Path::new("/srv/a/postgres/data");
        // No process has this number, so that its working directory is unknown.
        let process = |command: &str| Process { pid: u32::MAX, command: command.to_owned() };
        assert!(works_in(&process("/usr/bin/postgres -D /srv/a/postgres/data"), data));
        assert!(works_in(&process("/usr/bin/postgres"), data));
        assert!(!works_in(&process("/usr/bin/postgres -D /srv/b/postgres/data"), data));
        assert!(!works_in(&process("sleep 600"), data));
    }
}
