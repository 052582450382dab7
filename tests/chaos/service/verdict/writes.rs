//! What clients wrote: all of it is there, as they were told, once, and adds up.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::Value;
use sqlx::PgPool;
use testrun_shared::db;
use uuid::Uuid;

use super::super::book::{Book, Rows, TestResult};
use super::super::client::Client;
use super::super::load::id;
use super::Verdict;

/// How many runs' results are fetched at once.
const READERS: usize = 8;
/// The largest page.
const PAGE: usize = 100;

pub(super) async fn judge(verdict: &mut Verdict, pool: &PgPool, book: &Book, client: &Client) -> anyhow::Result<()> {
    keys(verdict, pool, client).await?;
    runs(verdict, pool, book).await?;
    items(verdict, pool, book).await?;
    results(verdict, book, client).await?;
    rows(verdict, pool, book).await?;
    test_cases(verdict, pool, book).await?;
    invariants(verdict, pool).await;
    Ok(())
}

/// As many POSTs are on record as were acknowledged: none was done under a key of which nobody knows.
async fn keys(verdict: &mut Verdict, pool: &PgPool, client: &Client) -> anyhow::Result<()> {
    let sql = "SELECT count(*) FROM idempotency_keys WHERE response_status BETWEEN 200 AND 299";
    let recorded: i64 = sqlx::query_scalar(sql).fetch_one(pool).await?;
    let told = client.tally().acknowledged.load(Ordering::Relaxed);
    let differ = u64::try_from(recorded)? != told;
    let violations = differ.then(|| format!("{recorded} successes on record, {told} acknowledged"));
    verdict.check(
        "keys of successful POSTs are on record",
        usize::try_from(recorded)?,
        violations.into_iter().collect(),
    );
    Ok(())
}

async fn runs(verdict: &mut Verdict, pool: &PgPool, book: &Book) -> anyhow::Result<()> {
    let stored: Vec<(Uuid, i32, String, Option<String>)> =
        sqlx::query_as("SELECT id, run_number, status, notes FROM test_runs ORDER BY run_number")
            .fetch_all(pool)
            .await?;
    let (mut wrong, mut gaps) = (Vec::new(), Vec::new());
    for (index, (run, number, status, notes)) in stored.iter().enumerate() {
        if usize::try_from(*number)? != index + 1 {
            gaps.push(format!("run number {number} where {} was due", index + 1));
        }
        match book.runs.get(run) {
            None => wrong.push(format!("run {run}, {status}, which nobody was told of")),
            Some(told) if (told.number, told.status, &told.notes) != (i64::from(*number), status.as_str(), notes) => {
                wrong.push(format!("run {run}: told {told:?}, stored number {number}, {status}, {notes:?}"));
            }
            Some(_) => {}
        }
    }
    let ids: HashSet<_> = stored.iter().map(|(run, ..)| run).collect();
    wrong.extend(book.runs.keys().filter(|run| !ids.contains(run)).map(|run| format!("run {run} is lost")));
    verdict.check("runs are as told, and no other is there", stored.len(), wrong);
    verdict.check("run numbers have no gap", stored.len(), gaps);
    Ok(())
}

async fn items(verdict: &mut Verdict, pool: &PgPool, book: &Book) -> anyhow::Result<()> {
    let stored: Vec<(Uuid, String)> = sqlx::query_as("SELECT id, status FROM test_run_items").fetch_all(pool).await?;
    let mut told: HashMap<_, _> = book.runs.values().flat_map(|run| &run.items).collect();
    let mut wrong = Vec::new();
    for (item, status) in &stored {
        match told.remove(item) {
            Some(outcome) if outcome == status => {}
            outcome => wrong.push(format!("item {item} is {status}, {outcome:?} was told")),
        }
    }
    wrong.extend(told.keys().map(|item| format!("item {item} is lost")));
    verdict.check("items have the outcome of their results", stored.len(), wrong);
    Ok(())
}

/// Read as clients read them, and compared with the answer that each got.
async fn results(verdict: &mut Verdict, book: &Book, client: &Client) -> anyhow::Result<()> {
    let pages = futures_util::stream::iter(book.runs.keys().copied()).map(async |run| results_of(client, run).await);
    let stored: Vec<Vec<Value>> = pages.buffer_unordered(READERS).try_collect().await?;
    let (mut wrong, mut found) = (Vec::new(), HashSet::new());
    for result in stored.iter().flatten() {
        let result_id = id(&result["id"])?;
        match book.results.get(&result_id) {
            None => wrong.push(format!("result {result_id}, which nobody was told of")),
            Some(told) => {
                let differences = told.differences(result)?;
                if !differences.is_empty() {
                    wrong.push(format!("result {result_id}: {differences:?}"));
                }
            }
        }
        if !found.insert(result_id) {
            wrong.push(format!("result {result_id} is listed twice"));
        }
    }
    let lost = |(result, told): (&Uuid, &TestResult)| format!("result {result} of run {} is lost", told.run);
    wrong.extend(book.results.iter().filter(|(result, _)| !found.contains(*result)).map(lost));
    verdict.check("results are as told, and no other is there", found.len(), wrong);
    Ok(())
}

async fn results_of(client: &Client, run: Uuid) -> anyhow::Result<Vec<Value>> {
    let mut results = Vec::new();
    loop {
        let path = format!("/test-runs/{run}/results?limit={PAGE}&offset={}", results.len());
        let mut page = client.get(&path).await?;
        let page = page["items"].as_array_mut().context("a page without items")?;
        let is_last = page.len() < PAGE;
        results.append(page);
        if is_last {
            return Ok(results);
        }
    }
}

/// Steps, checkpoints and log lines, as sent.
async fn rows(verdict: &mut Verdict, pool: &PgPool, book: &Book) -> anyhow::Result<()> {
    let mut stored: HashMap<Uuid, Rows> = HashMap::new();
    let steps = "SELECT test_run_result_id, array_agg(concat_ws(' ', step_number, action, status) ORDER BY step_number)
                 FROM test_step_results GROUP BY 1";
    for (result, lines) in lines(pool, steps).await? {
        stored.entry(result).or_default().steps = lines;
    }
    let checkpoints =
        "SELECT test_run_result_id, array_agg(concat_ws(' ', checkpoint_name, status) ORDER BY created_at)
                       FROM checkpoint_results GROUP BY 1";
    for (result, lines) in lines(pool, checkpoints).await? {
        stored.entry(result).or_default().checkpoints = lines;
    }
    let logs = "SELECT test_run_result_id, array_agg(message ORDER BY timestamp) FROM console_logs GROUP BY 1";
    for (result, lines) in lines(pool, logs).await? {
        stored.entry(result).or_default().logs = lines;
    }
    let mut wrong = Vec::new();
    let mut count = 0;
    for (result, told) in &book.results {
        let stored = stored.remove(result).unwrap_or_default();
        count += stored.steps.len() + stored.checkpoints.len() + stored.logs.len();
        if stored != told.rows {
            wrong.push(format!("result {result}: told {:?}, stored {stored:?}", told.rows));
        }
    }
    wrong.extend(stored.keys().map(|result| format!("rows of result {result}, which nobody was told of")));
    verdict.check("steps, checkpoints and log lines are as told", count, wrong);
    Ok(())
}

async fn lines(pool: &PgPool, sql: &'static str) -> sqlx::Result<Vec<(Uuid, Vec<String>)>> {
    sqlx::query_as(sql).fetch_all(pool).await
}

async fn test_cases(verdict: &mut Verdict, pool: &PgPool, book: &Book) -> anyhow::Result<()> {
    let stored: HashMap<Uuid, Option<String>> =
        sqlx::query_as::<_, (Uuid, Option<String>)>("SELECT id, description FROM test_cases")
            .fetch_all(pool)
            .await?
            .into_iter()
            .collect();
    let mut wrong: Vec<_> = book
        .cases
        .iter()
        .filter(|(case, told)| stored.get(*case).and_then(Option::as_ref) != Some(told))
        .map(|(case, told)| format!("test case {case}: told {told:?}, stored {:?}", stored.get(case)))
        .collect();
    if stored.len() != book.cases.len() {
        wrong.push(format!("{} test cases where {} were told", stored.len(), book.cases.len()));
    }
    verdict.check("test cases are as told last", stored.len(), wrong);
    Ok(())
}

/// What the service itself checks while it works, here of everything.
async fn invariants(verdict: &mut Verdict, pool: &PgPool) {
    let findings = match db::invariants::check(pool, None).await {
        Ok(findings) => findings,
        Err(error) => return verdict.check("invariants are checked", 0, vec![error.to_string()]),
    };
    for finding in findings {
        let violations =
            (finding.violations > 0).then(|| format!("{} rows: {:?}", finding.violations, finding.examples));
        verdict.check(finding.check, 0, violations.into_iter().collect());
    }
}
