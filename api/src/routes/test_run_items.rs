//! `/test-runs/{run_id}/items`

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use testrun_shared::domain::page::Paged;
use testrun_shared::domain::test_run_item::{
    AddedItems, NewTestRunItem, NewTestRunItems, ReorderItems, TestRunItem, TestRunItemPatch,
};
use testrun_shared::{Error, actions, db};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::test_runs;
use crate::app::{ApiResult, AppState};
use crate::error::{BodyErrors, CommonErrors, ErrorBody};
use crate::extract::{Caller, Json, Path, bulk};
use crate::idempotency::Write;
use crate::list::{FIRST_PAGE, List, ListAnswer, NoFilter, PageParams};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_test_run_items, add_test_run_item))
        .routes(routes!(get_test_run_item, update_test_run_item, delete_test_run_item))
        .merge(bulk(OpenApiRouter::new().routes(routes!(add_test_run_items)).routes(routes!(reorder_test_run_items))))
}

/// List items in run
#[utoipa::path(get, path = "/test-runs/{run_id}/items", tag = "Test Run Items",
    params(("run_id" = Uuid, Path), PageParams),
    responses((status = 200, body = Paged<TestRunItem>), (status = 404, body = ErrorBody), CommonErrors))]
async fn list_test_run_items(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(run_id): Path<Uuid>,
    query: List<NoFilter>,
) -> ApiResult<ListAnswer<TestRunItem>> {
    test_runs::find(&app, &caller, run_id).await?;
    let total = db::test_run_items::count(&app.db, run_id).await?.total;
    let items = db::test_run_items::list(&app.db, run_id, query.page).await?;
    Ok(query.links.answer(items, total.into()))
}

/// Add test case to run
#[utoipa::path(post, path = "/test-runs/{run_id}/items", tag = "Test Run Items", params(("run_id" = Uuid, Path)),
    responses((status = 201, body = TestRunItem), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "The test case is in the run already"),
        (status = 422, body = ErrorBody, description = "The run has begun already"), CommonErrors, BodyErrors))]
async fn add_test_run_item(
    write: Write,
    Path(run_id): Path<Uuid>,
    Json(body): Json<NewTestRunItem>,
) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    let item = actions::test_run_items::add(unit.db(), &caller, run_id, body.test_case_id).await?;
    unit.answer(StatusCode::CREATED, &item).await
}

/// Add multiple test cases
///
/// All or none: a duplicate, unknown or foreign test case rejects the whole request.
#[utoipa::path(post, path = "/test-runs/{run_id}/items/bulk", tag = "Test Run Items", params(("run_id" = Uuid, Path)),
    responses((status = 201, body = AddedItems), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "Test cases are in the run already"),
        (status = 422, body = ErrorBody, description = "The run has begun already"), CommonErrors, BodyErrors))]
async fn add_test_run_items(
    write: Write,
    Path(run_id): Path<Uuid>,
    Json(body): Json<NewTestRunItems>,
) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    let added = actions::test_run_items::add_many(unit.db(), &caller, run_id, &body.test_case_ids).await?;
    unit.answer(StatusCode::CREATED, &added).await
}

/// Get item details
#[utoipa::path(get, path = "/test-runs/{run_id}/items/{item_id}", tag = "Test Run Items",
    params(("run_id" = Uuid, Path), ("item_id" = Uuid, Path)),
    responses((status = 200, body = TestRunItem), (status = 404, body = ErrorBody), CommonErrors))]
async fn get_test_run_item(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path((run_id, item_id)): Path<(Uuid, Uuid)>,
) -> ApiResult<Answer<TestRunItem>> {
    test_runs::find(&app, &caller, run_id).await?;
    let item = db::test_run_items::get(&app.db, caller.project_id, run_id, item_id).await?;
    Ok(Answer(item.ok_or_else(|| Error::not_found("Test run item", item_id))?))
}

/// Update item (reorder, etc.)
///
/// A client may move an item while the run is pending, skip it or mark it `no_run`, and tell how many iterations it has.
#[utoipa::path(put, path = "/test-runs/{run_id}/items/{item_id}", tag = "Test Run Items",
    params(("run_id" = Uuid, Path), ("item_id" = Uuid, Path)),
    responses((status = 200, body = TestRunItem), (status = 404, body = ErrorBody),
        (status = 422, body = ErrorBody, description = "The run's or the item's status does not allow it"),
        CommonErrors, BodyErrors))]
async fn update_test_run_item(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path((run_id, item_id)): Path<(Uuid, Uuid)>,
    Json(patch): Json<TestRunItemPatch>,
) -> ApiResult<Answer<TestRunItem>> {
    Ok(Answer(actions::test_run_items::update(&app.db, &caller, run_id, item_id, patch).await?))
}

/// Remove item from run
#[utoipa::path(delete, path = "/test-runs/{run_id}/items/{item_id}", tag = "Test Run Items",
    params(("run_id" = Uuid, Path), ("item_id" = Uuid, Path)),
    responses((status = 204), (status = 404, body = ErrorBody),
        (status = 422, body = ErrorBody, description = "The run has begun already"), CommonErrors))]
async fn delete_test_run_item(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path((run_id, item_id)): Path<(Uuid, Uuid)>,
) -> ApiResult<StatusCode> {
    actions::test_run_items::remove(&app.db, &caller, run_id, item_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Reorder items
///
/// Takes the full new order.
#[utoipa::path(post, path = "/test-runs/{run_id}/items/reorder", tag = "Test Run Items", params(("run_id" = Uuid, Path)),
    responses((status = 200, body = Paged<TestRunItem>, description = "The first page of the new order"),
        (status = 404, body = ErrorBody),
        (status = 422, body = ErrorBody, description = "The run has begun already"), CommonErrors, BodyErrors))]
async fn reorder_test_run_items(
    write: Write,
    Path(run_id): Path<Uuid>,
    Json(body): Json<ReorderItems>,
) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    let page = actions::test_run_items::reorder(unit.db(), &caller, run_id, &body.item_ids, FIRST_PAGE).await?;
    unit.answer(StatusCode::OK, &page).await
}
