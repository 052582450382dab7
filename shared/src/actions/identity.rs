//! Projects, users and tokens, as the admin commands make them.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::auth::Token;
use crate::db;
use crate::db::api_tokens::NewApiToken;
use crate::db::constraints::{OnConstraint, PROJECT_NAME, USER_EMAIL};
use crate::domain::identity::{Project, Role, User};
use crate::domain::validation;
use crate::error::{Error, Result};

/// Creates a project.
///
/// # Errors
/// [`Error::Invalid`] for an empty or too long name, [`Error::Conflict`] if the name is taken.
pub async fn create_project(db: &PgPool, name: &str, description: Option<&str>) -> Result<Project> {
    validation::filled(255)(&name.to_owned(), &()).map_err(|error| Error::invalid("name", error.to_string()))?;
    db::projects::insert(db, name, description)
        .await
        .on_constraint(PROJECT_NAME, || Error::Conflict(format!("A project named '{name}' exists already")))
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
}

/// Creates a token. This is the only time that it can be read.
///
/// # Errors
/// [`Error::NotFound`] for an unknown project or user, [`Error::Invalid`] for an expiry that has passed.
pub async fn create_token(db: &PgPool, request: &TokenRequest<'_>) -> Result<Token> {
    let mut tx = db.begin().await?;
    if match request.expires_at {
        Some(at) => at <= db::now(&mut *tx).await?,
        None => false,
    } {
        return Err(Error::invalid("expires_at", "Must be in the future"));
    }
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
    };
    db::api_tokens::insert(&mut *tx, &row).await?;
    tx.commit().await?;
    Ok(token)
}
