//! `/schedules`

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use testrun_shared::db::schedules::ScheduleFilter;
use testrun_shared::domain::page::Paged;
use testrun_shared::domain::recurrence::{MAX_PREVIEW, RepeatType};
use testrun_shared::domain::schedule::{NewSchedule, Preview, PreviewRequest, Schedule, SchedulePatch, ScheduleStatus};
use testrun_shared::domain::schedule_execution::{ExecutionStatus, ScheduleExecution};
use testrun_shared::{Error, actions, auth, db};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::app::{ApiResult, AppState};
use crate::error::{BodyErrors, CommonErrors, ErrorBody};
use crate::extract::{Caller, Json, Path};
use crate::idempotency::Write;
use crate::list::{DateBound, List, ListAnswer, NoFilter, PageParams, Query, between};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_schedules, create_schedule))
        .routes(routes!(list_pending_schedules))
        .routes(routes!(preview_schedule))
        .routes(routes!(get_schedule, update_schedule, delete_schedule))
        .routes(routes!(pause_schedule))
        .routes(routes!(resume_schedule))
        .routes(routes!(run_schedule_now))
        .routes(routes!(list_schedule_executions))
        .routes(routes!(preview_stored_schedule))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ScheduleParams {
    /// Only schedules with this status
    status: Option<ScheduleStatus>,
    /// Only enabled or disabled schedules
    is_enabled: Option<bool>,
    /// Only schedules of this kind
    repeat_type: Option<RepeatType>,
    /// Only schedules whose next execution is on or after this date (whole days, UTC) or instant
    #[param(value_type = Option<String>)]
    from_date: Option<DateBound>,
    /// Only schedules whose next execution is on or before this date (whole days, UTC) or instant
    #[param(value_type = Option<String>)]
    to_date: Option<DateBound>,
}

/// List schedules
#[utoipa::path(get, path = "/schedules", tag = "Schedules", params(ScheduleParams, PageParams),
    responses((status = 200, body = Paged<Schedule>), CommonErrors))]
async fn list_schedules(
    State(app): State<AppState>,
    Caller(caller): Caller,
    query: List<ScheduleParams>,
) -> ApiResult<ListAnswer<Schedule>> {
    let (from, before) = between(query.filter.from_date, query.filter.to_date)?;
    let ScheduleParams { status, is_enabled, repeat_type, .. } = query.filter;
    let filter = ScheduleFilter { status, is_enabled, repeat_type, from, before };
    let total = db::schedules::count(&app.db, caller.project_id, &filter).await?;
    let items = db::schedules::list(&app.db, caller.project_id, &filter, query.page).await?;
    Ok(query.links.answer(items, total))
}

/// Create schedule
///
/// The digits of `scheduled_datetime` are wall clock in `timezone`: 02:00 in `America/New_York` is 07:00Z in January. A wall
/// time that a zone skips in spring fires by the offset before; one that it repeats in autumn fires once, the first time. A
/// cron expression more often than hourly is silent while the clock repeats an hour; `hourly` fires through it.
#[utoipa::path(post, path = "/schedules", tag = "Schedules",
    responses((status = 201, body = Schedule), CommonErrors, BodyErrors))]
async fn create_schedule(write: Write, Json(body): Json<NewSchedule>) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    let created = actions::schedules::create(unit.db(), &caller, body).await?;
    unit.answer(StatusCode::CREATED, &created).await
}

/// Get schedules due to run
#[utoipa::path(get, path = "/schedules/pending", tag = "Schedules", params(PageParams),
    responses((status = 200, body = Paged<Schedule>), CommonErrors))]
async fn list_pending_schedules(
    State(app): State<AppState>,
    Caller(caller): Caller,
    query: List<NoFilter>,
) -> ApiResult<ListAnswer<Schedule>> {
    let total = db::schedules::count_pending(&app.db, caller.project_id).await?;
    let items = db::schedules::pending(&app.db, caller.project_id, query.page).await?;
    Ok(query.links.answer(items, total))
}

/// Preview a schedule that is not stored
#[utoipa::path(post, path = "/schedules/preview", tag = "Schedules",
    responses((status = 200, body = Preview), CommonErrors, BodyErrors))]
async fn preview_schedule(
    State(app): State<AppState>,
    _caller: Caller,
    Json(body): Json<PreviewRequest>,
) -> ApiResult<Answer<Preview>> {
    let recurrence = body.recurrence()?;
    let from = match body.from {
        Some(from) => from,
        None => db::now(&app.db).await?,
    };
    let count = body.count.and_then(|count| usize::try_from(count).ok()).unwrap_or(10);
    Ok(Answer(Preview { fires: recurrence.preview(from, count, 0) }))
}

/// Get schedule details
#[utoipa::path(get, path = "/schedules/{schedule_id}", tag = "Schedules", params(("schedule_id" = Uuid, Path)),
    responses((status = 200, body = Schedule), (status = 404, body = ErrorBody), CommonErrors))]
async fn get_schedule(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(schedule_id): Path<Uuid>,
) -> ApiResult<Answer<Schedule>> {
    Ok(Answer(find(&app, &caller, schedule_id).await?))
}

/// Update schedule
///
/// Changes the fields that are present; an explicit null clears a field that may be null. A change of timing computes the
/// next due time anew.
#[utoipa::path(put, path = "/schedules/{schedule_id}", tag = "Schedules", params(("schedule_id" = Uuid, Path)),
    responses((status = 200, body = Schedule), (status = 404, body = ErrorBody),
        (status = 422, body = ErrorBody, description = "The schedule is completed or cancelled"),
        CommonErrors, BodyErrors))]
async fn update_schedule(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(schedule_id): Path<Uuid>,
    Json(patch): Json<SchedulePatch>,
) -> ApiResult<Answer<Schedule>> {
    Ok(Answer(Box::pin(actions::schedules::update(&app.db, &caller, schedule_id, patch)).await?))
}

/// Delete schedule
///
/// It never fires again; the runs it made stay.
#[utoipa::path(delete, path = "/schedules/{schedule_id}", tag = "Schedules", params(("schedule_id" = Uuid, Path)),
    responses((status = 204), (status = 404, body = ErrorBody), CommonErrors))]
async fn delete_schedule(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(schedule_id): Path<Uuid>,
) -> ApiResult<StatusCode> {
    actions::schedules::delete(&app.db, &caller, schedule_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Pause schedule
///
/// Nothing fires and nothing is missed until it is resumed. A paused schedule stays as it is.
#[utoipa::path(post, path = "/schedules/{schedule_id}/pause", tag = "Schedules", params(("schedule_id" = Uuid, Path)),
    responses((status = 200, body = Schedule), (status = 404, body = ErrorBody),
        (status = 422, body = ErrorBody, description = "The schedule is completed or cancelled"), CommonErrors))]
async fn pause_schedule(write: Write, Path(schedule_id): Path<Uuid>) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    let answer = actions::schedules::pause(unit.db(), &caller, schedule_id).await?;
    unit.answer(StatusCode::OK, &answer).await
}

/// Resume schedule
///
/// It goes on with the first due time after now. An active schedule stays as it is.
#[utoipa::path(post, path = "/schedules/{schedule_id}/resume", tag = "Schedules", params(("schedule_id" = Uuid, Path)),
    responses((status = 200, body = Schedule), (status = 404, body = ErrorBody),
        (status = 422, body = ErrorBody, description = "The schedule is completed or cancelled"), CommonErrors))]
async fn resume_schedule(write: Write, Path(schedule_id): Path<Uuid>) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    let answer = actions::schedules::resume(unit.db(), &caller, schedule_id).await?;
    unit.answer(StatusCode::OK, &answer).await
}

/// Run a schedule once, now
///
/// Outside its plan: neither the next due time nor the count of runs moves.
#[utoipa::path(post, path = "/schedules/{schedule_id}/run-now", tag = "Schedules", params(("schedule_id" = Uuid, Path)),
    responses((status = 201, body = ScheduleExecution), (status = 404, body = ErrorBody), CommonErrors))]
async fn run_schedule_now(write: Write, Path(schedule_id): Path<Uuid>) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    let created = actions::schedules::run_now(unit.db(), &caller, schedule_id).await?;
    unit.answer(StatusCode::CREATED, &created).await
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExecutionParams {
    /// Only executions with this status
    status: Option<ExecutionStatus>,
}

/// Get execution history
#[utoipa::path(get, path = "/schedules/{schedule_id}/history", tag = "Schedules",
    params(("schedule_id" = Uuid, Path), ExecutionParams, PageParams),
    responses((status = 200, body = Paged<ScheduleExecution>), (status = 404, body = ErrorBody), CommonErrors))]
async fn list_schedule_executions(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(schedule_id): Path<Uuid>,
    query: List<ExecutionParams>,
) -> ApiResult<ListAnswer<ScheduleExecution>> {
    find(&app, &caller, schedule_id).await?;
    let total = db::schedule_executions::count(&app.db, schedule_id, query.filter.status).await?;
    let items = db::schedule_executions::list(&app.db, schedule_id, query.filter.status, query.page).await?;
    Ok(query.links.answer(items, total))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PreviewParams {
    /// How many fires to list
    #[param(minimum = 1, maximum = 50, default = 10)]
    count: Option<i64>,
}

/// Preview the next fires of a schedule
#[utoipa::path(get, path = "/schedules/{schedule_id}/preview", tag = "Schedules",
    params(("schedule_id" = Uuid, Path), PreviewParams),
    responses((status = 200, body = Preview), (status = 404, body = ErrorBody), CommonErrors))]
async fn preview_stored_schedule(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(schedule_id): Path<Uuid>,
    Query(params): Query<PreviewParams>,
) -> ApiResult<Answer<Preview>> {
    let count = match params.count.map(usize::try_from) {
        None => 10,
        Some(Ok(count)) if (1..=MAX_PREVIEW).contains(&count) => count,
        Some(_) => return Err(Error::invalid("count", format!("Must be between 1 and {MAX_PREVIEW}")).into()),
    };
    let schedule = find(&app, &caller, schedule_id).await?;
    let now = db::now(&app.db).await?;
    Ok(Answer(Preview { fires: schedule.recurrence()?.preview(now, count, schedule.execution_count) }))
}

async fn find(app: &AppState, caller: &auth::Caller, schedule_id: Uuid) -> ApiResult<Schedule> {
    let schedule = db::schedules::get(&app.db, caller.project_id, schedule_id).await?;
    Ok(schedule.ok_or_else(|| Error::not_found("Schedule", schedule_id))?)
}
