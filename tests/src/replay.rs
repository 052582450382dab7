//! Replays a `JUnit` report against a running server, by nothing but its public REST API.
//!
//! The steps are those of the specification's manual workflow: test cases, run, items, start, one result for each case,
//! and then the summary until the server calls the run finished. Every POST has its own idempotency key and is repeated
//! with it, so that a server that is restarted meanwhile loses and doubles nothing.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, anyhow, bail, ensure};
use futures_util::stream::{self, StreamExt as _};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::junit::payload::{Ids, TestCase, TestRunResult};
use crate::junit::{Case, Counts, Report};

#[cfg(test)]
mod tests;

/// Rows in one bulk request (decisions.md, "Every endpoint").
const BULK_ROWS: usize = 1_000;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Longest time between two looks at a run that is not finished.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Where to and how to replay.
#[derive(Clone)]
pub struct Options {
    /// Scheme, host and port, such as `http://127.0.0.1:8080`.
    pub base_url: String,
    /// API token of a `member` or `admin`.
    pub token: String,
    /// Suite of the run, and root of the test cases' suite paths and keys; at most 255 characters.
    pub suite_name: String,
    /// Name of the run; the server makes one up if it is left out.
    pub run_name: Option<String>,
    /// Tags of the run.
    pub tags: Vec<String>,
    /// Results in flight at once, at least 1.
    pub clients: usize,
    /// How long one request is repeated before the replay gives up.
    pub retry_for: Duration,
    /// How long the server may take to finish the run after the last result.
    pub deadline: Duration,
}

impl Options {
    /// Eight clients, a minute for each request and a minute for the run to finish.
    pub fn new(base_url: impl Into<String>, token: impl Into<String>, suite_name: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            token: token.into(),
            suite_name: suite_name.into(),
            run_name: None,
            tags: vec!["junit".to_owned()],
            clients: 8,
            retry_for: Duration::from_secs(60),
            deadline: Duration::from_secs(60),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("base_url", &self.base_url)
            .field("suite_name", &self.suite_name)
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

/// What a replay is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Creating or updating the test cases.
    TestCases,
    /// Adding them to the run.
    Items,
    /// Submitting results.
    Results,
    /// Waiting for the server to finish the run; `done` is what the run's summary counts by then.
    Finishing,
}

/// How far a replay has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it is at.
    pub stage: Stage,
    /// Test cases that are through this stage.
    pub done: u64,
    /// Test cases in all.
    pub total: u64,
}

/// Status of a run (test-run-api.md, "Test Run Status").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Created but not started.
    Pending,
    /// Waiting in the execution queue.
    Queued,
    /// Currently executing.
    Running,
    /// All tests finished.
    Completed,
    /// Cancelled or stopped.
    Cancelled,
    /// Infrastructure error.
    Failed,
}

impl RunStatus {
    fn is_final(self) -> bool {
        match self {
            Self::Pending | Self::Queued | Self::Running => false,
            Self::Completed | Self::Cancelled | Self::Failed => true,
        }
    }
}

/// The counts that the server gives in a run's summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct RunCounts {
    /// All items.
    pub total_tests: u64,
    /// Items that passed.
    pub passed_tests: u64,
    /// Items that failed, errors included.
    pub failed_tests: u64,
    /// Items that were skipped.
    pub skipped_tests: u64,
    /// Items without a recording, if the server tells.
    pub no_run_tests: Option<u64>,
}

impl RunCounts {
    /// Whether these are the counts of the report, whose errors are failures to the server.
    pub fn agree_with(&self, counts: &Counts) -> bool {
        self.total_tests == counts.total
            && self.passed_tests == counts.passed
            && self.failed_tests == counts.failed + counts.errors
            && self.skipped_tests == counts.skipped
            && self.no_run_tests.unwrap_or(0) == 0
    }
}

/// What came of a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Id of the run.
    pub run_id: Uuid,
    /// Number of the run in its project.
    pub run_number: u64,
    /// Its final status.
    pub status: RunStatus,
    /// Its counts, from the server.
    pub counts: RunCounts,
    /// Its duration in milliseconds, from the server.
    pub duration_ms: Option<u64>,
    /// Time that submitting the results took.
    pub sending: Duration,
    /// Number of requests that had to be sent again.
    pub repeats: u64,
    /// Where the run is.
    pub run_url: String,
    /// Where its report is.
    pub report_url: String,
}

/// Creates a run of the report's test cases, submits their results and waits until the server has finished the run.
///
/// `progress` is called after each bulk request, each result and each look at the summary.
///
/// # Errors
/// If the report is empty, if the server refuses a request or cannot be reached for `retry_for`, or if the run is not
/// finished by the deadline. That counts differ is no error: see [`RunCounts::agree_with`].
pub async fn replay(options: Options, report: Report, mut progress: impl FnMut(Progress)) -> anyhow::Result<Summary> {
    ensure!(!report.cases.is_empty(), "the report has no test cases, and a run without items cannot start");
    let total = u64::try_from(report.cases.len())?;
    let mut tell = |stage, done| progress(Progress { stage, done, total });
    let api = Api::new(&options)?;
    let test_cases = api.put_test_cases(&report.cases, &options.suite_name, &mut tell).await?;
    let run = api.create_run(&options).await?;
    let items = api.add_items(run.id, &test_cases, &mut tell).await?;
    let _: serde_json::Value = api.post(&format!("/test-runs/{}/start", run.id), &json!({})).await?;
    let begun = Instant::now();
    let ids: Vec<_> =
        test_cases.iter().zip(items).map(|(&test_case, item)| Ids { run: run.id, item, test_case }).collect();
    // By number, because a closure over references would keep the whole future from being `Send`.
    let mut results = stream::iter(0..ids.len())
        .map(|number| api.submit(&report.cases[number], ids[number]))
        .buffer_unordered(options.clients.max(1));
    let mut done = 0;
    while let Some(result) = results.next().await {
        result?;
        done += 1;
        tell(Stage::Results, done);
    }
    drop(results);
    let sending = begun.elapsed();
    let last = api.wait_until_final(run.id, options.deadline, &mut tell).await?;
    let run_url = format!("{}/test-runs/{}", api.root, run.id);
    Ok(Summary {
        run_id: run.id,
        run_number: run.run_number,
        status: last.status,
        counts: last.summary,
        duration_ms: last.duration_ms,
        sending,
        repeats: api.repeats.load(Ordering::Relaxed),
        report_url: format!("{run_url}/report"),
        run_url,
    })
}

struct Api {
    http: reqwest::Client,
    /// Base URL and `/api/v1`.
    root: String,
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
struct Run {
    id: Uuid,
    run_number: u64,
}

#[derive(Deserialize)]
struct Item {
    id: Uuid,
    test_case_id: Uuid,
}

#[derive(Deserialize)]
struct RunSummary {
    status: RunStatus,
    duration_ms: Option<u64>,
    summary: RunCounts,
}

/// The steps of the workflow.
impl Api {
    /// Answers the test cases' ids in the order of the cases.
    async fn put_test_cases(
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

    async fn create_run(&self, options: &Options) -> anyhow::Result<Run> {
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

    /// Answers the items' ids in the order of the test cases.
    async fn add_items(
        &self,
        run: Uuid,
        test_cases: &[Uuid],
        tell: &mut impl FnMut(Stage, u64),
    ) -> anyhow::Result<Vec<Uuid>> {
        let mut ids = Vec::with_capacity(test_cases.len());
        for chunk in test_cases.chunks(BULK_ROWS) {
            let added: Items<Item> =
                self.post(&format!("/test-runs/{run}/items/bulk"), &json!({ "test_case_ids": chunk })).await?;
            let by_case: HashMap<_, _> = added.items.into_iter().map(|item| (item.test_case_id, item.id)).collect();
            for test_case in chunk {
                let id = by_case.get(test_case);
                ids.push(*id.with_context(|| format!("no item came back for test case {test_case}"))?);
            }
            tell(Stage::Items, u64::try_from(ids.len())?);
        }
        Ok(ids)
    }

    async fn submit(&self, case: &Case, ids: Ids) -> anyhow::Result<()> {
        let body = TestRunResult::new(case, ids, SystemTime::now().into());
        let answer = self.exchange(Method::POST, "/test-run-results", Some(&serde_json::to_vec(&body)?)).await?;
        // A 409 to a repetition says that an earlier try was stored, only its answer did not reach us.
        if answer.status == StatusCode::CONFLICT && answer.tries > 1 {
            return Ok(());
        }
        answer.check().with_context(|| format!("the result of '{}'", case.name))
    }

    async fn wait_until_final(
        &self,
        run: Uuid,
        deadline: Duration,
        tell: &mut impl FnMut(Stage, u64),
    ) -> anyhow::Result<RunSummary> {
        let begun = Instant::now();
        let mut looks = 0;
        loop {
            looks += 1;
            let answer = self.exchange(Method::GET, &format!("/test-runs/{run}/summary"), None).await?;
            let now: RunSummary = answer.read()?;
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
    fn new(options: &Options) -> anyhow::Result<Self> {
        // Whoever else installed a provider before us installed as good a one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).no_proxy();
        if options.base_url.starts_with("http://") {
            // Without this the client needs the machine's CA certificates even where it never uses TLS.
            builder = builder.tls_certs_only([]);
        }
        Ok(Self {
            http: builder.build().context("cannot set up an HTTP client")?,
            root: format!("{}/api/v1", options.base_url.trim_end_matches('/')),
            token: options.token.clone(),
            retry_for: options.retry_for,
            repeats: AtomicU64::new(0),
        })
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        self.exchange(Method::POST, path, Some(&serde_json::to_vec(body)?)).await?.read()
    }

    /// Sends a request until there is an answer that will not change by asking again.
    async fn exchange(&self, method: Method, path: &str, body: Option<&[u8]>) -> anyhow::Result<Answer> {
        let key = Uuid::new_v4().to_string();
        let begun = Instant::now();
        let mut tries = 0;
        loop {
            tries += 1;
            let mut request = self.http.request(method.clone(), format!("{}{path}", self.root));
            request = request.bearer_auth(&self.token);
            if let Some(body) = body {
                request = request.header(CONTENT_TYPE, "application/json");
                request = request.header("idempotency-key", &key).body(body.to_vec());
            }
            let (fault, wait) = match Answer::to(request, tries).await {
                Ok(answer) if answer.is_final() => return Ok(answer),
                Ok(answer) => (answer.refusal(), answer.retry_after()),
                Err(error) if error.is_builder() => {
                    let of = format!("cannot make a request to '{}': check the URL and the token", self.root);
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

struct Answer {
    url: String,
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    /// How many times the request was sent for it.
    tries: u32,
}

#[derive(Deserialize)]
struct ErrorBody {
    detail: String,
    #[serde(default)]
    errors: Vec<FieldError>,
}

#[derive(Deserialize)]
struct FieldError {
    field: String,
    message: String,
}

impl Answer {
    async fn to(request: reqwest::RequestBuilder, tries: u32) -> reqwest::Result<Self> {
        let response = request.send().await?;
        Ok(Self {
            url: response.url().to_string(),
            status: response.status(),
            headers: response.headers().clone(),
            body: response.bytes().await?.into(),
            tries,
        })
    }

    /// Whether asking again would get the same answer.
    fn is_final(&self) -> bool {
        match self.status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => false,
            // The other meaning of 409: a try with this key is still being worked on.
            StatusCode::CONFLICT => {
                let text = String::from_utf8_lossy(&self.body).to_lowercase();
                !text.contains("idempotency") && !self.headers.contains_key(RETRY_AFTER)
            }
            status => !status.is_server_error(),
        }
    }

    /// The wait that the server asks for, if it gives it in seconds.
    fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.status.is_success() { Ok(()) } else { Err(self.refusal()) }
    }

    fn read<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        self.check()?;
        serde_json::from_slice(&self.body).with_context(|| format!("unexpected answer of {}", self.url))
    }

    /// The server's words, in its error format or else as they are.
    fn refusal(&self) -> anyhow::Error {
        let mut text = String::new();
        match serde_json::from_slice::<ErrorBody>(&self.body) {
            Ok(body) => {
                text.push_str(&body.detail);
                for error in body.errors {
                    text.push_str(&format!("; {}: {}", error.field, error.message));
                }
            }
            Err(_) => text.extend(String::from_utf8_lossy(&self.body).chars().take(500)),
        }
        anyhow!("{} answered {}: {text}", self.url, self.status)
    }
}

/// The wait after a number of tries, which doubles from try to try.
fn pause(tries: u32) -> Duration {
    let times = 2_u32.saturating_pow(tries.saturating_sub(1));
    FIRST_PAUSE.saturating_mul(times).min(LONGEST_PAUSE)
}
