//! The scheduler: fires due schedules and sweeps up what did not move. Any number may run; there is no leader.

mod maintenance;
mod retention;
mod tick;

use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use testrun_shared::config::{AdminConfig, DatabaseConfig, LogConfig};
use testrun_shared::{db, ops, systemd};
use tokio_util::sync::CancellationToken;

pub use crate::maintenance::check_invariants;
pub use crate::retention::{RetentionConfig, prune};
use crate::tick::every;
pub use crate::tick::fire_due;

/// How often due schedules are looked for.
const FIRE: Duration = Duration::from_secs(1);
/// How often doorbells that were lost are rung again.
const SWEEP: Duration = Duration::from_secs(5);
/// How often runs without a sign of life are looked for.
const SILENT: Duration = Duration::from_secs(30);
/// How often due times are looked for that a scheduler or an API with older zone data computed: at the start, and then for
/// as long as such a one runs beside this one.
const ZONE_DATA: Duration = Duration::from_secs(60);
/// How often the queues are measured.
const MEASURE: Duration = Duration::from_secs(5);
/// How often what must always be so is checked.
const INVARIANTS: Duration = Duration::from_secs(60);
/// How often what is old enough is deleted.
const PRUNE: Duration = Duration::from_secs(3600);

/// Settings of the scheduler.
#[derive(Debug, Clone, Parser)]
#[command(name = "testrun-scheduler", version, about = "Fires due schedules and sweeps up what did not move")]
pub struct Config {
    /// Where the database is
    #[command(flatten)]
    pub database: DatabaseConfig,

    /// Seconds without a sign of life from its client after which a queued or running run fails
    #[arg(long, env = "TESTRUN_RUN_INACTIVITY_LIMIT", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub run_inactivity_limit: u64,

    /// How long what is kept
    #[command(flatten)]
    pub retention: RetentionConfig,

    /// Where operators ask
    #[command(flatten)]
    pub admin: AdminConfig,

    /// What is logged, and how
    #[command(flatten)]
    pub log: LogConfig,
}

/// Ticks until `shutdown`, then lets running ticks end.
///
/// # Errors
/// If a setting is wrong, an address is taken, or the database cannot be reached or is not migrated.
pub async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let readiness = ops::Readiness::default();
    // Before anybody can ask: a scheduler that has not ticked is not ready.
    tick::expect(&readiness, "fire", FIRE);
    let listen = config.admin.admin_listen;
    let ticking = Box::pin(tick(config, readiness.clone(), shutdown.clone()));
    let ticking = systemd::notified(ticking, readiness.clone(), shutdown.clone());
    let Some(listen) = listen else { return ticking.await };
    tokio::select! {
        outcome = ticking => outcome,
        // It ends well only once it is told to stop, and then the work is what is waited for.
        Err(error) = ops::serve(listen, readiness, shutdown) => Err(error),
    }
}

/// Like [`run`], telling the caller whether it is ready.
///
/// # Errors
/// As [`run`].
pub async fn tick(config: Config, readiness: ops::Readiness, shutdown: CancellationToken) -> anyhow::Result<()> {
    ops::start_metrics();
    let db = db::pool(&config.database.database_url, config.database.database_connections, "testrun-scheduler")
        .context("DATABASE_URL: not a PostgreSQL URL")?;
    db::ensure_migrated(&db).await?;
    db::server::warn_if_short_of_connections(&db).await?;
    let limit = Duration::from_secs(config.run_inactivity_limit);
    tokio::join!(
        every("fire", FIRE, &readiness, &shutdown, || Box::pin(tick::fire_due(&db))),
        every("sweep", SWEEP, &readiness, &shutdown, || maintenance::sweep(&db)),
        every("silent_runs", SILENT, &readiness, &shutdown, || maintenance::fail_silent_runs(&db, limit)),
        every("zone_data", ZONE_DATA, &readiness, &shutdown, || Box::pin(maintenance::apply_zone_data(&db))),
        every("queues", MEASURE, &readiness, &shutdown, || maintenance::measure_queues(&db)),
        every("invariants", INVARIANTS, &readiness, &shutdown, || Box::pin(check_invariants(&db))),
        every("prune", PRUNE, &readiness, &shutdown, || Box::pin(prune(&db, &config.retention, &shutdown))),
    );
    Ok(())
}
