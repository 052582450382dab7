//! Runs a command with an empty database of its own.
//!
//! ```text
//! cargo run -p testrun-postgres --example with-postgres -- [--migrations FOLDER] COMMAND ARGUMENTS…
//! ```
//!
//! Joins the tests' throw-away PostgreSQL server, or starts it, creates a database, applies the migrations in FOLDER if one
//! is named (after apalis's, whose tables they add to), runs COMMAND with `DATABASE_URL` set to the database, drops it, and exits as COMMAND did. `.ci/prepare`
//! uses it to write the query data in `.sqlx`; by hand it gives a `psql` something to talk to.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context, bail};
use apalis_postgres::PostgresStorage;
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use testrun_postgres::{Options, join, throw_away_dir};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let migrations = arguments.next_if(|argument| argument == "--migrations").and_then(|_| arguments.next());
    let Some(program) = arguments.next() else {
        bail!("name a command to run: with-postgres [--migrations FOLDER] COMMAND ARGUMENTS…");
    };
    // Ctrl-C is for the command: it ends, and we clear up after it.
    let _interrupt = signal(SignalKind::interrupt())?;
    let _terminate = signal(SignalKind::terminate())?;

    let server = join(Options::new(throw_away_dir()?)).await?;
    let database = format!("with_postgres_{}", std::process::id());
    let mut postgres = PgConnection::connect(&server.url("postgres")).await?;
    drop_database(&mut postgres, &database).await?;
    postgres.execute(AssertSqlSafe(format!("CREATE DATABASE {database} TEMPLATE template0"))).await?;
    let url = server.url(&database);
    let status = async {
        if let Some(folder) = &migrations {
            migrate(Path::new(folder), &url).await?;
        }
        run(&program, arguments, &url).await
    }
    .await;
    drop_database(&mut postgres, &database).await?;
    Ok(exit_code(status?))
}

async fn migrate(folder: &Path, url: &str) -> anyhow::Result<()> {
    let mut database = PgConnection::connect(url).await?;
    PostgresStorage::migrations().run(&mut database).await?;
    Ok(Migrator::new(folder).await?.run(&mut database).await?)
}

async fn run(program: &OsString, arguments: impl Iterator<Item = OsString>, url: &str) -> anyhow::Result<ExitStatus> {
    let mut command = Command::new(program);
    command.args(arguments).env("DATABASE_URL", url);
    command.status().await.with_context(|| format!("cannot run {}", program.display()))
}

async fn drop_database(postgres: &mut PgConnection, database: &str) -> sqlx::Result<()> {
    // FORCE: the command may have left a process behind that is still connected.
    postgres.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"))).await?;
    Ok(())
}

/// As a shell has it: the command's own, or 128 and the signal that ended it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
