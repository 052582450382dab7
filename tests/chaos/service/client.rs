//! A client as careful users write it: each write has an `Idempotency-Key` and is repeated until it is answered.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use reqwest::header::RETRY_AFTER;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use test_support::fleet::Addresses;
use uuid::Uuid;

/// A frozen service does not answer; another one may. What the frozen one began keeps others out for a minute at most.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a request is repeated.
const PATIENCE: Duration = Duration::from_secs(240);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What happened to all requests.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// POSTs that succeeded.
    pub(crate) acknowledged: AtomicU64,
    /// Of these, the ones whose answer came from the record of an earlier try: it had been committed, and nobody told.
    pub(crate) replayed: AtomicU64,
    /// 503 answers.
    pub(crate) unavailable: AtomicU64,
    /// Tries without any answer.
    pub(crate) unanswered: AtomicU64,
    /// Answers that no fault excuses.
    pub(crate) faults: Mutex<Vec<String>>,
}

/// Speaks to the first members of a fleet in turn.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    apis: usize,
    addresses: Addresses,
    turn: Arc<AtomicUsize>,
    token: String,
    tally: Arc<Tally>,
}

/// A final answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl Answer {
    fn success(self) -> anyhow::Result<Value> {
        anyhow::ensure!(self.status.is_success(), "answered {}: {}", self.status, self.body);
        Ok(self.body)
    }
}

impl Client {
    pub(crate) fn new(addresses: Addresses, apis: usize, token: &str) -> anyhow::Result<Self> {
        // Plain HTTP to this machine only: neither certificates nor a proxy are wanted.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(ANSWER).build()?;
        Ok(Self { http, apis, addresses, turn: Arc::default(), token: token.to_owned(), tally: Arc::default() })
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let what = format!("GET {path}");
        self.exchange(Method::GET, path, None).await.and_then(Answer::success).context(what)
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let what = format!("PUT {path}");
        self.exchange(Method::PUT, path, Some(body)).await.and_then(Answer::success).context(what)
    }

    /// A POST that has to succeed.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let what = format!("POST {path}");
        self.try_post(path, body).await.and_then(Answer::success).context(what)
    }

    /// A POST that may be refused.
    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        let answer = self.exchange(Method::POST, path, Some(body)).await?;
        if answer.status.is_success() {
            self.tally.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        Ok(answer)
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        let key = Uuid::new_v4().to_string();
        let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            if let Some(answer) = self.once(&method, path, body, &key).await? {
                return Ok(answer);
            }
            anyhow::ensure!(begun.elapsed() < PATIENCE, "{method} {path} was not answered in {PATIENCE:?}");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// `None` where the request is to be repeated.
    async fn once(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        key: &str,
    ) -> anyhow::Result<Option<Answer>> {
        let number = self.turn.fetch_add(1, Ordering::Relaxed) % self.apis;
        let url = self.addresses.url(number).context("there is no such service")?;
        let mut request = self.http.request(method.clone(), format!("{url}/api/v1{path}")).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.header("idempotency-key", key).json(body);
        }
        let Ok(response) = request.send().await else { return Ok(self.not_answered()) };
        let (status, headers) = (response.status(), response.headers().clone());
        let Ok(bytes) = response.bytes().await else { return Ok(self.not_answered()) };
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                self.tally.unavailable.fetch_add(1, Ordering::Relaxed);
                if !headers.contains_key(RETRY_AFTER) {
                    self.fault(format!("{method} {path}: 503 without Retry-After"));
                }
                Ok(None)
            }
            StatusCode::TOO_MANY_REQUESTS => Ok(None),
            StatusCode::CONFLICT if body["detail"].as_str().is_some_and(|detail| detail.contains("in flight")) => {
                Ok(None)
            }
            status if status.is_server_error() => {
                self.fault(format!("{method} {path}: {status}: {body}"));
                Ok(None)
            }
            status => {
                if headers.contains_key("idempotency-replayed") {
                    self.tally.replayed.fetch_add(1, Ordering::Relaxed);
                }
                Ok(Some(Answer { status, body }))
            }
        }
    }

    fn not_answered(&self) -> Option<Answer> {
        self.tally.unanswered.fetch_add(1, Ordering::Relaxed);
        None
    }

    fn fault(&self, text: String) {
        self.tally.faults.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }
}
