//! The client side of a schedule, as short as it can be: waits on the event stream for runs that are queued, takes one,
//! executes its test cases and reports what came of them.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

/// How long to wait before the stream is asked for again.
const PAUSE: Duration = Duration::from_secs(1);
const PAGE: usize = 100;

/// What executing a test case gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// `passed`, `failed` or `skipped`.
    pub status: &'static str,
    /// What went wrong.
    pub error_message: Option<String>,
    /// How long it took.
    pub duration: Duration,
}

/// A client of one project.
#[derive(Debug, Clone)]
pub struct Agent {
    http: reqwest::Client,
    root: String,
    token: String,
}

impl Agent {
    /// An agent of the server at `base_url`, with the token of a member or admin.
    ///
    /// # Errors
    /// If there can be no HTTP client.
    pub fn new(base_url: &str, token: &str) -> anyhow::Result<Self> {
        // Whoever was first has chosen the cryptography for all.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().tls_certs_only([]).build()?;
        Ok(Self { http, root: format!("{}/api/v1", base_url.trim_end_matches('/')), token: token.to_owned() })
    }

    /// Executes runs as they are queued, until `runs` of them are done, and returns their ids. `execute` is given the name
    /// of a test case.
    ///
    /// # Errors
    /// If the server refuses a request. A stream that breaks off is opened again and goes on where it was.
    pub async fn work(&self, runs: usize, execute: impl AsyncFn(&str) -> Outcome) -> anyhow::Result<Vec<Uuid>> {
        let (mut done, mut last_event) = (Vec::new(), None);
        while done.len() < runs {
            // The stream first: what is queued after that is told, what was queued before is in the list.
            let mut stream = Stream::open(self, last_event.as_deref()).await?;
            let waiting = self.send(self.request(Method::GET, "/test-runs?status=queued&limit=100")).await?;
            let mut told: Vec<Uuid> = waiting["items"].as_array().into_iter().flatten().filter_map(id_of).collect();
            loop {
                for run in told.drain(..) {
                    if done.len() < runs && self.take(run).await? {
                        self.execute(run, &execute).await?;
                        done.push(run);
                    }
                }
                if done.len() >= runs {
                    break;
                }
                let Ok(Some(event)) = stream.next().await else { break };
                last_event = Some(event.id);
                told.extend(event.data["data"]["test_run_id"].as_str().and_then(|id| id.parse::<Uuid>().ok()));
            }
            if done.len() < runs {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(done)
    }

    /// Starts a run; `false` if another agent was faster.
    async fn take(&self, run: Uuid) -> anyhow::Result<bool> {
        let body = json!({ "os_name": std::env::consts::OS });
        let answer = self.request(Method::POST, &format!("/test-runs/{run}/start")).json(&body).send().await?;
        match answer.status() {
            StatusCode::OK => Ok(true),
            StatusCode::UNPROCESSABLE_ENTITY | StatusCode::NOT_FOUND => Ok(false),
            status => anyhow::bail!("cannot start run {run}: {status}: {}", answer.text().await?),
        }
    }

    async fn execute(&self, run: Uuid, execute: &impl AsyncFn(&str) -> Outcome) -> anyhow::Result<()> {
        for offset in (0..).step_by(PAGE) {
            let path = format!("/test-runs/{run}/items?limit={PAGE}&offset={offset}");
            let page = self.send(self.request(Method::GET, &path)).await?;
            let items = page["items"].as_array().context("a page without items")?;
            for item in items {
                let case = item["test_case_id"].as_str().context("an item without a test case")?;
                let case = self.send(self.request(Method::GET, &format!("/test-cases/{case}"))).await?;
                let outcome = execute(case["name"].as_str().unwrap_or_default()).await;
                self.report(run, item, &outcome).await?;
            }
            if items.len() < PAGE {
                break;
            }
        }
        Ok(())
    }

    async fn report(&self, run: Uuid, item: &Value, outcome: &Outcome) -> anyhow::Result<()> {
        let body = json!({
            "test_run_id": run, "test_run_item_id": item["id"], "status": outcome.status,
            "error_message": outcome.error_message, "duration_ms": outcome.duration.as_millis(),
        });
        // A key makes repeating safe, whatever became of the answer.
        let request =
            self.request(Method::POST, "/test-run-results").header("idempotency-key", Uuid::new_v4().to_string());
        self.send(request.json(&body)).await.map(|_| ())
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.root)).bearer_auth(&self.token)
    }

    async fn send(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        let answer = request.send().await?;
        let (status, url) = (answer.status(), answer.url().clone());
        let body = answer.text().await?;
        anyhow::ensure!(status.is_success(), "{url}: {status}: {body}");
        Ok(serde_json::from_str(&body)?)
    }
}

fn id_of(run: &Value) -> Option<Uuid> {
    run["id"].as_str().and_then(|id| id.parse().ok())
}

/// The runs that are queued, as they are.
struct Stream {
    answer: reqwest::Response,
    text: String,
}

struct Event {
    id: String,
    data: Value,
}

impl Stream {
    async fn open(agent: &Agent, last_event: Option<&str>) -> anyhow::Result<Self> {
        let mut request = agent.request(Method::GET, "/events?type=run.queued");
        if let Some(id) = last_event {
            request = request.header("last-event-id", id);
        }
        Ok(Self { answer: request.send().await?.error_for_status()?, text: String::new() })
    }

    /// The next event; none at the stream's end.
    async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start);
                let event = field("id:").zip(field("data:"));
                let event =
                    event.map(|(id, data)| anyhow::Ok(Event { id: id.to_owned(), data: serde_json::from_str(data)? }));
                self.text = rest.to_owned();
                // A comment only says that the stream is alive.
                if let Some(event) = event {
                    return event.map(Some);
                }
            }
            match self.answer.chunk().await? {
                Some(chunk) => self.text.push_str(std::str::from_utf8(&chunk)?),
                None => return Ok(None),
            }
        }
    }
}
