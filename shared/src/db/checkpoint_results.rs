//! Table `checkpoint_results`.

use sqlx::PgExecutor;
use sqlx::types::Json;

use crate::domain::checkpoint_result::CheckpointResult;

/// Inserts checkpoints in one statement.
///
/// # Errors
/// If the database fails.
pub async fn insert(db: impl PgExecutor<'_>, rows: &[CheckpointResult]) -> sqlx::Result<()> {
    sqlx::query!(
        "-- checkpoint_results.insert
         INSERT INTO checkpoint_results SELECT * FROM jsonb_populate_recordset(NULL::checkpoint_results, $1)",
        Json(rows) as _,
    )
    .execute(db)
    .await
    .map(|_| ())
}
