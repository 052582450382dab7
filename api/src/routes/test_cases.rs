//! `/test-cases`

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use testrun_shared::db::test_cases::TestCaseFilter;
use testrun_shared::domain::execution_history::CaseHistory;
use testrun_shared::domain::page::Paged;
use testrun_shared::domain::test_case::{BulkTestCases, NewTestCase, NewTestCases, TestCase, TestCasePatch};
use testrun_shared::{Error, actions, db};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::app::{ApiResult, AppState};
use crate::error::{BodyErrors, CommonErrors, ErrorBody};
use crate::extract::{Caller, Json, Path, bulk};
use crate::idempotency::Write;
use crate::list::{CommaList, List, ListAnswer, NoFilter, PageParams};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_test_cases, create_test_case))
        .routes(routes!(get_test_case, update_test_case, delete_test_case))
        .routes(routes!(get_test_case_history))
        .merge(bulk(OpenApiRouter::new().routes(routes!(upsert_test_cases))))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TestCaseParams {
    /// Only this suite and everything under it, comma-separated from the root: `ROOT,Regression`
    #[param(value_type = Option<String>)]
    suite_path: Option<CommaList>,
    /// Only cases that have all of these labels, comma-separated
    #[param(value_type = Option<String>)]
    tags: Option<CommaList>,
    /// Only cases whose name contains this text, whatever the case
    search: Option<String>,
    /// Only the case with this key
    external_key: Option<String>,
}

/// List test cases
#[utoipa::path(get, path = "/test-cases", tag = "Test Cases", params(TestCaseParams, PageParams),
    responses((status = 200, body = Paged<TestCase>), CommonErrors))]
async fn list_test_cases(
    State(app): State<AppState>,
    Caller(caller): Caller,
    query: List<TestCaseParams>,
) -> ApiResult<ListAnswer<TestCase>> {
    let filter = TestCaseFilter {
        suite_path: query.filter.suite_path.map(|list| list.0),
        tags: query.filter.tags.map(|list| list.0),
        search: query.filter.search,
        external_key: query.filter.external_key,
    };
    let total = db::test_cases::count(&app.db, caller.project_id, &filter).await?;
    let items = db::test_cases::list(&app.db, caller.project_id, &filter, query.page).await?;
    Ok(query.links.answer(items, total))
}

/// Create a test case
#[utoipa::path(post, path = "/test-cases", tag = "Test Cases",
    responses((status = 201, body = TestCase),
        (status = 409, body = ErrorBody, description = "The external key is taken"), CommonErrors, BodyErrors))]
async fn create_test_case(write: Write, Json(body): Json<NewTestCase>) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    let created = actions::test_cases::create(unit.db(), &caller, &body).await?;
    unit.answer(StatusCode::CREATED, &created).await
}

/// Create or update test cases by `external_key`
///
/// All or none.
#[utoipa::path(post, path = "/test-cases/bulk", tag = "Test Cases",
    responses((status = 200, body = BulkTestCases), CommonErrors, BodyErrors))]
async fn upsert_test_cases(write: Write, Json(body): Json<NewTestCases>) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    let answer = actions::test_cases::upsert(unit.db(), &caller, body).await?;
    unit.answer(StatusCode::OK, &answer).await
}

/// Get a test case
#[utoipa::path(get, path = "/test-cases/{test_case_id}", tag = "Test Cases", params(("test_case_id" = Uuid, Path)),
    responses((status = 200, body = TestCase), (status = 404, body = ErrorBody), CommonErrors))]
async fn get_test_case(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(test_case_id): Path<Uuid>,
) -> ApiResult<Answer<TestCase>> {
    Ok(Answer(find(&app, &caller, test_case_id).await?))
}

/// Update a test case
///
/// Changes the fields that are present; an explicit null clears a field that may be null.
#[utoipa::path(put, path = "/test-cases/{test_case_id}", tag = "Test Cases", params(("test_case_id" = Uuid, Path)),
    responses((status = 200, body = TestCase), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "The external key is taken"), CommonErrors, BodyErrors))]
async fn update_test_case(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(test_case_id): Path<Uuid>,
    Json(patch): Json<TestCasePatch>,
) -> ApiResult<Answer<TestCase>> {
    Ok(Answer(actions::test_cases::update(&app.db, &caller, test_case_id, patch).await?))
}

/// Delete a test case
///
/// Its items, results and history go with it.
#[utoipa::path(delete, path = "/test-cases/{test_case_id}", tag = "Test Cases", params(("test_case_id" = Uuid, Path)),
    responses((status = 204), (status = 404, body = ErrorBody),
        (status = 422, body = ErrorBody, description = "It is in a run that has not ended"), CommonErrors))]
async fn delete_test_case(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(test_case_id): Path<Uuid>,
) -> ApiResult<StatusCode> {
    actions::test_cases::delete(&app.db, &caller, test_case_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Get execution history
#[utoipa::path(get, path = "/test-cases/{test_case_id}/history", tag = "Test Cases",
    params(("test_case_id" = Uuid, Path), PageParams),
    responses((status = 200, body = CaseHistory), (status = 404, body = ErrorBody), CommonErrors))]
async fn get_test_case_history(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(test_case_id): Path<Uuid>,
    query: List<NoFilter>,
) -> ApiResult<Answer<CaseHistory>> {
    let case = find(&app, &caller, test_case_id).await?;
    let statistics = db::execution_history::statistics(&app.db, test_case_id).await?;
    let history = db::execution_history::list(&app.db, test_case_id, query.page).await?;
    Ok(Answer(CaseHistory {
        test_case_id,
        test_case_name: case.name,
        history,
        total: statistics.total_executions,
        limit: query.page.limit,
        offset: query.page.offset,
        statistics,
    }))
}

async fn find(app: &AppState, caller: &testrun_shared::auth::Caller, test_case_id: Uuid) -> ApiResult<TestCase> {
    let case = db::test_cases::get(&app.db, caller.project_id, test_case_id).await?;
    Ok(case.ok_or_else(|| Error::not_found("Test case", test_case_id))?)
}
