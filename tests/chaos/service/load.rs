//! The clients' work: runs that are created, executed, stopped and cancelled, and those that schedules make.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::bodies::{self, Way};
use super::book::{Book, Run, TestResult};
use super::client::Client;

/// How many test cases each client has.
const CASES: usize = 24;
/// The suite that schedules run.
pub(crate) const NIGHTLY: &str = "Nightly";
const NIGHTLY_CASES: usize = 3;

/// Spreads results over time.
#[derive(Debug)]
struct Pace {
    begun: Instant,
    duration: Duration,
    results: u32,
    taken: AtomicU32,
}

impl Pace {
    /// Waits until the next result is due; `false` if there were enough.
    async fn next(&self) -> bool {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        if number >= self.results {
            return false;
        }
        tokio::time::sleep_until(self.begun + self.duration.mul_f64(f64::from(number) / f64::from(self.results))).await;
        true
    }

    fn is_over(&self) -> bool {
        self.taken.load(Ordering::Relaxed) >= self.results
    }
}

/// All clients together.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) client: Client,
    book: Mutex<Book>,
    pace: Pace,
}

/// A run in hand.
struct InHand {
    id: Uuid,
    items: Vec<Uuid>,
    retries: bool,
    is_scheduled: bool,
}

impl Load {
    /// Work of this many results, spread over `duration`, from now on.
    pub(crate) fn new(client: Client, results: u32, duration: Duration) -> Self {
        let pace = Pace { begun: Instant::now(), duration, results, taken: AtomicU32::new(0) };
        Self { client, book: Mutex::default(), pace }
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many results were taken up.
    pub(crate) fn progress(&self) -> u32 {
        self.pace.taken.load(Ordering::Relaxed).min(self.pace.results)
    }

    /// Whether fewer results were taken up than planned for that time from the start.
    pub(crate) fn is_behind(&self, at: Duration) -> bool {
        f64::from(self.progress()) < f64::from(self.pace.results) * at.div_duration_f64(self.pace.duration)
    }

    /// Stores what schedules run, and these schedules, due so long from now, with their webhook and recipients.
    pub(crate) async fn prepare(&self, due: &[Duration], webhook: &str, recipients: &[&str]) -> anyhow::Result<()> {
        self.put_cases(NIGHTLY, NIGHTLY_CASES, "first").await?;
        let types = ["run.completed", "run.cancelled", "run.failed", "schedule.fired"];
        self.client.post("/webhooks", &json!({ "url": webhook, "event_types": types })).await?;
        let now = chrono::Utc::now();
        for due in due {
            let body = json!({
                "schedule_name": "Nightly", "suite_path": [NIGHTLY], "timezone": "UTC",
                "scheduled_datetime": (now + *due).format("%Y-%m-%dT%H:%M:%SZ").to_string(),
                "notification_emails": recipients,
            });
            let stored = self.client.post("/schedules", &body).await?;
            self.book().schedules.insert(id(&stored["id"])?);
        }
        Ok(())
    }

    /// One client's life, until there were enough results. Trouble with a run is written down, and the next one begun.
    pub(crate) async fn work(self: Arc<Self>, seed: u64, number: u64) {
        let mut random = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(number));
        let suite = format!("Client {number}");
        while !self.pace.is_over() {
            if let Err(error) = self.work_once(&mut random, &suite).await {
                self.book().trouble.push(format!("{suite}: {error:#}"));
            }
        }
    }

    async fn work_once(&self, random: &mut StdRng, suite: &str) -> anyhow::Result<()> {
        if random.random_bool(0.5) && self.execute_queued(random).await? {
            return Ok(());
        }
        if random.random_bool(0.05) {
            self.run_now(random).await?;
        }
        let cases = self.put_cases(suite, CASES, &format!("as of {}", random.random::<u32>())).await?;
        self.own_run(random, &cases).await
    }

    /// Takes runs that wait for a client, until none does.
    pub(crate) async fn drain(&self, seed: u64) -> anyhow::Result<()> {
        let mut random = StdRng::seed_from_u64(seed);
        while self.execute_queued(&mut random).await? {}
        Ok(())
    }

    async fn put_cases(&self, suite: &str, count: usize, description: &str) -> anyhow::Result<Vec<Uuid>> {
        let case = |number| {
            json!({ "name": format!("Case {number}"), "suite_path": [suite], "external_key": format!("{suite} {number}"),
                "description": description })
        };
        let body = json!({ "test_cases": (0..count).map(case).collect::<Vec<_>>() });
        let stored = ids(&self.client.post("/test-cases/bulk", &body).await?, "id")?;
        let mut book = self.book();
        book.cases.extend(stored.iter().map(|case| (*case, description.to_owned())));
        Ok(stored)
    }

    /// Fires a schedule out of turn.
    async fn run_now(&self, random: &mut StdRng) -> anyhow::Result<()> {
        let schedules: Vec<_> = self.book().schedules.iter().copied().collect();
        let Some(schedule) = schedules.get(random.random_range(0..schedules.len().max(1))) else { return Ok(()) };
        let execution = self.client.post(&format!("/schedules/{schedule}/run-now"), &json!({})).await?;
        self.book().executions.insert(id(&execution["id"])?);
        Ok(())
    }

    /// Takes a run that waits for a client, if there is one and no other client was faster.
    async fn execute_queued(&self, random: &mut StdRng) -> anyhow::Result<bool> {
        let queued = self.client.get("/test-runs?status=queued&limit=20").await?;
        let Some(run) = queued["items"].as_array().and_then(|runs| runs.get(random.random_range(0..runs.len().max(1))))
        else {
            return Ok(false);
        };
        let run_id = id(&run["id"])?;
        let started = self.client.try_post(&format!("/test-runs/{run_id}/start"), &json!({})).await?;
        if started.status == StatusCode::UNPROCESSABLE_ENTITY {
            return Ok(true);
        }
        anyhow::ensure!(started.status == StatusCode::OK, "start answered {}: {}", started.status, started.body);
        self.enter(run_id, run, true)?;
        let items = ids(&self.client.get(&format!("/test-runs/{run_id}/items?limit=100")).await?, "id")?;
        let run = InHand { id: run_id, items, retries: false, is_scheduled: true };
        for item in &run.items {
            self.report(random, &run, *item).await?;
        }
        self.finish(&run, "completed");
        Ok(true)
    }

    async fn own_run(&self, random: &mut StdRng, cases: &[Uuid]) -> anyhow::Result<()> {
        let retries = random.random_bool(0.3);
        let body = json!({ "tags": ["chaos"], "retry_on_failure": retries, "retry_count": u8::from(retries) });
        let created = self.client.post("/test-runs", &body).await?;
        let run_id = id(&created["id"])?;
        self.enter(run_id, &created, false)?;
        let size = random.random_range(3..=cases.len());
        let path = format!("/test-runs/{run_id}");
        let added = self.client.post(&format!("{path}/items/bulk"), &json!({ "test_case_ids": cases[..size] })).await?;
        let run = InHand { id: run_id, items: ids(&added, "id")?, retries, is_scheduled: false };
        if random.random_bool(0.05) {
            self.client.post(&format!("{path}/cancel"), &json!({})).await?;
            self.finish(&run, "cancelled");
            return Ok(());
        }
        self.client.post(&format!("{path}/start"), &json!({})).await?;
        if random.random_bool(0.2) {
            let notes = format!("looked at by {}", random.random::<u32>());
            self.client.put(&path, &json!({ "notes": notes })).await?;
            self.entry(run_id, |run| run.notes = Some(notes));
        }
        let stop_after = if random.random_bool(0.08) { random.random_range(0..size) } else { size };
        for (index, item) in run.items.iter().enumerate() {
            if index >= stop_after || !self.report(random, &run, *item).await? {
                self.client.post(&format!("{path}/stop"), &json!({})).await?;
                self.finish(&run, "cancelled");
                return Ok(());
            }
        }
        self.finish(&run, "completed");
        Ok(())
    }

    /// Reports an item to its end; `false` if there were enough results before.
    async fn report(&self, random: &mut StdRng, run: &InHand, item: Uuid) -> anyhow::Result<bool> {
        let way = Way::draw(random, run.retries);
        let statuses = match way {
            Way::Plain(status) | Way::Nested(status) | Way::Later(status) => vec![status],
            Way::Iterations(statuses) => statuses.to_vec(),
            Way::Retried(status) => vec!["failed", status],
        };
        for (index, status) in statuses.into_iter().enumerate() {
            // A schedule's run has to be executed, however many results there were.
            if !run.is_scheduled && !self.pace.next().await {
                return Ok(false);
            }
            let mut body = bodies::result(random, run.id, item, status);
            if matches!(way, Way::Iterations(_)) {
                body["iteration_number"] = json!(index + 1);
                body["total_iterations"] = json!(3);
            }
            self.submit(random, run.id, body, way).await?;
        }
        self.entry(run.id, |run| {
            run.items.insert(item, way.outcome());
        });
        Ok(true)
    }

    async fn submit(&self, random: &mut StdRng, run: Uuid, mut body: Value, way: Way) -> anyhow::Result<()> {
        let rows = bodies::rows(random);
        let mut nested = super::book::Rows::default();
        if let Way::Nested(_) = way {
            body["steps"] = rows.steps.clone();
            body["checkpoints"] = json!([rows.checkpoint]);
            body["console_logs"] = rows.logs.clone();
            nested = rows.told.clone();
        }
        let answer = self.client.post("/test-run-results", &body).await?;
        let result_id = id(&answer["id"])?;
        self.book().results.insert(result_id, TestResult::new(run, &answer, nested));
        if let Way::Later(_) = way {
            let path = format!("/test-run-results/{result_id}");
            self.client.post(&format!("{path}/steps/bulk"), &json!({ "steps": rows.steps })).await?;
            self.client.post(&format!("{path}/checkpoints"), &rows.checkpoint).await?;
            self.client.post(&format!("{path}/console-logs/bulk"), &json!({ "logs": rows.logs })).await?;
            if let Some(result) = self.book().results.get_mut(&result_id) {
                result.add_later(rows.told);
            }
        }
        Ok(())
    }

    fn enter(&self, run: Uuid, body: &Value, is_scheduled: bool) -> anyhow::Result<()> {
        let number = body["run_number"].as_i64().context("a run without a number")?;
        let entry = Run { number, notes: None, status: "unknown", items: HashMap::new(), is_scheduled };
        self.book().runs.insert(run, entry);
        Ok(())
    }

    fn entry(&self, run: Uuid, change: impl FnOnce(&mut Run)) {
        self.book().runs.entry(run).and_modify(change);
    }

    /// Notes how a run has to end. Items without an outcome are skipped.
    fn finish(&self, run: &InHand, status: &'static str) {
        self.entry(run.id, |entry| {
            entry.status = status;
            for item in &run.items {
                entry.items.entry(*item).or_insert("skipped");
            }
        });
    }
}

pub(crate) fn id(value: &Value) -> anyhow::Result<Uuid> {
    value.as_str().and_then(|text| text.parse().ok()).with_context(|| format!("not an id: {value}"))
}

fn ids(list: &Value, field: &str) -> anyhow::Result<Vec<Uuid>> {
    let rows = list["items"].as_array().with_context(|| format!("no items in {list}"))?;
    rows.iter().map(|row| id(&row[field])).collect()
}
