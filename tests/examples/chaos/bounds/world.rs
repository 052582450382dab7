//! A PostgreSQL of a measurement's own, with a project in it, and a client.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use sqlx::PgPool;
use test_support::{Client, Postgres, Tenant};
use testrun_shared::db;

/// Mail goes nowhere: no measurement sends any.
const NO_MAIL: &str = "smtp://127.0.0.1:1";

pub(super) struct World {
    pub(super) postgres: Postgres,
    pub(super) pool: PgPool,
    pub(super) tenant: Tenant,
}

/// A run with one test case that is running.
pub(super) struct Running {
    pub(super) run: String,
    item: String,
}

impl World {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let postgres = Postgres::start().await?;
        let pool = postgres.pool()?;
        db::migrate(&pool).await?;
        let tenant = Tenant::create(&pool, "Bounds").await?;
        Ok(Self { postgres, pool, tenant })
    }

    pub(super) fn api(&self, number: usize) -> test_support::Member {
        test_support::Member::api(number, self.postgres.url())
    }

    pub(super) fn worker(&self, number: usize) -> test_support::Member {
        let worker = test_support::Member::worker(number, self.postgres.url(), NO_MAIL);
        worker.with("TESTRUN_WEBHOOK_ALLOW_CIDRS", "127.0.0.0/8")
    }

    pub(super) fn scheduler(&self) -> test_support::Member {
        test_support::Member::scheduler(0, self.postgres.url())
    }

    pub(super) fn client(&self, url: &str) -> anyhow::Result<Client> {
        Client::new(url, Some(&self.tenant.token))
    }

    /// The first column of the first row.
    pub(super) async fn count(&self, sql: &'static str) -> anyhow::Result<usize> {
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&self.pool).await?;
        Ok(usize::try_from(count)?)
    }
}

/// Stores a suite of one test case.
pub(super) async fn put_case(client: &Client) -> anyhow::Result<String> {
    let body = json!({ "test_cases": [{ "name": "Case", "suite_path": ["Suite"], "external_key": "1" }] });
    let stored = client.post("/api/v1/test-cases/bulk", &body).await?.expect(200)?;
    text(&stored["items"][0]["id"])
}

/// A schedule of that suite which is due after `delay`.
pub(super) async fn put_schedule(client: &Client, delay: Duration) -> anyhow::Result<()> {
    let due = (chrono::Utc::now() + delay).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let body =
        json!({ "schedule_name": "Soon", "suite_path": ["Suite"], "timezone": "UTC", "scheduled_datetime": due });
    client.post("/api/v1/schedules", &body).await?.expect(201).map(|_| ())
}

impl Running {
    pub(super) async fn start(client: &Client, case: &str) -> anyhow::Result<Self> {
        let run = text(&client.post("/api/v1/test-runs", &json!({})).await?.expect(201)?["id"])?;
        let path = format!("/api/v1/test-runs/{run}");
        let body = json!({ "test_case_ids": [case] });
        let added = client.post(&format!("{path}/items/bulk"), &body).await?.expect(201)?;
        client.post(&format!("{path}/start"), &json!({})).await?.expect(200)?;
        Ok(Self { item: text(&added["items"][0]["id"])?, run })
    }

    /// Reports the only test case, after which nothing is left but to complete the run.
    pub(super) async fn report(&self, client: &Client) -> anyhow::Result<()> {
        let body = json!({ "test_run_id": self.run, "test_run_item_id": self.item, "status": "passed" });
        client.post("/api/v1/test-run-results", &body).await?.expect(201).map(|_| ())
    }

    pub(super) async fn is_completed(&self, client: &Client) -> anyhow::Result<Option<()>> {
        let run = client.get(&format!("/api/v1/test-runs/{}", self.run)).await?.expect(200)?;
        Ok((run["status"] == "completed").then_some(()))
    }
}

pub(super) fn text(value: &Value) -> anyhow::Result<String> {
    value.as_str().map(str::to_owned).with_context(|| format!("no text: {value}"))
}
