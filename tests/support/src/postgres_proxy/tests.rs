use std::time::Instant;

use sqlx::{Connection as _, PgConnection};

use super::*;
use crate::Database;

async fn proxied() -> (Database, PostgresProxy) {
    let database = Database::empty().await.unwrap();
    sqlx::query("CREATE TABLE facts (name TEXT PRIMARY KEY)").execute(&database.pool).await.unwrap();
    let proxy = PostgresProxy::start(&database.url, 1).await.unwrap();
    (database, proxy)
}

async fn insert(conn: &mut PgConnection, name: &str) -> sqlx::Result<()> {
    let mut transaction = conn.begin().await?;
    sqlx::query("INSERT INTO facts (name) VALUES ($1)").bind(name).execute(&mut *transaction).await?;
    transaction.commit().await
}

async fn stored(database: &Database) -> Vec<String> {
    sqlx::query_scalar("SELECT name FROM facts ORDER BY name").fetch_all(&database.pool).await.unwrap()
}

#[tokio::test]
async fn what_is_passed_on_is_what_was_said() {
    let (database, proxy) = proxied().await;
    let mut conn = PgConnection::connect(proxy.url()).await.unwrap();
    insert(&mut conn, "plain").await.unwrap();
    assert_eq!(stored(&database).await, ["plain"]);
    // Many messages, and one that is larger than any buffer.
    let rows: Vec<i32> = sqlx::query_scalar("SELECT generate_series(1, 20000)").fetch_all(&mut conn).await.unwrap();
    assert_eq!(rows.len(), 20_000);
    let long = "x".repeat(3_000_000);
    let length: i32 = sqlx::query_scalar("SELECT length($1)").bind(&long).fetch_one(&mut conn).await.unwrap();
    assert_eq!(length, 3_000_000);
    let same: String = sqlx::query_scalar("SELECT repeat('x', 3000000)").fetch_one(&mut conn).await.unwrap();
    assert_eq!(same, long);
    let refused = sqlx::query("SELECT 1 / 0").execute(&mut conn).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("22012"));
    conn.close().await.unwrap();
}

#[tokio::test]
async fn a_swallowed_commit_is_committed_and_not_answered() {
    let (database, proxy) = proxied().await;
    let (mut first, mut other) =
        (PgConnection::connect(proxy.url()).await.unwrap(), PgConnection::connect(proxy.url()).await.unwrap());
    proxy.swallow_commits(1);
    // What merely ends in that word, or does not commit, is none.
    sqlx::query("SELECT 'COMMIT'").execute(&mut first).await.unwrap();
    let mut undone = first.begin().await.unwrap();
    sqlx::query("INSERT INTO facts (name) VALUES ('undone')").execute(&mut *undone).await.unwrap();
    undone.rollback().await.unwrap();
    let mut failing = first.begin().await.unwrap();
    sqlx::query("SELECT 1 / 0").execute(&mut *failing).await.unwrap_err();
    failing.commit().await.unwrap();
    assert_eq!(proxy.swallowed(), 0);

    let lost = insert(&mut first, "lost").await.unwrap_err();
    assert!(matches!(lost, sqlx::Error::Io(_)), "{lost:?}");
    assert_eq!((proxy.swallowed(), stored(&database).await), (1, vec!["lost".to_owned()]));
    sqlx::query("SELECT 1").execute(&mut first).await.unwrap_err();
    insert(&mut other, "next").await.unwrap();
    assert_eq!((proxy.swallowed(), stored(&database).await.len()), (1, 2));
}

#[tokio::test]
async fn a_cut_breaks_what_is_open_and_undoes_it() {
    let (database, proxy) = proxied().await;
    let (mut one, mut two) =
        (PgConnection::connect(proxy.url()).await.unwrap(), PgConnection::connect(proxy.url()).await.unwrap());
    let mut open = one.begin().await.unwrap();
    sqlx::query("INSERT INTO facts (name) VALUES ('undone')").execute(&mut *open).await.unwrap();
    proxy.cut();
    open.commit().await.unwrap_err();
    sqlx::query("SELECT 1").execute(&mut two).await.unwrap_err();
    let mut new = PgConnection::connect(proxy.url()).await.unwrap();
    insert(&mut new, "undone").await.unwrap();
    assert_eq!(stored(&database).await, ["undone"]);
}

#[tokio::test]
async fn delays_delay_until_they_end() {
    let (_database, proxy) = proxied().await;
    let mut conn = PgConnection::connect(proxy.url()).await.unwrap();
    proxy.delay(Duration::from_millis(400));
    let mut asked = 0;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        sqlx::query("SELECT 1").execute(&mut conn).await.unwrap();
        asked += 1;
    }
    // Two ways each, 200 ms on average: even if all are short by luck, hundreds do not fit in.
    assert!(asked < 100, "{asked} questions in a second");
    proxy.delay(Duration::ZERO);
    sqlx::query("SELECT 1").execute(&mut conn).await.unwrap();
}

#[tokio::test]
async fn where_postgresql_is_away_connections_are_closed() {
    let directory = tempfile::tempdir().unwrap();
    let url =
        format!("postgres://postgres@localhost:5432/postgres?host={}&sslmode=disable", directory.path().display());
    let proxy = PostgresProxy::start(&url, 1).await.unwrap();
    let away = PgConnection::connect(proxy.url()).await.unwrap_err();
    assert!(matches!(away, sqlx::Error::Io(_)), "{away:?}");
}
