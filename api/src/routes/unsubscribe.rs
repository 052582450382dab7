//! `/unsubscribe/{unsubscribe_token}`: the links at the end of mails. Whoever has the link needs no API token.

use askama::Template;
use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse as _, Response};
use testrun_shared::Error;
use testrun_shared::db::unsubscribe_links::{self, Subscription};
use testrun_shared::text::one_line;
use utoipa::IntoResponses;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::app::{ApiResult, AppState};
use crate::error::{ApiError, ErrorBody};
use crate::extract::Path;

/// Longest name on the page, in characters.
const NAME_LIMIT: usize = 320;
/// The page needs its own style and its own form, and nobody may put it into a frame to have the button pressed.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'";

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(get_unsubscribe_page, unsubscribe))
}

#[derive(Template)]
#[template(path = "unsubscribe.html")]
struct Page {
    recipient: String,
    schedule_name: String,
    is_unsubscribed: bool,
}

/// What these operations may answer besides a page.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers in the OpenAPI document; nothing constructs it")]
enum Refusals {
    /// The token is none.
    #[response(status = 400)]
    Invalid(ErrorBody),
    /// No mail has this link, or its schedule's project was deleted.
    #[response(status = 404)]
    NotFound(ErrorBody),
    /// Something of ours broke.
    #[response(status = 500)]
    Internal(ErrorBody),
    /// The database is not available, or the request took too long. Try again after `Retry-After` seconds.
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

/// Show unsubscribe page
///
/// Where the link at the end of a mail leads: a page with a button. Looking at it changes nothing, since mail scanners
/// follow links. Needs no API token.
#[utoipa::path(get, path = "/unsubscribe/{unsubscribe_token}", tag = "Mails", security(()),
    params(("unsubscribe_token" = Uuid, Path, description = "As in the mail's link")),
    responses((status = 200, body = String, content_type = "text/html", description = "The page"), Refusals))]
async fn get_unsubscribe_page(State(app): State<AppState>, Path(token): Path<Uuid>) -> ApiResult<Response> {
    page(unsubscribe_links::find(&app.db, token).await?, token)
}

/// Unsubscribe
///
/// Takes the mail's recipient off the mails of the mail's schedule: what a mail program does with one click (RFC 8058), and
/// the page's button. The body does not matter; doing it again changes nothing. Needs no API token.
#[utoipa::path(post, path = "/unsubscribe/{unsubscribe_token}", tag = "Mails", security(()),
    params(("unsubscribe_token" = Uuid, Path, description = "As in the mail's link")),
    responses((status = 200, body = String, content_type = "text/html", description = "Done; the page says so"), Refusals))]
async fn unsubscribe(State(app): State<AppState>, Path(token): Path<Uuid>) -> ApiResult<Response> {
    page(unsubscribe_links::unsubscribe(&app.db, token).await?, token)
}

fn page(subscription: Option<Subscription>, token: Uuid) -> ApiResult<Response> {
    let subscription = subscription.ok_or_else(|| Error::not_found("Unsubscribe link", token))?;
    let page = Page {
        recipient: one_line(&subscription.recipient, NAME_LIMIT),
        schedule_name: one_line(&subscription.schedule_name, NAME_LIMIT),
        is_unsubscribed: subscription.unsubscribed_at.is_some(),
    };
    let html = page.render().map_err(|error| ApiError::internal(error.to_string()))?;
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        // The address is the secret.
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    Ok((headers, Html(html)).into_response())
}
