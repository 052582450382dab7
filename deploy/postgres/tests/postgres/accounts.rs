//! As root, as whom PostgreSQL refuses to run, and as an ordinary user.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::unistd::{Uid, User};
use testrun_postgres::{Error, start};

use crate::support::{cluster, connect, open_dir, options, temp_dir};

#[tokio::test]
async fn the_server_runs_as_a_user_who_owns_only_its_own_directories() {
    let dir = temp_dir();
    let server = start(options(dir.path())).await.unwrap();
    connect(&server.url("postgres")).await;
    let owner = |path: &str| fs::metadata(dir.path().join("postgres").join(path)).unwrap().uid();
    assert_ne!(owner("data"), 0);
    assert_eq!(owner("data"), owner("run"));
    assert_eq!(owner("."), Uid::effective().as_raw());
    assert_eq!(owner("postgres.log"), Uid::effective().as_raw());
    let mode = fs::metadata(dir.path().join("postgres/run")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o700);
    server.stop().await.unwrap();
}

/// For root only: an ordinary user's directories are their own.
#[tokio::test]
async fn a_closed_parent_is_named() {
    if !Uid::effective().is_root() {
        return;
    }
    let parent = temp_dir();
    let error = start(options(&parent.path().join("data"))).await.unwrap_err();
    assert!(matches!(&error, Error::Unreachable { blocked, .. } if blocked == parent.path()), "{error}");
    assert!(error.to_string().contains("--data-dir"), "{error}");
    assert!(!parent.path().join("data").exists());

    let full = temp_dir();
    fs::write(full.path().join("other"), "").unwrap();
    let error = start(options(full.path())).await.unwrap_err();
    assert!(matches!(&error, Error::Unreachable { blocked, .. } if blocked == full.path()), "{error}");
    assert_eq!(fs::metadata(full.path()).unwrap().uid(), 0);
}

/// For root only: there is nobody else to be.
#[tokio::test]
async fn the_data_of_an_ordinary_user_stays_theirs() {
    let Some(nobody) = nobody() else { return };
    let dir = open_dir();
    let (user, group) = (Some(nobody.uid.as_raw()), Some(nobody.gid.as_raw()));
    for name in ["postgres", "postgres/data"] {
        fs::create_dir(dir.path().join(name)).unwrap();
        std::os::unix::fs::chown(dir.path().join(name), user, group).unwrap();
    }
    let server = start(options(dir.path())).await.unwrap();
    connect(&server.url("postgres")).await;
    server.stop().await.unwrap();
    assert_eq!(fs::metadata(cluster(dir.path()).join("PG_VERSION")).unwrap().uid(), nobody.uid.as_raw());
}

/// For root only, since otherwise the other tests have shown it. A few of them are enough.
#[tokio::test]
async fn servers_live_and_end_the_same_for_an_ordinary_user() {
    let Some(nobody) = nobody() else { return };
    let dir = open_dir();
    let program = dir.path().join("tests");
    // Copied by another process: see `write_script`.
    let source = std::env::current_exe().unwrap();
    assert!(Command::new("install").args(["-m", "755"]).arg(source).arg(&program).status().unwrap().success());
    let mut command = Command::new(&program);
    command.args([
        "exclusive::data_outlives",
        "exclusive::a_killed_owner",
        "exclusive::a_second_owner",
        "shared::many",
    ]);
    command.current_dir("/").uid(nobody.uid.as_raw()).gid(nobody.gid.as_raw());
    command.env_remove("HOME").env_remove("XDG_CACHE_HOME");
    let output = tokio::process::Command::from(command).kill_on_drop(true).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("4 passed"), "{said}");
}

/// The user to be, if we are root and can choose.
fn nobody() -> Option<User> {
    User::from_name("nobody").unwrap().filter(|_| Uid::effective().is_root())
}
