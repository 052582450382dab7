//! Replays a `JUnit` report against a running server, by nothing but its public REST API.
//!
//! The steps are those of the specification's manual workflow: test cases, run, items, start, one result for each case,
//! and then the summary until the server calls the run finished. Every POST has its own idempotency key and is repeated
//! with it, so that a server that is restarted meanwhile loses and doubles nothing.

mod answer;
mod api;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::stream::{self, StreamExt as _};
use serde::Deserialize;
use uuid::Uuid;

use crate::junit::payload::Ids;
use crate::junit::{Counts, Report};
use api::{Api, Run};

/// Where to and how to replay.
#[derive(Clone)]
pub struct Options {
    /// Scheme, host and port, such as `http://127.0.0.1:8080`; of several servers, which take turns, at least one.
    pub base_urls: Vec<String>,
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
    /// One server, eight clients, a minute for each request and a minute for the run to finish.
    pub fn new(base_url: impl Into<String>, token: impl Into<String>, suite_name: impl Into<String>) -> Self {
        Self {
            base_urls: vec![base_url.into()],
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
            .field("base_urls", &self.base_urls)
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
    /// Adding them to the run, or reading which it has.
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
pub async fn replay(options: Options, report: Report, progress: impl FnMut(Progress)) -> anyhow::Result<Summary> {
    let api = Api::new(&options)?;
    let mut tell = teller(&report, progress)?;
    let test_cases = api.put_test_cases(&report.cases, &options.suite_name, &mut tell).await?;
    let run = api.create_run(&options).await?;
    let items = api.add_items(run.id, &test_cases, &mut tell).await?;
    let work = items.iter().map(|item| Ids { run: run.id, item: item.id, test_case: item.test_case_id });
    let work = work.enumerate().collect();
    carry_out(&api, &options, &report, &run, work, tell).await
}

/// Creates or updates the report's test cases and no run, so that a schedule can select them by their suite.
///
/// # Errors
/// If the report is empty, or the server refuses a request or cannot be reached for `retry_for`.
pub async fn put_test_cases(
    options: &Options,
    report: &Report,
    progress: impl FnMut(Progress),
) -> anyhow::Result<Vec<Uuid>> {
    Api::new(options)?.put_test_cases(&report.cases, &options.suite_name, &mut teller(report, progress)?).await
}

/// Executes a run that exists, as an agent does with one that a schedule made: takes its items, starts it, submits the
/// result of each and waits until the server has finished the run.
///
/// # Errors
/// As [`replay`], and if the run has a test case that the report has not, or none at all.
pub async fn execute(
    options: Options,
    run: Uuid,
    report: Report,
    progress: impl FnMut(Progress),
) -> anyhow::Result<Summary> {
    let api = Api::new(&options)?;
    let mut tell = teller(&report, progress)?;
    let test_cases = api.put_test_cases(&report.cases, &options.suite_name, &mut tell).await?;
    let numbers: HashMap<_, _> = test_cases.iter().enumerate().map(|(number, &id)| (id, number)).collect();
    let run = api.run(run).await?;
    let mut work = Vec::new();
    for item in api.items(run.id, &mut tell).await? {
        let number = numbers.get(&item.test_case_id);
        let number = *number.with_context(|| format!("the report has no test case {}", item.test_case_id))?;
        work.push((number, Ids { run: run.id, item: item.id, test_case: item.test_case_id }));
    }
    carry_out(&api, &options, &report, &run, work, tell).await
}

/// Starts a run, submits the results of its items, each with the number of its case, and waits for the end.
async fn carry_out(
    api: &Api,
    options: &Options,
    report: &Report,
    run: &Run,
    work: Vec<(usize, Ids)>,
    mut tell: impl FnMut(Stage, u64),
) -> anyhow::Result<Summary> {
    api.start(run.id).await?;
    let begun = Instant::now();
    // By number, because a closure over references would keep the whole future from being `Send`.
    let mut results = stream::iter(0..work.len())
        .map(|index| api.submit(&report.cases[work[index].0], work[index].1))
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
    let run_url = api.url_of(run.id);
    Ok(Summary {
        run_id: run.id,
        run_number: run.run_number,
        status: last.status,
        counts: last.summary,
        duration_ms: last.duration_ms,
        sending,
        repeats: api.repeats(),
        report_url: format!("{run_url}/report"),
        run_url,
    })
}

/// Completes what the stages tell to what `progress` hears.
fn teller(report: &Report, mut progress: impl FnMut(Progress)) -> anyhow::Result<impl FnMut(Stage, u64)> {
    ensure!(!report.cases.is_empty(), "the report has no test cases, and a run without items cannot start");
    let total = u64::try_from(report.cases.len())?;
    Ok(move |stage, done| progress(Progress { stage, done, total }))
}
