//! Services that are killed, frozen and started again, as whoever looks after services does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use nix::sys::signal::Signal;
use tokio::task::JoinHandle;

use crate::Process;

/// How long somebody goes on starting a service that does not start, for example because the database is away.
const PATIENCE: Duration = Duration::from_secs(120);

/// A service, as it is started.
#[derive(Debug, Clone)]
pub struct Member {
    name: String,
    program: &'static str,
    variables: Vec<(&'static str, String)>,
}

impl Member {
    /// A REST service on any free port.
    #[must_use]
    pub fn api(number: usize, database_url: &str) -> Self {
        Self::new(format!("api {number}"), "testrun-api", database_url).with("TESTRUN_LISTEN", "127.0.0.1:0")
    }

    /// A worker that sends mail by `smtp_url`.
    #[must_use]
    pub fn worker(number: usize, database_url: &str, smtp_url: &str) -> Self {
        Self::new(format!("worker {number}"), "testrun-worker", database_url)
            .with("TESTRUN_ADMIN_LISTEN", "127.0.0.1:0")
            .with("SMTP_URL", smtp_url)
            .with("MAIL_FROM", "Testrun <testrun@example.com>")
    }

    /// A scheduler.
    #[must_use]
    pub fn scheduler(number: usize, database_url: &str) -> Self {
        Self::new(format!("scheduler {number}"), "testrun-scheduler", database_url)
            .with("TESTRUN_ADMIN_LISTEN", "127.0.0.1:0")
    }

    fn new(name: String, program: &'static str, database_url: &str) -> Self {
        Self { name, program, variables: vec![("DATABASE_URL", database_url.to_owned())] }
    }

    /// The same with another setting.
    #[must_use]
    pub fn with(mut self, variable: &'static str, value: &str) -> Self {
        self.variables.push((variable, value.to_owned()));
        self
    }

    /// Starts it once, and waits until it is ready.
    ///
    /// # Errors
    /// If it does not become so.
    pub async fn start(&self) -> anyhow::Result<Process> {
        let variables: Vec<_> = self.variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Process::start(self.program, &variables, &[]).await?.ready().await
    }
}

/// Where the members of a fleet listen, by their numbers. It follows every new start.
#[derive(Debug, Clone, Default)]
pub struct Addresses(Arc<Mutex<Vec<Option<String>>>>);

impl Addresses {
    /// The URL of a member; where it is not running, that of its life before.
    #[must_use]
    pub fn url(&self, number: usize) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(number).cloned().flatten()
    }

    fn set(&self, number: usize, url: String) {
        let mut urls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let length = urls.len().max(number + 1);
        urls.resize(length, None);
        urls[number] = Some(url);
    }
}

/// Some services, each running or on its way. They are killed with this value.
#[derive(Debug)]
pub struct Fleet {
    members: Vec<Member>,
    running: Vec<JoinHandle<anyhow::Result<Process>>>,
    addresses: Addresses,
    ended: Vec<String>,
}

impl Fleet {
    /// Starts all, and waits until they are ready.
    ///
    /// # Errors
    /// If one cannot be started.
    pub async fn start(members: Vec<Member>) -> anyhow::Result<Self> {
        // Built once, before all ask for it at once.
        crate::processes::path("testrun-api").await?;
        let mut fleet = Self { members, running: Vec::new(), addresses: Addresses::default(), ended: Vec::new() };
        for number in 0..fleet.members.len() {
            fleet.running.push(fleet.launch(number));
        }
        fleet.ready().await?;
        Ok(fleet)
    }

    /// What a member is called.
    #[must_use]
    pub fn name(&self, number: usize) -> &str {
        &self.members[number].name
    }

    /// Where they listen.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses.clone()
    }

    /// Those that ended by themselves, which none may: names and how they ended.
    #[must_use]
    pub fn ended(&self) -> &[String] {
        &self.ended
    }

    /// Starts a member, and again if the database happens to be away.
    fn launch(&self, number: usize) -> JoinHandle<anyhow::Result<Process>> {
        let (member, addresses) = (self.members[number].clone(), self.addresses.clone());
        tokio::spawn(async move {
            let begun = Instant::now();
            loop {
                match member.start().await {
                    Ok(process) => {
                        addresses.set(number, process.url().await?);
                        return Ok(process);
                    }
                    Err(error) if begun.elapsed() > PATIENCE => {
                        return Err(error).with_context(|| format!("{} does not start", member.name));
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(250)).await,
                }
            }
        })
    }

    /// Waits until a member runs, and takes it out.
    async fn take(&mut self, number: usize) -> anyhow::Result<Process> {
        let nobody = tokio::spawn(async { anyhow::bail!("nothing was started in its place") });
        std::mem::replace(&mut self.running[number], nobody).await?
    }

    fn put(&mut self, number: usize, process: Process) {
        self.running[number] = tokio::spawn(async { Ok(process) });
    }

    /// Kills a member with SIGKILL, once it runs, and starts another in its place. Returns when it was killed.
    ///
    /// # Errors
    /// If it could not be started before.
    pub async fn replace(&mut self, number: usize) -> anyhow::Result<SystemTime> {
        let process = self.take(number).await?;
        let at = SystemTime::now();
        if let Err(error) = process.crash().await {
            self.ended.push(format!("{}: {error:#}", self.name(number)));
        }
        self.running[number] = self.launch(number);
        Ok(at)
    }

    /// Asks a member to end with SIGTERM, waits for that, starts another in its place and waits until it is ready. Returns
    /// how long the end took.
    ///
    /// # Errors
    /// If it does not end well, or the other one does not start.
    pub async fn roll(&mut self, number: usize) -> anyhow::Result<Duration> {
        let process = self.take(number).await?;
        let begun = Instant::now();
        let ended_well = process.stop().await?;
        let took = begun.elapsed();
        anyhow::ensure!(ended_well, "{} did not end well", self.name(number));
        self.running[number] = self.launch(number);
        self.ready().await?;
        Ok(took)
    }

    /// Freezes a member (SIGSTOP), once it runs.
    ///
    /// # Errors
    /// If it could not be started before.
    pub async fn freeze(&mut self, number: usize) -> anyhow::Result<()> {
        self.signal(number, Signal::SIGSTOP).await
    }

    /// Has a frozen member go on (SIGCONT); one that was killed meanwhile has nothing to do with it.
    ///
    /// # Errors
    /// If it could not be started.
    pub async fn thaw(&mut self, number: usize) -> anyhow::Result<()> {
        self.signal(number, Signal::SIGCONT).await
    }

    async fn signal(&mut self, number: usize, signal: Signal) -> anyhow::Result<()> {
        let process = self.take(number).await?;
        if let Err(error) = process.signal(signal) {
            self.ended.push(format!("{}: {error:#}", self.name(number)));
        }
        self.put(number, process);
        Ok(())
    }

    /// The process numbers of all, once they run.
    ///
    /// # Errors
    /// If one could not be started, or has ended.
    pub async fn ids(&mut self) -> anyhow::Result<Vec<u32>> {
        let mut ids = Vec::new();
        for number in 0..self.members.len() {
            let mut process = self.take(number).await?;
            if let Some(status) = process.ended()? {
                self.ended.push(format!("{}: {status}", self.name(number)));
            }
            ids.push(process.id()?);
            self.put(number, process);
        }
        Ok(ids)
    }

    /// Waits until all run.
    ///
    /// # Errors
    /// If one cannot be started.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        for number in 0..self.members.len() {
            let process = self.take(number).await?;
            self.put(number, process);
        }
        Ok(())
    }
}
