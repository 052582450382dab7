//! Projects, users, members and tokens, as the admin commands and the REST service make them.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::auth::{Caller, Token};
use crate::db;
use crate::db::api_tokens::NewApiToken;
use crate::db::constraints::{OnConstraint, PROJECT_NAME, USER_EMAIL};
use crate::domain::identity::{
    self as api, ApiToken, ApiTokenPatch, CreatedApiToken, Member, NewMember, NewProject, NewUser, Project,
    ProjectPatch, Role, User, UserPatch,
};
use crate::domain::validation;
use crate::error::{Error, Result};

/// Creates a project.
///
/// # Errors
/// [`Error::Invalid`] for an empty or too long name, [`Error::Conflict`] if the name is taken.
pub async fn create_project(db: &PgPool, name: &str, description: Option<&str>) -> Result<Project> {
    validation::filled(255)(&name.to_owned(), &()).map_err(|error| Error::invalid("name", error.to_string()))?;
    db::projects::insert(db, name, description).await.on_constraint(PROJECT_NAME, || project_name_taken(name))
}

/// Creates a user.
///
/// # Errors
/// [`Error::Invalid`] for a wrong address or name, [`Error::Conflict`] if the address is taken.
pub async fn create_user(db: &PgPool, email: &str, display_name: &str) -> Result<User> {
    validation::email(email).map_err(|error| Error::invalid("email", error.to_string()))?;
    validation::filled(255)(&display_name.to_owned(), &())
        .map_err(|error| Error::invalid("display_name", error.to_string()))?;
    db::users::insert(db, email, display_name)
        .await
        .on_constraint(USER_EMAIL, || Error::Conflict(format!("A user with the address '{email}' exists already")))
}

/// What a new token is for.
#[derive(Debug)]
pub struct TokenRequest<'a> {
    /// The project's id or name.
    pub project: &'a str,
    /// The user's id or address; becomes a member of the project where it is none.
    pub user: &'a str,
    /// What people call the token.
    pub name: &'a str,
    /// What it may do.
    pub role: Role,
    /// When it stops working.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whether it may look after queues.
    pub is_operator: bool,
}

/// Creates a token. This is the only time that it can be read.
///
/// # Errors
/// [`Error::NotFound`] for an unknown project or user, [`Error::Invalid`] for an expiry that has passed.
pub async fn create_token(db: &PgPool, request: &TokenRequest<'_>) -> Result<Token> {
    let mut tx = db.begin().await?;
    ensure_future(request.expires_at, db::now(&mut *tx).await?)?;
    validation::filled(255)(&request.name.to_owned(), &())
        .map_err(|error| Error::invalid("name", error.to_string()))?;
    let project = db::projects::find(&mut *tx, request.project)
        .await?
        .ok_or_else(|| Error::not_found("Project", request.project))?;
    let user = db::users::find(&mut *tx, request.user).await?.ok_or_else(|| Error::not_found("User", request.user))?;
    db::users::ensure_member(&mut *tx, project.id, user.id, request.role).await?;
    let token = Token::generate();
    let row = NewApiToken {
        project_id: project.id,
        user_id: user.id,
        name: request.name,
        role: request.role,
        hash: token.hash(),
        hint: &token.hint(),
        expires_at: request.expires_at,
        is_operator: request.is_operator,
    };
    db::api_tokens::insert(&mut *tx, &row).await?;
    tx.commit().await?;
    Ok(token)
}

/// Creates a project whose admin is the caller's user. Its first token comes from somebody who can make tokens there.
///
/// # Errors
/// [`Error::Conflict`] if the name is taken.
pub async fn found_project(db: impl db::Source<'_>, caller: &Caller, body: &NewProject) -> Result<Project> {
    let mut tx = db.begin().await?;
    let project = db::projects::insert(&mut *tx, &body.name, body.description.as_deref())
        .await
        .on_constraint(PROJECT_NAME, || project_name_taken(&body.name))?;
    db::users::insert_member(&mut *tx, project.id, caller.user_id, Role::Admin).await?;
    tx.commit().await?;
    Ok(project)
}

/// Changes the caller's project.
///
/// # Errors
/// [`Error::Conflict`] if the name is taken.
pub async fn update_project(db: &PgPool, id: Uuid, patch: &ProjectPatch) -> Result<Project> {
    let name = patch.name.as_deref().unwrap_or_default();
    let project = db::projects::update(db, id, patch).await.on_constraint(PROJECT_NAME, || project_name_taken(name))?;
    project.ok_or_else(|| Error::not_found("Project", id))
}

/// Deletes the caller's project with everything in it.
///
/// # Errors
/// If the database fails; nothing has changed then.
pub async fn delete_project(db: &PgPool, caller: &Caller) -> Result<()> {
    let mut tx = db.begin().await?;
    db::projects::lock(&mut *tx, caller.project_id).await?;
    // Results hold on to their test cases, so they go first.
    db::test_runs::delete_all(&mut *tx, caller.project_id).await?;
    db::projects::delete(&mut *tx, caller.project_id).await?;
    tx.commit().await?;
    Ok(())
}

/// Creates a user who is a member of the caller's project.
///
/// # Errors
/// [`Error::Conflict`] if the address is taken: an existing user is made a member instead.
pub async fn invite_user(db: impl db::Source<'_>, caller: &Caller, body: &NewUser) -> Result<User> {
    let mut tx = db.begin().await?;
    let user = db::users::insert(&mut *tx, &body.email, &body.display_name)
        .await
        .on_constraint(USER_EMAIL, || Error::Conflict("A user with this address exists already".to_owned()))?;
    db::users::insert_member(&mut *tx, caller.project_id, user.id, body.role.unwrap_or(Role::Member)).await?;
    tx.commit().await?;
    Ok(user)
}

/// Changes a user of the caller's project: oneself, or anybody for an admin.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Forbidden`] for another user without the role.
pub async fn update_user(db: &PgPool, caller: &Caller, id: Uuid, patch: &UserPatch) -> Result<User> {
    if id != caller.user_id {
        caller.require(Role::Admin)?;
    }
    let mut tx = db.begin().await?;
    let user = db::users::get(&mut *tx, caller.project_id, id).await?.ok_or_else(|| Error::not_found("User", id))?;
    let Some(display_name) = &patch.display_name else { return Ok(user) };
    db::users::rename(&mut *tx, id, display_name).await?;
    let user = db::users::get(&mut *tx, caller.project_id, id).await?.ok_or_else(|| Error::not_found("User", id))?;
    tx.commit().await?;
    Ok(user)
}

/// Deletes a user of the caller's project who has made nothing.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] for one who is needed: end the membership instead.
pub async fn delete_user(db: &PgPool, caller: &Caller, id: Uuid) -> Result<()> {
    let mut tx = db.begin().await?;
    db::users::get(&mut *tx, caller.project_id, id).await?.ok_or_else(|| Error::not_found("User", id))?;
    ensure_another_admin(&mut tx, caller, id).await?;
    if !db::users::delete_unused(&mut *tx, caller.project_id, id).await? {
        let detail = "The user has made runs or schedules; remove the member from the project instead";
        return Err(Error::Conflict(detail.to_owned()));
    }
    tx.commit().await?;
    Ok(())
}

/// Makes an existing user a member of the caller's project.
///
/// # Errors
/// [`Error::NotFound`] for an unknown address; [`Error::Conflict`] for a member.
pub async fn add_member(db: impl db::Source<'_>, caller: &Caller, body: &NewMember) -> Result<Member> {
    let mut tx = db.begin().await?;
    let user = db::users::find(&mut *tx, &body.email).await?.ok_or_else(|| Error::not_found("User", &body.email))?;
    if !db::users::insert_member(&mut *tx, caller.project_id, user.id, body.role).await? {
        return Err(Error::Conflict("The user is a member of the project already".to_owned()));
    }
    let member = member(&mut tx, caller, user.id).await?;
    tx.commit().await?;
    Ok(member)
}

/// Changes a member's role. Tokens with a higher one are held to it, everywhere within 5 seconds.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::InvalidState`] if the project would be left without an admin.
pub async fn set_role(db: &PgPool, caller: &Caller, user_id: Uuid, role: Role) -> Result<Member> {
    let mut tx = db.begin().await?;
    member(&mut tx, caller, user_id).await?;
    if role != Role::Admin {
        ensure_another_admin(&mut tx, caller, user_id).await?;
    }
    db::users::set_role(&mut *tx, caller.project_id, user_id, role).await?;
    let member = member(&mut tx, caller, user_id).await?;
    tx.commit().await?;
    Ok(member)
}

/// Ends a membership and the tokens that go with it.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::InvalidState`] if the project would be left without an admin.
pub async fn remove_member(db: &PgPool, caller: &Caller, user_id: Uuid) -> Result<()> {
    let mut tx = db.begin().await?;
    member(&mut tx, caller, user_id).await?;
    ensure_another_admin(&mut tx, caller, user_id).await?;
    db::users::delete_member(&mut *tx, caller.project_id, user_id).await?;
    tx.commit().await?;
    Ok(())
}

/// Creates a token for a member of the caller's project.
///
/// # Errors
/// [`Error::Invalid`] for a user who is no member, a role above the user's, or an expiry that has passed.
pub async fn issue_token(db: impl db::Source<'_>, caller: &Caller, body: &api::NewApiToken) -> Result<CreatedApiToken> {
    let mut tx = db.begin().await?;
    let user_id = body.user_id.unwrap_or(caller.user_id);
    let member = db::users::get_member(&mut *tx, caller.project_id, user_id).await?;
    let member = member.ok_or_else(|| Error::invalid("user_id", "Must be a member of the project"))?;
    if body.role > member.role {
        return Err(Error::invalid("role", format!("Must be at most the user's role: {}", member.role)));
    }
    ensure_future(body.expires_at, db::now(&mut *tx).await?)?;
    let token = Token::generate();
    let row = NewApiToken {
        project_id: caller.project_id,
        user_id,
        name: &body.name,
        role: body.role,
        hash: token.hash(),
        hint: &token.hint(),
        expires_at: body.expires_at,
        is_operator: false,
    };
    let id = db::api_tokens::insert(&mut *tx, &row).await?;
    let details = db::api_tokens::get(&mut *tx, caller.project_id, id).await?;
    tx.commit().await?;
    let details = details.ok_or_else(|| Error::not_found("Token", id))?;
    Ok(CreatedApiToken { token: token.reveal().to_owned(), details })
}

/// Changes what people call a token of the caller's project.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn update_token(db: &PgPool, caller: &Caller, id: Uuid, patch: &ApiTokenPatch) -> Result<ApiToken> {
    let mut tx = db.begin().await?;
    let token = |token: Option<ApiToken>| token.ok_or_else(|| Error::not_found("Token", id));
    let mut found = token(db::api_tokens::get(&mut *tx, caller.project_id, id).await?)?;
    if let Some(name) = &patch.name {
        db::api_tokens::rename(&mut *tx, id, name).await?;
        found = token(db::api_tokens::get(&mut *tx, caller.project_id, id).await?)?;
    }
    tx.commit().await?;
    Ok(found)
}

/// Makes a token of the caller's project stop working, everywhere within 5 seconds.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn revoke_token(db: &PgPool, caller: &Caller, id: Uuid) -> Result<()> {
    let found = db::api_tokens::get(db, caller.project_id, id).await?;
    found.ok_or_else(|| Error::not_found("Token", id))?;
    db::api_tokens::revoke(db, id).await?;
    Ok(())
}

async fn member(conn: &mut PgConnection, caller: &Caller, user_id: Uuid) -> Result<Member> {
    let member = db::users::get_member(conn, caller.project_id, user_id).await?;
    member.ok_or_else(|| Error::not_found("Member", user_id))
}

async fn ensure_another_admin(conn: &mut PgConnection, caller: &Caller, user_id: Uuid) -> Result<()> {
    let is_admin = db::users::get_member(&mut *conn, caller.project_id, user_id)
        .await?
        .is_some_and(|member| member.role == Role::Admin);
    if is_admin && db::users::other_admins(conn, caller.project_id, user_id).await? == 0 {
        return Err(Error::InvalidState("Cannot leave the project without an admin".to_owned()));
    }
    Ok(())
}

fn ensure_future(expires_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Result<()> {
    if expires_at.is_some_and(|at| at <= now) {
        return Err(Error::invalid("expires_at", "Must be in the future"));
    }
    Ok(())
}

fn project_name_taken(name: &str) -> Error {
    Error::Conflict(format!("A project named '{name}' exists already"))
}
