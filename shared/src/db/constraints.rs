//! The named constraints that a client's write can break, and what to answer.

use crate::error::{Error, Result};

/// A step number is in a result once.
pub const STEP_NUMBER: &str = "idx_step_results_number";
/// An external key is in a project once.
pub const EXTERNAL_KEY: &str = "test_cases_external_key_key";
/// A project's name is unique.
pub const PROJECT_NAME: &str = "projects_name_key";
/// A user's address is unique.
pub const USER_EMAIL: &str = "users_email_key";

/// Turns a write that broke a constraint into an answer for the client.
pub trait OnConstraint<T> {
    /// Replaces the error by `answer` if it is the named constraint that was broken.
    ///
    /// # Errors
    /// `answer`, or the error as it was.
    fn on_constraint(self, name: &str, answer: impl FnOnce() -> Error) -> Result<T>;
}

impl<T, E: Into<Error>> OnConstraint<T> for std::result::Result<T, E> {
    fn on_constraint(self, name: &str, answer: impl FnOnce() -> Error) -> Result<T> {
        self.map_err(|error| {
            let error = error.into();
            if error.constraint() == Some(name) { answer() } else { error }
        })
    }
}
