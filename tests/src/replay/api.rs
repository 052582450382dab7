//! The public REST API as a replay uses it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, bail, ensure};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::answer::{Answer, pause};
use super::{Options, RunCounts, RunStatus, Stage};
use crate::junit::Case;
use crate::junit::payload::{Ids, TestCase, TestRunResult};

/// Rows in one bulk request (decisions.md, "Every endpoint").
const BULK_ROWS: usize = 1_000;
/// Rows in one page of a list (decisions.md, "Every endpoint").
const PAGE_ROWS: usize = 100;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time between two looks at a run that is not finished.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

pub(super) struct Api {
    http: reqwest::Client,
    /// Base URLs with `/api/v1`.
    roots: Vec<String>,
    /// Whose turn it is.
    turn: AtomicUsize,
    token: String,
    retry_for: Duration,
    repeats: AtomicU64,
}

#[derive(Deserialize)]
struct Items<T> {
    items: Vec<T>,
}

#[derive(Deserialize)]
struct StoredTestCase {
    id: Uuid,
    external_key: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Run {
    pub(super) id: Uuid,
    pub(super) run_number: u64,
}

#[derive(Deserialize)]
pub(super) struct Item {
    pub(super) id: Uuid,
    pub(super) test_case_id: Uuid,
}

#[derive(Deserialize)]
pub(super) struct RunSummary {
    pub(super) status: RunStatus,
    pub(super) duration_ms: Option<u64>,
    pub(super) summary: RunCounts,
}

/// The steps of the workflow.
impl Api {
    /// Answers the test cases' ids in the order of the cases.
    pub(super) async fn put_test_cases(
        &self,
        cases: &[Case],
        root: &str,
        tell: &mut impl FnMut(Stage, u64),
    ) -> anyhow::Result<Vec<Uuid>> {
        let mut ids = Vec::with_capacity(cases.len());
        for chunk in cases.chunks(BULK_ROWS) {
            let bodies: Vec<_> = chunk.iter().map(|case| TestCase::new(case, root)).collect();
            let stored: Items<StoredTestCase> = self.post("/test-cases/bulk", &json!({ "test_cases": bodies })).await?;
            let by_key: HashMap<_, _> =
                stored.items.into_iter().filter_map(|case| Some((case.external_key?, case.id))).collect();
            for body in &bodies {
                let id = by_key.get(&body.external_key);
                ids.push(*id.with_context(|| format!("no test case came back for '{}'", body.external_key))?);
            }
            tell(Stage::TestCases, u64::try_from(ids.len())?);
        }
        Ok(ids)
    }

    pub(super) async fn create_run(&self, options: &Options) -> anyhow::Result<Run> {
        let mut body = json!({
            "suite_path": [&options.suite_name],
            "suite_name": &options.suite_name,
            "tags": &options.tags,
        });
        if let Some(name) = &options.run_name {
            body["run_name"] = json!(name);
        }
        self.post("/test-runs", &body).await
    }

    pub(super) async fn run(&self, id: Uuid) -> anyhow::Result<Run> {
        self.get(&format!("/test-runs/{id}")).await
    }

    /// Answers the items in the order of the test cases.
    pub(super) async fn add_items(
        &self,
        run: Uuid,
        test_cases: &[Uuid],
        tell: &mut impl FnMut(Stage, u64),
    ) -> anyhow::Result<Vec<Item>> {
        let mut items = Vec::with_capacity(test_cases.len());
        for chunk in test_cases.chunks(BULK_ROWS) {
            let added: Items<Item> =
                self.post(&format!("/test-runs/{run}/items/bulk"), &json!({ "test_case_ids": chunk })).await?;
            let by_case: HashMap<_, _> = added.items.into_iter().map(|item| (item.test_case_id, item.id)).collect();
            for &test_case_id in chunk {
                let id = by_case.get(&test_case_id);
                let id = *id.with_context(|| format!("no item came back for test case {test_case_id}"))?;
                items.push(Item { id, test_case_id });
            }
            tell(Stage::Items, u64::try_from(items.len())?);
        }
        Ok(items)
    }

    /// Answers the items that a run has, in its order.
    pub(super) async fn items(&self, run: Uuid, tell: &mut impl FnMut(Stage, u64)) -> anyhow::Result<Vec<Item>> {
        let mut items = Vec::new();
        loop {
            let path = format!("/test-runs/{run}/items?limit={PAGE_ROWS}&offset={}", items.len());
            let page: Items<Item> = self.get(&path).await?;
            let is_last = page.items.len() < PAGE_ROWS;
            items.extend(page.items);
            tell(Stage::Items, u64::try_from(items.len())?);
            if is_last {
                return Ok(items);
            }
        }
    }

    pub(super) async fn start(&self, run: Uuid) -> anyhow::Result<()> {
        let _: serde_json::Value = self.post(&format!("/test-runs/{run}/start"), &json!({})).await?;
        Ok(())
    }

    pub(super) async fn submit(&self, case: &Case, ids: Ids) -> anyhow::Result<()> {
        let body = TestRunResult::new(case, ids, SystemTime::now().into());
        let answer = self.exchange(Method::POST, "/test-run-results", Some(&serde_json::to_vec(&body)?)).await?;
        // A 409 to a repetition says that an earlier try was stored, only its answer did not reach us.
        if answer.status == StatusCode::CONFLICT && answer.tries > 1 {
            return Ok(());
        }
        answer.check().with_context(|| format!("the result of '{}'", case.name))
    }

    pub(super) async fn wait_until_final(
        &self,
        run: Uuid,
        deadline: Duration,
        tell: &mut impl FnMut(Stage, u64),
    ) -> anyhow::Result<RunSummary> {
        let begun = Instant::now();
        let mut looks = 0;
        loop {
            looks += 1;
            let now: RunSummary = self.get(&format!("/test-runs/{run}/summary")).await?;
            let counts = now.summary;
            let done = counts.passed_tests + counts.failed_tests + counts.skipped_tests;
            tell(Stage::Finishing, done);
            if now.status.is_final() {
                return Ok(now);
            }
            if begun.elapsed() > deadline {
                bail!(
                    "run {run} is still {:?} {deadline:?} after the last result, with {done} of {} tests counted: \
                     is a worker running?",
                    now.status,
                    counts.total_tests,
                );
            }
            tokio::time::sleep(pause(looks).min(LONGEST_WAIT)).await;
        }
    }
}

/// One request at a time.
impl Api {
    pub(super) fn new(options: &Options) -> anyhow::Result<Self> {
        ensure!(!options.base_urls.is_empty(), "there is no server to replay against");
        // Whoever else installed a provider before us installed as good a one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).no_proxy();
        if options.base_urls.iter().all(|url| url.starts_with("http://")) {
            // Without this the client needs the machine's CA certificates even where it never uses TLS.
            builder = builder.tls_certs_only([]);
        }
        Ok(Self {
            http: builder.build().context("cannot set up an HTTP client")?,
            roots: options.base_urls.iter().map(|url| format!("{}/api/v1", url.trim_end_matches('/'))).collect(),
            turn: AtomicUsize::new(0),
            token: options.token.clone(),
            retry_for: options.retry_for,
            repeats: AtomicU64::new(0),
        })
    }

    /// Number of requests that had to be sent again.
    pub(super) fn repeats(&self) -> u64 {
        self.repeats.load(Ordering::Relaxed)
    }

    /// Where a run is.
    pub(super) fn url_of(&self, run: Uuid) -> String {
        format!("{}/test-runs/{run}", self.roots[0])
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.exchange(Method::GET, path, None).await?.read()
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        self.exchange(Method::POST, path, Some(&serde_json::to_vec(body)?)).await?.read()
    }

    /// Sends a request until there is an answer that will not change by asking again, the servers taking turns.
    async fn exchange(&self, method: Method, path: &str, body: Option<&[u8]>) -> anyhow::Result<Answer> {
        let key = Uuid::new_v4().to_string();
        let begun = Instant::now();
        let mut tries = 0;
        loop {
            tries += 1;
            let root = &self.roots[self.turn.fetch_add(1, Ordering::Relaxed) % self.roots.len()];
            let mut request = self.http.request(method.clone(), format!("{root}{path}"));
            request = request.bearer_auth(&self.token);
            if let Some(body) = body {
                request = request.header(CONTENT_TYPE, "application/json");
                request = request.header("idempotency-key", &key).body(body.to_vec());
            }
            let (fault, wait) = match Answer::to(request, tries).await {
                Ok(answer) if answer.is_final() => return Ok(answer),
                Ok(answer) => (answer.refusal(), answer.retry_after()),
                Err(error) if error.is_builder() => {
                    let of = format!("cannot make a request to '{root}': check the URL and the token");
                    return Err(error).context(of);
                }
                Err(error) => (error.into(), None),
            };
            let wait = wait.unwrap_or_else(|| pause(tries));
            if begun.elapsed() + wait > self.retry_for {
                return Err(fault.context(format!("gave up on {method} {path} after try {tries}")));
            }
            self.repeats.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(wait).await;
        }
    }
}
