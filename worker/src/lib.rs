//! The workers: what jobs do, and the mails and webhooks that leave.

mod app;
mod context;
mod handlers;
pub mod mail;
mod webhook;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use lettre::message::Mailbox;
use secrecy::SecretString;
use testrun_shared::config::{AdminConfig, DatabaseConfig, LogConfig};
use testrun_shared::{db, jobs, ops, systemd};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::context::Context;
use crate::mail::Mailer;
pub use crate::webhook::AllowList;
use crate::webhook::{TIMEOUT, WebhookClient};

/// Settings of the workers.
#[derive(Debug, Clone, Parser)]
#[command(name = "testrun-worker", version, about = "The job workers of Testrun")]
pub struct Config {
    /// Where the database is
    #[command(flatten)]
    pub database: DatabaseConfig,

    /// Queues to work on, comma-separated; default all
    #[arg(long, env = "TESTRUN_QUEUES", value_delimiter = ',')]
    pub queues: Vec<String>,

    /// Jobs of each queue that run at once in this process; default the queue's own number
    #[arg(long, env = "TESTRUN_CONCURRENCY", value_parser = clap::value_parser!(u16).range(1..=500))]
    pub concurrency: Option<u16>,

    /// The address under which clients reach the REST service, for links in mails; absent: mails have none
    #[arg(long, env = "TESTRUN_PUBLIC_URL")]
    pub public_url: Option<Url>,

    /// Where mail goes
    #[command(flatten)]
    pub mail: MailConfig,

    /// Where webhooks may go
    #[command(flatten)]
    pub webhooks: WebhookConfig,

    /// Where operators ask
    #[command(flatten)]
    pub admin: AdminConfig,

    /// What is logged, and how
    #[command(flatten)]
    pub log: LogConfig,
}

/// Where mail goes.
#[derive(Debug, Clone, clap::Args)]
pub struct MailConfig {
    /// Mail server, for example `smtp://user:password@host:587?tls=required`; absent: mails become files
    #[arg(long, env = "SMTP_URL", hide_env_values = true)]
    pub smtp_url: Option<SecretString>,

    /// Folder for mails as `.eml` files where no mail server is set; default `mail`, beside the data of `testrun up`
    #[arg(long, env = "TESTRUN_MAIL_DIR")]
    pub mail_dir: Option<PathBuf>,

    /// Sender of all mails
    #[arg(long, env = "MAIL_FROM", default_value = "Testrun <testrun@localhost>")]
    pub mail_from: Mailbox,
}

/// Where webhooks may go.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct WebhookConfig {
    /// Networks that webhooks may be sent to although they are not public, comma-separated, for example
    /// `10.0.0.0/8,fd00::/8`; default none, and this machine's loopback for a `testrun up` that listens only there
    #[arg(long, env = "TESTRUN_WEBHOOK_ALLOW_CIDRS")]
    pub webhook_allow_cidrs: Option<AllowList>,
}

impl MailConfig {
    /// The way that mail takes.
    ///
    /// # Errors
    /// If `SMTP_URL` is not a mail server's URL, or the folder cannot be made.
    pub fn mailer(&self) -> anyhow::Result<Mailer> {
        match &self.smtp_url {
            Some(url) => Mailer::from_url(url).context("SMTP_URL: not a mail server"),
            None => {
                let directory = self.mail_dir.clone().unwrap_or_else(|| PathBuf::from("mail"));
                Mailer::to_directory(&directory)
                    .with_context(|| format!("TESTRUN_MAIL_DIR: cannot use {}", directory.display()))
            }
        }
    }
}

/// Works until `shutdown`, then lets running jobs end, for at most 25 s.
///
/// # Errors
/// If a setting is wrong, an address is taken, or the database cannot be reached or is not migrated.
pub async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let readiness = ops::Readiness::default();
    // Before anybody can ask: a worker that has not reached its database is not ready.
    ops::expect_database(&readiness);
    let listen = config.admin.admin_listen;
    let working = Box::pin(work(config, readiness.clone(), shutdown.clone()));
    let working = systemd::notified(working, readiness.clone(), shutdown.clone());
    let Some(listen) = listen else { return working.await };
    tokio::select! {
        outcome = working => outcome,
        // It ends well only once it is told to stop, and then the work is what is waited for.
        Err(error) = ops::serve(listen, readiness, shutdown) => Err(error),
    }
}

/// Like [`run`], telling the caller whether it is ready.
///
/// # Errors
/// As [`run`].
pub async fn work(config: Config, readiness: ops::Readiness, shutdown: CancellationToken) -> anyhow::Result<()> {
    ops::start_metrics();
    let db = db::pool(&config.database.database_url, config.database.database_connections, "testrun-worker")
        .context("DATABASE_URL: not a PostgreSQL URL")?;
    let mailer = config.mail.mailer()?;
    tracing::info!(mail = mailer.describe(), "mail");
    let context = Arc::new(Context {
        db: db.clone(),
        mailer,
        mail_from: config.mail.mail_from,
        public_url: config.public_url,
        webhooks: WebhookClient::new(config.webhooks.webhook_allow_cidrs.unwrap_or_default(), TIMEOUT)?,
    });
    let queues = app::queues(&context, &config.queues, config.concurrency.map(usize::from))?;
    db::ensure_migrated(&db).await?;
    db::server::warn_if_short_of_connections(&db).await?;

    let watch = ops::watch_database(db.clone(), readiness.clone(), shutdown.clone());
    // The queues come first: it is they who say what the service has to wait for before it is ready.
    tokio::try_join!(jobs::run(db, queues, readiness, shutdown), async {
        watch.await;
        Ok(())
    })?;
    Ok(())
}
