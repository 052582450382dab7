use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use testrun_postgres::Options;

/// Longer than anything takes that is waited for, however busy the machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A directory that only we may enter.
pub(crate) fn temp_dir() -> TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap()
}

/// A directory that every account may enter.
pub(crate) fn open_dir() -> TempDir {
    let dir = temp_dir();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    dir
}

/// A server in `dir` that is fast rather than safe.
pub(crate) fn options(dir: &Path) -> Options {
    Options { durable: false, ..Options::new(dir) }
}

pub(crate) fn cluster(dir: &Path) -> PathBuf {
    dir.join("postgres/data")
}

/// The process number of the server that runs in `dir`.
pub(crate) fn server_pid(dir: &Path) -> i32 {
    let text = fs::read_to_string(cluster(dir).join("postmaster.pid")).unwrap();
    text.lines().next().unwrap().parse().unwrap()
}

pub(crate) fn is_alive(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}

pub(crate) fn kill_hard(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn until_gone(pid: i32) {
    until(&format!("the end of process {pid}"), || !is_alive(pid)).await;
}

pub(crate) async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

/// Leaves a trace in the data of the server at `url`.
pub(crate) async fn write_note(url: &str) {
    let mut postgres = connect(url).await;
    sqlx::raw_sql("CREATE TABLE note AS SELECT 'kept' AS text").execute(&mut postgres).await.unwrap();
    postgres.close().await.unwrap();
}

/// The trace, if it is still there.
pub(crate) async fn read_note(url: &str) -> Option<String> {
    let mut postgres = connect(url).await;
    let note = sqlx::query_scalar("SELECT text FROM note").fetch_one(&mut postgres).await.ok();
    postgres.close().await.unwrap();
    note
}

/// Writes an executable script.
///
/// By another process, since a file that this one has open for writing while another test starts a program cannot be run.
pub(crate) fn write_script(path: &Path, text: &str) {
    let source = path.with_extension("source");
    fs::write(&source, format!("#!/bin/sh\n{text}\n")).unwrap();
    let status = Command::new("install").args(["-m", "755"]).arg(source).arg(path).status().unwrap();
    assert!(status.success());
}
