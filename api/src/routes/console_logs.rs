//! `/test-run-results/{result_id}/console-logs`

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use testrun_shared::actions;
use testrun_shared::domain::console_log::{AddedLogs, NewConsoleLogs};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::app::{ApiResult, AppState};
use crate::error::{BodyErrors, CommonErrors, ErrorBody};
use crate::extract::{Caller, Json, Path, bulk};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    bulk(OpenApiRouter::new().routes(routes!(add_console_logs)))
}

/// Add console logs
#[utoipa::path(post, path = "/test-run-results/{result_id}/console-logs/bulk", tag = "Logs",
    params(("result_id" = Uuid, Path)),
    responses((status = 201, body = AddedLogs), (status = 404, body = ErrorBody), CommonErrors, BodyErrors))]
async fn add_console_logs(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(result_id): Path<Uuid>,
    Json(body): Json<NewConsoleLogs>,
) -> ApiResult<(StatusCode, Answer<AddedLogs>)> {
    Ok((StatusCode::CREATED, Answer(actions::results::add_console_logs(&app.db, &caller, result_id, body.logs).await?)))
}
