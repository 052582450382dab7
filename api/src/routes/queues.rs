//! `/admin/queues`: how the queues stand. They are no project's: all of it needs an operator's token.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use testrun_shared::actions;
use testrun_shared::domain::page::Paged;
use testrun_shared::domain::queue::{PauseQueue, QueueName, QueueState};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::{ApiResult, AppState};
use crate::error::{BodyErrors, CommonErrors};
use crate::extract::{Caller, Json, Path};
use crate::idempotency::Write;
use crate::list::{List, ListAnswer, NoFilter, PageParams};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list_queues)).routes(routes!(pause_queue)).routes(routes!(resume_queue))
}

/// List queues
///
/// Needs an operator's token (`testrun admin create-token --operator`). Every queue is listed, whether it has jobs or not.
#[utoipa::path(get, path = "/admin/queues", tag = "Operations", params(PageParams),
    responses((status = 200, body = Paged<QueueState>), CommonErrors))]
async fn list_queues(
    State(app): State<AppState>,
    Caller(caller): Caller,
    query: List<NoFilter>,
) -> ApiResult<ListAnswer<QueueState>> {
    caller.require_operator()?;
    let states = actions::queues::states(&app.db).await?;
    let total = i64::try_from(states.len()).unwrap_or(i64::MAX);
    let bound = |number| usize::try_from(number).unwrap_or(usize::MAX);
    let page = states.into_iter().skip(bound(query.page.offset)).take(bound(query.page.limit)).collect();
    Ok(query.links.answer(page, total))
}

/// Pause a queue
///
/// Needs an operator's token. No job of it is started until it is resumed; those in hand go on, and new ones wait. A
/// paused queue stays as it is, but for a new reason. The body may be left out.
#[utoipa::path(post, path = "/admin/queues/{queue}/pause", tag = "Operations", params(("queue" = QueueName, Path)),
    responses((status = 200, body = QueueState), CommonErrors, BodyErrors))]
async fn pause_queue(
    write: Write,
    Path(queue): Path<QueueName>,
    body: Option<Json<PauseQueue>>,
) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    caller.require_operator()?;
    let reason = body.and_then(|Json(body)| body.reason);
    let state = actions::queues::pause(unit.db(), queue, reason.as_deref(), Some(caller.user_id)).await?;
    unit.answer(StatusCode::OK, &state).await
}

/// Resume a queue
///
/// Needs an operator's token. A queue that is not paused stays as it is.
#[utoipa::path(post, path = "/admin/queues/{queue}/resume", tag = "Operations", params(("queue" = QueueName, Path)),
    responses((status = 200, body = QueueState), CommonErrors))]
async fn resume_queue(write: Write, Path(queue): Path<QueueName>) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    unit.caller.require_operator()?;
    let state = actions::queues::resume(unit.db(), queue).await?;
    unit.answer(StatusCode::OK, &state).await
}
