//! A bad setting stops the start, and the message names the variable.

use test_support::Database;
use tokio::net::TcpListener;

use crate::programs::output;

/// Where nobody answers; what is refused is refused before anybody is asked.
const NOWHERE: (&str, &str) = ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing");

#[tokio::test]
async fn values_that_make_no_sense_are_refused() -> anyhow::Result<()> {
    for (program, variables, arguments, named) in [
        (
            "testrun-worker",
            vec![NOWHERE, ("TESTRUN_QUEUES", "nope")],
            vec![],
            vec!["TESTRUN_QUEUES", "nope", "send_email"],
        ),
        (
            "testrun-worker",
            vec![NOWHERE, ("TESTRUN_QUEUES", "send_email,nope")],
            vec![],
            vec!["TESTRUN_QUEUES", "nope"],
        ),
        ("testrun-worker", vec![NOWHERE, ("TESTRUN_CONCURRENCY", "0")], vec![], vec!["concurrency", "1..=500"]),
        ("testrun-worker", vec![NOWHERE, ("SMTP_URL", "mail.example.com")], vec![], vec!["SMTP_URL"]),
        ("testrun-worker", vec![NOWHERE, ("MAIL_FROM", "nobody at all")], vec![], vec!["mail-from"]),
        ("testrun-worker", vec![NOWHERE, ("TESTRUN_PUBLIC_URL", "nonsense")], vec![], vec!["public-url"]),
        (
            "testrun-scheduler",
            vec![NOWHERE, ("TESTRUN_RUN_INACTIVITY_LIMIT", "soon")],
            vec![],
            vec!["inactivity-limit"],
        ),
        ("testrun-scheduler", vec![NOWHERE, ("RUST_LOG", "a=b=c")], vec![], vec!["RUST_LOG"]),
        ("testrun-api", vec![NOWHERE, ("TESTRUN_LISTEN", "here")], vec![], vec!["listen", "here"]),
        ("testrun-api", vec![], vec![], vec!["database-url"]),
        (
            "testrun-api",
            vec![("DATABASE_URL", "garbage"), ("TESTRUN_LISTEN", "127.0.0.1:0")],
            vec![],
            vec!["DATABASE_URL"],
        ),
        ("testrun-worker", vec![("DATABASE_URL", "garbage")], vec![], vec!["DATABASE_URL"]),
        ("testrun-scheduler", vec![("DATABASE_URL", "garbage")], vec![], vec!["DATABASE_URL"]),
        ("testrun", vec![("DATABASE_URL", "garbage")], vec!["up", "--listen", "127.0.0.1:0"], vec!["DATABASE_URL"]),
        ("testrun", vec![("DATABASE_URL", "garbage")], vec!["migrate"], vec!["DATABASE_URL"]),
        (
            "testrun",
            vec![("DATABASE_URL", "garbage")],
            vec!["admin", "create-project", "--name", "A"],
            vec!["DATABASE_URL"],
        ),
    ] {
        is_refused(program, &variables, &arguments, &named).await?;
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
