//! The OpenAPI document: what routes do not say of themselves. Paths come from the routes.

use testrun_shared::domain::queue::QueueName;
use testrun_shared::domain::test_run::{RunSort, SortOrder};
use utoipa::OpenApi as _;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, Header, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder,
    SecurityRequirement,
};

use crate::idempotency::MAX_KEY;

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
    components(schemas(RunSort, SortOrder, QueueName)),
    tags(
        (name = "Test Runs", description = "A test run is a batch of test cases that are executed together"),
        (name = "Test Run Items", description = "The test cases in a run"),
        (name = "Test Run Results", description = "What executing an item gave"),
        (name = "Test Step Results", description = "The steps of a result"),
        (name = "Checkpoint Results", description = "What a result verified"),
        (name = "Logs", description = "What the browser said during a result"),
        (name = "Schedules", description = "Runs that start by themselves"),
        (name = "Events", description = "What happens in the project, as it happens"),
        (name = "Script Results", description = "What scripts before, after and during a test gave"),
        (name = "Test Cases", description = "What can be run, and how it went before"),
        (name = "Test Scripts", description = "Scripts before, after and during tests; the server never runs them"),
        (name = "Projects", description = "The project that the token opens, and its members"),
        (name = "Users", description = "The people in the project"),
        (name = "Tokens", description = "API tokens of the project"),
        (name = "Webhooks", description = "Where the project's events are sent, and how that went"),
        (name = "Mails", description = "What the links in mails lead to; these need no API token"),
        (name = "Operations", description = "Queues and jobs, which are no project's: these need an operator's token"),
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

/// Adds what holds for every POST and every GET, and is done by layers around the routes.
pub(crate) fn complete(mut document: OpenApi) -> OpenApi {
    for item in document.paths.paths.values_mut() {
        // A key belongs to a token.
        item.post.as_mut().filter(|post| post.security.is_none()).map(describe_idempotency);
        item.get.as_mut().filter(|get| answers_json(get)).map(describe_caching);
    }
    // `Option` in the route would also say that the body may be `null`, which no body may be.
    if let Some(start) = document.paths.paths.get_mut("/api/v1/test-runs/{run_id}/start")
        && let Some(RefOr::T(body)) = start.post.as_mut().and_then(|post| post.request_body.as_mut())
    {
        body.required = Some(Required::False);
    }
    document
}

/// See `idempotency.rs`.
fn describe_idempotency(post: &mut Operation) {
    let key = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(MAX_KEY));
    add_parameter(
        post,
        header_parameter("Idempotency-Key", "Repeats with the same key are answered as the first time, for 24 hours")
            .schema(Some(key.build()))
            .build(),
    );
    let extend = |post: &mut Operation, status: &str, text: &str| {
        let response = post.responses.responses.entry(status.to_owned()).or_insert_with(|| error_response().into());
        if let RefOr::T(response) = response {
            let separator = if response.description.is_empty() { "" } else { "; or: " };
            response.description = format!("{}{separator}{text}", response.description);
        }
    };
    extend(post, "409", "The first request with this Idempotency-Key is in flight");
    extend(post, "422", "The Idempotency-Key was used for another request");
}

/// See `etag.rs` and `list.rs`.
fn describe_caching(get: &mut Operation) {
    let is_list =
        get.parameters.iter().flatten().any(|parameter| matches!(parameter, RefOr::T(one) if one.name == "limit"));
    let tag = || ObjectBuilder::new().schema_type(Type::String).build();
    add_parameter(
        get,
        header_parameter("If-None-Match", "The `ETag` of the representation that the client has")
            .schema(Some(tag()))
            .build(),
    );
    let header = |text: &str| -> Header { HeaderBuilder::new().schema(Some(tag())).description(Some(text)).build() };
    if let Some(RefOr::T(response)) = get.responses.responses.get_mut("200") {
        response.headers.insert("ETag".to_owned(), header("Stands for this representation").into());
        if is_list {
            let link = header("Addresses of the first, last, previous and next page (RFC 8288)");
            response.headers.insert("Link".to_owned(), link.into());
        }
    }
    let unchanged = ResponseBuilder::new().description("The client has the current representation").build();
    get.responses.responses.insert("304".to_owned(), unchanged.into());
}

fn answers_json(operation: &Operation) -> bool {
    let success = operation.responses.responses.get("200");
    matches!(success, Some(RefOr::T(response)) if response.content.contains_key("application/json"))
}

fn header_parameter(name: &str, text: &str) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(text))
}

fn add_parameter(operation: &mut Operation, parameter: Parameter) {
    operation.parameters.get_or_insert_default().push(parameter.into());
}

fn error_response() -> Response {
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
    ResponseBuilder::new().content("application/json", body).build()
}

/// The whole document, as served at `/openapi.json`.
#[must_use]
pub fn document() -> OpenApi {
    complete(crate::app::api().into_openapi())
}
