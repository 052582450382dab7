//! `/test-run-results/{result_id}/network-logs`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use testrun_shared::domain::console_log::AddedLogs;
use testrun_shared::domain::network_log::{NetworkLog, NewNetworkLogs};
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
        .routes(routes!(list_network_logs))
        .merge(bulk(OpenApiRouter::new().routes(routes!(add_network_logs))))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct NetworkLogParams {
    /// Only requests with this status
    status_code: Option<i32>,
    /// Only those of this step
    step_index: Option<i32>,
}

/// Get network logs
#[utoipa::path(get, path = "/test-run-results/{result_id}/network-logs", tag = "Logs",
    params(("result_id" = Uuid, Path), NetworkLogParams, PageParams),
    responses((status = 200, body = Paged<NetworkLog>), (status = 404, body = ErrorBody), CommonErrors))]
async fn list_network_logs(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(result_id): Path<Uuid>,
    query: List<NetworkLogParams>,
) -> ApiResult<ListAnswer<NetworkLog>> {
    ensure_exists(&app, &caller, result_id).await?;
    let NetworkLogParams { status_code, step_index } = query.filter;
    let total = db::network_logs::count(&app.db, result_id, status_code, step_index).await?;
    let items = db::network_logs::list(&app.db, result_id, status_code, step_index, query.page).await?;
    Ok(query.links.answer(items, total))
}

/// Add network logs
#[utoipa::path(post, path = "/test-run-results/{result_id}/network-logs/bulk", tag = "Logs",
    params(("result_id" = Uuid, Path)),
    responses((status = 201, body = AddedLogs), (status = 404, body = ErrorBody), CommonErrors, BodyErrors))]
async fn add_network_logs(
    write: Write,
    Path(result_id): Path<Uuid>,
    Json(body): Json<NewNetworkLogs>,
) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    let created = actions::results::add_network_logs(unit.db(), &caller, result_id, body.logs).await?;
    unit.answer(StatusCode::CREATED, &created).await
}
