//! A load generator that takes little of the machine it shares with what it measures: HTTP by hand over kept connections.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// The service, and the connections to it that nobody uses just now.
#[derive(Debug)]
pub(crate) struct Target {
    address: SocketAddr,
    token: String,
    idle: Mutex<Vec<TcpStream>>,
}

impl Target {
    pub(crate) fn new(address: SocketAddr, token: &str) -> Self {
        Self { address, token: token.to_owned(), idle: Mutex::default() }
    }

    /// The status of the answer to a request; 0 if there was none, and why not is told on standard error.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &[u8]) -> u16 {
        let answered = match tokio::time::timeout(PATIENCE, self.try_send(method, path, body)).await {
            Ok(answered) => answered,
            Err(late) => Err(late.into()),
        };
        answered.unwrap_or_else(|error| {
            eprintln!("{method} {path}: {error:#}");
            0
        })
    }

    async fn try_send(&self, method: &str, path: &str, body: &[u8]) -> anyhow::Result<u16> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => TcpStream::connect(self.address).await?,
        };
        connection.set_nodelay(true)?;
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            self.address,
            self.token,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        // A refusal may come before a large body is sent: then its rest is refused, and the answer is there to be read.
        let sent = connection.write_all(&request).await;
        let (status, is_kept) = answer(&mut connection).await?;
        if is_kept && sent.is_ok() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
        Ok(status)
    }
}

/// Reads an answer to its end: its status, and whether the connection is kept.
async fn answer(connection: &mut TcpStream) -> anyhow::Result<(u16, bool)> {
    let mut bytes = Vec::with_capacity(4096);
    let head_end = loop {
        anyhow::ensure!(connection.read_buf(&mut bytes).await? > 0, "no answer");
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = std::str::from_utf8(&bytes[..head_end])?.to_ascii_lowercase();
    let status = head.get(9..12).and_then(|status| status.parse().ok()).context("no status")?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.context("no length")?.trim().parse()?;
    while bytes.len() < head_end + length {
        anyhow::ensure!(connection.read_buf(&mut bytes).await? > 0, "half an answer");
    }
    Ok((status, !head.contains("connection: close")))
}

/// What was answered, and after how long.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Seconds from the intended start to the end of the answer, by status.
    pub(crate) latencies: BTreeMap<u16, Vec<f64>>,
}

impl Tally {
    fn note(&mut self, status: u16, took: Duration) {
        self.latencies.entry(status).or_default().push(took.as_secs_f64());
    }

    pub(crate) fn count(&self, is_counted: impl Fn(u16) -> bool) -> usize {
        self.latencies.iter().filter(|(status, _)| is_counted(**status)).map(|(_, took)| took.len()).sum()
    }

    /// This percentile of the answers with such a status, in milliseconds; 0 without any.
    pub(crate) fn percentile(&self, percent: usize, is_counted: impl Fn(u16) -> bool) -> f64 {
        let chosen = self.latencies.iter().filter(|(status, _)| is_counted(**status));
        let mut took: Vec<f64> = chosen.flat_map(|(_, took)| took.iter().copied()).collect();
        took.sort_by(f64::total_cmp);
        took.get(took.len().saturating_sub(1) * percent / 100).map_or(0.0, |seconds| seconds * 1000.0)
    }

    pub(crate) fn statuses(&self) -> String {
        let told = self.latencies.iter().map(|(status, took)| format!("{status}: {}", took.len()));
        told.collect::<Vec<_>>().join(", ")
    }
}

pub(crate) const fn is_good(status: u16) -> bool {
    status >= 200 && status < 300
}

/// So many clients, each of which sends its next request once it has its answer.
pub(crate) async fn closed<F>(clients: usize, time: Duration, send: impl Fn() -> F) -> anyhow::Result<Tally>
where
    F: Future<Output = u16> + Send + 'static,
{
    let end = Instant::now() + time;
    let mut tally = Tally::default();
    let mut under_way = JoinSet::new();
    for _ in 0..clients {
        let request = send();
        under_way.spawn(timed(Instant::now(), request));
    }
    while let Some(answered) = under_way.join_next().await {
        let (status, took) = answered?;
        tally.note(status, took);
        if Instant::now() < end {
            let request = send();
            under_way.spawn(timed(Instant::now(), request));
        }
    }
    Ok(tally)
}

/// So many requests a second whatever becomes of those before, each timed from when it was meant to start: an answer that
/// is late makes the next request no later, and a generator that is late makes its own answers slower and not better.
pub(crate) async fn open<F>(rate: f64, time: Duration, send: impl Fn() -> F) -> anyhow::Result<Tally>
where
    F: Future<Output = u16> + Send + 'static,
{
    let tally = Arc::new(Mutex::new(Tally::default()));
    let under_way = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let mut sent = 0_u32;
    while begun.elapsed() < time {
        while f64::from(sent) / rate <= begun.elapsed().as_secs_f64() {
            let intended = begun + Duration::from_secs_f64(f64::from(sent) / rate);
            sent += 1;
            let (request, tally, count) = (send(), Arc::clone(&tally), Arc::clone(&under_way));
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let (status, took) = timed(intended, request).await;
                tally.lock().unwrap_or_else(PoisonError::into_inner).note(status, took);
                count.fetch_sub(1, Ordering::Relaxed);
            });
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    while under_way.load(Ordering::Relaxed) > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(std::mem::take(&mut *tally.lock().unwrap_or_else(PoisonError::into_inner)))
}

async fn timed(intended: Instant, request: impl Future<Output = u16>) -> (u16, Duration) {
    let status = request.await;
    (status, intended.elapsed())
}
