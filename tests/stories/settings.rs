//! A bad setting stops the start, and the message names the variable.

use std::process::Stdio;

use anyhow::Context as _;
use test_support::Database;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;

use crate::programs::{command, output};
use crate::world::PATIENCE;

/// Where nobody answers; what is refused is refused before anybody is asked.
const NOWHERE: (&str, &str) = ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing");

#[tokio::test]
async fn values_that_make_no_sense_are_refused() -> anyhow::Result<()> {
    for (program, variable, value, named) in [
        ("testrun-worker", "TESTRUN_QUEUES", "nope", ["TESTRUN_QUEUES", "'nope'", "send_email"]),
        ("testrun-worker", "TESTRUN_QUEUES", "send_email,nope", ["TESTRUN_QUEUES", "'nope'", "send_email"]),
        ("testrun-worker", "TESTRUN_CONCURRENCY", "0", ["--concurrency", "'0'", "1..=500"]),
        ("testrun-worker", "TESTRUN_DATABASE_CONNECTIONS", "1", ["--database-connections", "'1'", "2..=1000"]),
        ("testrun-worker", "TESTRUN_PUBLIC_URL", "nonsense", ["--public-url", "'nonsense'", "URL"]),
        ("testrun-worker", "SMTP_URL", "mail.example.com", ["SMTP_URL", "mail server", "URL"]),
        ("testrun-worker", "MAIL_FROM", "nobody at all", ["--mail-from", "'nobody at all'", ""]),
        (
            "testrun-worker",
            "TESTRUN_WEBHOOK_ALLOW_CIDRS",
            "10.0.0.0/33",
            ["--webhook-allow-cidrs", "'10.0.0.0/33'", "network"],
        ),
        ("testrun-scheduler", "TESTRUN_RUN_INACTIVITY_LIMIT", "soon", ["--run-inactivity-limit", "'soon'", "digit"]),
        ("testrun-scheduler", "RUST_LOG", "a=b=c", ["RUST_LOG", "filter", ""]),
        ("testrun-api", "TESTRUN_LISTEN", "here", ["--listen", "'here'", "address"]),
    ] {
        is_refused(program, &[NOWHERE, (variable, value)], &[], &named).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_database_url_is_asked_for_and_has_to_be_one() -> anyhow::Result<()> {
    let garbage = [("DATABASE_URL", "garbage")];
    let up: &[&str] = &["up", "--listen", "127.0.0.1:0"];
    let api: &[&str] = &["--listen", "127.0.0.1:0"];
    for (program, arguments) in [
        ("testrun-api", api),
        ("testrun-worker", &[]),
        ("testrun-scheduler", &[]),
        ("testrun", up),
        ("testrun", &["migrate"]),
        ("testrun", &["admin", "create-project", "--name", "A"]),
    ] {
        is_refused(program, &garbage, arguments, &["DATABASE_URL: not a PostgreSQL URL"]).await?;
    }
    for program in ["testrun-api", "testrun-worker", "testrun-scheduler"] {
        is_refused(program, &[], &[], &["--database-url <DATABASE_URL>"]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn addresses_that_are_taken_are_refused() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let url = ("DATABASE_URL", database.url.as_str());
    let taken = TcpListener::bind("127.0.0.1:0").await?;
    let address = taken.local_addr()?.to_string();
    for (program, variable) in [
        ("testrun-api", "TESTRUN_LISTEN"),
        ("testrun", "TESTRUN_LISTEN"),
        ("testrun-worker", "TESTRUN_ADMIN_LISTEN"),
        ("testrun-scheduler", "TESTRUN_ADMIN_LISTEN"),
    ] {
        is_refused(program, &[url, (variable, &address)], &[], &[variable, &address]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_pool_that_is_larger_than_the_server_allows_is_told_of() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let mut command = command("testrun-scheduler").await?;
    command.envs([("DATABASE_URL", database.url.as_str()), ("TESTRUN_DATABASE_CONNECTIONS", "1000")]);
    let mut scheduler = command.stderr(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(scheduler.stderr.take().context("no log")?).lines();
    let warning = tokio::time::timeout(PATIENCE, async {
        loop {
            let line = lines.next_line().await?.context("it ended without a warning")?;
            if line.contains("TESTRUN_DATABASE_CONNECTIONS") {
                return anyhow::Ok(line);
            }
        }
    });
    let warning = warning.await??;
    assert!(warning.contains("WARN") && warning.contains("wanted=1000"), "{warning}");
    Ok(())
}

async fn is_refused(
    program: &str,
    variables: &[(&str, &str)],
    arguments: &[&str],
    named: &[&str],
) -> anyhow::Result<()> {
    let output = output(program, variables, arguments).await?;
    let message = String::from_utf8(output.stderr)?;
    let about = format!("{program} {arguments:?} with {variables:?} ended with {}: {message}", output.status);
    assert!(!output.status.success(), "{about}");
    for name in named {
        assert!(message.contains(name), "no '{name}'; {about}");
    }
    assert!(!message.contains("panicked"), "{about}");
    Ok(())
}
