use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::unistd::{Pid, getpgid, getpgrp};
use testrun_postgres::{Error, Options, start};

use crate::helper::{Helper, Use};
use crate::support::{
    cluster, connect, is_alive, kill_hard, open_dir, options, read_note, server_pid, temp_dir, until_gone, write_note,
};

#[tokio::test]
async fn data_outlives_the_server() {
    let dir = temp_dir();
    let server = start(Options::new(dir.path())).await.unwrap();
    let pid = server_pid(dir.path());
    assert_eq!(fsync(&server.url("postgres")).await, "on");
    write_note(&server.url("postgres")).await;
    server.stop().await.unwrap();
    assert!(!is_alive(pid));

    let server = start(Options::new(dir.path())).await.unwrap();
    assert_eq!(read_note(&server.url("postgres")).await.as_deref(), Some("kept"));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_server_speaks_utf8_on_a_private_socket_only() {
    let dir = temp_dir();
    let server = start(options(dir.path())).await.unwrap();
    let mut postgres = connect(&server.url("postgres")).await;
    let (encoding, addresses): (String, String) =
        sqlx::query_as("SELECT current_setting('server_encoding'), current_setting('listen_addresses')")
            .fetch_one(&mut postgres)
            .await
            .unwrap();
    assert_eq!((encoding.as_str(), addresses.as_str()), ("UTF8", ""));
    assert_eq!(fsync(&server.url("postgres")).await, "off");
    sqlx::raw_sql("CREATE EXTENSION hstore").execute(&mut postgres).await.unwrap();
    let description = server.description();
    let expected = format!("PostgreSQL {} from ", server.version());
    assert!(description.starts_with(&expected) && !description.contains('\n'), "{description}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_owner_leaves_no_server_and_is_no_obstacle() {
    let dir = temp_dir();
    let mut owner = Helper::spawn(Use::Start, dir.path());
    write_note(&owner.url().await).await;
    let pid = server_pid(dir.path());
    owner.kill();

    // At once, while the old server is still about to end.
    let server = start(options(dir.path())).await.unwrap();
    assert!(!is_alive(pid));
    assert_eq!(read_note(&server.url("postgres")).await.as_deref(), Some("kept"));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_ends_with_its_killed_owner_though_clients_are_connected() {
    let dir = temp_dir();
    let mut owner = Helper::spawn(Use::Start, dir.path());
    let _client = connect(&owner.url().await).await;
    let pid = server_pid(dir.path());
    owner.kill();
    until_gone(pid).await;
}

#[tokio::test]
async fn a_dropped_server_ends() {
    let dir = temp_dir();
    let server = start(options(dir.path())).await.unwrap();
    let pid = server_pid(dir.path());
    drop(server);
    until_gone(pid).await;
}

#[tokio::test]
async fn a_terminals_interrupt_does_not_reach_the_server() {
    let dir = temp_dir();
    let server = start(options(dir.path())).await.unwrap();
    let group = getpgid(Some(Pid::from_raw(server_pid(dir.path())))).unwrap();
    assert_ne!(group, getpgrp());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_owner_is_refused_at_once() {
    let dir = temp_dir();
    let server = start(options(dir.path())).await.unwrap();
    let before = Instant::now();
    let error = start(options(dir.path())).await.unwrap_err();
    // Whoever waits for an earlier server's end does so for 20 s.
    assert!(before.elapsed() < Duration::from_secs(15));
    assert!(matches!(error, Error::InUse { .. }));
    let message = error.to_string();
    assert!(message.contains(&dir.path().display().to_string()), "{message}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn stale_pid_files_are_no_obstacle() {
    let dir = temp_dir();
    start(options(dir.path())).await.unwrap().stop().await.unwrap();
    let mut dead = Command::new("true").spawn().unwrap();
    dead.wait().unwrap();
    let mut stranger = Command::new("sleep").arg("600").spawn().unwrap();
    for number in [dead.id(), stranger.id()] {
        let socket_dir = dir.path().join("postgres/run");
        let (data, socket_dir) = (cluster(dir.path()), socket_dir.display());
        let text = format!("{number}\n{}\n1780000000\n5432\n{socket_dir}\n\n  1  1\nready   \n", data.display());
        fs::write(data.join("postmaster.pid"), text).unwrap();
        let server = start(options(dir.path())).await.unwrap();
        connect(&server.url("postgres")).await;
        server.stop().await.unwrap();
    }
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    for garbage in ["", "garbage\n", "\0\0\0\0"] {
        fs::write(cluster(dir.path()).join("postmaster.pid"), garbage).unwrap();
        let server = start(options(dir.path())).await.unwrap();
        connect(&server.url("postgres")).await;
        server.stop().await.unwrap();
    }
}

#[tokio::test]
async fn the_owner_is_told_when_the_server_dies_and_can_start_again() {
    let dir = temp_dir();
    let mut server = start(options(dir.path())).await.unwrap();
    kill_hard(server_pid(dir.path()));
    let error = server.exited().await;
    assert!(matches!(error, Error::Ended { .. }), "{error}");
    drop(server);

    let server = start(options(dir.path())).await.unwrap();
    connect(&server.url("postgres")).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_start_that_fails_shows_the_log() {
    let dir = temp_dir();
    start(options(dir.path())).await.unwrap().stop().await.unwrap();
    fs::write(cluster(dir.path()).join("postgresql.conf"), "no_such_setting = 1\n").unwrap();
    let message = start(options(dir.path())).await.unwrap_err().to_string();
    assert!(message.contains("no_such_setting") && message.contains("postgres.log"), "{message}");
}

#[tokio::test]
async fn long_and_odd_paths_do() {
    let dir = open_dir();
    for name in ["d".repeat(120), "with, comma".to_owned(), "100% blank + plus".to_owned()] {
        let data_dir = dir.path().join(name);
        let server = start(options(&data_dir)).await.unwrap();
        connect(&server.url("postgres")).await;
        let socket_dir = socket_dir(&data_dir);
        assert_eq!(fs::metadata(&socket_dir).unwrap().mode() & 0o777, 0o700, "{}", socket_dir.display());
        server.stop().await.unwrap();
        let stays = socket_dir.starts_with(&data_dir);
        assert_eq!(socket_dir.exists(), stays, "{}", socket_dir.display());
    }
}

async fn fsync(url: &str) -> String {
    sqlx::query_scalar("SHOW fsync").fetch_one(&mut connect(url).await).await.unwrap()
}

/// As the running server says.
fn socket_dir(dir: &Path) -> PathBuf {
    let text = fs::read_to_string(cluster(dir).join("postmaster.pid")).unwrap();
    PathBuf::from(text.lines().nth(4).unwrap())
}
