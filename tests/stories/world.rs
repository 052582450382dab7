//! The stage of a story: a database of its own, a project in it, a mail server, and an `api` to talk to.

use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use test_support::smtp::SmtpSink;
use test_support::{Client, Database, Process, Tenant, until};
use uuid::Uuid;

/// How long anything may take on a busy machine, the takeover of a dead worker's jobs included.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) base_url: String,
    pub(crate) tenant: Tenant,
    pub(crate) sink: SmtpSink,
    _api: Process,
    pub(crate) database: Database,
}

/// A run as an agent has it in hand.
pub(crate) struct Run {
    pub(crate) id: Uuid,
    /// Its items in execution order, and their test cases.
    pub(crate) items: Vec<(Uuid, Uuid)>,
}

impl Run {
    /// The body of a result of the item with this number, counted from 0.
    pub(crate) fn result(&self, number: usize, status: &str) -> Value {
        let (item, test_case) = self.items[number];
        json!({ "test_run_id": self.id, "test_run_item_id": item, "test_case_id": test_case, "status": status })
    }

    /// As [`Self::result`], with these fields too.
    pub(crate) fn result_with(&self, number: usize, status: &str, more: Value) -> anyhow::Result<Value> {
        merged(self.result(number, status), more)
    }
}

impl World {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let database = Database::new().await?;
        let tenant = database.tenant("Web shop").await?;
        let sink = SmtpSink::start().await?;
        let api = Process::api(&database.url).await?;
        let base_url = api.url().await?;
        let client = Client::new(&base_url, Some(&tenant.token))?;
        Ok(Self { client, base_url, tenant, sink, _api: api, database })
    }

    pub(crate) async fn worker(&self) -> anyhow::Result<Process> {
        Process::worker(&self.database.url, &self.sink.url()).await
    }

    /// A worker that knows the service's address.
    pub(crate) async fn worker_with_links(&self) -> anyhow::Result<Process> {
        let settings = [("TESTRUN_PUBLIC_URL", self.base_url.as_str())];
        Process::worker_with(&self.database.url, &self.sink.url(), &settings).await
    }

    pub(crate) async fn scheduler(&self) -> anyhow::Result<Process> {
        Process::scheduler(&self.database.url).await
    }

    /// What is at a path below `/api/v1`.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::GET, path, None, 200).await
    }

    /// The answer to a POST, which must have this status.
    pub(crate) async fn post(&self, path: &str, body: &Value, status: u16) -> anyhow::Result<Value> {
        self.send(Method::POST, path, Some(body), status).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>, status: u16) -> anyhow::Result<Value> {
        let what = format!("{method} {path}");
        // On a busy machine the service may ask to be asked again, having done nothing.
        let answer = until(&format!("an answer other than 503 to {what}"), PATIENCE, || async {
            let answer = self.client.send(method.clone(), &format!("/api/v1{path}"), body).await?;
            Ok((answer.status != StatusCode::SERVICE_UNAVAILABLE).then_some(answer))
        })
        .await?;
        answer.expect(status).context(what)
    }

    /// Stores a result, which must be taken, and gives it as stored.
    pub(crate) async fn submit(&self, result: &Value) -> anyhow::Result<Value> {
        self.post("/test-run-results", result, 201).await
    }

    /// Creates test cases of a suite.
    pub(crate) async fn test_cases(&self, suite_path: &[&str], names: &[&str]) -> anyhow::Result<Vec<Uuid>> {
        let cases: Vec<_> =
            names.iter().map(|name| json!({ "name": name, "suite_path": suite_path, "external_key": name })).collect();
        let stored = self.post("/test-cases/bulk", &json!({ "test_cases": cases }), 200).await?;
        rows(&stored)?.iter().map(|case| id(&case["id"])).collect()
    }

    /// Creates a run with these fields and test cases, and starts it.
    pub(crate) async fn started_run(&self, fields: &Value, test_cases: &[Uuid]) -> anyhow::Result<Run> {
        let run = id(&self.post("/test-runs", fields, 201).await?["id"])?;
        self.post(&format!("/test-runs/{run}/items/bulk"), &json!({ "test_case_ids": test_cases }), 201).await?;
        self.post(&format!("/test-runs/{run}/start"), &json!({}), 200).await?;
        Ok(Run { id: run, items: self.items(run).await? })
    }

    /// Waits, as an agent does, for the run of the schedule with this name, and takes its items.
    pub(crate) async fn queued_run(&self, schedule_name: &str) -> anyhow::Result<Run> {
        let run = self.run_of(schedule_name, "queued").await?;
        let id = id(&run["id"])?;
        Ok(Run { id, items: self.items(id).await? })
    }

    /// Waits until the schedule with this name has a run of this status.
    pub(crate) async fn run_of(&self, schedule_name: &str, status: &str) -> anyhow::Result<Value> {
        let query = [("status", status), ("search", schedule_name)];
        let path = reqwest::Url::parse_with_params(&format!("{}/api/v1/test-runs", self.base_url), query)?;
        let path = &path.as_str()[self.base_url.len() + "/api/v1".len()..];
        until(&format!("a {status} run of '{schedule_name}'"), PATIENCE, || async {
            let runs = self.get(path).await?;
            Ok(rows(&runs)?.first().cloned())
        })
        .await
    }

    async fn items(&self, run: Uuid) -> anyhow::Result<Vec<(Uuid, Uuid)>> {
        let items = self.get(&format!("/test-runs/{run}/items?limit=100")).await?;
        rows(&items)?.iter().map(|item| Ok((id(&item["id"])?, id(&item["test_case_id"])?))).collect()
    }

    /// The item with this number, counted from 0, as it is now.
    pub(crate) async fn item(&self, run: &Run, number: usize) -> anyhow::Result<Value> {
        let items = self.get(&format!("/test-runs/{}/items?limit=1&offset={number}", run.id)).await?;
        rows(&items)?.first().cloned().context("no such item")
    }

    /// Waits until a run is `completed`, and gives it as it is then.
    pub(crate) async fn completed(&self, run: Uuid) -> anyhow::Result<Value> {
        until("the run to be completed", PATIENCE, || async {
            let run = self.get(&format!("/test-runs/{run}")).await?;
            anyhow::ensure!(!matches!(run["status"].as_str(), Some("failed" | "cancelled")), "it ended as {run}");
            Ok((run["status"] == "completed").then_some(run))
        })
        .await
    }

    /// Creates a one-time schedule that is due at once, with these fields too.
    pub(crate) async fn due_now(&self, schedule_name: &str, more: Value) -> anyhow::Result<Uuid> {
        let now = self.wall_clock("UTC", 0).await?;
        let schedule = json!({ "schedule_name": schedule_name, "scheduled_datetime": now });
        id(&self.post("/schedules", &merged(schedule, more)?, 201).await?["id"])
    }

    /// What a clock in `zone` shows so many seconds from now, by the database's time.
    pub(crate) async fn wall_clock(&self, zone: &'static str, seconds: i32) -> anyhow::Result<String> {
        let sql = r#"SELECT to_char((clock_timestamp() + make_interval(secs => $2)) AT TIME ZONE $1, 'YYYY-MM-DD"T"HH24:MI:SS')"#;
        Ok(sqlx::query_scalar(sql).bind(zone).bind(f64::from(seconds)).fetch_one(&self.database.pool).await?)
    }

    /// Rows of the database as JSON, for what no endpoint shows.
    pub(crate) async fn select(&self, sql: &'static str, id: Uuid) -> anyhow::Result<Vec<Value>> {
        Ok(sqlx::query_scalar(sql).bind(id).fetch_all(&self.database.pool).await?)
    }

    /// The executions of a schedule, oldest first.
    pub(crate) async fn executions(&self, schedule: Uuid) -> anyhow::Result<Vec<Value>> {
        let sql = "SELECT to_jsonb(e) FROM schedule_executions e WHERE schedule_id = $1 ORDER BY scheduled_for";
        self.select(sql, schedule).await
    }

    /// Waits until the only execution of a schedule has ended: from then on it is decided who gets a mail.
    pub(crate) async fn ended_execution(&self, schedule: Uuid) -> anyhow::Result<Value> {
        until("the execution to end", PATIENCE, || async {
            let executions = self.executions(schedule).await?;
            anyhow::ensure!(executions.len() <= 1, "executions of one due time: {executions:?}");
            let is_ended = |execution: &Value| !matches!(execution["status"].as_str(), Some("pending" | "running"));
            Ok(executions.into_iter().find(is_ended))
        })
        .await
    }

    /// The mails about a run as the database knows them, by recipient.
    pub(crate) async fn notifications(&self, run: Uuid) -> anyhow::Result<Vec<Value>> {
        self.select("SELECT to_jsonb(n) FROM notifications n WHERE test_run_id = $1 ORDER BY recipient", run).await
    }

    /// Waits until all mails about a run are sent, by the database's word.
    pub(crate) async fn sent_notifications(&self, run: Uuid) -> anyhow::Result<Vec<Value>> {
        until("all mails to be sent", PATIENCE, || async {
            let mails = self.notifications(run).await?;
            let is_sent = |mail: &Value| mail["status"] == "sent";
            Ok((!mails.is_empty() && mails.iter().all(is_sent)).then_some(mails))
        })
        .await
    }

    /// Waits until the mail about a run to this address is sent, by the database's word.
    pub(crate) async fn sent_to(&self, run: Uuid, recipient: &str) -> anyhow::Result<()> {
        until("the mail to be sent", PATIENCE, || async {
            let mails = self.notifications(run).await?;
            Ok(mails.iter().any(|mail| mail["recipient"] == recipient && mail["status"] == "sent").then_some(()))
        })
        .await
    }
}

/// The rows of a list.
pub(crate) fn rows(list: &Value) -> anyhow::Result<&Vec<Value>> {
    list["items"].as_array().with_context(|| format!("no items in {list}"))
}

pub(crate) fn id(value: &Value) -> anyhow::Result<Uuid> {
    value.as_str().and_then(|text| text.parse().ok()).with_context(|| format!("not an id: {value}"))
}

pub(crate) fn instant(value: &Value) -> anyhow::Result<DateTime<Utc>> {
    value.as_str().and_then(|text| text.parse().ok()).with_context(|| format!("not an instant: {value}"))
}

/// These fields of an object, in this order.
pub(crate) fn pick<const N: usize>(object: &Value, fields: [&str; N]) -> Value {
    fields.iter().map(|field| object[field].clone()).collect()
}

pub(crate) fn merged(mut body: Value, more: Value) -> anyhow::Result<Value> {
    let (Value::Object(into), Value::Object(from)) = (&mut body, more) else { anyhow::bail!("not two objects") };
    into.extend(from);
    Ok(body)
}
