use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use testrun_postgres::{SharedServer, join};

use crate::helper::{Helper, Use};
use crate::support::{
    cluster, connect, is_alive, kill_hard, options, read_note, server_pid, temp_dir, until, until_gone, write_note,
};

#[tokio::test]
async fn a_shared_server_outlives_its_starter_and_ends_after_the_last() {
    let dir = temp_dir();
    let mut first = Helper::spawn(Use::Join, dir.path());
    first.url().await;
    let pid = server_pid(dir.path());
    let mut second = Helper::spawn(Use::Join, dir.path());
    let url = second.url().await;

    first.kill();
    let here = join(options(dir.path())).await.unwrap();
    assert_eq!(here.url("postgres"), url);
    assert_eq!(server_pid(dir.path()), pid);
    drop(here);
    write_note(&url).await;
    second.leave();
    until_gone(pid).await;

    let again = join(options(dir.path())).await.unwrap();
    assert_ne!(server_pid(dir.path()), pid);
    assert_eq!(read_note(&again.url("postgres")).await.as_deref(), Some("kept"));
    leave(again, dir.path()).await;
}

#[tokio::test]
async fn many_at_once_get_one_server() {
    let dir = temp_dir();
    let mut helpers: Vec<Helper> = (0..6).map(|_| Helper::spawn(Use::Join, dir.path())).collect();
    for helper in &mut helpers {
        connect(&helper.url().await).await;
    }
    let pid = server_pid(dir.path());
    // The log of a second server would have replaced that of the first.
    assert!(!dir.path().join("postgres/postgres.log.1").exists());
    for helper in helpers {
        helper.kill();
    }
    until_gone(pid).await;
}

#[tokio::test]
async fn a_server_waits_a_moment_for_the_next() {
    let dir = temp_dir();
    let mut server = join(options(dir.path())).await.unwrap();
    let mut has_waited = false;
    for _ in 0..10 {
        let (pid, left) = (server_pid(dir.path()), Instant::now());
        drop(server);
        server = join(options(dir.path())).await.unwrap();
        has_waited = server_pid(dir.path()) == pid;
        if has_waited {
            break;
        }
        // On a machine that is so busy that we were late, we try again.
        assert!(left.elapsed() >= Duration::from_secs(2), "gone within {:?}", left.elapsed());
    }
    assert!(has_waited, "never in ten times");
    assert!(server.description().contains(&dir.path().display().to_string()), "{}", server.description());
    leave(server, dir.path()).await;
}

#[tokio::test]
async fn joining_while_the_server_ends_gives_a_server() {
    let dir = temp_dir();
    drop(join(options(dir.path())).await.unwrap());
    let pid = server_pid(dir.path());
    // The log says so as soon as the watcher has told the server to end.
    let log = dir.path().join("postgres/postgres.log");
    until("the order to end", || fs::read_to_string(&log).unwrap().contains("fast shutdown")).await;
    let server = join(options(dir.path())).await.unwrap();
    connect(&server.url("postgres")).await;
    assert!(!is_alive(pid));
    leave(server, dir.path()).await;
}

#[tokio::test]
async fn a_dead_server_is_replaced() {
    let dir = temp_dir();
    let first = join(options(dir.path())).await.unwrap();
    let pid = server_pid(dir.path());
    kill_hard(pid);
    // The watcher may not have gone yet, and the files still tell of a server that is ready.
    until_gone(pid).await;
    let second = join(options(dir.path())).await.unwrap();
    assert_ne!(server_pid(dir.path()), pid);
    connect(&second.url("postgres")).await;
    drop(first);
    leave(second, dir.path()).await;
}

#[tokio::test]
async fn broken_data_and_that_of_another_version_are_made_anew() {
    let dir = temp_dir();
    let mut server = join(options(dir.path())).await.unwrap();
    for (file, content) in [("global/pg_control", "garbage"), ("PG_VERSION", "14\n"), ("PG_VERSION", "")] {
        write_note(&server.url("postgres")).await;
        leave(server, dir.path()).await;
        fs::write(cluster(dir.path()).join(file), content).unwrap();
        server = join(options(dir.path())).await.unwrap();
        assert_eq!(read_note(&server.url("postgres")).await, None, "{file}");
    }
    leave(server, dir.path()).await;
}

/// Gives up the last share.
async fn leave(server: SharedServer, dir: &Path) {
    let pid = server_pid(dir);
    drop(server);
    until_gone(pid).await;
}
