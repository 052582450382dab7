use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use testrun_postgres::{Error, Options, Search, join, start};

use crate::support::{cluster, open_dir, options, temp_dir, write_script};

const WAYS_OUT: [&str; 5] =
    ["apt install postgresql", "brew install postgresql", "docker compose", "DATABASE_URL=", "TESTRUN_PG_BIN="];

/// A search that finds nothing.
fn nowhere(cache_dir: &Path) -> Search {
    Search {
        pg_bin: None,
        path: OsString::new(),
        packages: vec!["/nonexistent/postgresql/*/bin".to_owned()],
        cache_dir: Some(cache_dir.to_owned()),
        download: None,
    }
}

async fn refusal(search: Search) -> Error {
    let dir = temp_dir();
    start(Options { search, ..options(dir.path()) }).await.unwrap_err()
}

#[tokio::test]
async fn a_machine_without_postgres_gets_every_reason_and_the_ways_out() {
    let cache = temp_dir();
    let error = refusal(nowhere(cache.path())).await;
    let Error::NotFound { steps, .. } = &error else { panic!("{error}") };
    let places: Vec<&str> = steps.iter().map(|step| step.place.as_str()).collect();
    let expected =
        ["TESTRUN_PG_BIN", "pg_config --bindir", "PATH", "/nonexistent/postgresql/*/bin", "earlier download"];
    assert_eq!(places, [expected.as_slice(), &["download"]].concat());
    let message = error.to_string();
    for part in expected.into_iter().chain(WAYS_OUT) {
        assert!(message.contains(part), "{part} in: {message}");
    }
    assert!(message.lines().any(|line| line == "  PATH: no `postgres` in it"), "{message}");
}

#[tokio::test]
async fn a_useless_testrun_pg_bin_is_refused_by_name() {
    let (empty, missing) = (open_dir(), Path::new("/nonexistent/bin"));
    for dir in [empty.path(), missing] {
        let error = refusal(Search { pg_bin: Some(dir.to_owned()), ..Search::from_env() }).await;
        assert!(matches!(error, Error::PgBin { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains(&format!("TESTRUN_PG_BIN={}", dir.display())), "{message}");
        for way in WAYS_OUT {
            assert!(message.contains(way), "{way} in: {message}");
        }
    }
}

#[tokio::test]
async fn programs_are_judged_by_what_they_say() {
    for (postgres, reason) in [
        ("echo 'postgres (PostgreSQL) 14.9'", "has version 14.9, older than 15"),
        ("echo 'postgres (PostgreSQL) 16.1'", "has no `hstore` extension"),
        ("echo usage", "--version said \"usage\""),
        ("echo broken >&2; exit 3", "exit status: 3): broken"),
    ] {
        let dir = open_dir();
        write_script(&dir.path().join("postgres"), postgres);
        write_script(&dir.path().join("initdb"), &format!("echo share_path={}", dir.path().display()));
        let cache = temp_dir();
        let search = Search { path: dir.path().as_os_str().to_owned(), ..nowhere(cache.path()) };
        let error = refusal(search).await;
        let Error::NotFound { steps, .. } = &error else { panic!("{error}") };
        let step = steps.iter().find(|step| step.place == "PATH").unwrap();
        assert!(step.reason.contains(reason), "{reason} in: {step}");
    }
}

#[tokio::test]
async fn an_earlier_download_is_found_and_the_way_to_it_told() {
    let (dir, cache) = (temp_dir(), open_dir());
    let first = start(options(dir.path())).await.unwrap();
    let description = first.description();
    let (_, rest) = description.split_once(" from ").unwrap();
    let (bin, _) = rest.split_once(" (found by").unwrap();
    for (name, target) in [("9.6.1", "/nonexistent"), ("99.1.0", bin)] {
        fs::create_dir(cache.path().join(name)).unwrap();
        std::os::unix::fs::symlink(target, cache.path().join(name).join("bin")).unwrap();
    }
    first.stop().await.unwrap();
    let second = start(Options { search: nowhere(cache.path()), ..options(dir.path()) }).await.unwrap();
    assert!(second.description().contains("found by earlier download"), "{}", second.description());
    assert!(second.passed_over().iter().any(|step| step.place == "PATH"));
    second.stop().await.unwrap();
}

#[tokio::test]
async fn data_of_another_version_is_kept_and_refused() {
    let (dir, cache) = (temp_dir(), temp_dir());
    start(options(dir.path())).await.unwrap().stop().await.unwrap();
    fs::write(cluster(dir.path()).join("PG_VERSION"), "14\n").unwrap();
    let search = Search { cache_dir: Some(cache.path().to_owned()), download: None, ..Search::from_env() };
    let message = start(Options { search, ..options(dir.path()) }).await.unwrap_err().to_string();
    assert!(message.contains("version 14 is needed, which made the data"), "{message}");
    assert!(message.contains("but the data was made by version 14"), "{message}");
    assert!(cluster(dir.path()).join("base").exists());
}

#[tokio::test]
async fn a_directory_of_something_else_is_refused() {
    let dir = temp_dir();
    start(options(dir.path())).await.unwrap().stop().await.unwrap();
    fs::remove_file(cluster(dir.path()).join("PG_VERSION")).unwrap();
    let error = start(options(dir.path())).await.unwrap_err();
    assert!(matches!(error, Error::NotACluster { .. }), "{error}");
}

#[tokio::test]
async fn a_download_that_takes_too_long_is_given_up() {
    let cache = temp_dir();
    let search = Search { download: Some(Duration::ZERO), ..nowhere(cache.path()) };
    let dir = temp_dir();
    let error = join(Options { search, ..options(dir.path()) }).await.unwrap_err();
    let Error::NotFound { steps, .. } = &error else { panic!("{error}") };
    let step = steps.last().unwrap();
    assert!(step.place == "download" && step.reason.contains("took longer than 0 s"), "{step}");
}
