//! Test cases.

use std::collections::HashMap;

use sqlx::PgPool;
use uuid::Uuid;

use crate::auth::Caller;
use crate::db;
use crate::db::constraints::{EXTERNAL_KEY, OnConstraint};
use crate::domain::test_case::{BulkTestCases, NewTestCase, NewTestCases, TestCase, TestCasePatch};
use crate::error::{Error, FieldError, Result};

/// Creates a test case.
///
/// # Errors
/// [`Error::Conflict`] if its external key is taken.
pub async fn create(db: impl db::Source<'_>, caller: &Caller, case: &NewTestCase) -> Result<TestCase> {
    let mut tx = db.begin().await?;
    let case = db::test_cases::insert(&mut *tx, caller.project_id, case)
        .await
        .on_constraint(EXTERNAL_KEY, || taken(&case.external_key))?;
    tx.commit().await?;
    Ok(case)
}

/// Creates or updates test cases by their external keys, all or none.
///
/// # Errors
/// [`Error::Invalid`] naming each case without a key and each key that occurs twice.
pub async fn upsert(db: impl db::Source<'_>, caller: &Caller, body: NewTestCases) -> Result<BulkTestCases> {
    check_keys(&body.test_cases)?;
    let mut tx = db.begin().await?;
    let written = db::test_cases::upsert(&mut *tx, caller.project_id, &body.test_cases).await?;
    tx.commit().await?;
    let total_created = written.iter().filter(|(_, created)| *created).count();
    let total_updated = written.len() - total_created;
    Ok(BulkTestCases {
        items: written.into_iter().map(|(case, _)| case).collect(),
        total_created: i64::try_from(total_created).unwrap_or(i64::MAX),
        total_updated: i64::try_from(total_updated).unwrap_or(i64::MAX),
    })
}

fn check_keys(cases: &[NewTestCase]) -> Result<()> {
    let mut first_seen = HashMap::new();
    let mut errors = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let field = || format!("test_cases[{index}].external_key");
        match case.external_key.as_deref() {
            None => errors.push(FieldError::new(field(), "Is required in a bulk request")),
            Some(key) => {
                if let Some(first) = first_seen.insert(key, index) {
                    errors.push(FieldError::new(field(), format!("Is the same as test_cases[{first}].external_key")));
                }
            }
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::Invalid(errors)) }
}

/// Changes a test case as the body says.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] if the external key is taken.
pub async fn update(db: &PgPool, caller: &Caller, id: Uuid, patch: TestCasePatch) -> Result<TestCase> {
    let mut tx = db.begin().await?;
    let case = db::test_cases::lock(&mut *tx, caller.project_id, id).await?;
    let mut case = case.ok_or_else(|| Error::not_found("Test case", id))?;
    patch.apply(&mut case);
    case.updated_at =
        db::test_cases::save(&mut *tx, &case).await.on_constraint(EXTERNAL_KEY, || taken(&case.external_key))?;
    tx.commit().await?;
    Ok(case)
}

/// Deletes a test case with its items, results and history. The counts of the runs it was in follow.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::InvalidState`] while it is in a run that has not ended.
pub async fn delete(db: &PgPool, caller: &Caller, id: Uuid) -> Result<()> {
    let mut tx = db.begin().await?;
    let case = db::test_cases::lock(&mut *tx, caller.project_id, id).await?;
    case.ok_or_else(|| Error::not_found("Test case", id))?;
    if db::test_cases::is_in_use(&mut *tx, id).await? {
        return Err(Error::InvalidState("Cannot delete test case: it is in a test run that has not ended".to_owned()));
    }
    // The runs it was in have to be counted anew. There may be very many: the sweep rings for them.
    db::run_refreshes::insert_for_test_case(&mut *tx, id).await?;
    db::test_run_items::close_gaps(&mut *tx, id).await?;
    // Before the case: its results refer to it without a cascade.
    db::test_run_items::delete_of_case(&mut *tx, id).await?;
    db::test_cases::delete(&mut *tx, caller.project_id, id).await?;
    tx.commit().await?;
    Ok(())
}

fn taken(key: &Option<String>) -> Error {
    let key = key.as_deref().unwrap_or_default();
    Error::Conflict(format!("A test case with the external key '{key}' exists already"))
}
