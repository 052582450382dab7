//! `/users`: the members of the token's project, as people.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use testrun_shared::domain::identity::{NewUser, Role, User, UserPatch};
use testrun_shared::domain::page::Paged;
use testrun_shared::{Error, actions, db};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::app::{ApiResult, AppState};
use crate::error::{BodyErrors, CommonErrors, ErrorBody};
use crate::extract::{Caller, Json, Path};
use crate::idempotency::Write;
use crate::list::{List, ListAnswer, PageParams};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list_users, create_user)).routes(routes!(get_user, update_user, delete_user))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct UserParams {
    /// Only users whose name or address contains this text, whatever the case
    search: Option<String>,
}

/// List users
#[utoipa::path(get, path = "/users", tag = "Users", params(UserParams, PageParams),
    responses((status = 200, body = Paged<User>), CommonErrors))]
async fn list_users(
    State(app): State<AppState>,
    Caller(caller): Caller,
    query: List<UserParams>,
) -> ApiResult<ListAnswer<User>> {
    let search = query.filter.search.as_deref();
    let total = db::users::count(&app.db, caller.project_id, search).await?;
    let items = db::users::list(&app.db, caller.project_id, search, query.page).await?;
    Ok(query.links.answer(items, total))
}

/// Create a user
///
/// The user becomes a member of the project. Needs the role `admin`.
#[utoipa::path(post, path = "/users", tag = "Users",
    responses((status = 201, body = User),
        (status = 409, body = ErrorBody, description = "The address is taken; make that user a member"),
        CommonErrors, BodyErrors))]
async fn create_user(write: Write, Json(body): Json<NewUser>) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    caller.require(Role::Admin)?;
    let created = actions::identity::invite_user(unit.db(), &caller, &body).await?;
    unit.answer(StatusCode::CREATED, &created).await
}

/// Get a user
#[utoipa::path(get, path = "/users/{user_id}", tag = "Users", params(("user_id" = Uuid, Path)),
    responses((status = 200, body = User), (status = 404, body = ErrorBody), CommonErrors))]
async fn get_user(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(user_id): Path<Uuid>,
) -> ApiResult<Answer<User>> {
    let user = db::users::get(&app.db, caller.project_id, user_id).await?;
    Ok(Answer(user.ok_or_else(|| Error::not_found("User", user_id))?))
}

/// Update a user
///
/// Oneself, or with the role `admin` anybody in the project.
#[utoipa::path(put, path = "/users/{user_id}", tag = "Users", params(("user_id" = Uuid, Path)),
    responses((status = 200, body = User), (status = 404, body = ErrorBody), CommonErrors, BodyErrors))]
async fn update_user(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(user_id): Path<Uuid>,
    Json(patch): Json<UserPatch>,
) -> ApiResult<Answer<User>> {
    Ok(Answer(actions::identity::update_user(&app.db, &caller, user_id, &patch).await?))
}

/// Delete a user
///
/// Only one who is in no other project and has made nothing. Needs the role `admin`.
#[utoipa::path(delete, path = "/users/{user_id}", tag = "Users", params(("user_id" = Uuid, Path)),
    responses((status = 204), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "The user is needed; remove the member instead"),
        (status = 422, body = ErrorBody, description = "It is the last admin"), CommonErrors))]
async fn delete_user(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(user_id): Path<Uuid>,
) -> ApiResult<StatusCode> {
    caller.require(Role::Admin)?;
    actions::identity::delete_user(&app.db, &caller, user_id).await?;
    app.authenticator.forget();
    Ok(StatusCode::NO_CONTENT)
}
