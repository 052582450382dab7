//! Scripts that ran before, after and during a test.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::test_run_result::ResultStatus;
use super::text_enum::text_enum;
use super::validation::{count, duration, filled, instant, text};

text_enum! {
    /// When a script runs (specification, Script Types).
    pub enum ScriptType {
        /// Before the test starts.
        PreExecution = "pre_execution",
        /// After the test completes.
        PostExecution = "post_execution",
        /// Attached to a step.
        OnDemand = "on_demand",
    }
}

/// A script's result as stored and as shown.
#[derive(Debug, Clone, Serialize, Deserialize, FromRow, ToSchema)]
pub struct ScriptResult {
    /// The script result's id.
    pub id: Uuid,
    /// The result it belongs to.
    pub test_run_result_id: Uuid,
    /// The script, where it is one of the project's.
    pub test_script_id: Option<Uuid>,
    /// The name that people see.
    pub script_name: String,
    /// When it ran.
    pub script_type: ScriptType,
    /// For example `python`, `javascript`, `shell`.
    pub script_language: Option<String>,
    /// How it ended.
    pub status: ResultStatus,
    /// The process's exit code.
    pub exit_code: Option<i32>,
    /// Milliseconds.
    pub duration_ms: i64,
    /// What it printed.
    pub stdout: Option<String>,
    /// What it complained of.
    pub stderr: Option<String>,
    /// What went wrong.
    pub error_message: Option<String>,
    /// Whether its failure aborts the test.
    pub is_critical: bool,
    /// The step it is attached to.
    pub attached_to_step: Option<i32>,
    /// When it ran.
    pub executed_at: Option<DateTime<Utc>>,
    /// When the server got it.
    pub created_at: DateTime<Utc>,
}

/// The body that adds a script's result.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
pub struct NewScriptResult {
    /// A script of the project.
    #[garde(skip)]
    pub test_script_id: Option<Uuid>,
    /// 1 to 255 characters.
    #[garde(custom(filled(255)))]
    #[schema(min_length = 1, max_length = 255)]
    pub script_name: String,
    /// When it ran.
    #[garde(skip)]
    pub script_type: ScriptType,
    /// At most 50 characters.
    #[garde(custom(text(50)))]
    #[schema(max_length = 50)]
    pub script_language: Option<String>,
    /// How it ended.
    #[garde(skip)]
    pub status: ResultStatus,
    /// The process's exit code.
    #[garde(skip)]
    pub exit_code: Option<i32>,
    /// Milliseconds; default 0.
    #[garde(custom(duration))]
    #[schema(minimum = 0)]
    pub duration_ms: Option<i64>,
    /// What it printed.
    #[garde(custom(text(1_000_000)))]
    #[schema(max_length = 1000000)]
    pub stdout: Option<String>,
    /// What it complained of.
    #[garde(custom(text(1_000_000)))]
    #[schema(max_length = 1000000)]
    pub stderr: Option<String>,
    /// What went wrong.
    #[garde(custom(text(1_000_000)))]
    #[schema(max_length = 1000000)]
    pub error_message: Option<String>,
    /// Whether its failure aborts the test; default false.
    #[serde(default)]
    #[garde(skip)]
    pub is_critical: bool,
    /// The step it is attached to.
    #[garde(custom(count))]
    #[schema(minimum = 0)]
    pub attached_to_step: Option<i32>,
    /// When it ran.
    #[garde(custom(instant))]
    pub executed_at: Option<DateTime<Utc>>,
}

impl NewScriptResult {
    /// The row to store.
    #[must_use]
    pub fn into_row(self, test_run_result_id: Uuid, now: DateTime<Utc>) -> ScriptResult {
        ScriptResult {
            id: Uuid::now_v7(),
            test_run_result_id,
            test_script_id: self.test_script_id,
            script_name: self.script_name,
            script_type: self.script_type,
            script_language: self.script_language,
            status: self.status,
            exit_code: self.exit_code,
            duration_ms: self.duration_ms.unwrap_or(0),
            stdout: self.stdout,
            stderr: self.stderr,
            error_message: self.error_message,
            is_critical: self.is_critical,
            attached_to_step: self.attached_to_step,
            executed_at: self.executed_at,
            created_at: now,
        }
    }
}
