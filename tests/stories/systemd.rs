//! Services that systemd starts with `Type=notify`: what comes to its socket.

use anyhow::Context as _;
use nix::sys::signal::Signal;
use tempfile::TempDir;
use test_support::{Database, Process};
use tokio::net::UnixDatagram;
use tokio::time::timeout;

use crate::programs::printed;
use crate::world::PATIENCE;

#[tokio::test(flavor = "multi_thread")]
async fn services_tell_systemd_when_they_are_ready_and_when_they_stop() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let mails = TempDir::new()?;
    let mail_dir = mails.path().display().to_string();
    let (api, admin) = (("TESTRUN_LISTEN", "127.0.0.1:0"), ("TESTRUN_ADMIN_LISTEN", "127.0.0.1:0"));
    for (program, settings) in [
        ("testrun-api", vec![api]),
        ("testrun-worker", vec![admin, ("TESTRUN_MAIL_DIR", mail_dir.as_str())]),
        // Without an address to ask, systemd is told all the same.
        ("testrun-worker", vec![("TESTRUN_MAIL_DIR", mail_dir.as_str())]),
        ("testrun-scheduler", vec![admin]),
    ] {
        let systemd = Systemd::new()?;
        let own = [("DATABASE_URL", database.url.as_str()), ("NOTIFY_SOCKET", systemd.path())];
        let process = Process::start(program, &[&own[..], &settings].concat(), &[]).await?;
        assert_eq!(systemd.heard().await.context(program)?, "READY=1\n", "{program}");
        if settings.iter().any(|setting| *setting == api || *setting == admin) {
            let url = format!("{}/readyz", process.url().await?);
            printed("testrun", &[], &["health", "--url", &url]).await.context(program)?;
        }
        process.signal(Signal::SIGTERM)?;
        assert_eq!(systemd.heard().await.context(program)?, "STOPPING=1\n", "{program}");
        assert!(process.stop().await?, "{program}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_cannot_start_does_not_call_itself_ready() -> anyhow::Result<()> {
    let database = Database::empty().await?;
    let systemd = Systemd::new()?;
    let variables =
        [("DATABASE_URL", database.url.as_str()), ("NOTIFY_SOCKET", systemd.path()), ("TESTRUN_LISTEN", "127.0.0.1:0")];
    for program in ["testrun-api", "testrun-worker", "testrun-scheduler"] {
        let ended = crate::programs::output(program, &variables, &[]).await?;
        assert!(!ended.status.success(), "{program}");
    }
    let mut buffer = [0; 64];
    let heard =
        systemd.socket.try_recv(&mut buffer).map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned());
    assert_eq!(heard.map_err(|error| error.kind()), Err(std::io::ErrorKind::WouldBlock));
    Ok(())
}

/// The socket that systemd hands to a service.
struct Systemd {
    socket: UnixDatagram,
    path: String,
    _directory: TempDir,
}

impl Systemd {
    fn new() -> anyhow::Result<Self> {
        let directory = TempDir::new()?;
        let path = directory.path().join("notify");
        Ok(Self { socket: UnixDatagram::bind(&path)?, path: path.display().to_string(), _directory: directory })
    }

    fn path(&self) -> &str {
        &self.path
    }

    async fn heard(&self) -> anyhow::Result<String> {
        let mut buffer = [0; 256];
        let length = timeout(PATIENCE, self.socket.recv(&mut buffer)).await.context("systemd heard nothing")??;
        Ok(String::from_utf8(buffer[..length].to_vec())?)
    }
}
