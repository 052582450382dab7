//! `testrun migrate`

use anyhow::Context as _;
use clap::Args;
use testrun_shared::config::DatabaseConfig;
use testrun_shared::db;

#[derive(Debug, Args)]
pub(crate) struct Config {
    #[command(flatten)]
    database: DatabaseConfig,

    /// Change nothing; tell what is missing and exit with 1 if anything is
    #[arg(long)]
    check: bool,
}

pub(crate) async fn run(config: &Config) -> anyhow::Result<()> {
    let pool =
        db::pool(&config.database.database_url, 2, "testrun-migrate").context("DATABASE_URL: not a PostgreSQL URL")?;
    let pending = db::pending_migrations(&pool).await?;
    if config.check {
        for migration in &pending {
            println!("missing: {migration}");
        }
        anyhow::ensure!(pending.is_empty(), "{} migrations are missing; run: testrun migrate", pending.len());
        println!("the schema is current");
        return Ok(());
    }
    db::migrate(&pool).await?;
    println!("{} migrations applied; the schema is current", pending.len());
    Ok(())
}
