//! Test cases.

use std::collections::HashMap;

use sqlx::PgPool;

use crate::auth::Caller;
use crate::db;
use crate::db::constraints::{EXTERNAL_KEY, OnConstraint};
use crate::domain::test_case::{BulkTestCases, NewTestCase, NewTestCases, TestCase};
use crate::error::{Error, FieldError, Result};

/// Creates a test case.
///
/// # Errors
/// [`Error::Conflict`] if its external key is taken.
pub async fn create(db: &PgPool, caller: &Caller, case: &NewTestCase) -> Result<TestCase> {
    db::test_cases::insert(db, caller.project_id, case).await.on_constraint(EXTERNAL_KEY, || {
        let key = case.external_key.as_deref().unwrap_or_default();
        Error::Conflict(format!("A test case with the external key '{key}' exists already"))
    })
}

/// Creates or updates test cases by their external keys, all or none.
///
/// # Errors
/// [`Error::Invalid`] naming each case without a key and each key that occurs twice.
pub async fn upsert(db: &PgPool, caller: &Caller, body: NewTestCases) -> Result<BulkTestCases> {
    check_keys(&body.test_cases)?;
    let written = db::test_cases::upsert(db, caller.project_id, &body.test_cases).await?;
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
