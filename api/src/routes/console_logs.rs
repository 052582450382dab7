//! `/test-run-results/{result_id}/console-logs`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use testrun_shared::domain::console_log::{AddedLogs, ConsoleLog, LogLevel, NewConsoleLogs};
use testrun_shared::domain::page::Paged;
use testrun_shared::{actions, db};
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
        .routes(routes!(list_console_logs))
        .merge(bulk(OpenApiRouter::new().routes(routes!(add_console_logs))))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ConsoleLogParams {
    /// Only lines of this level
    log_level: Option<LogLevel>,
    /// Only those of this step
    step_index: Option<i32>,
}

/// Get console logs
#[utoipa::path(get, path = "/test-run-results/{result_id}/console-logs", tag = "Logs",
    params(("result_id" = Uuid, Path), ConsoleLogParams, PageParams),
    responses((status = 200, body = Paged<ConsoleLog>), (status = 404, body = ErrorBody), CommonErrors))]
async fn list_console_logs(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(result_id): Path<Uuid>,
    query: List<ConsoleLogParams>,
) -> ApiResult<ListAnswer<ConsoleLog>> {
    ensure_exists(&app, &caller, result_id).await?;
    let ConsoleLogParams { log_level, step_index } = query.filter;
    let total = db::console_logs::count(&app.db, result_id, log_level, step_index).await?;
    let items = db::console_logs::list(&app.db, result_id, log_level, step_index, query.page).await?;
    Ok(query.links.answer(items, total))
}

/// Add console logs
#[utoipa::path(post, path = "/test-run-results/{result_id}/console-logs/bulk", tag = "Logs",
    params(("result_id" = Uuid, Path)),
    responses((status = 201, body = AddedLogs), (status = 404, body = ErrorBody), CommonErrors, BodyErrors))]
async fn add_console_logs(
    write: Write,
    Path(result_id): Path<Uuid>,
    Json(body): Json<NewConsoleLogs>,
) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    let created = actions::results::add_console_logs(unit.db(), &caller, result_id, body.logs).await?;
    unit.answer(StatusCode::CREATED, &created).await
}
