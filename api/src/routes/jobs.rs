//! `/admin/jobs`: jobs that wait, run or were given up. They are no project's: all of it needs an operator's token.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use testrun_shared::actions;
use testrun_shared::domain::page::Paged;
use testrun_shared::domain::queue::{JobFilter, JobStatus, QueueName, QueuedJob};
use testrun_shared::jobs::operate;
use ulid::Ulid;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::{ApiResult, AppState};
use crate::error::{CommonErrors, ErrorBody};
use crate::extract::{Caller, Path};
use crate::idempotency::Write;
use crate::list::{List, ListAnswer, PageParams};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list_jobs)).routes(routes!(retry_job)).routes(routes!(discard_job))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct JobParams {
    /// Only jobs with this status; left out, all that are not done
    status: Option<JobStatus>,
    /// Only jobs of this queue
    queue: Option<QueueName>,
}

/// List jobs
///
/// Needs an operator's token (`testrun admin create-token --operator`). What ended or is due last comes first.
#[utoipa::path(get, path = "/admin/jobs", tag = "Operations", params(JobParams, PageParams),
    responses((status = 200, body = Paged<QueuedJob>), CommonErrors))]
async fn list_jobs(
    State(app): State<AppState>,
    Caller(caller): Caller,
    query: List<JobParams>,
) -> ApiResult<ListAnswer<QueuedJob>> {
    caller.require_operator()?;
    let queue = query.filter.queue.map(|queue| queue.as_str().to_owned());
    let filter = JobFilter { status: query.filter.status, queue };
    let total = operate::count(&app.db, &filter).await?;
    let items = operate::list(&app.db, &filter, query.page).await?;
    Ok(query.links.answer(items, total))
}

/// Retry a dead job
///
/// Needs an operator's token. The job is started again, as if it had never been, and the row that it is about becomes due:
/// a mail or a delivery that was given up is tried once more.
#[utoipa::path(post, path = "/admin/jobs/{job_id}/retry", tag = "Operations",
    params(("job_id" = String, Path, format = "ulid")),
    responses((status = 200, body = QueuedJob), (status = 404, body = ErrorBody),
        (status = 422, body = ErrorBody, description = "The job is not dead, or there is nothing left for it to do"),
        CommonErrors))]
async fn retry_job(write: Write, Path(job_id): Path<Ulid>) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    unit.caller.require_operator()?;
    let job = actions::queues::retry(unit.db(), &job_id.to_string()).await?;
    unit.answer(StatusCode::OK, &job).await
}

/// Discard a dead job
///
/// Needs an operator's token. The mail, the delivery or the due time of a schedule that waits for it is given up. A run that
/// waits to be counted or finalised cannot be given up: its job comes back within seconds.
#[utoipa::path(delete, path = "/admin/jobs/{job_id}", tag = "Operations",
    params(("job_id" = String, Path, format = "ulid")),
    responses((status = 204), (status = 404, body = ErrorBody),
        (status = 422, body = ErrorBody, description = "The job is not dead"), CommonErrors))]
async fn discard_job(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(job_id): Path<Ulid>,
) -> ApiResult<StatusCode> {
    caller.require_operator()?;
    actions::queues::discard(&app.db, &job_id.to_string()).await?;
    Ok(StatusCode::NO_CONTENT)
}
