//! `/projects` and their members. A token opens one project: any other one is not found.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use testrun_shared::domain::identity::{Member, MemberPatch, NewMember, NewProject, Project, ProjectPatch, Role};
use testrun_shared::domain::page::Paged;
use testrun_shared::{Error, actions, auth, db};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::app::{ApiResult, AppState};
use crate::error::{BodyErrors, CommonErrors, ErrorBody};
use crate::extract::{Caller, Json, Path};
use crate::idempotency::Write;
use crate::list::{List, ListAnswer, NoFilter, PageParams};

pub(crate) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_projects, create_project))
        .routes(routes!(get_project, update_project, delete_project))
        .routes(routes!(list_members, add_member))
        .routes(routes!(get_member, update_member, remove_member))
}

/// List projects
///
/// The one that the token opens.
#[utoipa::path(get, path = "/projects", tag = "Projects", params(PageParams),
    responses((status = 200, body = Paged<Project>), CommonErrors))]
async fn list_projects(
    State(app): State<AppState>,
    Caller(caller): Caller,
    query: List<NoFilter>,
) -> ApiResult<ListAnswer<Project>> {
    let mut items = vec![find(&app, &caller, caller.project_id).await?];
    if query.page.offset > 0 {
        items.clear();
    }
    Ok(query.links.answer(items, 1))
}

/// Create a project
///
/// The caller becomes its admin. Needs the role `admin`.
#[utoipa::path(post, path = "/projects", tag = "Projects",
    responses((status = 201, body = Project),
        (status = 409, body = ErrorBody, description = "The name is taken"), CommonErrors, BodyErrors))]
async fn create_project(write: Write, Json(body): Json<NewProject>) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    caller.require(Role::Admin)?;
    let created = actions::identity::found_project(unit.db(), &caller, &body).await?;
    unit.answer(StatusCode::CREATED, &created).await
}

/// Get a project
#[utoipa::path(get, path = "/projects/{project_id}", tag = "Projects", params(("project_id" = Uuid, Path)),
    responses((status = 200, body = Project), (status = 404, body = ErrorBody), CommonErrors))]
async fn get_project(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(project_id): Path<Uuid>,
) -> ApiResult<Answer<Project>> {
    Ok(Answer(find(&app, &caller, project_id).await?))
}

/// Update a project
///
/// Changes the fields that are present. Needs the role `admin`.
#[utoipa::path(put, path = "/projects/{project_id}", tag = "Projects", params(("project_id" = Uuid, Path)),
    responses((status = 200, body = Project), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "The name is taken"), CommonErrors, BodyErrors))]
async fn update_project(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(project_id): Path<Uuid>,
    Json(patch): Json<ProjectPatch>,
) -> ApiResult<Answer<Project>> {
    own(&caller, project_id)?;
    caller.require(Role::Admin)?;
    Ok(Answer(actions::identity::update_project(&app.db, project_id, &patch).await?))
}

/// Delete a project
///
/// With everything in it, the token that asks for it included. Needs the role `admin`.
#[utoipa::path(delete, path = "/projects/{project_id}", tag = "Projects", params(("project_id" = Uuid, Path)),
    responses((status = 204), (status = 404, body = ErrorBody), CommonErrors))]
async fn delete_project(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(project_id): Path<Uuid>,
) -> ApiResult<StatusCode> {
    own(&caller, project_id)?;
    caller.require(Role::Admin)?;
    actions::identity::delete_project(&app.db, &caller).await?;
    app.authenticator.forget();
    Ok(StatusCode::NO_CONTENT)
}

/// List members
#[utoipa::path(get, path = "/projects/{project_id}/members", tag = "Projects",
    params(("project_id" = Uuid, Path), PageParams),
    responses((status = 200, body = Paged<Member>), (status = 404, body = ErrorBody), CommonErrors))]
async fn list_members(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path(project_id): Path<Uuid>,
    query: List<NoFilter>,
) -> ApiResult<ListAnswer<Member>> {
    own(&caller, project_id)?;
    let total = db::users::count_members(&app.db, project_id).await?;
    let items = db::users::list_members(&app.db, project_id, query.page).await?;
    Ok(query.links.answer(items, total))
}

/// Make a user a member
///
/// Needs the role `admin`.
#[utoipa::path(post, path = "/projects/{project_id}/members", tag = "Projects", params(("project_id" = Uuid, Path)),
    responses((status = 201, body = Member), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "The user is a member already"), CommonErrors, BodyErrors))]
async fn add_member(write: Write, Path(project_id): Path<Uuid>, Json(body): Json<NewMember>) -> ApiResult<Response> {
    let mut unit = write.begin().await?;
    let caller = unit.caller;
    own(&caller, project_id)?;
    caller.require(Role::Admin)?;
    let created = actions::identity::add_member(unit.db(), &caller, &body).await?;
    unit.answer(StatusCode::CREATED, &created).await
}

/// Get a member
#[utoipa::path(get, path = "/projects/{project_id}/members/{user_id}", tag = "Projects",
    params(("project_id" = Uuid, Path), ("user_id" = Uuid, Path)),
    responses((status = 200, body = Member), (status = 404, body = ErrorBody), CommonErrors))]
async fn get_member(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path((project_id, user_id)): Path<(Uuid, Uuid)>,
) -> ApiResult<Answer<Member>> {
    own(&caller, project_id)?;
    let member = db::users::get_member(&app.db, project_id, user_id).await?;
    Ok(Answer(member.ok_or_else(|| Error::not_found("Member", user_id))?))
}

/// Change a member's role
///
/// Tokens with a higher role are held to it, everywhere within 5 seconds. Needs the role `admin`.
#[utoipa::path(put, path = "/projects/{project_id}/members/{user_id}", tag = "Projects",
    params(("project_id" = Uuid, Path), ("user_id" = Uuid, Path)),
    responses((status = 200, body = Member), (status = 404, body = ErrorBody),
        (status = 422, body = ErrorBody, description = "It is the last admin"), CommonErrors, BodyErrors))]
async fn update_member(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path((project_id, user_id)): Path<(Uuid, Uuid)>,
    Json(patch): Json<MemberPatch>,
) -> ApiResult<Answer<Member>> {
    own(&caller, project_id)?;
    caller.require(Role::Admin)?;
    let changed = actions::identity::set_role(&app.db, &caller, user_id, patch.role).await?;
    app.authenticator.forget();
    Ok(Answer(changed))
}

/// Remove a member
///
/// The member's tokens for the project stop working. Needs the role `admin`.
#[utoipa::path(delete, path = "/projects/{project_id}/members/{user_id}", tag = "Projects",
    params(("project_id" = Uuid, Path), ("user_id" = Uuid, Path)),
    responses((status = 204), (status = 404, body = ErrorBody),
        (status = 422, body = ErrorBody, description = "It is the last admin"), CommonErrors))]
async fn remove_member(
    State(app): State<AppState>,
    Caller(caller): Caller,
    Path((project_id, user_id)): Path<(Uuid, Uuid)>,
) -> ApiResult<StatusCode> {
    own(&caller, project_id)?;
    caller.require(Role::Admin)?;
    actions::identity::remove_member(&app.db, &caller, user_id).await?;
    app.authenticator.forget();
    Ok(StatusCode::NO_CONTENT)
}

/// Lets only the project through that the token opens.
fn own(caller: &auth::Caller, project_id: Uuid) -> ApiResult<()> {
    if caller.project_id != project_id {
        return Err(Error::not_found("Project", project_id).into());
    }
    Ok(())
}

async fn find(app: &AppState, caller: &auth::Caller, project_id: Uuid) -> ApiResult<Project> {
    own(caller, project_id)?;
    let project = db::projects::find(&app.db, &project_id.to_string()).await?;
    Ok(project.ok_or_else(|| Error::not_found("Project", project_id))?)
}
