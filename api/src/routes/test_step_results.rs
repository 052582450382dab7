//! `/test-run-results/{result_id}/steps`

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use testrun_shared::actions;
use testrun_shared::domain::test_step_result::{AddedSteps, NewTestStepResults};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::app::{ApiResult, AppState};
use crate::error::{BodyErrors, CommonErrors, ErrorBody};
use crate::extract::{Caller, Json, Path, bulk};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    bulk(OpenApiRouter::new().routes(routes!(add_test_step_results)))
}

/// Add multiple steps
///
/// Counts of the result and its item follow, unless the client stated them.
#[utoipa::path(post, path = "/test-run-results/{result_id}/steps/bulk", tag = "Test Step Results",
    params(("result_id" = Uuid, Path)),
    responses((status = 201, body = AddedSteps), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "A step number has its row already"), CommonErrors, BodyErrors))]
async fn add_test_step_results(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(result_id): Path<Uuid>,
    Json(body): Json<NewTestStepResults>,
) -> ApiResult<(StatusCode, Answer<AddedSteps>)> {
    Ok((StatusCode::CREATED, Answer(actions::results::add_steps(&app.db, &caller, result_id, body.steps).await?)))
}
