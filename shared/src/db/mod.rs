//! One file of SQL per table. Functions take whatever can run a statement, so a caller's transaction as well as a pool.
//!
//! Rows that are shown to clients are read by column list, once per table, and decoded by name; every other statement is
//! checked against the schema at compile time. `docs/architecture.md` says why.

/// One column of rows as an array, for `unnest`: a table whose rows come by the dozen is written by columns, which costs
/// PostgreSQL a third of what JSON does.
macro_rules! column {
    ($rows:ident.$column:ident) => {
        &$rows.iter().map(|row| &row.$column).collect::<Vec<_>>()
    };
    ($rows:ident.$column:ident.as_str()) => {
        &$rows.iter().map(|row| row.$column.as_str()).collect::<Vec<_>>()
    };
}

pub mod api_tokens;
pub mod checkpoint_results;
pub mod console_logs;
pub mod constraints;
pub mod events;
pub mod execution_history;
pub mod idempotency_keys;
pub mod invariants;
pub mod network_logs;
pub mod notifications;
pub mod paused_queues;
pub mod projects;
pub mod run_refreshes;
pub mod schedule_executions;
pub mod schedules;
pub mod script_results;
pub mod server;
mod source;
pub mod test_cases;
pub mod test_run_items;
pub mod test_run_reports;
pub mod test_run_results;
pub mod test_runs;
pub mod test_scripts;
pub mod test_step_results;
pub mod unsubscribe_links;
pub mod users;
pub mod webhook_deliveries;
pub mod webhook_delivery_attempts;
pub mod webhooks;

pub use source::Source;

use std::str::FromStr;
use std::time::Duration;

use apalis_postgres::PostgresStorage;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use sqlx::migrate::{Migrate, Migrator};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{Connection as _, PgConnection, PgExecutor, PgPool, Postgres, Transaction};

/// Our migrations; apalis brings its own.
pub static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// Longest wait for a free connection. Below the 2.5 s in which a client is to be told that the database is away.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection that worked this long ago is taken to work still. sqlx tries each when it comes back to the pool, so under
/// load one more round trip to begin with would tell nothing new.
const TRUST: Duration = Duration::from_millis(100);

/// Opens a pool of at most `max_connections`; connects when first used.
///
/// # Errors
/// If the URL cannot be understood.
pub fn pool(url: &SecretString, max_connections: u32, application: &str) -> sqlx::Result<PgPool> {
    let options = PgConnectOptions::from_str(url.expose_secret())?
        .application_name(application)
        // A forgotten transaction must not hold its locks for ever.
        .options([("idle_in_transaction_session_timeout", "60s"), ("statement_timeout", "60s")]);
    Ok(PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|conn, of| {
            Box::pin(async move {
                if of.idle_for > TRUST {
                    conn.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options))
}

/// Listens to a channel of the pool's database, on a connection of its own: one of the pool's would be missing there for good.
///
/// # Errors
/// If the database cannot be reached.
pub async fn listener(db: &PgPool, channel: &str) -> sqlx::Result<PgListener> {
    let options = db.connect_options().as_ref().clone();
    let own = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
    let mut listener = PgListener::connect_with(&own).await?;
    listener.listen(channel).await?;
    Ok(listener)
}

/// Brings the schema up to date: apalis's, then ours, which adds to apalis's tables. Safe to run many times and at
/// once; each migration is applied once.
///
/// # Errors
/// If the database cannot be reached, a migration fails, or `hstore`, which apalis needs, is not installed.
pub async fn migrate(db: &PgPool) -> anyhow::Result<()> {
    PostgresStorage::setup(db).await.map_err(|error| {
        anyhow::Error::new(error)
            .context("the job queue's tables could not be made; they need PostgreSQL's hstore extension (package postgresql-contrib)")
    })?;
    Ok(MIGRATOR.run(db).await?)
}

/// What [`migrate`] would still have to do: a line per migration that is not applied, nothing if the schema is current.
///
/// # Errors
/// If the database cannot be asked.
pub async fn pending_migrations(db: &PgPool) -> anyhow::Result<Vec<String>> {
    let mut pending = unapplied(db, &MIGRATOR, "testrun").await?;
    pending.extend(unapplied(db, &PostgresStorage::migrations(), "apalis").await?);
    Ok(pending)
}

async fn unapplied(db: &PgPool, migrator: &Migrator, owner: &str) -> anyhow::Result<Vec<String>> {
    let table = migrator.table_name.as_ref();
    let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(table).fetch_one(db).await?;
    let applied = if exists { db.acquire().await?.list_applied_migrations(table).await? } else { Vec::new() };
    Ok(migrator
        .iter()
        .filter(|migration| !applied.iter().any(|done| done.version == migration.version))
        .map(|migration| format!("{owner} {} {}", migration.version, migration.description))
        .collect())
}

/// Refuses to go on with a database that is not migrated.
///
/// # Errors
/// If a migration is missing, naming the command that applies it, or the database cannot be asked.
pub async fn ensure_migrated(db: &PgPool) -> anyhow::Result<()> {
    let pending = pending_migrations(db).await?;
    anyhow::ensure!(
        pending.is_empty(),
        "the database is not up to date ({} migrations are missing, the first is {}); run: testrun migrate",
        pending.len(),
        pending[0]
    );
    Ok(())
}

/// Begins a transaction whose statements are planned once for all values, in one round trip. For those whose plan is the same
/// whatever they are given: PostgreSQL would plan each of them anew that takes an array, for what an array costs depends on its
/// length.
///
/// # Errors
/// If the database cannot be reached.
pub async fn begin_planned(conn: &mut PgConnection) -> sqlx::Result<Transaction<'_, Postgres>> {
    conn.begin_with("BEGIN; SET LOCAL plan_cache_mode = force_generic_plan").await
}

/// The database's clock, which alone decides what is due (design, rule 4).
///
/// # Errors
/// If the database cannot be asked.
pub async fn now(db: impl PgExecutor<'_>) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#).fetch_one(db).await
}

/// Makes `%` and `_` in a search text mean themselves in `LIKE … ESCAPE '\'`.
#[must_use]
pub fn escape_like(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
