//! `/tokens`: the API tokens of the token's project. All of it needs the role `admin`.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use testrun_shared::domain::identity::{ApiToken, ApiTokenPatch, CreatedApiToken, NewApiToken, Role};
use testrun_shared::domain::page::Paged;
use testrun_shared::{Error, actions, db};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::app::{ApiResult, AppState};
use crate::error::{BodyErrors, CommonErrors, ErrorBody};
use crate::extract::{Caller, Json, Path};
use crate::idempotency::Write;
use crate::list::{List, ListAnswer, NoFilter, PageParams};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list_tokens, create_token)).routes(routes!(
        get_token,
        update_token,
        revoke_token
    ))
}

/// List tokens
#[utoipa::path(get, path = "/tokens", tag = "Tokens", params(PageParams),
    responses((status = 200, body = Paged<ApiToken>), CommonErrors))]
async fn list_tokens(
    State(app): State<AppState>,
    Caller(caller): Caller,
    query: List<NoFilter>,
) -> ApiResult<ListAnswer<ApiToken>> {
    caller.require(Role::Admin)?;
    let total = db::api_tokens::count(&app.db, caller.project_id).await?;
    let items = db::api_tokens::list(&app.db, caller.project_id, query.page).await?;
    Ok(query.links.answer(items, total))
}

/// Create a token
///
/// The answer has the token's secret, this once: a repetition with the same `Idempotency-Key` has not.
#[utoipa::path(post, path = "/tokens", tag = "Tokens",
    responses((status = 201, body = CreatedApiToken), CommonErrors, BodyErrors))]
async fn create_token(write: Write, Json(body): Json<NewApiToken>) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    caller.require(Role::Admin)?;
    let created = actions::identity::issue_token(unit.db(), &caller, &body).await?;
    let recorded = CreatedApiToken { token: "(shown once)".to_owned(), details: created.details.clone() };
    unit.answer_once(StatusCode::CREATED, &created, &recorded).await
}

/// Get a token
#[utoipa::path(get, path = "/tokens/{token_id}", tag = "Tokens", params(("token_id" = Uuid, Path)),
    responses((status = 200, body = ApiToken), (status = 404, body = ErrorBody), CommonErrors))]
async fn get_token(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(token_id): Path<Uuid>,
) -> ApiResult<Answer<ApiToken>> {
    caller.require(Role::Admin)?;
    let token = db::api_tokens::get(&app.db, caller.project_id, token_id).await?;
    Ok(Answer(token.ok_or_else(|| Error::not_found("Token", token_id))?))
}

/// Rename a token
#[utoipa::path(put, path = "/tokens/{token_id}", tag = "Tokens", params(("token_id" = Uuid, Path)),
    responses((status = 200, body = ApiToken), (status = 404, body = ErrorBody), CommonErrors, BodyErrors))]
async fn update_token(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(token_id): Path<Uuid>,
    Json(patch): Json<ApiTokenPatch>,
) -> ApiResult<Answer<ApiToken>> {
    caller.require(Role::Admin)?;
    Ok(Answer(actions::identity::update_token(&app.db, &caller, token_id, &patch).await?))
}

/// Revoke a token
///
/// It stops working everywhere within 5 seconds. Lists go on showing it, as revoked.
#[utoipa::path(delete, path = "/tokens/{token_id}", tag = "Tokens", params(("token_id" = Uuid, Path)),
    responses((status = 204), (status = 404, body = ErrorBody), CommonErrors))]
async fn revoke_token(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(token_id): Path<Uuid>,
) -> ApiResult<StatusCode> {
    caller.require(Role::Admin)?;
    actions::identity::revoke_token(&app.db, &caller, token_id).await?;
    app.authenticator.forget();
    Ok(StatusCode::NO_CONTENT)
}
