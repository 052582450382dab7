//! `/schedules`

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use testrun_shared::domain::page::Paged;
use testrun_shared::domain::schedule::{NewSchedule, Schedule};
use testrun_shared::{Error, actions, db};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::app::{ApiResult, AppState};
use crate::error::{BodyErrors, CommonErrors, ErrorBody};
use crate::extract::{Caller, Json, Path};
use crate::list::{List, NoFilter, PageParams};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list_schedules, create_schedule)).routes(routes!(get_schedule))
}

/// List schedules
#[utoipa::path(get, path = "/schedules", tag = "Schedules", params(PageParams),
    responses((status = 200, body = Paged<Schedule>), CommonErrors))]
async fn list_schedules(
    State(app): State<AppState>,
    Caller(caller): Caller,
    query: List<NoFilter>,
) -> ApiResult<Answer<Paged<Schedule>>> {
    let total = db::schedules::count(&app.db, caller.project_id).await?;
    let items = db::schedules::list(&app.db, caller.project_id, query.page).await?;
    Ok(Answer(Paged::new(items, total, query.page)))
}

/// Create schedule
#[utoipa::path(post, path = "/schedules", tag = "Schedules",
    responses((status = 201, body = Schedule), CommonErrors, BodyErrors))]
async fn create_schedule(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Json(body): Json<NewSchedule>,
) -> ApiResult<(StatusCode, Answer<Schedule>)> {
    Ok((StatusCode::CREATED, Answer(actions::schedules::create(&app.db, &caller, body).await?)))
}

/// Get schedule details
#[utoipa::path(get, path = "/schedules/{schedule_id}", tag = "Schedules", params(("schedule_id" = Uuid, Path)),
    responses((status = 200, body = Schedule), (status = 404, body = ErrorBody), CommonErrors))]
async fn get_schedule(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(schedule_id): Path<Uuid>,
) -> ApiResult<Answer<Schedule>> {
    let schedule = db::schedules::get(&app.db, caller.project_id, schedule_id).await?;
    Ok(Answer(schedule.ok_or_else(|| Error::not_found("Schedule", schedule_id))?))
}
