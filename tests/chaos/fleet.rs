//! The processes that are killed, and the PostgreSQL that is restarted under them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use test_support::Process;
use testrun_postgres::{Options, Server};
use tokio::task::JoinHandle;

const SCHEDULERS: usize = 3;
const WORKERS: usize = 4;
/// How many there are.
pub(crate) const PROCESSES: usize = SCHEDULERS + WORKERS;

/// Three schedulers and four workers, each running or on its way.
pub(crate) struct Fleet {
    members: Vec<JoinHandle<anyhow::Result<Process>>>,
    database_url: String,
    smtp_url: String,
}

impl Fleet {
    pub(crate) async fn start(database_url: &str, smtp_url: &str) -> anyhow::Result<Self> {
        let (database_url, smtp_url) = (database_url.to_owned(), smtp_url.to_owned());
        // Built once, before seven ask for it at once.
        test_support::processes::path("testrun-scheduler").await?;
        let mut fleet = Self { members: Vec::new(), database_url, smtp_url };
        for number in 0..PROCESSES {
            fleet.members.push(fleet.launch(number));
        }
        fleet.ready().await?;
        Ok(fleet)
    }

    /// What a member is called.
    pub(crate) fn name(number: usize) -> String {
        if number < SCHEDULERS { format!("scheduler {number}") } else { format!("worker {}", number - SCHEDULERS) }
    }

    /// Starts a member, and again if the database happened to be away, as whoever looks after services does.
    fn launch(&self, number: usize) -> JoinHandle<anyhow::Result<Process>> {
        let (database_url, smtp_url) = (self.database_url.clone(), self.smtp_url.clone());
        tokio::spawn(async move {
            let mut last = None;
            for _attempt in 0..20 {
                let started = if number < SCHEDULERS {
                    Process::scheduler(&database_url).await
                } else {
                    Process::worker(&database_url, &smtp_url).await
                };
                match started {
                    Ok(process) => return Ok(process),
                    Err(error) => last = Some(error),
                }
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            Err(last.context("never tried")?)
        })
    }

    /// Kills a member with SIGKILL, once it runs, and starts another in its place.
    ///
    /// # Errors
    /// If it had ended by itself, which none may.
    pub(crate) async fn replace(&mut self, number: usize) -> anyhow::Result<()> {
        let another = tokio::spawn(async { anyhow::bail!("not started") });
        let process = std::mem::replace(&mut self.members[number], another).await??;
        process.crash().await.with_context(|| format!("{} ended by itself", Self::name(number)))?;
        self.members[number] = self.launch(number);
        Ok(())
    }

    /// Waits until all run.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        for member in &mut self.members {
            let process = (&mut *member).await??;
            *member = tokio::spawn(async { Ok(process) });
        }
        Ok(())
    }
}

/// A PostgreSQL of our own, which may be stopped as a crash would stop it.
pub(crate) struct Postgres {
    server: Option<Server>,
    url: String,
    dir: TempDir,
}

impl Postgres {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        // PostgreSQL runs as another account than root's, which has to get there.
        let dir = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir()?;
        let server = start(&dir).await?;
        let url = server.url("postgres");
        Ok(Self { server: Some(server), url, dir })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Stops it at once, without a word to anybody ("immediate"), and starts it again: it recovers from its log.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<()> {
        let mut server = self.server.take().context("it is not running")?;
        let pid_file = self.dir.path().join("postgres/data/postmaster.pid");
        let text = fs::read_to_string(&pid_file).with_context(|| pid_file.display().to_string())?;
        let pid = text.lines().next().and_then(|line| line.parse().ok()).context("no process number")?;
        kill(Pid::from_raw(pid), Signal::SIGQUIT)?;
        server.exited().await;
        drop(server);
        let server = start(&self.dir).await?;
        anyhow::ensure!(server.url("postgres") == self.url, "it came back at another address");
        self.server = Some(server);
        Ok(())
    }

    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(server) = self.server.take() {
            server.stop().await?;
        }
        Ok(())
    }
}

async fn start(dir: &TempDir) -> anyhow::Result<Server> {
    // What is not synced survives the end of a process, if not that of the machine.
    Ok(testrun_postgres::start(Options { durable: false, ..Options::new(dir.path()) }).await?)
}
