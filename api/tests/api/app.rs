//! The service on a real socket over a database of the test's own.

use std::collections::BTreeMap;

use anyhow::Context as _;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use test_support::client::Answer;
use test_support::{Client, Database, Tenant};
use testrun_api::{AppState, Patience};
use testrun_shared::jobs::{CreateScheduledRun, DeliverWebhook, FinaliseRun, Job, RefreshRun};
use testrun_shared::ops::Readiness;
use testrun_shared::{actions, db};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A served database with one tenant.
pub(crate) struct App {
    pub(crate) db: Database,
    pub(crate) tenant: Tenant,
    /// Speaks with the tenant's token.
    pub(crate) client: Client,
    pub(crate) server: Server,
}

impl App {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let db = Database::new().await?;
        let tenant = db.tenant("Home").await?;
        operations(&db.pool).await?;
        let server = Server::start(db.pool.clone(), Readiness::default()).await?;
        let client = server.client(Some(&tenant.token))?;
        Ok(Self { db, tenant, client, server })
    }

    /// Sends bytes with the tenant's token.
    pub(crate) async fn send(&self, method: &str, path: &str, body: impl Into<Vec<u8>>) -> anyhow::Result<Raw> {
        let authorization = format!("Bearer {}", self.tenant.token);
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        self.server.send(method, path, &headers, body.into()).await
    }

    /// Puts a body with the tenant's token.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.client.send(Method::PUT, path, Some(body)).await
    }

    /// Deletes with the tenant's token.
    pub(crate) async fn delete(&self, path: &str) -> anyhow::Result<Answer> {
        self.client.send(Method::DELETE, path, None).await
    }

    /// What is wrong with how this request is refused: with this status and this detail, and nothing changed.
    pub(crate) async fn not_refused(
        &self,
        (method, path, body): (&str, &str, &str),
        (status, detail): (u16, &str),
    ) -> anyhow::Result<Option<String>> {
        let before = self.contents().await?;
        let answer = self.send(method, path, body).await?;
        let changed = self.contents().await? != before;
        let wrong = answer.not_detail(status, detail).or_else(|| changed.then(|| "something changed".to_owned()));
        Ok(wrong.map(|what| format!("{method} {path} {body:.100}: {what}")))
    }

    /// Does what has been rung for and answers at once, as workers would: counts, ends and books of runs.
    pub(crate) async fn settle(&self) -> anyhow::Result<()> {
        loop {
            let rung: Vec<(String, Vec<u8>)> = sqlx::query_as(
                "DELETE FROM apalis.jobs WHERE status = 'Pending' AND run_at <= now() RETURNING job_type, job",
            )
            .fetch_all(&self.db.pool)
            .await?;
            if rung.is_empty() {
                return Ok(());
            }
            for (queue, job) in rung {
                work(&self.db.pool, &queue, &job).await.with_context(|| format!("a job of {queue}"))?;
            }
        }
    }

    /// The contents of every table, so that a test can tell that nothing changed. When a token was used last does not
    /// count.
    pub(crate) async fn contents(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let query: String = sqlx::query_scalar(
            "SELECT string_agg(format(
                 'SELECT %L, md5(coalesce(string_agg(row, '','' ORDER BY row), ''''))
                  FROM (SELECT (to_jsonb(t) - ''last_used_at'')::text AS row FROM %I.%I t) AS rows',
                 table_schema || '.' || table_name, table_schema, table_name), ' UNION ALL ')
             FROM information_schema.tables
             WHERE table_type = 'BASE TABLE' AND table_schema IN ('public', 'apalis')",
        )
        .fetch_one(&self.db.pool)
        .await?;
        let rows: Vec<(String, String)> = sqlx::query_as(AssertSqlSafe(query)).fetch_all(&self.db.pool).await?;
        anyhow::ensure!(rows.len() > 15, "tables are missing: {rows:?}");
        Ok(rows.into_iter().collect())
    }
}

/// What operators' requests are about: the token may send them, and there are jobs of a queue that nobody knows any more,
/// which were given up.
async fn operations(pool: &PgPool) -> sqlx::Result<()> {
    sqlx::query("UPDATE api_tokens SET is_operator = TRUE").execute(pool).await?;
    sqlx::query(
        "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, done_at, priority, last_result)
         SELECT apalis.generate_ulid(), 'bygone', '{}', 'Killed', 3, 1, now(), now(), 0, '{\"Err\": \"AbortError: worn out\"}'
         FROM generate_series(1, 5)",
    )
    .execute(pool)
    .await?;
    Ok(())
}

async fn work(db: &PgPool, queue: &str, job: &[u8]) -> anyhow::Result<()> {
    match queue {
        RefreshRun::QUEUE => {
            actions::refresh::refresh(db, serde_json::from_slice::<RefreshRun>(job)?.run_id).await?;
        }
        FinaliseRun::QUEUE => {
            actions::finalise::finalise(db, serde_json::from_slice::<FinaliseRun>(job)?.run_id).await?;
        }
        CreateScheduledRun::QUEUE => {
            actions::schedules::create_run(db, serde_json::from_slice::<CreateScheduledRun>(job)?.execution_id).await?;
        }
        // Nothing leaves the machine.
        DeliverWebhook::QUEUE => {}
        other => anyhow::bail!("these tests do not know how to do a job of {other}"),
    }
    Ok(())
}

/// A listening service. It stops with this value.
pub(crate) struct Server {
    url: String,
    http: reqwest::Client,
    _serving: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(pool: PgPool, readiness: Readiness) -> anyhow::Result<Self> {
        Self::with(AppState::new(pool, readiness)).await
    }

    /// A service with settings of its own.
    pub(crate) async fn with(state: AppState) -> anyhow::Result<Self> {
        Self::with_patience(state, Patience::default()).await
    }

    /// A service that gives its clients this long.
    pub(crate) async fn with_patience(state: AppState, patience: Patience) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let service = testrun_api::service(state);
        let mut serving = JoinSet::new();
        serving.spawn(testrun_api::serve_connections(listener, service, patience, std::future::pending()));
        // The client installs the cryptography that reqwest asks for even where there is none.
        Client::new(&url, None)?;
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?;
        Ok(Self { url, http, _serving: serving })
    }

    /// A service whose database is nowhere.
    pub(crate) async fn without_database() -> anyhow::Result<Self> {
        let nowhere = "postgres://testrun@localhost/testrun?host=/no/such/directory".to_owned();
        Self::start(db::pool(&nowhere.into(), 5, "test")?, Readiness::default()).await
    }

    /// Where it listens, for example `127.0.0.1:5000`.
    pub(crate) fn authority(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    pub(crate) fn client(&self, token: Option<&str>) -> anyhow::Result<Client> {
        Client::new(&self.url, token)
    }

    /// Sends a request as given, and leaves reading the answer's body to the caller.
    pub(crate) async fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> anyhow::Result<reqwest::Response> {
        let mut request = self.http.request(Method::from_bytes(method.as_bytes())?, format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(body).send().await.with_context(|| format!("{method} {path}"))
    }

    /// Sends a request as given.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> anyhow::Result<Raw> {
        let response = self.open(method, path, headers, body).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Raw { status, headers, bytes: response.bytes().await?.to_vec() })
    }
}

/// An answer as it came.
#[derive(Debug, Clone)]
pub(crate) struct Raw {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Raw {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The body as JSON; null if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    /// What is wrong with this answer, as a 400 that names exactly these fields and has the specification's shape.
    pub(crate) fn not_invalid(&self, fields: &[&str]) -> Option<String> {
        let body = self.json();
        let errors = body["errors"].as_array().cloned().unwrap_or_default();
        let mut named: Vec<&str> = errors.iter().filter_map(|error| error["field"].as_str()).collect();
        let mut expected = fields.to_vec();
        named.sort_unstable();
        expected.sort_unstable();
        let shaped = errors.iter().all(|error| {
            error.as_object().is_some_and(|error| error.len() == 2)
                && error["message"]
                    .as_str()
                    .is_some_and(|message| message.chars().next().is_some_and(|first| !first.is_lowercase()))
        }) && body.as_object().is_some_and(|body| body.len() == 2)
            && body["detail"] == "Validation error"
            && self.header("content-type") == "application/json";
        let good = self.status == 400 && shaped && named == expected;
        let shown: String = self.text().chars().take(400).collect();
        (!good).then(|| format!("expected 400 naming {fields:?}, got {}: {shown}", self.status))
    }

    /// What is wrong with this answer, as an error of this status with this detail and nothing else.
    pub(crate) fn not_detail(&self, status: u16, detail: &str) -> Option<String> {
        let good = self.status == status
            && self.json() == serde_json::json!({"detail": detail})
            && self.header("content-type") == "application/json";
        (!good).then(|| format!("expected {status} {detail:?}, got {}: {}", self.status, self.text()))
    }
}

/// Fails unless each of these fields is there with this value.
pub(crate) fn has(actual: &Value, expected: &Value) {
    let fields = expected.as_object().into_iter().flatten();
    let wrong: Vec<String> = fields
        .filter(|(name, value)| actual[*name] != **value)
        .map(|(name, value)| format!("{name} is {} instead of {value}", actual[name]))
        .collect();
    none_wrong(&wrong);
}

/// One field of each row of a list.
pub(crate) fn column<'a>(list: &'a Value, field: &str) -> Vec<&'a Value> {
    list["items"].as_array().into_iter().flatten().map(|row| &row[field]).collect()
}

/// Fails with everything that is wrong at once.
pub(crate) fn none_wrong(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
