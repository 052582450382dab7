//! `/test-run-results/{result_id}/checkpoints`

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use testrun_shared::actions;
use testrun_shared::domain::checkpoint_result::{CheckpointResult, NewCheckpointResult};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::app::{ApiResult, AppState};
use crate::error::{BodyErrors, CommonErrors, ErrorBody};
use crate::extract::{Caller, Json, Path};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(add_checkpoint_result))
}

/// Add checkpoint result
#[utoipa::path(post, path = "/test-run-results/{result_id}/checkpoints", tag = "Checkpoint Results",
    params(("result_id" = Uuid, Path)),
    responses((status = 201, body = CheckpointResult), (status = 404, body = ErrorBody), CommonErrors, BodyErrors))]
async fn add_checkpoint_result(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(result_id): Path<Uuid>,
    Json(body): Json<NewCheckpointResult>,
) -> ApiResult<(StatusCode, Answer<CheckpointResult>)> {
    Ok((StatusCode::CREATED, Answer(actions::results::add_checkpoint(&app.db, &caller, result_id, body).await?)))
}
