//! Programs that run to their end, or that are watched from outside.

use std::path::Path;
use std::process::{Output, Stdio};

use test_support::processes::path;
use tokio::process::Command;

use crate::world::PATIENCE;

/// A program of the workspace with none of our settings, but for the place of PostgreSQL.
pub(crate) async fn command(program: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(path(program).await?);
    for (name, _) in std::env::vars() {
        let is_setting = name.starts_with("TESTRUN_") && name != "TESTRUN_PG_BIN";
        let others = ["DATABASE_URL", "SMTP_URL", "MAIL_FROM", "RUST_LOG", "LOG_FORMAT"];
        if is_setting || others.contains(&name.as_str()) {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    Ok(command)
}

/// Runs a program to its end.
pub(crate) async fn output(program: &str, variables: &[(&str, &str)], arguments: &[&str]) -> anyhow::Result<Output> {
    let mut command = command(program).await?;
    command.envs(variables.iter().copied()).args(arguments);
    Ok(tokio::time::timeout(PATIENCE, command.output()).await??)
}

/// Runs a program that must end well, and gives what it printed.
pub(crate) async fn printed(program: &str, variables: &[(&str, &str)], arguments: &[&str]) -> anyhow::Result<String> {
    let output = output(program, variables, arguments).await?;
    let text = String::from_utf8(output.stdout)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{program} {arguments:?} ended with {}: {errors}", output.status);
    Ok(text)
}

/// The processes whose command line has this directory in it, as numbers and command lines.
pub(crate) fn processes_of(directory: &Path) -> anyhow::Result<Vec<String>> {
    let own = std::process::id().to_string();
    let directory = directory.display().to_string();
    let mut found = Vec::new();
    for line in command_lines()? {
        let is_own = line.split_whitespace().next() == Some(&own);
        if line.contains(&directory) && !is_own {
            found.push(line);
        }
    }
    Ok(found)
}

/// Every process: its number, a blank, its command line. Slim images have no `ps`, other systems than Linux no `/proc`.
fn command_lines() -> anyhow::Result<Vec<String>> {
    if !Path::new("/proc/self/cmdline").exists() {
        let listed = std::process::Command::new("ps").args(["-axww", "-o", "pid=", "-o", "command="]).output()?;
        return Ok(String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect());
    }
    let mut lines = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        // A process may end while it is looked at.
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        lines.push(format!("{} {line}", entry.file_name().display()));
    }
    Ok(lines)
}
