//! The log in JSON, as a process writes it: whose each line is, and that no secret is in it.

use std::collections::BTreeSet;
use std::process::Stdio;

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value, json};
use test_support::receiver::WebhookReceiver;
use test_support::{Client, Database, until};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::ChildStderr;
use tokio::time::timeout;
use uuid::Uuid;

use crate::programs::command;
use crate::world::{PATIENCE, World, id};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SECRET: &str = "Kl4rt3xt";

/// The lines up to one that says this, and that one.
async fn lines_to(lines: &mut Lines<BufReader<ChildStderr>>, message: &str) -> anyhow::Result<Vec<String>> {
    let mut read = Vec::new();
    while let Some(line) = timeout(PATIENCE, lines.next_line()).await?? {
        let is_last = serde_json::from_str::<Value>(&line).is_ok_and(|line| line["message"] == message);
        read.push(line);
        if is_last {
            return Ok(read);
        }
    }
    anyhow::bail!("the log ended without '{message}': {read:?}")
}

#[tokio::test]
async fn lines_tell_whose_they_are_and_no_secret_at_any_level() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let tenant = database.tenant("Web shop").await?;
    let mut child = command("testrun-api")
        .await?
        .envs([("DATABASE_URL", database.url.as_str()), ("TESTRUN_LISTEN", "127.0.0.1:0")])
        .envs([("LOG_FORMAT", "json"), ("RUST_LOG", "trace")])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stderr.take().context("no standard error")?).lines();
    let begun = lines_to(&mut lines, "api listens").await?;
    let listens: Value = serde_json::from_str(begun.last().context("a line")?)?;
    let base_url = format!("http://{}", listens["address"].as_str().context("an address")?);

    let log = tokio::spawn(async move { lines_to(&mut lines, "stopping").await });
    let run = requests(&base_url, &tenant.token).await?;
    let process = nix::unistd::Pid::from_raw(i32::try_from(child.id().context("it has ended")?)?);
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGTERM)?;
    let log = log.await??;

    for secret in [SECRET, &tenant.token, &tenant.token["trn_".len()..]] {
        let told: Vec<_> = log.iter().filter(|line| line.contains(secret)).collect();
        assert!(told.is_empty(), "{secret}: {told:#?}");
    }
    let log = log.iter().map(|line| serde_json::from_str(line)).collect::<Result<Vec<Value>, _>>()?;
    is_told(&log, &run, &tenant.project_id.to_string());
    Ok(())
}

/// Requests with secrets wherever a client may put one; the run that they are about.
async fn requests(base_url: &str, token: &str) -> anyhow::Result<Uuid> {
    let client = Client::new(base_url, Some(token))?;
    let run = client.post("/api/v1/test-runs", &json!({"description": SECRET, "tags": [SECRET]})).await?.expect(201)?;
    let run = id(&run["id"])?;
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?;
    let path = format!("{base_url}/api/v1/test-runs/{run}");
    let own = |request: reqwest::RequestBuilder| {
        request
            .bearer_auth(token)
            .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))
            .header("x-request-id", "request-of-the-story")
            .header("cookie", format!("session={SECRET}"))
    };
    let status = own(http.get(&path)).send().await?.status();
    anyhow::ensure!(status == 200, "{status}");
    // A body that is no JSON, one that breaks rules, one for something that is not there, and a token that is none.
    for (method, path, body, expected) in [
        (Method::POST, "/api/v1/test-runs", SECRET.to_owned(), 400),
        (Method::POST, "/api/v1/test-runs", json!({"parallel_count": SECRET, SECRET: 1}).to_string(), 400),
        (
            Method::PUT,
            "/api/v1/test-cases/00000000-0000-0000-0000-000000000000",
            json!({"name": SECRET}).to_string(),
            404,
        ),
    ] {
        let request = http.request(method, format!("{base_url}{path}")).header("content-type", "application/json");
        let status = own(request).body(body).send().await?.status();
        anyhow::ensure!(status == expected, "{path}: {status}");
    }
    let status = http.get(&path).bearer_auth(format!("trn_{SECRET}")).send().await?.status();
    anyhow::ensure!(status == 401, "{status}");
    Ok(run)
}

/// Each line inside a request says which, and those inside the one about the run tell run, project, route and trace.
fn is_told(log: &[Value], run: &Uuid, project: &str) {
    let own: Vec<_> = log.iter().filter(|line| line["request_id"] == "request-of-the-story").collect();
    assert!(!own.is_empty(), "nothing is logged inside the request");
    assert!(own.iter().all(|line| line["trace_id"] == TRACE), "{own:#?}");
    let about_run = json!({
        "method": "GET", "route": "/api/v1/test-runs/{run_id}", "run_id": run.to_string(), "project_id": project,
    });
    assert!(own.iter().any(|line| has(line, &about_run)), "no line about the run: {own:#?}");
    let created: BTreeSet<_> = log
        .iter()
        .filter(|line| line["route"] == "/api/v1/test-runs" && line["run_id"] == run.to_string())
        .filter_map(|line| line["trace_id"].as_str())
        .collect();
    assert_eq!(created.len(), 1, "the request that created the run has a trace of its own: {created:?}");
    assert!(!created.contains(TRACE));
}

/// What a client does to a run, the jobs that come of it, the mail and the webhook are found by one id.
#[tokio::test(flavor = "multi_thread")]
async fn a_trace_leads_from_a_request_over_its_jobs_to_mail_and_webhook() -> anyhow::Result<()> {
    let world = World::start().await?;
    let receiver = WebhookReceiver::start().await?;
    world.post("/webhooks", &json!({ "url": receiver.url("/"), "event_types": ["run.completed"] }), 201).await?;
    let mut worker = command("testrun-worker")
        .await?
        .envs([("DATABASE_URL", world.database.url.as_str()), ("SMTP_URL", world.sink.url().as_str())])
        .envs([("MAIL_FROM", "testrun@example.com"), ("TESTRUN_ADMIN_LISTEN", "127.0.0.1:0")])
        .envs([("LOG_FORMAT", "json"), ("RUST_LOG", "warn,testrun_shared=debug")])
        .env("TESTRUN_WEBHOOK_ALLOW_CIDRS", "127.0.0.0/8")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let lines = BufReader::new(worker.stderr.take().context("no standard error")?).lines();
    let _scheduler = world.scheduler().await?;

    let run = ended_in_the_trace(&world).await?;
    let mail = world.sink.wait_for(1, PATIENCE).await?.remove(0);
    let request = receiver.wait_for(1, PATIENCE).await?.remove(0);
    for place in [mail.header("Traceparent").unwrap_or_default().as_str(), request.header("traceparent")] {
        assert!(place.contains(TRACE), "{place}");
    }
    let ended = ["refresh_run", "finalise_run", "send_email", "deliver_webhook"].map(|queue| {
        json!({
            "message": "job is done", "queue": queue, "trace_id": TRACE, "run_id": run.to_string(),
            "project_id": world.tenant.project_id.to_string(),
        })
    });
    are_told(lines, ended.into()).await?;
    worker.kill().await?;
    Ok(())
}

/// A scheduled run of one test, started and ended by requests in the trace.
async fn ended_in_the_trace(world: &World) -> anyhow::Result<Uuid> {
    world.test_cases(&["ROOT"], &["Login"]).await?;
    let fields = json!({ "suite_path": ["ROOT"], "notification_emails": ["team@example.com"] });
    world.due_now("Nightly", fields).await?;
    let run = world.queued_run("Nightly").await?;
    // What the schedule caused is in a trace of its own; once it is done, whatever follows comes of these requests.
    until("the new run to be counted", PATIENCE, || async {
        let waiting = world.select("SELECT to_jsonb(r) FROM run_refreshes r WHERE run_id = $1", run.id).await?;
        Ok(waiting.is_empty().then_some(()))
    })
    .await?;
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?;
    for (path, body) in [
        (format!("/api/v1/test-runs/{}/start", run.id), json!({})),
        ("/api/v1/test-run-results".to_owned(), run.result(0, "passed")),
    ] {
        let request = http.post(format!("{}{path}", world.base_url)).bearer_auth(&world.tenant.token);
        let request = request.header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"));
        request.json(&body).send().await?.error_for_status()?;
    }
    Ok(run.id)
}

/// Reads the log until each of these has come: a line with all of its fields.
async fn are_told(mut lines: Lines<BufReader<ChildStderr>>, mut expected: Vec<Value>) -> anyhow::Result<()> {
    while !expected.is_empty() {
        let line = timeout(PATIENCE, lines.next_line()).await.with_context(|| format!("not told: {expected:#?}"))??;
        let line: Value = serde_json::from_str(&line.context("the log ended")?)?;
        expected.retain(|fields| !has(&line, fields));
    }
    Ok(())
}

fn has(line: &Value, fields: &Value) -> bool {
    fields.as_object().into_iter().flatten().all(|(name, value)| line[name.as_str()] == *value)
}
