//! `/test-run-results`, and the results of a run

use axum::Json as Answer;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use testrun_shared::domain::page::Paged;
use testrun_shared::domain::test_run_result::{NewTestRunResult, TestRunResult};
use testrun_shared::{Error, auth, db};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::test_runs;
use crate::admission::content_length;
use crate::app::{ApiResult, AppState};
use crate::error::{BodyErrors, CommonErrors, ErrorBody};
use crate::extract::{Caller, Json, Path, bulk};
use crate::idempotency::Write;
use crate::list::{List, ListAnswer, NoFilter, PageParams};
use crate::observe;

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(bulk(OpenApiRouter::new().routes(routes!(create_test_run_result))))
        .routes(routes!(get_test_run_result))
        .routes(routes!(list_test_run_results))
        .routes(routes!(list_test_run_item_results))
}

/// Create result (internal)
///
/// Alone, or with nested `steps`, `checkpoints`, `scripts`, `console_logs` and `network_logs`, written in one
/// transaction. The answer means that all of it is stored.
#[utoipa::path(post, path = "/test-run-results", tag = "Test Run Results",
    responses((status = 201, body = TestRunResult), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "The attempt has its result already"),
        (status = 422, body = ErrorBody, description = "The run is not running, or the item is final"),
        CommonErrors, BodyErrors))]
async fn create_test_run_result(
    State(app): State<AppState>,
    write: Write,
    headers: HeaderMap,
    Json(body): Json<NewTestRunResult>,
) -> ApiResult<Response> {
    observe::tell_run(body.test_run_id);
    // Nobody knows how large a body in chunks is, so it is as large as any.
    let size = content_length(&headers).unwrap_or(usize::MAX);
    app.results.submit(write, body, size).await
}

/// Get result details
#[utoipa::path(get, path = "/test-run-results/{result_id}", tag = "Test Run Results", params(("result_id" = Uuid, Path)),
    responses((status = 200, body = TestRunResult), (status = 404, body = ErrorBody), CommonErrors))]
async fn get_test_run_result(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(result_id): Path<Uuid>,
) -> ApiResult<Answer<TestRunResult>> {
    let result = db::test_run_results::get(&app.db, caller.project_id, result_id).await?;
    Ok(Answer(result.ok_or_else(|| Error::not_found("Test run result", result_id))?))
}

/// List all results for run
#[utoipa::path(get, path = "/test-runs/{run_id}/results", tag = "Test Run Results",
    params(("run_id" = Uuid, Path), PageParams),
    responses((status = 200, body = Paged<TestRunResult>), (status = 404, body = ErrorBody), CommonErrors))]
async fn list_test_run_results(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(run_id): Path<Uuid>,
    query: List<NoFilter>,
) -> ApiResult<ListAnswer<TestRunResult>> {
    test_runs::find(&app, &caller, run_id).await?;
    let total = db::test_run_results::count_of_run(&app.db, run_id).await?;
    let items = db::test_run_results::list_of_run(&app.db, run_id, query.page).await?;
    Ok(query.links.answer(items, total))
}

/// Get results for item
#[utoipa::path(get, path = "/test-run-items/{item_id}/results", tag = "Test Run Results",
    params(("item_id" = Uuid, Path), PageParams),
    responses((status = 200, body = Paged<TestRunResult>), (status = 404, body = ErrorBody), CommonErrors))]
async fn list_test_run_item_results(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(item_id): Path<Uuid>,
    query: List<NoFilter>,
) -> ApiResult<ListAnswer<TestRunResult>> {
    if !db::test_run_items::exists(&app.db, caller.project_id, item_id).await? {
        return Err(Error::not_found("Test run item", item_id).into());
    }
    let total = db::test_run_results::count_of_item(&app.db, item_id).await?;
    let items = db::test_run_results::list_of_item(&app.db, item_id, query.page).await?;
    Ok(query.links.answer(items, total))
}

/// The 404 that every route under a result gives.
pub(crate) async fn ensure_exists(app: &AppState, caller: &auth::Caller, result_id: Uuid) -> ApiResult<()> {
    if !db::test_run_results::exists(&app.db, caller.project_id, result_id).await? {
        return Err(Error::not_found("Test run result", result_id).into());
    }
    Ok(())
}
