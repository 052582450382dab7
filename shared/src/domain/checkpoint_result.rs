//! Checkpoints of a result: what was verified.

use chrono::{DateTime, Utc};
use garde::Validate;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::text_enum::text_enum;
use super::validation::{between, count, decimal, filled, rate, text};

text_enum! {
    /// How a verification ended.
    pub enum CheckpointStatus {
        /// It held.
        Passed = "passed",
        /// It did not hold.
        Failed = "failed",
    }
}

text_enum! {
    /// What was verified (specification, Checkpoint Types).
    pub enum CheckpointType {
        /// UI element verification.
        Element = "element",
        /// Visual comparison.
        Screenshot = "screenshot",
        /// API response verification.
        Api = "api",
        /// Downloaded file verification.
        Download = "download",
    }
}

/// A checkpoint as stored and as shown.
#[derive(Debug, Clone, Serialize, Deserialize, FromRow, ToSchema)]
pub struct CheckpointResult {
    /// The checkpoint's id.
    pub id: Uuid,
    /// The result it belongs to.
    pub test_run_result_id: Uuid,
    /// The step it belongs to, if any.
    pub test_step_result_id: Option<Uuid>,
    /// The name that people see.
    pub checkpoint_name: String,
    /// What was verified.
    pub checkpoint_type: CheckpointType,
    /// How it ended.
    pub status: CheckpointStatus,
    /// The element.
    pub selector: Option<String>,
    /// For example `functional`, `visual`, `accessibility`.
    pub profile: Option<String>,
    /// What was expected.
    pub expected_properties: Option<Value>,
    /// What was found.
    pub actual_properties: Option<Value>,
    /// The names of the properties that failed.
    pub failed_properties: Option<Vec<String>>,
    /// Property by property.
    pub property_verifications: Option<Value>,
    /// Which screenshot of the result.
    pub screenshot_index: Option<i32>,
    /// A label; the server never opens it.
    pub baseline_screenshot_path: Option<String>,
    /// A label; the server never opens it.
    pub actual_screenshot_path: Option<String>,
    /// A label; the server never opens it.
    pub diff_screenshot_path: Option<String>,
    /// Percent of the picture that differs.
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 100)]
    pub diff_percentage: Option<Decimal>,
    /// What went wrong.
    pub error_message: Option<String>,
    /// When the server got it.
    pub created_at: DateTime<Utc>,
}

/// The body that adds a checkpoint.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
pub struct NewCheckpointResult {
    /// A step of the same result.
    #[garde(skip)]
    pub test_step_result_id: Option<Uuid>,
    /// The number of a step of the same result, where its id is not known yet.
    #[garde(custom(between(1, i32::MAX)))]
    #[schema(minimum = 1)]
    pub step_number: Option<i32>,
    /// 1 to 255 characters.
    #[garde(custom(filled(255)))]
    #[schema(min_length = 1, max_length = 255)]
    pub checkpoint_name: String,
    /// What was verified.
    #[garde(skip)]
    pub checkpoint_type: CheckpointType,
    /// How it ended.
    #[garde(skip)]
    pub status: CheckpointStatus,
    /// At most 1,000 characters.
    #[garde(custom(text(1_000)))]
    #[schema(max_length = 1000)]
    pub selector: Option<String>,
    /// At most 50 characters.
    #[garde(custom(text(50)))]
    #[schema(max_length = 50)]
    pub profile: Option<String>,
    /// What was expected.
    #[garde(skip)]
    pub expected_properties: Option<Value>,
    /// What was found.
    #[garde(skip)]
    pub actual_properties: Option<Value>,
    /// The names of the properties that failed.
    #[garde(custom(text(1_000)))]
    #[schema(max_length = 1000)]
    pub failed_properties: Option<Vec<String>>,
    /// Property by property.
    #[garde(skip)]
    pub property_verifications: Option<Value>,
    /// Which screenshot of the result, from 0.
    #[garde(custom(count))]
    #[schema(minimum = 0)]
    pub screenshot_index: Option<i32>,
    /// At most 500 characters.
    #[garde(custom(text(500)))]
    #[schema(max_length = 500)]
    pub baseline_screenshot_path: Option<String>,
    /// At most 500 characters.
    #[garde(custom(text(500)))]
    #[schema(max_length = 500)]
    pub actual_screenshot_path: Option<String>,
    /// At most 500 characters.
    #[garde(custom(text(500)))]
    #[schema(max_length = 500)]
    pub diff_screenshot_path: Option<String>,
    /// 0 to 100.
    #[serde(default, deserialize_with = "decimal")]
    #[garde(custom(rate))]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 100)]
    pub diff_percentage: Option<Decimal>,
    /// What went wrong.
    #[garde(custom(text(1_000_000)))]
    #[schema(max_length = 1000000)]
    pub error_message: Option<String>,
}

impl NewCheckpointResult {
    /// The row to store; `test_step_result_id` is the step's id where `step_number` named one.
    #[must_use]
    pub fn into_row(
        self,
        test_run_result_id: Uuid,
        test_step_result_id: Option<Uuid>,
        now: DateTime<Utc>,
    ) -> CheckpointResult {
        CheckpointResult {
            id: Uuid::now_v7(),
            test_run_result_id,
            test_step_result_id,
            checkpoint_name: self.checkpoint_name,
            checkpoint_type: self.checkpoint_type,
            status: self.status,
            selector: self.selector,
            profile: self.profile,
            expected_properties: self.expected_properties,
            actual_properties: self.actual_properties,
            failed_properties: self.failed_properties,
            property_verifications: self.property_verifications,
            screenshot_index: self.screenshot_index,
            baseline_screenshot_path: self.baseline_screenshot_path,
            actual_screenshot_path: self.actual_screenshot_path,
            diff_screenshot_path: self.diff_screenshot_path,
            // As PostgreSQL stores it.
            diff_percentage: self
                .diff_percentage
                .map(|percent| percent.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero)),
            error_message: self.error_message,
            created_at: now,
        }
    }
}
