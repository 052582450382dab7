//! What the services of Testrun share: domain rules, SQL, actions, jobs and the plumbing around them.
//!
//! `domain` holds types and pure rules, `db` one file of SQL per table, `actions` the writes that need more than
//! one statement, `jobs` the doorbells that workers answer. `docs/architecture.md` shows how they fit together.

pub mod actions;
pub mod auth;
pub mod config;
pub mod db;
pub mod domain;
pub mod error;
pub mod jobs;
pub mod ops;
pub mod report;
pub mod systemd;
pub mod telemetry;
pub mod text;

pub use error::{Error, Result};
