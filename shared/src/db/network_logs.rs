//! Table `network_logs`.

use sqlx::PgExecutor;
use sqlx::types::Json;

use crate::domain::network_log::NetworkLog;

/// Inserts requests in one statement.
///
/// # Errors
/// If the database fails.
pub async fn insert(db: impl PgExecutor<'_>, rows: &[NetworkLog]) -> sqlx::Result<()> {
    sqlx::query!(
        "-- network_logs.insert
         INSERT INTO network_logs SELECT * FROM jsonb_populate_recordset(NULL::network_logs, $1)",
        Json(rows) as _,
    )
    .execute(db)
    .await
    .map(|_| ())
}
