//! Items: test cases are added to a run that has not begun.

use std::collections::{HashMap, HashSet};

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::test_runs::lock;
use super::{recount, request_refresh};
use crate::auth::Caller;
use crate::db;
use crate::domain::page::{Page, Paged};
use crate::domain::test_run::RunStatus;
use crate::domain::test_run_item::{AddedItems, ItemStatus, TestRunItem, TestRunItemPatch};
use crate::error::{Error, FieldError, Result};

/// Adds one test case.
///
/// # Errors
/// [`Error::NotFound`] for the run; [`Error::InvalidState`] if it has begun; [`Error::Invalid`] for an unknown test case;
/// [`Error::Conflict`] if it is in the run already.
pub async fn add(db: impl db::Source<'_>, caller: &Caller, run_id: Uuid, test_case_id: Uuid) -> Result<TestRunItem> {
    let mut items = add_cases(db, caller, run_id, &[test_case_id], |_| "test_case_id".to_owned()).await?;
    items.pop().ok_or_else(|| Error::not_found("Test run item", test_case_id))
}

/// Adds many test cases, all or none, in the order given.
///
/// # Errors
/// As [`add`], naming each wrong one.
pub async fn add_many(
    db: impl db::Source<'_>,
    caller: &Caller,
    run_id: Uuid,
    test_case_ids: &[Uuid],
) -> Result<AddedItems> {
    let items = add_cases(db, caller, run_id, test_case_ids, |index| format!("test_case_ids[{index}]")).await?;
    Ok(AddedItems { total_added: items.len(), items })
}

/// Changes an item as the body says: its place, its status, or what is told about it.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`] for a status that clients may not set; [`Error::InvalidState`] for a place in a
/// run that has begun, and for a status in a run that has ended or of an item that is final.
pub async fn update(
    db: &PgPool,
    caller: &Caller,
    run_id: Uuid,
    id: Uuid,
    patch: TestRunItemPatch,
) -> Result<TestRunItem> {
    let mut tx = db.begin().await?;
    let run_status = lock(&mut tx, caller.project_id, run_id).await?;
    let mut item = lock_item(&mut tx, caller, run_id, id).await?;
    if let Some(position) = patch.execution_order.filter(|position| *position != item.execution_order) {
        ensure_pending(run_status, "reorder")?;
        move_to(&mut tx, run_id, id, position).await?;
    }
    set_status(&mut item, run_status, patch.status)?;
    let total_changed = patch.total_iterations.is_some_and(|total| total != item.total_iterations);
    if total_changed && item.status.is_final() {
        return Err(Error::InvalidState(format!("Cannot change test run item: its status is '{}'", item.status)));
    }
    patch.apply(&mut item);
    db::test_run_items::save(&mut *tx, &item).await?;
    if total_changed {
        // The last iteration may have come before its number was told.
        super::results::settle_item(&mut tx, &item).await?;
    }
    request_refresh(&mut tx, run_id).await?;
    let item = get(&mut tx, caller, run_id, id).await?;
    tx.commit().await?;
    Ok(item)
}

/// Removes an item from a run that has not begun; those behind it move up.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::InvalidState`] if the run has begun.
pub async fn remove(db: &PgPool, caller: &Caller, run_id: Uuid, id: Uuid) -> Result<()> {
    let mut tx = db.begin().await?;
    let run_status = lock(&mut tx, caller.project_id, run_id).await?;
    lock_item(&mut tx, caller, run_id, id).await?;
    ensure_pending(run_status, "remove")?;
    db::test_run_items::delete(&mut *tx, id).await?;
    let rest = db::test_run_items::ids(&mut *tx, run_id).await?;
    db::test_run_items::reorder(&mut *tx, run_id, &rest).await?;
    recount(&mut tx, run_id).await?;
    request_refresh(&mut tx, run_id).await?;
    tx.commit().await?;
    Ok(())
}

/// Puts a run's items into a new order, all of them at once, and returns a page of them.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::InvalidState`] if the run has begun; [`Error::Invalid`] unless the list holds every item
/// exactly once.
pub async fn reorder(
    db: impl db::Source<'_>,
    caller: &Caller,
    run_id: Uuid,
    wanted: &[Uuid],
    page: Page,
) -> Result<Paged<TestRunItem>> {
    let mut tx = db.begin().await?;
    ensure_pending(lock(&mut tx, caller.project_id, run_id).await?, "reorder")?;
    let present: HashSet<Uuid> = db::test_run_items::ids(&mut *tx, run_id).await?.into_iter().collect();
    let mut seen = HashSet::new();
    let mut errors = Vec::new();
    for (index, id) in wanted.iter().enumerate() {
        let field = || format!("item_ids[{index}]");
        if !present.contains(id) {
            errors.push(FieldError::new(field(), format!("Test run item not found: {id}")));
        } else if !seen.insert(id) {
            errors.push(FieldError::new(field(), format!("Occurs twice: {id}")));
        }
    }
    if errors.is_empty() && seen.len() < present.len() {
        let missing = present.len() - seen.len();
        errors.push(FieldError::new("item_ids", format!("Must hold every item of the run; {missing} are missing")));
    }
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    db::test_run_items::reorder(&mut *tx, run_id, wanted).await?;
    let items = db::test_run_items::list(&mut *tx, run_id, page).await?;
    tx.commit().await?;
    Ok(Paged::new(items, i64::try_from(wanted.len()).unwrap_or(i64::MAX), page))
}

/// The project's item with this id, in this run.
///
/// # Errors
/// [`Error::NotFound`].
async fn get(conn: &mut PgConnection, caller: &Caller, run_id: Uuid, id: Uuid) -> Result<TestRunItem> {
    let item = db::test_run_items::get(conn, caller.project_id, run_id, id).await?;
    item.ok_or_else(|| Error::not_found("Test run item", id))
}

async fn lock_item(conn: &mut PgConnection, caller: &Caller, run_id: Uuid, id: Uuid) -> Result<TestRunItem> {
    let item = db::test_run_items::lock(conn, caller.project_id, run_id, id).await?;
    item.ok_or_else(|| Error::not_found("Test run item", id))
}

fn ensure_pending(status: RunStatus, verb: &str) -> Result<()> {
    if status == RunStatus::Pending {
        return Ok(());
    }
    Err(Error::InvalidState(format!("Cannot {verb} test run items: test run status is '{status}'")))
}

async fn move_to(conn: &mut PgConnection, run_id: Uuid, id: Uuid, position: i32) -> Result<()> {
    let mut ids = db::test_run_items::ids(&mut *conn, run_id).await?;
    let place = usize::try_from(position).unwrap_or(usize::MAX);
    if place > ids.len() {
        return Err(Error::invalid("execution_order", format!("Must be between 1 and {}", ids.len())));
    }
    ids.retain(|other| *other != id);
    ids.insert(place - 1, id);
    Ok(db::test_run_items::reorder(conn, run_id, &ids).await?)
}

/// A client may skip an item or say that it has no recording; the other statuses follow from results.
fn set_status(item: &mut TestRunItem, run_status: RunStatus, wanted: Option<ItemStatus>) -> Result<()> {
    let Some(wanted) = wanted.filter(|wanted| *wanted != item.status) else { return Ok(()) };
    if !matches!(wanted, ItemStatus::Skipped | ItemStatus::NoRun) {
        return Err(Error::invalid("status", "Must be skipped or no_run; the other statuses follow from results"));
    }
    if run_status.is_final() {
        return Err(Error::InvalidState(format!("Cannot change test run item: test run status is '{run_status}'")));
    }
    if item.status.is_final() {
        return Err(Error::InvalidState(format!("Cannot change test run item: its status is '{}'", item.status)));
    }
    item.status = wanted;
    Ok(())
}

async fn add_cases(
    db: impl db::Source<'_>,
    caller: &Caller,
    run_id: Uuid,
    test_case_ids: &[Uuid],
    field: impl Fn(usize) -> String,
) -> Result<Vec<TestRunItem>> {
    let mut tx = db.begin().await?;
    ensure_pending(lock(&mut tx, caller.project_id, run_id).await?, "add")?;
    check(&mut tx, caller, run_id, test_case_ids, field).await?;
    let ids = db::test_run_items::insert(&mut *tx, run_id, test_case_ids, ItemStatus::Pending).await?;
    recount(&mut tx, run_id).await?;
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
