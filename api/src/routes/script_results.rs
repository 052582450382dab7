//! `/test-run-results/{result_id}/scripts`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use testrun_shared::domain::page::Paged;
use testrun_shared::domain::script_result::{NewScriptResult, ScriptResult, ScriptType};
use testrun_shared::domain::test_run_result::ResultStatus;
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
    OpenApiRouter::new().routes(routes!(list_script_results, add_script_result))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ScriptParams {
    /// Only scripts of this type
    script_type: Option<ScriptType>,
    /// Only scripts with this status
    status: Option<ResultStatus>,
}

/// Get script results
#[utoipa::path(get, path = "/test-run-results/{result_id}/scripts", tag = "Script Results",
    params(("result_id" = Uuid, Path), ScriptParams, PageParams),
    responses((status = 200, body = Paged<ScriptResult>), (status = 404, body = ErrorBody), CommonErrors))]
async fn list_script_results(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(result_id): Path<Uuid>,
    query: List<ScriptParams>,
) -> ApiResult<ListAnswer<ScriptResult>> {
    ensure_exists(&app, &caller, result_id).await?;
    let ScriptParams { script_type, status } = query.filter;
    let total = db::script_results::count(&app.db, result_id, script_type, status).await?;
    let items = db::script_results::list(&app.db, result_id, script_type, status, query.page).await?;
    Ok(query.links.answer(items, total))
}

/// Add script result
///
/// Counts of the result follow, but those that the client stated.
#[utoipa::path(post, path = "/test-run-results/{result_id}/scripts", tag = "Script Results",
    params(("result_id" = Uuid, Path)),
    responses((status = 201, body = ScriptResult), (status = 404, body = ErrorBody), CommonErrors, BodyErrors))]
async fn add_script_result(
    write: Write,
    Path(result_id): Path<Uuid>,
    Json(body): Json<NewScriptResult>,
) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    let created = actions::results::add_script(unit.db(), &caller, result_id, body).await?;
    unit.answer(StatusCode::CREATED, &created).await
}
