//! `/test-runs/{run_id}/items`

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use testrun_shared::domain::page::Paged;
use testrun_shared::domain::test_run_item::{AddedItems, NewTestRunItem, NewTestRunItems, TestRunItem};
use testrun_shared::{actions, db};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::test_runs;
use crate::app::{ApiResult, AppState};
use crate::error::{BodyErrors, CommonErrors, ErrorBody};
use crate::extract::{Caller, Json, Path, bulk};
use crate::list::{List, NoFilter, PageParams};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_test_run_items, add_test_run_item))
        .merge(bulk(OpenApiRouter::new().routes(routes!(add_test_run_items))))
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
) -> ApiResult<Answer<Paged<TestRunItem>>> {
    test_runs::find(&app, &caller, run_id).await?;
    let total = db::test_run_items::count(&app.db, run_id).await?.total;
    let items = db::test_run_items::list(&app.db, run_id, query.page).await?;
    Ok(Answer(Paged::new(items, total.into(), query.page)))
}

/// Add test case to run
#[utoipa::path(post, path = "/test-runs/{run_id}/items", tag = "Test Run Items", params(("run_id" = Uuid, Path)),
    responses((status = 201, body = TestRunItem), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "The test case is in the run already"),
        (status = 422, body = ErrorBody, description = "The run has begun already"), CommonErrors, BodyErrors))]
async fn add_test_run_item(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(run_id): Path<Uuid>,
    Json(body): Json<NewTestRunItem>,
) -> ApiResult<(StatusCode, Answer<TestRunItem>)> {
    let item = actions::test_run_items::add(&app.db, &caller, run_id, body.test_case_id).await?;
    Ok((StatusCode::CREATED, Answer(item)))
}

/// Add multiple test cases
///
/// All or none: a duplicate, unknown or foreign test case rejects the whole request.
#[utoipa::path(post, path = "/test-runs/{run_id}/items/bulk", tag = "Test Run Items", params(("run_id" = Uuid, Path)),
    responses((status = 201, body = AddedItems), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "Test cases are in the run already"),
        (status = 422, body = ErrorBody, description = "The run has begun already"), CommonErrors, BodyErrors))]
async fn add_test_run_items(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(run_id): Path<Uuid>,
    Json(body): Json<NewTestRunItems>,
) -> ApiResult<(StatusCode, Answer<AddedItems>)> {
    let added = actions::test_run_items::add_many(&app.db, &caller, run_id, &body.test_case_ids).await?;
    Ok((StatusCode::CREATED, Answer(added)))
}
