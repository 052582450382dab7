//! `/test-run-results/{result_id}/checkpoints`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use testrun_shared::domain::checkpoint_result::{CheckpointResult, CheckpointStatus, NewCheckpointResult};
use testrun_shared::domain::page::Paged;
use testrun_shared::{actions, db};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::test_run_results::ensure_exists;
use crate::app::{ApiResult, AppState};
use crate::error::{BodyErrors, CommonErrors, ErrorBody};
use crate::extract::{Caller, Json, Path};
use crate::idempotency::Write;
use crate::list::{List, ListAnswer, PageParams};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list_checkpoint_results, add_checkpoint_result))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CheckpointParams {
    /// Only checkpoints with this status
    status: Option<CheckpointStatus>,
}

/// List checkpoints
#[utoipa::path(get, path = "/test-run-results/{result_id}/checkpoints", tag = "Checkpoint Results",
    params(("result_id" = Uuid, Path), CheckpointParams, PageParams),
    responses((status = 200, body = Paged<CheckpointResult>), (status = 404, body = ErrorBody), CommonErrors))]
async fn list_checkpoint_results(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(result_id): Path<Uuid>,
    query: List<CheckpointParams>,
) -> ApiResult<ListAnswer<CheckpointResult>> {
    ensure_exists(&app, &caller, result_id).await?;
    let total = db::checkpoint_results::count(&app.db, result_id, query.filter.status).await?;
    let items = db::checkpoint_results::list(&app.db, result_id, query.filter.status, query.page).await?;
    Ok(query.links.answer(items, total))
}

/// Add checkpoint result
///
/// Counts of the result and its item follow, but those that the client stated.
#[utoipa::path(post, path = "/test-run-results/{result_id}/checkpoints", tag = "Checkpoint Results",
    params(("result_id" = Uuid, Path)),
    responses((status = 201, body = CheckpointResult), (status = 404, body = ErrorBody), CommonErrors, BodyErrors))]
async fn add_checkpoint_result(
    write: Write,
    Path(result_id): Path<Uuid>,
    Json(body): Json<NewCheckpointResult>,
) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    let created = actions::results::add_checkpoint(unit.db(), &caller, result_id, body).await?;
    unit.answer(StatusCode::CREATED, &created).await
}
