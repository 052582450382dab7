//! What is broken: services, PostgreSQL and what lies between them.

use sqlx::PgPool;
use std::time::Duration;
use test_support::receiver::WebhookReceiver;
use test_support::smtp::SmtpSink;
use test_support::{Fleet, Member, Postgres, PostgresProxy, Tenant};
use testrun_shared::db;

use super::plan::Fault;
use super::verdict::states;

pub(crate) const APIS: usize = 2;
const WORKERS: usize = 3;
const SCHEDULERS: usize = 2;
/// How many services there are; the first ones are those of [`APIS`].
pub(crate) const MEMBERS: usize = APIS + WORKERS + SCHEDULERS;

pub(crate) struct Stage {
    pub(crate) fleet: Fleet,
    pub(crate) proxy: PostgresProxy,
    pub(crate) postgres: Postgres,
    /// Past the proxy.
    pub(crate) pool: PgPool,
    pub(crate) tenant: Tenant,
    pub(crate) mails: SmtpSink,
    pub(crate) webhooks: WebhookReceiver,
}

impl Stage {
    pub(crate) async fn set(seed: u64) -> anyhow::Result<Self> {
        let postgres = Postgres::start().await?;
        let pool = postgres.pool()?;
        db::migrate(&pool).await?;
        states::watch(&pool).await?;
        let tenant = Tenant::create(&pool, "Chaos").await?;
        let proxy = PostgresProxy::start(postgres.url(), seed).await?;
        let (mails, webhooks) = (SmtpSink::start().await?, WebhookReceiver::start().await?);
        let fleet = Fleet::start(members(proxy.url(), &mails.url())).await?;
        Ok(Self { fleet, proxy, postgres, pool, tenant, mails, webhooks })
    }

    /// Which member a fault hits, for people.
    pub(crate) fn describe(&self, fault: Fault) -> String {
        match fault {
            Fault::Kill(number) | Fault::Freeze(number) | Fault::Thaw(number) => {
                format!("{fault} {}", self.fleet.name(number))
            }
            _ => fault.to_string(),
        }
    }

    pub(crate) async fn suffer(&mut self, fault: Fault) -> anyhow::Result<()> {
        match fault {
            Fault::Kill(number) => {
                self.fleet.replace(number).await?;
            }
            Fault::Freeze(number) => self.fleet.freeze(number).await?,
            Fault::Thaw(number) => self.fleet.thaw(number).await?,
            Fault::RestartDatabase => self.postgres.restart().await?,
            Fault::TerminateBackends(draw) => {
                let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                           WHERE application_name LIKE 'testrun-%' AND hashtext(pid::text || $1) % 3 = 0";
                sqlx::query(sql).bind(draw.to_string()).execute(&self.pool).await?;
            }
            Fault::Cut => self.proxy.cut(),
            Fault::SwallowCommits(count) => self.proxy.swallow_commits(count),
            Fault::Delay(milliseconds) => self.proxy.delay(Duration::from_millis(milliseconds)),
        }
        Ok(())
    }

    pub(crate) async fn clear(self) -> anyhow::Result<()> {
        drop(self.fleet);
        self.pool.close().await;
        self.postgres.stop().await
    }
}

fn members(database_url: &str, smtp_url: &str) -> Vec<Member> {
    let apis = (0..APIS).map(|number| Member::api(number, database_url));
    let workers = (0..WORKERS).map(|number| {
        Member::worker(number, database_url, smtp_url).with("TESTRUN_WEBHOOK_ALLOW_CIDRS", "127.0.0.0/8")
    });
    let schedulers = (0..SCHEDULERS).map(|number| Member::scheduler(number, database_url));
    apis.chain(workers).chain(schedulers).collect()
}
