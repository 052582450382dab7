//! Test scripts.

use sqlx::PgPool;
use uuid::Uuid;

use crate::auth::Caller;
use crate::db;
use crate::domain::test_script::{NewTestScript, TestScript, TestScriptPatch};
use crate::error::{Error, Result};

/// Creates a script.
///
/// # Errors
/// If the database fails.
pub async fn create(db: impl db::Source<'_>, caller: &Caller, body: &NewTestScript) -> Result<TestScript> {
    let mut tx = db.begin().await?;
    let script = db::test_scripts::insert(&mut *tx, caller.project_id, body).await?;
    tx.commit().await?;
    Ok(script)
}

/// Changes a script as the body says.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn update(db: &PgPool, caller: &Caller, id: Uuid, patch: TestScriptPatch) -> Result<TestScript> {
    let mut tx = db.begin().await?;
    let script = db::test_scripts::lock(&mut *tx, caller.project_id, id).await?;
    let mut script = script.ok_or_else(|| Error::not_found("Test script", id))?;
    patch.apply(&mut script);
    script.updated_at = db::test_scripts::save(&mut *tx, &script).await?;
    tx.commit().await?;
    Ok(script)
}
