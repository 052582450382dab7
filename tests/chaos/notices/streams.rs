//! Clients of the live stream that come back whenever they are cut off, and hang up of their own accord now and then.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use test_support::EventStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::doors::Doors;

/// After how many events a client hangs up.
const STAY: std::ops::Range<usize> = 20..400;
/// How long a client waits before it comes back, in milliseconds.
const AWAY_MS: std::ops::Range<u64> = 20..500;
/// And when it was not let in: about as long as browsers do.
const REFUSED_MS: std::ops::Range<u64> = 1_500..4_500;

/// Clients that follow the projects.
pub(super) struct Streams {
    watchers: Vec<watch::Receiver<Seen>>,
    /// They end with this.
    _tasks: JoinSet<()>,
}

/// What a client has seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// The number of the project that it follows.
    pub(super) project: usize,
    pub(super) is_web_socket: bool,
    /// The ids of the events, in the order in which they came; `reset` where it was told so.
    pub(super) events: Vec<String>,
    /// How often it connected.
    pub(super) connections: usize,
}

impl Streams {
    /// Opens so many streams, by turns of both kinds, a quarter of them to every project but the first.
    pub(super) fn open(seed: u64, count: usize, tokens: &[String], doors: &Doors) -> Self {
        let mut tasks = JoinSet::new();
        let watchers = (0..count).map(|number| {
            let project = number / 2 % 4 % tokens.len();
            let seen = Seen { project, is_web_socket: number % 2 == 1, ..Seen::default() };
            let (seen, watcher) = watch::channel(seen);
            let rng = StdRng::seed_from_u64(seed.wrapping_add(u64::try_from(number).unwrap_or_default()));
            tasks.spawn(follow(Arc::new(seen), doors.clone(), tokens[project].clone(), rng));
            watcher
        });
        Self { watchers: watchers.collect(), _tasks: tasks }
    }

    /// Waits until each client is in the state that is asked for.
    pub(super) async fn wait_for(
        &self,
        what: &str,
        within: Duration,
        is_there: impl Fn(&Seen) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + within;
        for watcher in &self.watchers {
            let mut watcher = watcher.clone();
            if tokio::time::timeout_at(deadline, watcher.wait_for(|seen| is_there(seen))).await.is_err() {
                let late = self.watchers.iter().filter(|watcher| !is_there(&watcher.borrow())).count();
                anyhow::bail!("waited {within:?} for {what}; {late} of {} streams are not", self.watchers.len());
            }
        }
        Ok(())
    }

    /// What every client has seen up to now.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.watchers.iter().map(|watcher| watcher.borrow().clone()).collect()
    }
}

/// Follows the events for ever, and comes back after the last one that was seen.
async fn follow(seen: Arc<watch::Sender<Seen>>, doors: Doors, token: String, mut rng: StdRng) {
    loop {
        let stay = rng.random_range(STAY);
        let connections = seen.borrow().connections;
        // However it ended, a client does the same.
        drop(follow_for(stay, &seen, &doors.one(rng.random_range(0..1_000)), &token).await);
        let away = if seen.borrow().connections > connections { AWAY_MS } else { REFUSED_MS };
        tokio::time::sleep(Duration::from_millis(rng.random_range(away))).await;
    }
}

async fn follow_for(stay: usize, seen: &watch::Sender<Seen>, url: &str, token: &str) -> anyhow::Result<()> {
    let last = seen.borrow().events.last().cloned();
    let mut stream = if seen.borrow().is_web_socket {
        EventStream::web_socket(url, token, last.as_deref()).await?
    } else {
        EventStream::server_sent(url, token, last.as_deref()).await?
    };
    seen.send_modify(|seen| seen.connections += 1);
    for _ in 0..stay {
        let Some(event) = stream.next().await? else { break };
        let id = event["id"].as_str().or(event["type"].as_str()).unwrap_or("nothing").to_owned();
        seen.send_modify(|seen| seen.events.push(id));
    }
    Ok(())
}
