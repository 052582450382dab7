//! Scripts that run before, after and during tests.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::patch::{Nullable, not_null, nullable, set};
use super::script_result::ScriptType;
use super::validation::{filled, text};

/// A script as stored and as shown.
#[derive(Debug, Clone, Serialize, Deserialize, FromRow, ToSchema)]
pub struct TestScript {
    /// The script's id.
    pub id: Uuid,
    /// The project it belongs to.
    pub project_id: Uuid,
    /// The name that people see.
    pub name: String,
    /// When it runs.
    pub script_type: ScriptType,
    /// For example `python`, `javascript`, `shell`.
    pub script_language: Option<String>,
    /// The script itself; the server never runs it.
    pub body: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

/// The body that creates a script.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
pub struct NewTestScript {
    /// 1 to 255 characters.
    #[garde(custom(filled(255)))]
    #[schema(min_length = 1, max_length = 255)]
    pub name: String,
    /// When it runs.
    #[garde(skip)]
    pub script_type: ScriptType,
    /// At most 50 characters.
    #[garde(custom(text(50)))]
    #[schema(max_length = 50)]
    pub script_language: Option<String>,
    /// The script itself; the server never runs it.
    #[serde(default)]
    #[garde(custom(text(1_000_000)))]
    #[schema(max_length = 1000000)]
    pub body: String,
}

/// The body that changes a script: absent fields keep their values, null clears those that may be null.
#[derive(Debug, Clone, Default, Deserialize, Validate, ToSchema)]
pub struct TestScriptPatch {
    /// 1 to 255 characters.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(custom(filled(255)))]
    #[schema(nullable = false, min_length = 1, max_length = 255)]
    pub name: Option<String>,
    /// When it runs.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(skip)]
    #[schema(nullable = false)]
    pub script_type: Option<ScriptType>,
    /// At most 50 characters.
    #[serde(default, with = "nullable")]
    #[garde(custom(text(50)))]
    #[schema(value_type = Option<String>, max_length = 50)]
    pub script_language: Nullable<String>,
    /// The script itself; the server never runs it.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(custom(text(1_000_000)))]
    #[schema(nullable = false, max_length = 1000000)]
    pub body: Option<String>,
}

impl TestScriptPatch {
    /// Changes a script as the body says.
    pub fn apply(self, script: &mut TestScript) {
        set(&mut script.name, self.name);
        set(&mut script.script_type, self.script_type);
        set(&mut script.script_language, self.script_language);
        set(&mut script.body, self.body);
    }
}
