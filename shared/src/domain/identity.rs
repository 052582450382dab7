//! Projects, users, roles.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::patch::{Nullable, not_null, nullable};
use super::text_enum::text_enum;
use super::validation::{address, filled, instant, text};

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

/// A user's part in a project.
#[derive(Debug, Clone, Serialize, Deserialize, FromRow, ToSchema)]
pub struct Member {
    /// The user.
    pub user_id: Uuid,
    /// The user's mail address.
    pub email: String,
    /// The name that people see.
    pub display_name: String,
    /// What the user's tokens may do at most.
    pub role: Role,
    /// When the user became a member.
    pub created_at: DateTime<Utc>,
    /// When the role was changed last.
    pub updated_at: DateTime<Utc>,
}

/// An API token without its secret.
#[derive(Debug, Clone, Serialize, Deserialize, FromRow, ToSchema)]
pub struct ApiToken {
    /// The token's id.
    pub id: Uuid,
    /// The only project it opens.
    pub project_id: Uuid,
    /// The user it stands for.
    pub user_id: Uuid,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether it may also look after the queues, which are no project's. Only `testrun admin` makes such tokens.
    pub is_operator: bool,
    /// The beginning of the token, to tell it from others.
    pub token_hint: String,
    /// When it stops working.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was used last, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// A new API token, with its secret this once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedApiToken {
    /// The secret. It cannot be read again.
    pub token: String,
    /// The rest, as lists show it.
    #[serde(flatten)]
    pub details: ApiToken,
}

/// The body that creates a project.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
pub struct NewProject {
    /// 1 to 255 characters, unique.
    #[garde(custom(filled(255)))]
    #[schema(min_length = 1, max_length = 255)]
    pub name: String,
    /// Free text.
    #[garde(custom(text(100_000)))]
    #[schema(max_length = 100000)]
    pub description: Option<String>,
}

/// The body that changes a project: absent fields keep their values, null clears the description.
#[derive(Debug, Clone, Default, Deserialize, Validate, ToSchema)]
pub struct ProjectPatch {
    /// 1 to 255 characters, unique.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(custom(filled(255)))]
    #[schema(nullable = false, min_length = 1, max_length = 255)]
    pub name: Option<String>,
    /// Free text.
    #[serde(default, with = "nullable")]
    #[garde(custom(text(100_000)))]
    #[schema(value_type = Option<String>, max_length = 100000)]
    pub description: Nullable<String>,
}

/// The body that creates a user.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
pub struct NewUser {
    /// A mail address, unique without regard to case.
    #[garde(custom(address))]
    #[schema(format = "email", max_length = 320, example = "ada@example.com")]
    pub email: String,
    /// 1 to 255 characters.
    #[garde(custom(filled(255)))]
    #[schema(min_length = 1, max_length = 255)]
    pub display_name: String,
    /// The user's role in the project; default `member`.
    #[garde(skip)]
    pub role: Option<Role>,
}

/// The body that changes a user.
#[derive(Debug, Clone, Default, Deserialize, Validate, ToSchema)]
pub struct UserPatch {
    /// 1 to 255 characters.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(custom(filled(255)))]
    #[schema(nullable = false, min_length = 1, max_length = 255)]
    pub display_name: Option<String>,
}

/// The body that makes a user a member.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
pub struct NewMember {
    /// The mail address of a user that exists.
    #[garde(custom(address))]
    #[schema(format = "email", max_length = 320)]
    pub email: String,
    /// What the user's tokens may do at most.
    #[garde(skip)]
    pub role: Role,
}

/// The body that changes a member's role.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
pub struct MemberPatch {
    /// What the user's tokens may do at most.
    #[garde(skip)]
    pub role: Role,
}

/// The body that creates an API token.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
pub struct NewApiToken {
    /// 1 to 255 characters.
    #[garde(custom(filled(255)))]
    #[schema(min_length = 1, max_length = 255, example = "CI")]
    pub name: String,
    /// What the token may do; at most what the user may.
    #[garde(skip)]
    pub role: Role,
    /// A member of the project; default the caller.
    #[garde(skip)]
    pub user_id: Option<Uuid>,
    /// When the token stops working; default never.
    #[garde(custom(instant))]
    pub expires_at: Option<DateTime<Utc>>,
}

/// The body that changes an API token.
#[derive(Debug, Clone, Default, Deserialize, Validate, ToSchema)]
pub struct ApiTokenPatch {
    /// 1 to 255 characters.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(custom(filled(255)))]
    #[schema(nullable = false, min_length = 1, max_length = 255)]
    pub name: Option<String>,
}
