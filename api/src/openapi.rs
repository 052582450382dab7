//! The OpenAPI document: what routes do not say of themselves. Paths come from the routes.

use testrun_shared::domain::test_run::{RunSort, SortOrder};
use utoipa::OpenApi as _;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, OpenApi, SecurityRequirement};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Testrun",
        description = "Send test runs, follow them, schedule them. Every request carries an API token: \
                       `Authorization: Bearer <token>`; the token decides which project it sees. Times are RFC 3339 in UTC, \
                       durations are milliseconds, rates are percent.",
        license(name = "MIT OR Apache-2.0"),
    ),
    // Only parameters refer to these, and parameters do not bring their schemas along.
    components(schemas(RunSort, SortOrder)),
    tags(
        (name = "Test Runs", description = "A test run is a batch of test cases that are executed together"),
        (name = "Test Run Items", description = "The test cases in a run"),
        (name = "Test Run Results", description = "What executing an item gave"),
        (name = "Test Step Results", description = "The steps of a result"),
        (name = "Checkpoint Results", description = "What a result verified"),
        (name = "Logs", description = "What the browser said during a result"),
        (name = "Schedules", description = "Runs that start by themselves"),
        (name = "Test Cases", description = "What can be run, and how it went before"),
    ),
)]
struct Base;

/// The document without its paths.
pub(crate) fn base() -> OpenApi {
    let mut document = Base::openapi();
    let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("trn_…").build());
    let components = document.components.take().unwrap_or_else(|| ComponentsBuilder::new().build());
    document.components = Some(ComponentsBuilder::from(components).security_scheme("token", scheme).build());
    document.security = Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
    document
}

/// The whole document, as served at `/openapi.json`.
#[must_use]
pub fn document() -> OpenApi {
    crate::app::api().into_openapi()
}
