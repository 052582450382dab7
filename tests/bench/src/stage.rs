//! What is measured: a durable PostgreSQL, a database for each build, and its programs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use sqlx::{AssertSqlSafe, PgPool};
use tempfile::TempDir;
use test_support::smtp::SmtpSink;
use test_support::{Process, Tenant, until};
use testrun_postgres::{Options, Server};
use testrun_shared::db;
use tokio::process::Command;
use uuid::Uuid;

/// Where the measured server keeps its data.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServerArguments {
    /// Folder in which PostgreSQL's data is kept for the time of the measurement [default: the system's temporary one]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// A durable PostgreSQL of our own: every commit is on disk before it is answered.
pub(crate) struct Postgres {
    server: Server,
    _dir: TempDir,
}

impl Postgres {
    pub(crate) async fn start(arguments: &ServerArguments) -> anyhow::Result<Self> {
        let dir = match &arguments.data {
            Some(parent) => tempfile::tempdir_in(parent)?,
            None => tempfile::tempdir()?,
        };
        // PostgreSQL may have to run as another account, which has to reach its own directory in ours.
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let server = testrun_postgres::start(Options::new(dir.path().join("bench"))).await?;
        eprintln!("{}", server.description());
        Ok(Self { server, _dir: dir })
    }

    pub(crate) fn url(&self, database: &str) -> String {
        self.server.url(database)
    }

    /// Makes an empty database.
    pub(crate) async fn create(&self, database: &str) -> anyhow::Result<String> {
        let pool = db::pool(&self.url("postgres").into(), 2, "bench")?;
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {database}"))).execute(&pool).await?;
        Ok(self.url(database))
    }

    /// The program of this name that comes with the server.
    pub(crate) async fn program(&self, name: &str) -> anyhow::Result<PathBuf> {
        let pool = db::pool(&self.url("postgres").into(), 2, "bench")?;
        let dir: Option<String> =
            sqlx::query_scalar("SELECT setting FROM pg_config WHERE name = 'BINDIR'").fetch_optional(&pool).await?;
        let file = Path::new(&dir.context("the server does not tell where its programs are")?).join(name);
        anyhow::ensure!(file.exists(), "PostgreSQL's {name} is not installed: {} is missing", file.display());
        Ok(file)
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        Ok(self.server.stop().await?)
    }
}

/// The folder that this program lies in, with the others beside it.
pub(crate) fn own_programs() -> anyhow::Result<PathBuf> {
    let file = std::env::current_exe()?;
    Ok(file.parent().context("this program lies nowhere")?.to_owned())
}

/// One build of Testrun with a database of its own.
pub(crate) struct Stage {
    pub(crate) db: PgPool,
    pub(crate) url: String,
    pub(crate) tenant: Tenant,
    programs: PathBuf,
}

impl Stage {
    /// Makes the database `name` and has the build migrate it.
    pub(crate) async fn new(postgres: &Postgres, name: &str, programs: &Path) -> anyhow::Result<Self> {
        let url = postgres.create(name).await?;
        let program = programs.join("testrun");
        let migrated = Command::new(&program).arg("migrate").env("DATABASE_URL", &url).status().await;
        let migrated = migrated.with_context(|| format!("cannot start {}; build it first", program.display()))?;
        anyhow::ensure!(migrated.success(), "{} migrate failed", program.display());
        let db = db::pool(&url.clone().into(), 16, "bench")?;
        let tenant = Tenant::create(&db, "Bench").await?;
        Ok(Self { db, url, tenant, programs: programs.to_owned() })
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// Starts an api, a worker that sends mail to `smtp`, and a scheduler.
    pub(crate) async fn start(&self, smtp: &SmtpSink) -> anyhow::Result<Programs> {
        let api =
            self.process("testrun-api", &[("TESTRUN_LISTEN", "127.0.0.1:0"), ("TESTRUN_RATE_LIMIT", "0")]).await?;
        let smtp_url = smtp.url();
        let admin = ("TESTRUN_ADMIN_LISTEN", "127.0.0.1:0");
        let mail = [("SMTP_URL", smtp_url.as_str()), ("MAIL_FROM", "Testrun <testrun@example.com>"), admin];
        let worker = self.process("testrun-worker", &mail).await?;
        let scheduler = self.process("testrun-scheduler", &[admin]).await?;
        Ok(Programs { address: api.address().await?, api, worker, scheduler })
    }

    pub(crate) async fn process(&self, program: &str, variables: &[(&str, &str)]) -> anyhow::Result<Process> {
        let database = [("DATABASE_URL", self.url.as_str())];
        Process::start_file(&self.program(program), &[&database, variables].concat(), &[])?.ready().await
    }

    /// Makes test cases until there are this many.
    pub(crate) async fn cases(&self, wanted: i64) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO test_cases (project_id, name, suite_path, external_key)
             SELECT $1, 'Case ' || n, '{Bench}', n::text FROM generate_series(1, $2) n
             ON CONFLICT (project_id, external_key) DO NOTHING",
        )
        .bind(self.tenant.project_id)
        .bind(wanted)
        .execute(&self.db)
        .await?;
        Ok(())
    }

    /// Makes a running run of the first test cases and returns its work.
    pub(crate) async fn running(&self, items: i64) -> anyhow::Result<Vec<Work>> {
        self.cases(items).await?;
        let run: Uuid = sqlx::query_scalar(
            "WITH number AS (
                 UPDATE projects SET last_run_number = last_run_number + 1 WHERE id = $1 RETURNING last_run_number AS n
             )
             INSERT INTO test_runs (run_name, run_number, project_id, created_by, status, started_at, total_tests)
             SELECT 'Run ' || n, n, $1, $2, 'running', now(), $3 FROM number RETURNING id",
        )
        .bind(self.tenant.project_id)
        .bind(self.tenant.user_id)
        .bind(i32::try_from(items)?)
        .fetch_one(&self.db)
        .await?;
        let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(
            "INSERT INTO test_run_items (test_run_id, test_case_id, execution_order, status)
             SELECT $1, id, row_number() OVER (ORDER BY external_key::bigint), 'queued'
             FROM test_cases WHERE project_id = $2 AND suite_path = '{Bench}' ORDER BY external_key::bigint LIMIT $3
             RETURNING id, test_case_id",
        )
        .bind(run)
        .bind(self.tenant.project_id)
        .bind(items)
        .fetch_all(&self.db)
        .await?;
        Ok(rows.into_iter().map(|(item, case)| Work { run, item, case }).collect())
    }

    /// Waits until workers have completed a run.
    pub(crate) async fn completed(&self, run: Uuid) -> anyhow::Result<()> {
        until("the run to complete", Duration::from_secs(600), || async {
            let status: String =
                sqlx::query_scalar("SELECT status FROM test_runs WHERE id = $1").bind(run).fetch_one(&self.db).await?;
            Ok((status == "completed").then_some(()))
        })
        .await
    }
}

/// One test to tell the result of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    pub(crate) run: Uuid,
    pub(crate) item: Uuid,
    pub(crate) case: Uuid,
}

/// The programs of a stage, running.
pub(crate) struct Programs {
    pub(crate) address: SocketAddr,
    pub(crate) api: Process,
    pub(crate) worker: Process,
    pub(crate) scheduler: Process,
}

impl Programs {
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        for process in [self.api, self.worker, self.scheduler] {
            process.stop().await?;
        }
        Ok(())
    }
}
