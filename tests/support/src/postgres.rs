//! A PostgreSQL that can be crashed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};
use tempfile::TempDir;
use testrun_postgres::{Options, Server};

/// A PostgreSQL of a test's own, which may be stopped as a crash would stop it. It ends with this value.
#[derive(Debug)]
pub struct Postgres {
    server: Option<Server>,
    url: String,
    dir: TempDir,
}

impl Postgres {
    /// Starts one with nothing in it.
    ///
    /// # Errors
    /// If no PostgreSQL can be had.
    pub async fn start() -> anyhow::Result<Self> {
        // PostgreSQL runs as another account than root's, which has to get there.
        let dir = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir()?;
        let server = start(&dir).await?;
        let url = server.url("postgres");
        write_at_commit(&url).await?;
        Ok(Self { server: Some(server), url, dir })
    }

    /// The address of its database, the same after every start.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Connections for the test itself, which has more patience than a service: the machine is busy.
    ///
    /// # Errors
    /// Never: the address is its own.
    pub fn pool(&self) -> sqlx::Result<PgPool> {
        PgPoolOptions::new().max_connections(10).acquire_timeout(Duration::from_secs(60)).connect_lazy(&self.url)
    }

    /// Ends it at once, without a word to anybody ("immediate").
    ///
    /// # Errors
    /// If it does not run.
    pub async fn crash(&mut self) -> anyhow::Result<()> {
        let mut server = self.server.take().context("it is not running")?;
        let pid_file = self.dir.path().join("postgres/data/postmaster.pid");
        let text = fs::read_to_string(&pid_file).with_context(|| pid_file.display().to_string())?;
        let pid = text.lines().next().and_then(|line| line.parse().ok()).context("no process number")?;
        kill(Pid::from_raw(pid), Signal::SIGQUIT)?;
        server.exited().await;
        Ok(())
    }

    /// Starts it again after a crash: it recovers from its log, and then accepts connections.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn recover(&mut self) -> anyhow::Result<()> {
        let server = start(&self.dir).await?;
        anyhow::ensure!(server.url("postgres") == self.url, "it came back at another address");
        self.server = Some(server);
        Ok(())
    }

    /// [`crash`](Self::crash), and [`recover`](Self::recover) at once.
    ///
    /// # Errors
    /// As these two.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.crash().await?;
        self.recover().await
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(server) = self.server.take() {
            server.stop().await?;
        }
        Ok(())
    }
}

async fn start(dir: &TempDir) -> anyhow::Result<Server> {
    // What is written but not synced survives the end of a process, if not that of the machine.
    Ok(testrun_postgres::start(Options { durable: false, ..Options::new(dir.path()) }).await?)
}

/// Has a commit wait until its log is written: a server that need not be durable leaves it in its memory for a while, and
/// a crash would take what was acknowledged with it. A database's setting goes before the server's.
async fn write_at_commit(url: &str) -> sqlx::Result<()> {
    let mut conn = PgConnection::connect(url).await?;
    conn.execute("ALTER DATABASE postgres SET synchronous_commit = on").await?;
    conn.close().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_crash_takes_nothing_that_was_committed() {
        let mut postgres = Postgres::start().await.unwrap();
        let mut conn = PgConnection::connect(postgres.url()).await.unwrap();
        conn.execute("CREATE TABLE facts (number BIGINT)").await.unwrap();
        for number in 0..200_i64 {
            sqlx::query("INSERT INTO facts VALUES ($1)").bind(number).execute(&mut conn).await.unwrap();
        }
        postgres.restart().await.unwrap();
        conn.execute("SELECT 1").await.unwrap_err();
        let mut conn = PgConnection::connect(postgres.url()).await.unwrap();
        let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM facts").fetch_one(&mut conn).await.unwrap();
        assert_eq!(stored, 200);
        postgres.stop().await.unwrap();
    }
}
