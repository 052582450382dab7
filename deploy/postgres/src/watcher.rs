//! The process that ties the server to our life.
//!
//! It is a shell script, our child, which starts the server and reads a pipe or FIFO that only we (and those who share the
//! server with us) hold open for writing. The kernel closes our end however we end, so the script sees the end of file;
//! it then asks the server to end (SIGINT, "fast") and after ten seconds tells it to (SIGQUIT, "immediate").
//!
//! In `watcher.sh`, the reading is done by a subshell that alone keeps the reading end, and the main shell waits for the
//! server: if the server ends by itself, so does the script, with its status, and nobody reads a FIFO any more, which those
//! who open it for writing see at once. `linger` is how many times, 0.1 s apart, the end of file must be seen before it
//! counts, so that a server outlives the gap between two test programs. A line is answered by making the file `answer`:
//! whoever held the FIFO open before the answer appeared is certain to be waited for. A regular `true`, not `:`, makes it,
//! because a failing redirection of a special built-in would end the shell.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

use crate::Error;
use crate::address::{PORT, SocketDir};
use crate::binaries::Binaries;
use crate::pid_file::PidFile;
use crate::place::Place;

const SCRIPT: &str = include_str!("watcher.sh");
/// For a server to take connections, which may take a while after a crash: it replays its log first.
const READY_LIMIT: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(20);

/// How a server is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// Whether committed data survives a crash of the machine.
    pub(crate) durable: bool,
    /// For how long the server waits for somebody new when its last user has gone, in tenths of a second.
    pub(crate) linger: u32,
}

/// Starts a server, tied to whoever holds the writing end of `lifeline`, and waits until it takes connections. Gives the
/// watcher and the directory of the socket.
pub(crate) async fn launch(
    place: &Place,
    binaries: &Binaries,
    manner: Manner,
    lifeline: Stdio,
) -> Result<(Child, String), Error> {
    let before = PidFile::text(&place.data());
    let socket = SocketDir::choose(&place.run(), &place.account)?;
    let mut child = command(place, binaries, manner, &socket, lifeline, place.new_log()?)?
        .spawn()
        .map_err(Error::io("run", Path::new("/bin/sh")))?;
    let deadline = Instant::now() + READY_LIMIT;
    while Instant::now() < deadline {
        tokio::select! {
            status = child.wait() => return Err(ended(place, status)),
            () = tokio::time::sleep(POLL) => {}
        }
        if let Some(server) = ready(place, before.as_deref()) {
            return Ok((child, server.socket_dir));
        }
    }
    Err(not_ready(place))
}

/// What the server says about itself, once it takes connections. `before` is the pid file that the last one left, if any.
pub(crate) fn ready(place: &Place, before: Option<&str>) -> Option<PidFile> {
    let text = PidFile::text(&place.data())?;
    let server = PidFile::parse(&text).filter(|server| server.ready && Some(text.as_str()) != before)?;
    // The file of a server that was killed a moment ago still calls it ready.
    let socket = Path::new(&server.socket_dir).join(format!(".s.PGSQL.{PORT}"));
    UnixStream::connect(socket).is_ok().then_some(server)
}

/// The error for a watcher that ended, as it does when its server ends.
pub(crate) fn ended(place: &Place, status: std::io::Result<std::process::ExitStatus>) -> Error {
    let status = match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    Error::Ended { dir: place.dir.clone(), status, log: place.log(), tail: place.log_tail() }
}

pub(crate) fn not_ready(place: &Place) -> Error {
    let seconds = READY_LIMIT.as_secs();
    Error::NotReady { dir: place.dir.clone(), seconds, log: place.log(), tail: place.log_tail() }
}

fn command(
    place: &Place,
    binaries: &Binaries,
    manner: Manner,
    socket: &SocketDir,
    lifeline: Stdio,
    log: File,
) -> Result<Command, Error> {
    let log_too = log.try_clone().map_err(Error::io("duplicate", &place.log()))?;
    let mut command = place.account.command("/bin/sh");
    command.args(["-c", SCRIPT, "testrun-postgres", &manner.linger.to_string()]).arg(place.answer());
    command.arg(if socket.temporary { socket.path.as_path() } else { Path::new("") });
    command.arg(binaries.postgres()).arg("-D").arg(place.data());
    for setting in settings(place, manner, socket) {
        command.args(["-c", &setting]);
    }
    command.stdin(lifeline).stdout(log).stderr(log_too);
    let mut command = Command::from(command);
    // A terminal's Ctrl-C goes to a process group: it must not end the server before we have finished with it.
    command.process_group(0);
    Ok(command)
}

fn settings(place: &Place, manner: Manner, socket: &SocketDir) -> Vec<String> {
    let mut settings = vec![
        "listen_addresses=".to_owned(),
        format!("unix_socket_directories={}", socket.path.display()),
        format!("port={PORT}"),
        format!("cluster_name={}", place.mark()),
        "max_connections=200".to_owned(),
        "shared_buffers=128MB".to_owned(),
        "logging_collector=off".to_owned(),
        "timezone=UTC".to_owned(),
        "log_timezone=UTC".to_owned(),
    ];
    if !manner.durable {
        settings.extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off"].map(str::to_owned));
    }
    settings
}
