//! `/webhooks`: where the project's events are sent, and how that went. Members and viewers read, admins manage.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use testrun_shared::domain::identity::Role;
use testrun_shared::domain::page::Paged;
use testrun_shared::domain::webhook::{
    DeliveryStatus, NewWebhook, Webhook, WebhookDelivery, WebhookDeliveryDetails, WebhookPatch, WebhookWithSecret,
};
use testrun_shared::{Error, actions, db};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::app::{ApiResult, AppState};
use crate::error::{BodyErrors, CommonErrors, ErrorBody};
use crate::extract::{Caller, Json, Path};
use crate::idempotency::{Unit, Write};
use crate::list::{List, ListAnswer, NoFilter, PageParams};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_webhooks, create_webhook))
        .routes(routes!(get_webhook, update_webhook, delete_webhook))
        .routes(routes!(rotate_webhook_secret))
        .routes(routes!(test_webhook))
        .routes(routes!(list_webhook_deliveries))
        .routes(routes!(get_webhook_delivery))
        .routes(routes!(redeliver_webhook_delivery))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeliveryParams {
    /// Only deliveries with this status
    status: Option<DeliveryStatus>,
}

/// List webhooks
#[utoipa::path(get, path = "/webhooks", tag = "Webhooks", params(PageParams),
    responses((status = 200, body = Paged<Webhook>), CommonErrors))]
async fn list_webhooks(
    State(app): State<AppState>,
    Caller(caller): Caller,
    query: List<NoFilter>,
) -> ApiResult<ListAnswer<Webhook>> {
    let total = db::webhooks::count(&app.db, caller.project_id).await?;
    let items = db::webhooks::list(&app.db, caller.project_id, query.page).await?;
    Ok(query.links.answer(items, total))
}

/// Create a webhook
///
/// Needs the role `admin`. The answer has the secret, this once: a repetition with the same `Idempotency-Key` has not.
#[utoipa::path(post, path = "/webhooks", tag = "Webhooks",
    responses((status = 201, body = WebhookWithSecret), CommonErrors, BodyErrors))]
async fn create_webhook(write: Write, Json(body): Json<NewWebhook>) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    caller.require(Role::Admin)?;
    let created = actions::webhooks::create(unit.db(), &caller, body).await?;
    answer_once(unit, StatusCode::CREATED, &created).await
}

/// Get a webhook
#[utoipa::path(get, path = "/webhooks/{webhook_id}", tag = "Webhooks", params(("webhook_id" = Uuid, Path)),
    responses((status = 200, body = Webhook), (status = 404, body = ErrorBody), CommonErrors))]
async fn get_webhook(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(webhook_id): Path<Uuid>,
) -> ApiResult<Answer<Webhook>> {
    let webhook = db::webhooks::get(&app.db, caller.project_id, webhook_id).await?;
    Ok(Answer(webhook.ok_or_else(|| not_found(webhook_id))?))
}

/// Update a webhook
///
/// Needs the role `admin`. Changes the fields that are present. Disabling gives up what waits to be sent; enabling also
/// ends the disablement of a receiver that was gone or failing.
#[utoipa::path(put, path = "/webhooks/{webhook_id}", tag = "Webhooks", params(("webhook_id" = Uuid, Path)),
    responses((status = 200, body = Webhook), (status = 404, body = ErrorBody), CommonErrors, BodyErrors))]
async fn update_webhook(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(webhook_id): Path<Uuid>,
    Json(patch): Json<WebhookPatch>,
) -> ApiResult<Answer<Webhook>> {
    caller.require(Role::Admin)?;
    Ok(Answer(actions::webhooks::update(&app.db, &caller, webhook_id, patch).await?))
}

/// Delete a webhook
///
/// Needs the role `admin`. Its deliveries go with it.
#[utoipa::path(delete, path = "/webhooks/{webhook_id}", tag = "Webhooks", params(("webhook_id" = Uuid, Path)),
    responses((status = 204), (status = 404, body = ErrorBody), CommonErrors))]
async fn delete_webhook(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(webhook_id): Path<Uuid>,
) -> ApiResult<StatusCode> {
    caller.require(Role::Admin)?;
    if !db::webhooks::delete(&app.db, caller.project_id, webhook_id).await? {
        return Err(not_found(webhook_id).into());
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Give a webhook a new secret
///
/// Needs the role `admin`. The answer has the secret, this once. For 24 hours deliveries are signed with the one before,
/// too, so that receivers can change over.
#[utoipa::path(post, path = "/webhooks/{webhook_id}/rotate-secret", tag = "Webhooks",
    params(("webhook_id" = Uuid, Path)),
    responses((status = 200, body = WebhookWithSecret), (status = 404, body = ErrorBody), CommonErrors))]
async fn rotate_webhook_secret(write: Write, Path(webhook_id): Path<Uuid>) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    caller.require(Role::Admin)?;
    let rotated = actions::webhooks::rotate_secret(unit.db(), &caller, webhook_id).await?;
    answer_once(unit, StatusCode::OK, &rotated).await
}

/// Try a webhook
///
/// Needs the role `admin`. Sends it an event of the type `webhook.test`, whatever it wants otherwise; the delivery shows
/// how that went.
#[utoipa::path(post, path = "/webhooks/{webhook_id}/test", tag = "Webhooks", params(("webhook_id" = Uuid, Path)),
    responses((status = 201, body = WebhookDelivery), (status = 404, body = ErrorBody),
        (status = 422, body = ErrorBody, description = "The webhook is disabled"), CommonErrors))]
async fn test_webhook(write: Write, Path(webhook_id): Path<Uuid>) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    caller.require(Role::Admin)?;
    let delivery = actions::webhooks::send_test(unit.db(), &caller, webhook_id).await?;
    unit.answer(StatusCode::CREATED, &delivery).await
}

/// List a webhook's deliveries
#[utoipa::path(get, path = "/webhooks/{webhook_id}/deliveries", tag = "Webhooks",
    params(("webhook_id" = Uuid, Path), DeliveryParams, PageParams),
    responses((status = 200, body = Paged<WebhookDelivery>), (status = 404, body = ErrorBody), CommonErrors))]
async fn list_webhook_deliveries(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(webhook_id): Path<Uuid>,
    query: List<DeliveryParams>,
) -> ApiResult<ListAnswer<WebhookDelivery>> {
    let webhook = db::webhooks::get(&app.db, caller.project_id, webhook_id).await?;
    webhook.ok_or_else(|| not_found(webhook_id))?;
    let total = db::webhook_deliveries::count(&app.db, webhook_id, query.filter.status).await?;
    let items = db::webhook_deliveries::list(&app.db, webhook_id, query.filter.status, query.page).await?;
    Ok(query.links.answer(items, total))
}

/// Get a delivery
///
/// With what each attempt sent back.
#[utoipa::path(get, path = "/webhooks/{webhook_id}/deliveries/{delivery_id}", tag = "Webhooks",
    params(("webhook_id" = Uuid, Path), ("delivery_id" = Uuid, Path)),
    responses((status = 200, body = WebhookDeliveryDetails), (status = 404, body = ErrorBody), CommonErrors))]
async fn get_webhook_delivery(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path((webhook_id, delivery_id)): Path<(Uuid, Uuid)>,
) -> ApiResult<Answer<WebhookDeliveryDetails>> {
    let webhook = db::webhooks::get(&app.db, caller.project_id, webhook_id).await?;
    webhook.ok_or_else(|| not_found(webhook_id))?;
    let delivery = db::webhook_deliveries::get(&app.db, webhook_id, delivery_id).await?;
    let delivery = delivery.ok_or_else(|| Error::not_found("Webhook delivery", delivery_id))?;
    let attempts = db::webhook_delivery_attempts::list(&app.db, delivery_id).await?;
    Ok(Answer(WebhookDeliveryDetails { delivery, attempts }))
}

/// Deliver once more
///
/// Needs the role `admin`. The event is sent again at once, under the same `webhook-id`, and retried as a new one would be.
#[utoipa::path(post, path = "/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver", tag = "Webhooks",
    params(("webhook_id" = Uuid, Path), ("delivery_id" = Uuid, Path)),
    responses((status = 200, body = WebhookDelivery), (status = 404, body = ErrorBody),
        (status = 422, body = ErrorBody, description = "The webhook is disabled, or an attempt is under way"),
        CommonErrors))]
async fn redeliver_webhook_delivery(
    write: Write,
    Path((webhook_id, delivery_id)): Path<(Uuid, Uuid)>,
) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    caller.require(Role::Admin)?;
    let delivery = actions::webhooks::redeliver(unit.db(), &caller, webhook_id, delivery_id).await?;
    unit.answer(StatusCode::OK, &delivery).await
}

/// Answers with the secret and records the answer without it.
async fn answer_once(unit: Unit, status: StatusCode, answer: &WebhookWithSecret) -> ApiResult<Response> {
    let recorded = WebhookWithSecret { secret: "(shown once)".to_owned(), details: answer.details.clone() };
    unit.answer_once(status, answer, &recorded).await
}

fn not_found(id: Uuid) -> Error {
    Error::not_found("Webhook", id)
}
