//! A proxy between services and PostgreSQL that has the faults of a network: it delays, it cuts connections, and it loses
//! the reply to a COMMIT, so that the client cannot know what became of its transaction.
//!
//! It understands just enough of PostgreSQL's protocol for that, and no TLS.

mod frames;

use std::io;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufWriter};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use frames::Frames;

/// A running proxy; it stops, and its connections close, when it is dropped.
#[derive(Debug)]
pub struct PostgresProxy {
    url: String,
    faults: Arc<Faults>,
    /// Holds the accepting task, which holds one task for each connection: a `JoinSet` aborts its tasks when dropped.
    _acceptor: JoinSet<()>,
}

/// What goes wrong, for all connections alike.
#[derive(Debug)]
struct Faults {
    /// Longest delay of what is passed on, each way, in milliseconds.
    delay_ms: AtomicUsize,
    random: Mutex<StdRng>,
    /// Each change cuts all connections.
    cut: watch::Sender<()>,
    /// How many replies to a COMMIT are still to be lost.
    to_swallow: AtomicUsize,
    swallowed: AtomicUsize,
}

/// Where PostgreSQL is.
#[derive(Debug, Clone)]
enum Upstream {
    Socket(PathBuf),
    Tcp(String, u16),
}

impl PostgresProxy {
    /// Starts a proxy on a free port of 127.0.0.1 for the database at `database_url`. Delays are drawn from `seed`.
    ///
    /// # Errors
    /// If the URL is none of PostgreSQL's, or no port can be bound.
    pub async fn start(database_url: &str, seed: u64) -> anyhow::Result<Self> {
        let options = PgConnectOptions::from_str(database_url)?;
        let database = options.get_database().context("the URL names no database")?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let url = format!("postgres://{}@{address}/{database}?sslmode=disable", options.get_username());
        let faults = Arc::new(Faults {
            delay_ms: AtomicUsize::new(0),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            cut: watch::Sender::new(()),
            to_swallow: AtomicUsize::new(0),
            swallowed: AtomicUsize::new(0),
        });
        let mut acceptor = JoinSet::new();
        acceptor.spawn(accept(listener, Upstream::of(&options), Arc::clone(&faults)));
        Ok(Self { url, faults, _acceptor: acceptor })
    }

    /// The same database by way of the proxy.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Delays whatever is passed on, each way, by a random time of at most `longest`; zero ends that.
    pub fn delay(&self, longest: Duration) {
        let milliseconds = usize::try_from(longest.as_millis()).unwrap_or(usize::MAX);
        self.faults.delay_ms.store(milliseconds, Ordering::Relaxed);
    }

    /// Cuts every connection there is; new ones are taken.
    pub fn cut(&self) {
        self.faults.cut.send_replace(());
    }

    /// Loses the replies to the next `count` transactions that commit, each with its connection.
    pub fn swallow_commits(&self, count: usize) {
        self.faults.to_swallow.fetch_add(count, Ordering::Relaxed);
    }

    /// How many replies to a COMMIT were lost. Each of these transactions is committed.
    #[must_use]
    pub fn swallowed(&self) -> usize {
        self.faults.swallowed.load(Ordering::Relaxed)
    }
}

impl Faults {
    async fn delay(&self) {
        let longest = self.delay_ms.load(Ordering::Relaxed);
        if longest > 0 {
            let drawn = self.random.lock().unwrap_or_else(PoisonError::into_inner).random_range(0..=longest);
            tokio::time::sleep(Duration::from_millis(drawn as u64)).await;
        }
    }

    /// Whether this reply is to be lost, which is one less to lose then.
    fn take_swallow(&self) -> bool {
        let taken =
            self.to_swallow.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if taken {
            self.swallowed.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }
}

impl Upstream {
    fn of(options: &PgConnectOptions) -> Self {
        let port = options.get_port();
        // As libpq has it, a host that is a path is the directory of a socket.
        let socket = options
            .get_socket()
            .cloned()
            .or_else(|| Some(options.get_host()).filter(|host| host.starts_with('/')).map(PathBuf::from));
        match socket {
            Some(directory) => Self::Socket(directory.join(format!(".s.PGSQL.{port}"))),
            None => Self::Tcp(options.get_host().to_owned(), port),
        }
    }
}

async fn accept(listener: TcpListener, upstream: Upstream, faults: Arc<Faults>) {
    let mut connections = JoinSet::new();
    loop {
        // Out of descriptors: others will close theirs.
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (upstream, faults) = (upstream.clone(), Arc::clone(&faults));
        connections.spawn(async move {
            // Where PostgreSQL is away or a side closes, the other one is closed, too: that is all there is to tell.
            let _ = connect(client, &upstream, &faults).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(client: TcpStream, upstream: &Upstream, faults: &Faults) -> io::Result<()> {
    client.set_nodelay(true)?;
    match upstream {
        Upstream::Socket(path) => {
            let (read, write) = UnixStream::connect(path).await?.into_split();
            converse(client, read, write, faults).await
        }
        Upstream::Tcp(host, port) => {
            let server = TcpStream::connect((host.as_str(), *port)).await?;
            server.set_nodelay(true)?;
            let (read, write) = server.into_split();
            converse(client, read, write, faults).await
        }
    }
}

async fn converse(
    client: TcpStream,
    from_server: impl AsyncRead + Unpin,
    to_server: impl AsyncWrite + Unpin,
    faults: &Faults,
) -> io::Result<()> {
    let mut cut = faults.cut.subscribe();
    let (from_client, to_client) = client.into_split();
    let is_committing = AtomicBool::new(false);
    // Whichever way ends first ends the connection.
    let pass = async {
        tokio::select! {
            ended = pass_requests(Frames::of_client(from_client), to_server, faults, &is_committing) => ended,
            ended = pass_replies(Frames::of_server(from_server), to_client, faults, &is_committing) => ended,
        }
    };
    tokio::select! {
        // First: what comes after a cut must not get through.
        biased;
        _ = cut.changed() => Ok(()),
        ended = pass => ended,
    }
}

async fn pass_requests(
    mut requests: Frames<impl AsyncRead + Unpin>,
    to: impl AsyncWrite + Unpin,
    faults: &Faults,
    is_committing: &AtomicBool,
) -> io::Result<()> {
    let mut to = BufWriter::new(to);
    while let Some(request) = requests.next().await? {
        if request == frames::COMMIT {
            is_committing.store(true, Ordering::Relaxed);
        }
        to.write_all(request).await?;
        if requests.is_drained() {
            faults.delay().await;
            to.flush().await?;
        }
    }
    Ok(())
}

async fn pass_replies(
    mut replies: Frames<impl AsyncRead + Unpin>,
    to: impl AsyncWrite + Unpin,
    faults: &Faults,
    is_committing: &AtomicBool,
) -> io::Result<()> {
    let mut to = BufWriter::new(to);
    while let Some(reply) = replies.next().await? {
        // A COMMIT that failed is answered in other words.
        if reply == frames::COMMITTED && is_committing.swap(false, Ordering::Relaxed) && faults.take_swallow() {
            return Ok(());
        }
        to.write_all(reply).await?;
        if replies.is_drained() {
            faults.delay().await;
            to.flush().await?;
        }
    }
    to.flush().await
}

#[cfg(test)]
mod tests;
