//! What can go wrong, in the words that clients may read.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The result of anything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 404: no such thing in the caller's project.
    #[error("{what} not found: {id}")]
    NotFound {
        /// For example `Test run`.
        what: &'static str,
        /// The id asked for.
        id: String,
    },
    /// 409: it exists already.
    #[error("{0}")]
    Conflict(String),
    /// 422: the thing's state does not allow it.
    #[error("{0}")]
    InvalidState(String),
    /// 400: every field that is wrong.
    #[error("Validation error: {}", list(.0))]
    Invalid(Vec<FieldError>),
    /// 401: no valid token.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// 403: the token's role is too low.
    #[error("{0}")]
    Forbidden(String),
    /// 500: the database failed. The text is for the log, never for a client.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// 500: a job could not be queued.
    #[error("job queue: {0}")]
    Queue(#[from] apalis_postgres::Error),
}

/// One wrong field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// The field's path, for example `steps[3].action`.
    #[schema(example = "parallel_count")]
    pub field: String,
    /// The rule it broke.
    #[schema(example = "Must be between 1 and 10")]
    pub message: String,
}

impl FieldError {
    /// Names a field and the rule it broke.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

impl Error {
    /// A 404 for `what` with this id.
    pub fn not_found(what: &'static str, id: impl std::fmt::Display) -> Self {
        Self::NotFound { what, id: id.to_string() }
    }

    /// A 400 for one field.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(field, message)])
    }

    /// A 401 for a token that opens nothing.
    #[must_use]
    pub const fn unknown_token() -> Self {
        Self::Unauthenticated("The API token is unknown, revoked or expired")
    }

    /// Whether a write found its project deleted. A token is known for some seconds longer than that.
    #[must_use]
    pub fn is_of_deleted_project(&self) -> bool {
        self.constraint().is_some_and(|name| name.ends_with("_project_id_fkey"))
    }

    /// Whether the database itself is in trouble, or two transactions were in each other's way, rather than anything being
    /// wrong with what was asked: asked again later, it may well work.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Database(error) if is_outage(error))
    }

    /// The name of the database constraint that a write broke, if that is what went wrong.
    #[must_use]
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Database(error) => error.as_database_error().and_then(sqlx::error::DatabaseError::constraint),
            _ => None,
        }
    }
}

/// Whether an error of the database is no fault of what was asked; see [`Error::is_outage`].
pub(crate) fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_outage_code(&code)),
        _ => false,
    }
}

/// Connection lost, conflict with another transaction, resources exhausted, session or server ended by force, disk broken.
/// Not a statement that took too long: that may be the row's own fault.
fn is_outage_code(code: &str) -> bool {
    let classes = ["08", "40", "53", "58"];
    classes.iter().any(|class| code.starts_with(class)) || code.starts_with("57P") || matches!(code, "25P03" | "55P03")
}

fn list(errors: &[FieldError]) -> String {
    errors.iter().map(|error| format!("{}: {}", error.field, error.message)).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_from_a_wrong_question() {
        for code in ["08006", "25P03", "40001", "40P01", "53100", "53300", "55P03", "57P01", "57P02", "57P03", "58030"]
        {
            assert!(is_outage_code(code), "{code}");
        }
        // Unique violation, division by zero, undefined table, statement timeout, internal error.
        for code in ["23505", "22012", "42P01", "57014", "XX000"] {
            assert!(!is_outage_code(code), "{code}");
        }
        assert!(Error::Database(sqlx::Error::PoolTimedOut).is_outage());
        assert!(!Error::Database(sqlx::Error::RowNotFound).is_outage());
        assert!(!Error::invalid("timezone", "Must exist").is_outage());
    }
}
