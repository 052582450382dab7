//! Projects, users, roles.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::text_enum::text_enum;

text_enum! {
    /// What a token may do in its project (decisions, Tenancy and identity). Later roles include earlier ones.
    pub enum Role {
        /// Reads.
        Viewer = "viewer",
        /// Also writes.
        Member = "member",
        /// Also manages tokens, members and webhooks.
        Admin = "admin",
    }
}

/// A tenant: everything else belongs to one project.
#[derive(Debug, Clone, Serialize, Deserialize, FromRow, ToSchema)]
pub struct Project {
    /// The project's id.
    pub id: Uuid,
    /// Unique name.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

/// A person or a machine account.
#[derive(Debug, Clone, Serialize, Deserialize, FromRow, ToSchema)]
pub struct User {
    /// The user's id.
    pub id: Uuid,
    /// Mail address, unique without regard to case.
    pub email: String,
    /// The name that people see.
    pub display_name: String,
    /// When the user was created.
    pub created_at: DateTime<Utc>,
    /// When the user was changed last.
    pub updated_at: DateTime<Utc>,
}
