//! `testrun up`: the three services in one process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use testrun_api::LimitConfig;
use testrun_postgres::{Options, Server};
use testrun_scheduler::RetentionConfig;
use testrun_shared::config::{AdminConfig, DatabaseConfig, LogConfig};
use testrun_shared::jobs::{CreateScheduledRun, DeliverWebhook, FinaliseRun, Job as _, RefreshRun, SendEmail};
use testrun_shared::ops::Readiness;
use testrun_shared::{db, systemd, telemetry};
use testrun_worker::{AllowList, MailConfig, WebhookConfig};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::screen::Ready;
use crate::seed;

/// The parts that have to have shown themselves before everything is ready.
const PARTS: &[&str] = &[
    "database",
    "fire",
    "sweep",
    CreateScheduledRun::QUEUE,
    RefreshRun::QUEUE,
    FinaliseRun::QUEUE,
    SendEmail::QUEUE,
    DeliverWebhook::QUEUE,
];

/// Connections of each of the three services: together well below the private server's 200.
const CONNECTIONS: u32 = 20;

#[derive(Debug, Args)]
pub(crate) struct Config {
    /// PostgreSQL connection URL; absent: a PostgreSQL of its own
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<SecretString>,

    /// Where data lives between starts; default `/var/lib/testrun` for root, `~/.local/share/testrun` for others
    #[arg(long, env = "TESTRUN_DATA_DIR")]
    data_dir: Option<PathBuf>,

    /// Address for clients; port 0 takes any free one
    #[arg(long, env = "TESTRUN_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// The address under which clients reach it, for links; default `http://` and the listening address
    #[arg(long, env = "TESTRUN_PUBLIC_URL")]
    public_url: Option<Url>,

    /// Write addresses, token and ids to this file as JSON when everything is ready
    #[arg(long)]
    ready_file: Option<PathBuf>,

    /// Seconds without a sign of life from its client after which a queued or running run fails
    #[arg(long, env = "TESTRUN_RUN_INACTIVITY_LIMIT", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    run_inactivity_limit: u64,

    #[command(flatten)]
    limits: LimitConfig,

    #[command(flatten)]
    retention: RetentionConfig,

    #[command(flatten)]
    mail: MailConfig,

    #[command(flatten)]
    webhooks: WebhookConfig,

    #[command(flatten)]
    log: LogConfig,
}

/// Runs everything until a signal, or until a part of it fails.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    telemetry::init(&config.log)?;
    let shutdown = telemetry::shutdown_signal()?;
    // First, because a port that is taken is the likeliest thing to go wrong.
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("TESTRUN_LISTEN: cannot listen on {}; is another one running?", config.listen))?;
    let data_dir = match &config.data_dir {
        Some(path) => std::path::absolute(path)?,
        None => testrun_postgres::default_data_dir()?,
    };
    let mut server = match &config.database_url {
        Some(_) => None,
        None => Some(start_postgres(&data_dir, &shutdown).await?),
    };
    let own = server.as_ref().map(OwnDatabase::of);
    let outcome = tokio::select! {
        outcome = Box::pin(serve(config, listener, &data_dir, own.as_ref(), &shutdown)) => outcome,
        error = exited(server.as_mut()) => Err(error),
    };
    shutdown.cancel();
    if let Some(server) = server {
        server.stop().await?;
    }
    outcome
}

/// What there is to know of a PostgreSQL of our own.
#[derive(Debug)]
struct OwnDatabase {
    url: SecretString,
    maintenance_url: SecretString,
    description: String,
}

impl OwnDatabase {
    fn of(server: &Server) -> Self {
        Self {
            url: server.url("testrun").into(),
            maintenance_url: server.url("postgres").into(),
            description: server.description(),
        }
    }
}

async fn start_postgres(data_dir: &Path, shutdown: &CancellationToken) -> anyhow::Result<Server> {
    println!("starting PostgreSQL in {} …", data_dir.display());
    let server = tokio::select! {
        server = testrun_postgres::start(Options::new(data_dir)) => server?,
        () = shutdown.cancelled() => anyhow::bail!("stopped before PostgreSQL had started"),
    };
    for step in server.passed_over() {
        println!("  passed over {step}");
    }
    Ok(server)
}

async fn exited(server: Option<&mut Server>) -> anyhow::Error {
    match server {
        Some(server) => server.exited().await.into(),
        None => std::future::pending().await,
    }
}

async fn serve(
    config: Config,
    listener: TcpListener,
    data_dir: &Path,
    own: Option<&OwnDatabase>,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let database_url = database_url(&config, own).await?;
    let pool = db::pool(&database_url, 2, "testrun-up").context("DATABASE_URL: not a PostgreSQL URL")?;
    db::migrate(&pool).await?;
    std::fs::create_dir_all(data_dir).with_context(|| format!("cannot make {}", data_dir.display()))?;
    let demo = seed::demo(&pool, data_dir).await?;

    let base_url = Ready::base_url(listener.local_addr()?);
    let mut mail = config.mail.clone();
    mail.mail_dir = Some(mail.mail_dir.unwrap_or_else(|| data_dir.join("mail")));
    let ready = Ready {
        token: demo.as_ref().map(|demo| demo.token.clone()),
        project_id: demo.as_ref().map(|demo| demo.caller.project_id),
        user_id: demo.as_ref().map(|demo| demo.caller.user_id),
        database_url: shown(&database_url),
        mail_dir: mail.mail_dir.as_ref().filter(|_| mail.smtp_url.is_none()).map(|path| path.display().to_string()),
        database: own.map_or_else(|| "the one that DATABASE_URL names".to_owned(), |own| own.description.clone()),
        mail: mail.mailer()?.describe(),
        base_url,
    };
    let readiness = Readiness::default();
    let mut services = spawn(&config, listener, &database_url, mail, &ready, &readiness, shutdown)?;
    drop(pool);
    until_ready(&readiness, &mut services, shutdown).await?;
    if !shutdown.is_cancelled() {
        ready.print();
        if let Some(path) = &config.ready_file {
            ready.write(path).with_context(|| format!("--ready-file: cannot write {}", path.display()))?;
        }
    }
    systemd::notified(join(services, shutdown), readiness, shutdown.clone()).await
}

/// The URL of the caller's database, or of ours, which is made if it is missing.
async fn database_url(config: &Config, own: Option<&OwnDatabase>) -> anyhow::Result<SecretString> {
    if let Some(url) = &config.database_url {
        return Ok(url.clone());
    }
    let own = own.context("neither a database nor a server")?;
    let maintenance = db::pool(&own.maintenance_url, 1, "testrun-up")?;
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = 'testrun')")
        .fetch_one(&maintenance)
        .await?;
    if !exists {
        sqlx::query("CREATE DATABASE testrun").execute(&maintenance).await?;
    }
    Ok(own.url.clone())
}

/// The URL without a password.
fn shown(url: &SecretString) -> String {
    match Url::parse(url.expose_secret()) {
        Ok(mut url) if url.password().is_some() => {
            let _ = url.set_password(Some("***"));
            url.into()
        }
        _ => url.expose_secret().to_owned(),
    }
}

fn spawn(
    config: &Config,
    listener: TcpListener,
    database_url: &SecretString,
    mail: MailConfig,
    ready: &Ready,
    readiness: &Readiness,
    shutdown: &CancellationToken,
) -> anyhow::Result<JoinSet<anyhow::Result<()>>> {
    let database = DatabaseConfig { database_url: database_url.clone(), database_connections: CONNECTIONS };
    let public_url = config.public_url.clone().map_or_else(|| Url::parse(&ready.base_url), Ok)?;
    let admin = AdminConfig { admin_listen: None };
    let api = testrun_api::Config {
        database: database.clone(),
        listen: config.listen,
        public_url: Some(public_url.clone()),
        limits: config.limits.clone(),
        cors_origins: Vec::new(),
        // Nobody balances one process.
        shutdown_delay: 0,
        log: config.log.clone(),
    };
    let worker = testrun_worker::Config {
        database: database.clone(),
        queues: Vec::new(),
        concurrency: None,
        public_url: Some(public_url),
        mail,
        webhooks: webhooks(config),
        admin: admin.clone(),
        log: config.log.clone(),
    };
    let scheduler = testrun_scheduler::Config {
        database,
        run_inactivity_limit: config.run_inactivity_limit,
        retention: config.retention.clone(),
        admin,
        log: config.log.clone(),
    };
    let mut services = JoinSet::new();
    services.spawn(testrun_api::serve(api, listener, readiness.clone(), shutdown.clone()));
    services.spawn(testrun_worker::work(worker, readiness.clone(), shutdown.clone()));
    services.spawn(testrun_scheduler::tick(scheduler, readiness.clone(), shutdown.clone()));
    Ok(services)
}

/// Where webhooks may go. Whoever can reach a service that listens on loopback is on this machine already, so unless it is
/// set otherwise, webhooks may stay there, too.
fn webhooks(config: &Config) -> WebhookConfig {
    match &config.webhooks.webhook_allow_cidrs {
        None if config.listen.ip().is_loopback() => WebhookConfig { webhook_allow_cidrs: Some(AllowList::loopback()) },
        _ => config.webhooks.clone(),
    }
}

async fn until_ready(
    readiness: &Readiness,
    services: &mut JoinSet<anyhow::Result<()>>,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    while !readiness.covers(PARTS) {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(10)) => {}
            () = shutdown.cancelled() => return Ok(()),
            Some(ended) = services.join_next() => {
                ended??;
                anyhow::bail!("a service ended before it was ready");
            }
        }
    }
    Ok(())
}

/// Waits for all services; the first that fails stops the others.
async fn join(mut services: JoinSet<anyhow::Result<()>>, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let mut outcome = Ok(());
    while let Some(ended) = services.join_next().await {
        shutdown.cancel();
        if let Err(error) = ended.map_err(anyhow::Error::new).and_then(|ended| ended) {
            outcome = outcome.and(Err(error));
        }
    }
    outcome
}
