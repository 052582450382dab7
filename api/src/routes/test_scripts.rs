//! `/test-scripts`

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use testrun_shared::db::test_scripts::TestScriptFilter;
use testrun_shared::domain::page::Paged;
use testrun_shared::domain::script_result::ScriptType;
use testrun_shared::domain::test_script::{NewTestScript, TestScript, TestScriptPatch};
use testrun_shared::{Error, actions, db};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::app::{ApiResult, AppState};
use crate::error::{BodyErrors, CommonErrors, ErrorBody};
use crate::extract::{Caller, Json, Path};
use crate::idempotency::Write;
use crate::list::{List, ListAnswer, PageParams};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list_test_scripts, create_test_script)).routes(routes!(
        get_test_script,
        update_test_script,
        delete_test_script
    ))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TestScriptParams {
    /// Only scripts of this type
    script_type: Option<ScriptType>,
    /// Only scripts whose name contains this text, whatever the case
    search: Option<String>,
}

/// List test scripts
#[utoipa::path(get, path = "/test-scripts", tag = "Test Scripts", params(TestScriptParams, PageParams),
    responses((status = 200, body = Paged<TestScript>), CommonErrors))]
async fn list_test_scripts(
    State(app): State<AppState>,
    Caller(caller): Caller,
    query: List<TestScriptParams>,
) -> ApiResult<ListAnswer<TestScript>> {
    let filter = TestScriptFilter { script_type: query.filter.script_type, search: query.filter.search };
    let total = db::test_scripts::count(&app.db, caller.project_id, &filter).await?;
    let items = db::test_scripts::list(&app.db, caller.project_id, &filter, query.page).await?;
    Ok(query.links.answer(items, total))
}

/// Create a test script
#[utoipa::path(post, path = "/test-scripts", tag = "Test Scripts",
    responses((status = 201, body = TestScript), CommonErrors, BodyErrors))]
async fn create_test_script(write: Write, Json(body): Json<NewTestScript>) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    let created = actions::test_scripts::create(unit.db(), &caller, &body).await?;
    unit.answer(StatusCode::CREATED, &created).await
}

/// Get a test script
#[utoipa::path(get, path = "/test-scripts/{test_script_id}", tag = "Test Scripts",
    params(("test_script_id" = Uuid, Path)),
    responses((status = 200, body = TestScript), (status = 404, body = ErrorBody), CommonErrors))]
async fn get_test_script(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(test_script_id): Path<Uuid>,
) -> ApiResult<Answer<TestScript>> {
    let script = db::test_scripts::get(&app.db, caller.project_id, test_script_id).await?;
    Ok(Answer(script.ok_or_else(|| Error::not_found("Test script", test_script_id))?))
}

/// Update a test script
///
/// Changes the fields that are present; an explicit null clears a field that may be null.
#[utoipa::path(put, path = "/test-scripts/{test_script_id}", tag = "Test Scripts",
    params(("test_script_id" = Uuid, Path)),
    responses((status = 200, body = TestScript), (status = 404, body = ErrorBody), CommonErrors, BodyErrors))]
async fn update_test_script(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(test_script_id): Path<Uuid>,
    Json(patch): Json<TestScriptPatch>,
) -> ApiResult<Answer<TestScript>> {
    Ok(Answer(actions::test_scripts::update(&app.db, &caller, test_script_id, patch).await?))
}

/// Delete a test script
///
/// Results that name it stay.
#[utoipa::path(delete, path = "/test-scripts/{test_script_id}", tag = "Test Scripts",
    params(("test_script_id" = Uuid, Path)),
    responses((status = 204), (status = 404, body = ErrorBody), CommonErrors))]
async fn delete_test_script(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(test_script_id): Path<Uuid>,
) -> ApiResult<StatusCode> {
    if !db::test_scripts::delete(&app.db, caller.project_id, test_script_id).await? {
        return Err(Error::not_found("Test script", test_script_id).into());
    }
    Ok(StatusCode::NO_CONTENT)
}
