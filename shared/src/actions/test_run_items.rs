//! Items: test cases are added to a run that has not begun.

use std::collections::{HashMap, HashSet};

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::request_refresh;
use super::test_runs::lock;
use crate::auth::Caller;
use crate::db;
use crate::domain::test_run::RunStatus;
use crate::domain::test_run_item::{AddedItems, ItemStatus, TestRunItem};
use crate::error::{Error, FieldError, Result};

/// Adds one test case.
///
/// # Errors
/// [`Error::NotFound`] for the run; [`Error::InvalidState`] if it has begun; [`Error::Invalid`] for an unknown test case;
/// [`Error::Conflict`] if it is in the run already.
pub async fn add(db: &PgPool, caller: &Caller, run_id: Uuid, test_case_id: Uuid) -> Result<TestRunItem> {
    let mut items = add_cases(db, caller, run_id, &[test_case_id], |_| "test_case_id".to_owned()).await?;
    items.pop().ok_or_else(|| Error::not_found("Test run item", test_case_id))
}

/// Adds many test cases, all or none, in the order given.
///
/// # Errors
/// As [`add`], naming each wrong one.
pub async fn add_many(db: &PgPool, caller: &Caller, run_id: Uuid, test_case_ids: &[Uuid]) -> Result<AddedItems> {
    let items = add_cases(db, caller, run_id, test_case_ids, |index| format!("test_case_ids[{index}]")).await?;
    Ok(AddedItems { total_added: items.len(), items })
}

async fn add_cases(
    db: &PgPool,
    caller: &Caller,
    run_id: Uuid,
    test_case_ids: &[Uuid],
    field: impl Fn(usize) -> String,
) -> Result<Vec<TestRunItem>> {
    let mut tx = db.begin().await?;
    let status = lock(&mut tx, caller.project_id, run_id).await?;
    if status != RunStatus::Pending {
        return Err(Error::InvalidState(format!("Cannot add test cases: test run status is '{status}'")));
    }
    check(&mut tx, caller, run_id, test_case_ids, field).await?;
    let ids = db::test_run_items::insert(&mut *tx, run_id, test_case_ids, ItemStatus::Pending).await?;
    let items = db::test_run_items::get_many(&mut *tx, run_id, &ids).await?;
    request_refresh(&mut tx, run_id).await?;
    tx.commit().await?;
    Ok(items)
}

/// Every test case must be the project's, occur once, and not be in the run.
async fn check(
    conn: &mut PgConnection,
    caller: &Caller,
    run_id: Uuid,
    test_case_ids: &[Uuid],
    field: impl Fn(usize) -> String,
) -> Result<()> {
    let known: HashMap<Uuid, bool> =
        db::test_run_items::known_cases(conn, caller.project_id, run_id, test_case_ids).await?.into_iter().collect();
    let mut seen = HashSet::new();
    let (mut errors, mut present) = (Vec::new(), Vec::new());
    for (index, id) in test_case_ids.iter().enumerate() {
        match known.get(id) {
            None => errors.push(FieldError::new(field(index), format!("Test case not found: {id}"))),
            Some(_) if !seen.insert(id) => {
                errors.push(FieldError::new(field(index), format!("Occurs twice: {id}")));
            }
            Some(true) => present.push(id.to_string()),
            Some(false) => {}
        }
    }
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    match present.as_slice() {
        [] => Ok(()),
        _ if test_case_ids.len() == 1 => Err(Error::Conflict("Test case already exists in this run".to_owned())),
        some => Err(Error::Conflict(format!("Test cases already exist in this run: {}", some.join(", ")))),
    }
}
