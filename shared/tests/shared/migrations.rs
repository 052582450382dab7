//! The schema is brought up to date once, by however many processes at once.

use futures_util::future::try_join_all;
use sqlx::PgPool;
use test_support::Database;
use testrun_shared::db;

async fn applied(db: &PgPool, sql: &'static str) -> sqlx::Result<(i64, i64, bool)> {
    sqlx::query_as(sql).fetch_one(db).await
}

const OURS: &str = "SELECT count(*), count(DISTINCT version), bool_and(success) FROM _sqlx_migrations";
const APALIS: &str = "SELECT count(*), count(DISTINCT version), bool_and(success) FROM apalis._sqlx_migrations";

#[tokio::test]
async fn six_processes_at_once_apply_each_migration_once() -> anyhow::Result<()> {
    let database = Database::empty().await?;
    let pending = db::pending_migrations(&database.pool).await?;
    let of = |owner: &str| pending.iter().filter(|line| line.starts_with(owner)).count();
    let (ours, apalis) = (i64::try_from(of("testrun "))?, i64::try_from(of("apalis "))?);
    assert_eq!(of("testrun "), db::MIGRATOR.iter().count());
    assert!(apalis > 0, "the job queue's migrations are missing from {pending:?}");

    let pools = (0..6)
        .map(|process| db::pool(&database.url.clone().into(), 2, &format!("process-{process}")))
        .collect::<Result<Vec<_>, _>>()?;
    try_join_all(pools.iter().map(db::migrate)).await?;

    assert_eq!(applied(&database.pool, OURS).await?, (ours, ours, true));
    assert_eq!(applied(&database.pool, APALIS).await?, (apalis, apalis, true));
    assert_eq!(db::pending_migrations(&database.pool).await?, Vec::<String>::new());
    db::ensure_migrated(&database.pool).await?;

    db::migrate(&database.pool).await?;
    assert_eq!(applied(&database.pool, OURS).await?, (ours, ours, true), "a second time changes nothing");
    Ok(())
}

#[tokio::test]
async fn a_database_that_lacks_a_migration_is_refused_with_the_command_that_applies_it() -> anyhow::Result<()> {
    let database = Database::empty().await?;
    let error = db::ensure_migrated(&database.pool).await.expect_err("nothing is migrated");
    assert!(error.to_string().contains("run: testrun migrate"), "{error}");

    let database = Database::new().await?;
    let last = db::MIGRATOR.iter().map(|migration| migration.version).max();
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = $1").bind(last).execute(&database.pool).await?;
    assert_eq!(db::pending_migrations(&database.pool).await?.len(), 1);
    assert!(db::ensure_migrated(&database.pool).await.is_err(), "the newest migration is missing");
    Ok(())
}
