//! What the database server itself allows.

use sqlx::PgPool;

/// Warns if the server has not got as many free connections as the pool may open: then somebody's requests or jobs will wait
/// in vain for a connection, at the worst moment, which is the busiest one.
///
/// # Errors
/// If the database cannot be asked.
pub async fn warn_if_short_of_connections(db: &PgPool) -> sqlx::Result<()> {
    let server = sqlx::query!(
        r#"-- server.connections
         SELECT current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint
                 - coalesce(current_setting('reserved_connections', TRUE), '0')::bigint AS "allowed!",
             (SELECT coalesce(sum(numbackends), 0)::bigint FROM pg_stat_database) AS "open!""#
    )
    .fetch_one(db)
    .await?;
    let (wanted, own) = (i64::from(db.options().get_max_connections()), i64::from(db.size()));
    let others = (server.open - own).max(0);
    if wanted > server.allowed - others {
        tracing::warn!(
            wanted,
            open = others,
            max_connections = server.allowed,
            "the database server has fewer free connections than this process may open; lower TESTRUN_DATABASE_CONNECTIONS \
             of the services or raise max_connections of PostgreSQL"
        );
    }
    Ok(())
}
