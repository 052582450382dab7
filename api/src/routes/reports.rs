//! `/test-runs/{run_id}/report`

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use testrun_shared::report::{self, Report};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::test_runs::find;
use crate::app::{ApiResult, AppState};
use crate::error::{CommonErrors, ErrorBody};
use crate::extract::{Caller, Path};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(get_test_run_report))
}

/// Get HTML report
///
/// One page that needs nothing else: figures, a chart, failures first, then all items. It is stored when the run ends;
/// before that, and after later changes, it is rendered for the request.
#[utoipa::path(get, path = "/test-runs/{run_id}/report", tag = "Test Runs", params(("run_id" = Uuid, Path)),
    responses((status = 200, body = String, content_type = "text/html", description = "The report"),
        (status = 404, body = ErrorBody), CommonErrors))]
async fn get_test_run_report(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(run_id): Path<Uuid>,
) -> ApiResult<Response> {
    let run = find(&app, &caller, run_id).await?;
    let file_name = format!("inline; filename=\"test-run-{}.html\"", run.run_number);
    let mut report = Report::open(&app.db, run).await?;
    let length = report.length();
    // Read before the answer begins: a database that is away is to be a 503, not half a page.
    let first = report.next().await?;
    let body = Body::from_stream(stream::iter(first.map(Ok)).chain(report.into_stream()));
    let mut response = (headers(), body).into_response();
    if let Ok(value) = HeaderValue::from_str(&file_name) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    if let Some(length) = length {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    Ok(response)
}

fn headers() -> HeaderMap {
    [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, report::POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "private, no-cache"),
    ]
    .into_iter()
    .map(|(name, value)| (name, HeaderValue::from_static(value)))
    .collect()
}
