//! What operators do on the command line, and over REST with a token that the command line made for it.

use serde_json::{Value, json};
use test_support::{Client, Database, Process};

use crate::programs::{output, printed};

/// What `testrun admin` prints for these arguments.
async fn admin(database: &Database, arguments: &[&str]) -> anyhow::Result<String> {
    printed("testrun", &[("DATABASE_URL", &database.url)], &[&["admin"], arguments].concat()).await
}

/// The same with `--json`.
async fn admin_json(database: &Database, arguments: &[&str]) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&admin(database, &[arguments, &["--json"]].concat()).await?)?)
}

/// What `testrun admin` complains of, failing.
async fn refused(database: &Database, arguments: &[&str]) -> anyhow::Result<String> {
    let output = output("testrun", &[("DATABASE_URL", &database.url)], &[&["admin"], arguments].concat()).await?;
    anyhow::ensure!(!output.status.success(), "{arguments:?} succeeded");
    Ok(String::from_utf8(output.stderr)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_are_shown_paused_and_resumed_on_the_command_line_and_over_rest() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let tenant = database.tenant("Shop").await?;
    let table = admin(&database, &["queues"]).await?;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 6, "{table}");
    let dead = lines[0].find("DEAD").unwrap_or_default();
    assert!(
        lines[0].starts_with("QUEUE ") && lines.iter().skip(1).all(|line| line.get(dead..=dead) == Some("0")),
        "{table}"
    );

    let paused = admin_json(&database, &["queues", "pause", "send_email", "--reason", "moving"]).await?;
    assert_eq!((&paused[0]["is_paused"], &paused[0]["paused_reason"]), (&json!(true), &json!("moving")));
    assert!(admin(&database, &["queues", "list"]).await?.contains("moving"));
    let unknown = refused(&database, &["queues", "pause", "mails"]).await?;
    assert!(unknown.contains("there is no such queue; there are create_scheduled_run, "), "{unknown}");

    let user = tenant.user_id.to_string();
    let token = ["create-token", "--project", "Shop", "--user", &user, "--operator"];
    let token = admin(&database, &token).await?;
    let api = Process::api(&database.url).await?;
    let operator = Client::new(&api.url().await?, Some(token.trim()))?;
    let queues = operator.get("/api/v1/admin/queues").await?.expect(200)?;
    assert_eq!(queues["items"], admin_json(&database, &["queues"]).await?);
    operator.post("/api/v1/admin/queues/send_email/resume", &json!({})).await?.expect(200)?;
    let resumed = admin_json(&database, &["queues", "resume", "send_email"]).await?;
    assert_eq!(resumed[0]["is_paused"], false);
    operator.with_token(Some(&tenant.token)).get("/api/v1/admin/queues").await?.expect(403)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_jobs_are_shown_retried_and_discarded_on_the_command_line() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let insert = "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, done_at, priority, last_result)
        SELECT 'job-' || number, queue, '{}', 'Killed', 3, 1, now(), now(), 0, '{\"Err\": \"AbortError: worn\\nout\"}'
        FROM (VALUES (1, 'bygone'), (2, 'bygone'), (3, 'send_email'), (4, 'send_email')) AS dead (number, queue)";
    sqlx::query(insert).execute(&database.pool).await?;
    let table = admin(&database, &["jobs", "list"]).await?;
    assert_eq!(table.lines().count(), 5, "{table}");
    assert!(table.contains("job-4  send_email  dead    3") && table.contains("worn out"), "{table}");
    let listed = admin_json(&database, &["jobs", "list", "--queue", "send_email", "--limit", "1"]).await?;
    assert_eq!((&listed[0]["id"], listed.as_array().map(Vec::len)), (&json!("job-4"), Some(1)));

    let retried = admin_json(&database, &["jobs", "retry", "job-1"]).await?;
    assert_eq!((&retried[0]["id"], &retried[0]["status"]), (&json!("job-1"), &json!("available")));
    let both = refused(&database, &["jobs", "retry", "job-1", "job-2"]).await?;
    assert!(
        both.contains("1 of 2 jobs") && both.contains("job-1: Cannot retry job: its status is 'available'"),
        "{both}"
    );
    let discarded = admin_json(&database, &["jobs", "discard", "--queue", "send_email"]).await?;
    assert_eq!(discarded, json!(["job-4", "job-3"]));
    assert_eq!(admin_json(&database, &["jobs", "list"]).await?, json!([]));
    let neither = refused(&database, &["jobs", "discard"]).await?;
    assert!(neither.contains("--queue"), "{neither}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_can_be_checked_on_the_command_line() -> anyhow::Result<()> {
    let database = Database::new().await?;
    database.tenant("Shop").await?;
    let sound = admin(&database, &["check"]).await?;
    assert!(sound.starts_with("CHECK ") && sound.contains("run_numbers"), "{sound}");
    let damage = "INSERT INTO test_runs (run_name, run_number, project_id, created_by)
        SELECT 'Run', 7, project_id, user_id FROM project_members";
    sqlx::query(damage).execute(&database.pool).await?;
    let told = refused(&database, &["check"]).await?;
    assert!(told.contains("1 of ") && told.contains("rules are violated"), "{told}");
    Ok(())
}

#[tokio::test]
async fn how_long_things_are_kept_is_read_from_the_environment_and_explained() -> anyhow::Result<()> {
    for (program, command) in [("testrun-scheduler", None), ("testrun", Some("up"))] {
        let arguments: Vec<&str> = command.into_iter().chain(["--help"]).collect();
        let help = printed(program, &[], &arguments).await?;
        for (name, default) in [
            ("RUNS", "forever"),
            ("LOGS", "forever"),
            ("HISTORY", "forever"),
            ("EVENTS", "7d"),
            ("IDEMPOTENCY_KEYS", "24h"),
            ("DONE_JOBS", "24h"),
            ("DEAD_JOBS", "14d"),
        ] {
            let variable = format!("TESTRUN_RETENTION_{name}=");
            let after = help.split(&variable).nth(1).unwrap_or_default();
            assert!(after.contains(&format!("[default: {default}]")), "{program} does not explain {variable}: {help}");
        }
        let variables =
            [("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing"), ("TESTRUN_RETENTION_IDEMPOTENCY_KEYS", "23h")];
        let refused = output(program, &variables, &command.into_iter().collect::<Vec<_>>()).await?;
        let message = String::from_utf8(refused.stderr)?;
        assert!(!refused.status.success() && message.contains("must be at least 1d"), "{message}");
    }
    Ok(())
}
