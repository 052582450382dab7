//! `/test-runs`

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use testrun_shared::domain::page::Paged;
use testrun_shared::domain::summary::TestRunSummary;
use testrun_shared::domain::test_run::{
    NewTestRun, RunSort, RunStatus, SortOrder, StartTestRun, StartedTestRun, TestRun, TestRunFilter, TestRunPatch,
};
use testrun_shared::{Error, actions, db};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::app::{ApiResult, AppState};
use crate::error::{BodyErrors, CommonErrors, ErrorBody};
use crate::extract::{Caller, Json, Path};
use crate::idempotency::Write;
use crate::list::{CommaList, DateBound, List, ListAnswer, PageParams, between};
use crate::observe;

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_test_runs, create_test_run))
        .routes(routes!(get_test_run, update_test_run, delete_test_run))
        .routes(routes!(start_test_run))
        .routes(routes!(stop_test_run))
        .routes(routes!(cancel_test_run))
        .routes(routes!(get_test_run_summary))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TestRunParams {
    /// Only runs with this status
    status: Option<RunStatus>,
    /// Only this suite and everything under it, comma-separated from the root: `ROOT,Regression`
    #[param(value_type = Option<String>)]
    suite_path: Option<CommaList>,
    /// Only runs created on or after this date (whole days, UTC) or instant
    #[param(value_type = Option<String>)]
    from_date: Option<DateBound>,
    /// Only runs created on or before this date (whole days, UTC) or instant
    #[param(value_type = Option<String>)]
    to_date: Option<DateBound>,
    /// Only runs that this user created
    created_by: Option<Uuid>,
    /// Only runs that have all of these labels, comma-separated
    #[param(value_type = Option<String>)]
    tags: Option<CommaList>,
    /// Only runs whose name contains this text, whatever the case
    search: Option<String>,
    /// What the list is sorted by; default `created_at`
    sort_by: Option<RunSort>,
    /// The direction; default `desc`
    sort_order: Option<SortOrder>,
}

impl TestRunParams {
    fn into_filter(self) -> ApiResult<TestRunFilter> {
        let (from, before) = between(self.from_date, self.to_date)?;
        Ok(TestRunFilter {
            status: self.status,
            suite_path: self.suite_path.map(|list| list.0),
            from,
            before,
            created_by: self.created_by,
            tags: self.tags.map(|list| list.0),
            search: self.search,
            sort_by: self.sort_by,
            sort_order: self.sort_order,
        })
    }
}

/// List all test runs (with filters)
#[utoipa::path(get, path = "/test-runs", tag = "Test Runs", params(TestRunParams, PageParams),
    responses((status = 200, body = Paged<TestRun>), CommonErrors))]
async fn list_test_runs(
    State(app): State<AppState>,
    Caller(caller): Caller,
    query: List<TestRunParams>,
) -> ApiResult<ListAnswer<TestRun>> {
    let filter = query.filter.into_filter()?;
    let total = db::test_runs::count(&app.db, caller.project_id, &filter).await?;
    let items = db::test_runs::list(&app.db, caller.project_id, &filter, query.page).await?;
    Ok(query.links.answer(items, total))
}

/// Create a new test run
#[utoipa::path(post, path = "/test-runs", tag = "Test Runs",
    responses((status = 201, body = TestRun), CommonErrors, BodyErrors))]
async fn create_test_run(write: Write, Json(body): Json<NewTestRun>) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    let created = actions::test_runs::create(unit.db(), &caller, &body).await?;
    observe::tell_run(created.id);
    unit.answer(StatusCode::CREATED, &created).await
}

/// Get test run details
#[utoipa::path(get, path = "/test-runs/{run_id}", tag = "Test Runs", params(("run_id" = Uuid, Path)),
    responses((status = 200, body = TestRun), (status = 404, body = ErrorBody), CommonErrors))]
async fn get_test_run(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(run_id): Path<Uuid>,
) -> ApiResult<Answer<TestRun>> {
    Ok(Answer(find(&app, &caller, run_id).await?))
}

/// Update test run
///
/// Changes the fields that are present; an explicit null clears a field that may be null.
#[utoipa::path(put, path = "/test-runs/{run_id}", tag = "Test Runs", params(("run_id" = Uuid, Path)),
    responses((status = 200, body = TestRun), (status = 404, body = ErrorBody),
        (status = 422, body = ErrorBody, description = "The settings can be changed only while the run is pending"),
        CommonErrors, BodyErrors))]
async fn update_test_run(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(run_id): Path<Uuid>,
    Json(patch): Json<TestRunPatch>,
) -> ApiResult<Answer<TestRun>> {
    Ok(Answer(actions::test_runs::update(&app.db, &caller, run_id, patch).await?))
}

/// Delete test run
///
/// It is gone from every endpoint at once; a run that is under way is cancelled.
#[utoipa::path(delete, path = "/test-runs/{run_id}", tag = "Test Runs", params(("run_id" = Uuid, Path)),
    responses((status = 204), (status = 404, body = ErrorBody), CommonErrors))]
async fn delete_test_run(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(run_id): Path<Uuid>,
) -> ApiResult<StatusCode> {
    actions::test_runs::delete(&app.db, &caller, run_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Start test run execution
#[utoipa::path(post, path = "/test-runs/{run_id}/start", tag = "Test Runs", params(("run_id" = Uuid, Path)),
    request_body(content = StartTestRun, description = "May be left out"),
    responses((status = 200, body = StartedTestRun), (status = 404, body = ErrorBody),
        (status = 422, body = ErrorBody, description = "The run has begun already, or has no test cases"),
        CommonErrors, BodyErrors))]
async fn start_test_run(
    write: Write,
    Path(run_id): Path<Uuid>,
    command: Option<Json<StartTestRun>>,
) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    let command = command.map(|Json(command)| command).unwrap_or_default();
    let answer = actions::test_runs::start(unit.db(), &caller, run_id, &command).await?;
    unit.answer(StatusCode::OK, &answer).await
}

/// Stop test run execution
#[utoipa::path(post, path = "/test-runs/{run_id}/stop", tag = "Test Runs", params(("run_id" = Uuid, Path)),
    responses((status = 200, body = TestRun), (status = 404, body = ErrorBody),
        (status = 422, body = ErrorBody, description = "The run is not running"), CommonErrors))]
async fn stop_test_run(write: Write, Path(run_id): Path<Uuid>) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    let answer = actions::test_runs::stop(unit.db(), &caller, run_id).await?;
    unit.answer(StatusCode::OK, &answer).await
}

/// Cancel pending test run
#[utoipa::path(post, path = "/test-runs/{run_id}/cancel", tag = "Test Runs", params(("run_id" = Uuid, Path)),
    responses((status = 200, body = TestRun), (status = 404, body = ErrorBody),
        (status = 422, body = ErrorBody, description = "The run has begun already"), CommonErrors))]
async fn cancel_test_run(write: Write, Path(run_id): Path<Uuid>) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    let answer = actions::test_runs::cancel(unit.db(), &caller, run_id).await?;
    unit.answer(StatusCode::OK, &answer).await
}

/// Get run summary/statistics
#[utoipa::path(get, path = "/test-runs/{run_id}/summary", tag = "Test Runs", params(("run_id" = Uuid, Path)),
    responses((status = 200, body = TestRunSummary), (status = 404, body = ErrorBody), CommonErrors))]
async fn get_test_run_summary(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(run_id): Path<Uuid>,
) -> ApiResult<Answer<TestRunSummary>> {
    let run = find(&app, &caller, run_id).await?;
    let figures = db::test_run_items::figures(&app.db, run_id).await?;
    let items = db::test_run_items::item_figures(&app.db, run_id).await?;
    Ok(Answer(TestRunSummary::new(run, figures, items)))
}

/// The caller's run with this id, or the 404 that every route under a run gives.
pub(crate) async fn find(app: &AppState, caller: &testrun_shared::auth::Caller, run_id: Uuid) -> ApiResult<TestRun> {
    let run = db::test_runs::get(&app.db, caller.project_id, run_id).await?;
    Ok(run.ok_or_else(|| Error::not_found("Test run", run_id))?)
}
