//! The real programs, as processes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{OnceCell, watch};

use crate::until;

/// How long a program may take to start on a busy machine.
const START: Duration = Duration::from_secs(60);

/// A running program. It is killed with this value.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    address: watch::Receiver<Option<SocketAddr>>,
}

impl Process {
    /// Starts a program of the workspace, such as `testrun-api`, with these variables and arguments and no others of ours.
    ///
    /// Its log goes to this process's standard error, with the program's name before each line.
    ///
    /// # Errors
    /// If it cannot be built or started.
    pub async fn start(program: &str, variables: &[(&str, &str)], arguments: &[&str]) -> anyhow::Result<Self> {
        Self::start_file(&path(program).await?, variables, arguments)
    }

    /// Starts a program from its file, as [`Self::start`] does, and builds nothing.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_file(file: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> anyhow::Result<Self> {
        let program = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut command = Command::new(file);
        for (name, _) in std::env::vars() {
            if name.starts_with("TESTRUN_")
                || matches!(name.as_str(), "DATABASE_URL" | "SMTP_URL" | "MAIL_FROM" | "RUST_LOG")
            {
                command.env_remove(name);
            }
        }
        command.envs(variables.iter().copied()).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", file.display()))?;
        let (sender, address) = watch::channel(None);
        let lines = BufReader::new(child.stderr.take().context("no standard error")?).lines();
        tokio::spawn(follow(program.clone(), lines, sender));
        Ok(Self { child, name: program, address })
    }

    /// Starts an `api` on any free port, and waits until it listens.
    ///
    /// # Errors
    /// If it does not.
    pub async fn api(database_url: &str) -> anyhow::Result<Self> {
        let variables = [("DATABASE_URL", database_url), ("TESTRUN_LISTEN", "127.0.0.1:0")];
        let process = Self::start("testrun-api", &variables, &[]).await?;
        process.address().await?;
        Ok(process)
    }

    /// Starts a `worker` that sends mail by `smtp_url`, and waits until it is ready.
    ///
    /// # Errors
    /// If it does not become so.
    pub async fn worker(database_url: &str, smtp_url: &str) -> anyhow::Result<Self> {
        Self::worker_with(database_url, smtp_url, &[]).await
    }

    /// As [`Self::worker`], with more variables.
    ///
    /// # Errors
    /// If it does not become ready.
    pub async fn worker_with(database_url: &str, smtp_url: &str, more: &[(&str, &str)]) -> anyhow::Result<Self> {
        let variables = [
            ("DATABASE_URL", database_url),
            ("SMTP_URL", smtp_url),
            ("MAIL_FROM", "Testrun <testrun@example.com>"),
            ("TESTRUN_ADMIN_LISTEN", "127.0.0.1:0"),
        ];
        Self::start("testrun-worker", &[&variables, more].concat(), &[]).await?.ready().await
    }

    /// Starts a `scheduler`, and waits until it is ready.
    ///
    /// # Errors
    /// If it does not become so.
    pub async fn scheduler(database_url: &str) -> anyhow::Result<Self> {
        Self::scheduler_with(database_url, &[]).await
    }

    /// Starts a `scheduler` with these variables too, and waits until it is ready.
    ///
    /// # Errors
    /// If it does not become so.
    pub async fn scheduler_with(database_url: &str, variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let own = [("DATABASE_URL", database_url), ("TESTRUN_ADMIN_LISTEN", "127.0.0.1:0")];
        Self::start("testrun-scheduler", &[&own, variables].concat(), &[]).await?.ready().await
    }

    /// The address that the program listens on, once it told.
    ///
    /// # Errors
    /// If it ended or did not tell in time.
    pub async fn address(&self) -> anyhow::Result<SocketAddr> {
        let mut address = self.address.clone();
        let told = tokio::time::timeout(START, address.wait_for(Option::is_some)).await;
        let told = told.with_context(|| format!("{} did not say where it listens", self.name))?;
        told.with_context(|| format!("{} ended at its start", self.name))?.context("no address")
    }

    /// The URL that the program listens on.
    ///
    /// # Errors
    /// As [`Self::address`].
    pub async fn url(&self) -> anyhow::Result<String> {
        Ok(format!("http://{}", self.address().await?))
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// If it does not become so.
    pub async fn ready(self) -> anyhow::Result<Self> {
        let client = crate::Client::new(&self.url().await?, None)?;
        until(&format!("{} to be ready", self.name), START, || async {
            Ok(client.get("/readyz").await?.status.is_success().then_some(()))
        })
        .await?;
        Ok(self)
    }

    /// Its process number.
    ///
    /// # Errors
    /// If it is gone.
    pub fn id(&self) -> anyhow::Result<u32> {
        self.child.id().context("it has ended")
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Kills it with SIGKILL, as a crash would, and waits until it is gone.
    ///
    /// # Errors
    /// If it had ended already.
    pub async fn crash(mut self) -> anyhow::Result<()> {
        if let Some(status) = self.ended()? {
            anyhow::bail!("{} had ended by itself: {status}", self.name);
        }
        Ok(self.child.kill().await?)
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If it is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = i32::try_from(self.child.id().context("it has ended")?)?;
        Ok(kill(Pid::from_raw(id), signal)?)
    }

    /// Asks it to end with SIGTERM, waits for it and returns whether it ended well.
    ///
    /// # Errors
    /// If it does not end within 35 s.
    pub async fn stop(mut self) -> anyhow::Result<bool> {
        self.signal(Signal::SIGTERM)?;
        let status = tokio::time::timeout(Duration::from_secs(35), self.child.wait()).await;
        Ok(status.with_context(|| format!("{} did not stop", self.name))??.success())
    }
}

/// Passes the log on, and tells the address that is in it.
async fn follow(
    program: String,
    mut lines: tokio::io::Lines<BufReader<tokio::process::ChildStderr>>,
    address: watch::Sender<Option<SocketAddr>>,
) {
    while let Ok(Some(line)) = lines.next_line().await {
        eprintln!("{program}: {line}");
        let told = line.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next());
        if let Some(told) = told.and_then(|text| text.parse().ok()) {
            address.send_replace(Some(told));
        }
    }
}

/// The folder that programs are taken from.
static BUILT: OnceCell<PathBuf> = OnceCell::const_new();

/// Takes programs from this folder, where they have been built, instead of building them. For the first thing that is done.
///
/// # Errors
/// If it is not there, or one was asked for already.
pub fn take_from(folder: &Path) -> anyhow::Result<()> {
    let folder = folder.canonicalize().with_context(|| folder.display().to_string())?;
    BUILT.set(folder).context("a program has been asked for already")
}

/// Where a program of the workspace is, built if need be.
///
/// # Errors
/// If it cannot be built.
pub async fn path(program: &str) -> anyhow::Result<PathBuf> {
    Ok(BUILT.get_or_try_init(build).await?.join(program))
}

/// Builds all programs as the tests were built, so that nothing is built twice, and returns the folder that they are in.
async fn build() -> anyhow::Result<PathBuf> {
    let executable = std::env::current_exe()?;
    // TARGET/PROFILE/deps/EXECUTABLE
    let profile = executable.ancestors().nth(2).context("the test program is not in a target directory")?;
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    // One test target makes cargo choose the features that it chooses for `cargo test`; it need not be every one.
    command.args(["build", "--workspace", "--bins", "--test", "stories", "--quiet"]);
    // What cargo told this test of its package: some build scripts watch these, and half the tree would be built again.
    for (name, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
    {
        command.env_remove(name);
    }
    if profile.file_name().is_some_and(|name| name == "release") {
        command.arg("--release");
    }
    command.env("CARGO_TARGET_DIR", profile.parent().context("no target directory")?);
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    anyhow::ensure!(command.status().await?.success(), "the programs could not be built");
    Ok(profile.to_owned())
}
