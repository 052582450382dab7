//! `/test-run-results/{result_id}/steps`

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use testrun_shared::domain::page::Paged;
use testrun_shared::domain::test_run_result::ResultStatus;
use testrun_shared::domain::test_step_result::{AddedSteps, NewTestStepResult, NewTestStepResults, TestStepResult};
use testrun_shared::{Error, actions, db};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::test_run_results::ensure_exists;
use crate::app::{ApiResult, AppState};
use crate::error::{BodyErrors, CommonErrors, ErrorBody};
use crate::extract::{Caller, Json, Path, bulk};
use crate::idempotency::Write;
use crate::list::{List, ListAnswer, PageParams};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_test_step_results, add_test_step_result))
        .routes(routes!(get_test_step_result))
        .merge(bulk(OpenApiRouter::new().routes(routes!(add_test_step_results))))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StepParams {
    /// Only steps with this status
    status: Option<ResultStatus>,
}

/// List step results
#[utoipa::path(get, path = "/test-run-results/{result_id}/steps", tag = "Test Step Results",
    params(("result_id" = Uuid, Path), StepParams, PageParams),
    responses((status = 200, body = Paged<TestStepResult>), (status = 404, body = ErrorBody), CommonErrors))]
async fn list_test_step_results(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(result_id): Path<Uuid>,
    query: List<StepParams>,
) -> ApiResult<ListAnswer<TestStepResult>> {
    ensure_exists(&app, &caller, result_id).await?;
    let total = db::test_step_results::count(&app.db, result_id, query.filter.status).await?;
    let items = db::test_step_results::list(&app.db, result_id, query.filter.status, query.page).await?;
    Ok(query.links.answer(items, total))
}

/// Get specific step
#[utoipa::path(get, path = "/test-run-results/{result_id}/steps/{step_number}", tag = "Test Step Results",
    params(("result_id" = Uuid, Path), ("step_number" = i32, Path)),
    responses((status = 200, body = TestStepResult), (status = 404, body = ErrorBody), CommonErrors))]
async fn get_test_step_result(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path((result_id, step_number)): Path<(Uuid, i32)>,
) -> ApiResult<Answer<TestStepResult>> {
    ensure_exists(&app, &caller, result_id).await?;
    let step = db::test_step_results::get(&app.db, result_id, step_number).await?;
    Ok(Answer(step.ok_or_else(|| Error::not_found("Test step result", step_number))?))
}

/// Add step result (internal)
///
/// Counts of the result and its item follow, but those that the client stated.
#[utoipa::path(post, path = "/test-run-results/{result_id}/steps", tag = "Test Step Results",
    params(("result_id" = Uuid, Path)),
    responses((status = 201, body = TestStepResult), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "The step number has its row already"), CommonErrors, BodyErrors))]
async fn add_test_step_result(
    write: Write,
    Path(result_id): Path<Uuid>,
    Json(body): Json<NewTestStepResult>,
) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    let mut added = actions::results::add_steps(unit.db(), &caller, result_id, vec![body]).await?;
    let step = added.items.pop().ok_or_else(|| Error::not_found("Test run result", result_id))?;
    unit.answer(StatusCode::CREATED, &step).await
}

/// Add multiple steps
///
/// Counts of the result and its item follow, but those that the client stated.
#[utoipa::path(post, path = "/test-run-results/{result_id}/steps/bulk", tag = "Test Step Results",
    params(("result_id" = Uuid, Path)),
    responses((status = 201, body = AddedSteps), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "A step number has its row already"), CommonErrors, BodyErrors))]
async fn add_test_step_results(
    write: Write,
    Path(result_id): Path<Uuid>,
    Json(body): Json<NewTestStepResults>,
) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    let created = actions::results::add_steps(unit.db(), &caller, result_id, body.steps).await?;
    unit.answer(StatusCode::CREATED, &created).await
}
