//! Table `console_logs`.

use sqlx::PgExecutor;
use sqlx::types::Json;

use crate::domain::console_log::ConsoleLog;

/// Inserts console lines in one statement.
///
/// # Errors
/// If the database fails.
pub async fn insert(db: impl PgExecutor<'_>, rows: &[ConsoleLog]) -> sqlx::Result<()> {
    sqlx::query!(
        "-- console_logs.insert
         INSERT INTO console_logs SELECT * FROM jsonb_populate_recordset(NULL::console_logs, $1)",
        Json(rows) as _,
    )
    .execute(db)
    .await
    .map(|_| ())
}
