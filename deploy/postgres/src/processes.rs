use std::fs;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

/// A process other than ours.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// Its command line or the title it gave itself, arguments separated by blanks.
    pub(crate) command: String,
}

/// Every process whose command line can be read. Does without `ps` on Linux, where slim images lack it, and reads nothing
/// that root in a container may be denied, as it is the working directories of other users' processes.
pub(crate) fn all() -> Vec<Process> {
    let mut processes = from_proc();
    if processes.is_empty() {
        processes = from_ps();
    }
    processes.retain(|process| process.pid != std::process::id());
    processes
}

/// Whether a process with this number exists, whosever it is.
pub(crate) fn exists(pid: u32) -> bool {
    i32::try_from(pid).is_ok_and(|pid| kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH))
}

fn from_proc() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers
        .filter_map(|pid: u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let command = String::from_utf8_lossy(&line).replace('\0', " ");
            Some(Process { pid, command })
        })
        .collect()
}

fn from_ps() -> Vec<Process> {
    let Ok(output) = Command::new("ps").args(["-axww", "-o", "pid=", "-o", "command="]).output() else {
        return Vec::new();
    };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| {
            let (pid, command) = line.trim_start().split_once(' ')?;
            Some(Process { pid: pid.parse().ok()?, command: command.to_owned() })
        })
        .collect()
}
