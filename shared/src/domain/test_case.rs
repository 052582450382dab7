//! Test cases: what can be run.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::validation::{MAX_ROWS, filled, labels, some_rows, suite, text};

/// A test case as stored and as shown.
#[derive(Debug, Clone, Serialize, Deserialize, FromRow, ToSchema)]
pub struct TestCase {
    /// The test case's id.
    pub id: Uuid,
    /// The project it belongs to.
    pub project_id: Uuid,
    /// The name that people see.
    pub name: String,
    /// The suite it is in, from the root down.
    pub suite_path: Vec<String>,
    /// The caller's own key, unique in the project.
    pub external_key: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Labels.
    pub tags: Vec<String>,
    /// Without a recording the case's items become `no_run` when their run starts.
    pub has_recording: bool,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

/// The body that creates a test case, or in bulk creates or updates one by its `external_key`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, Validate, ToSchema)]
pub struct NewTestCase {
    /// 1 to 255 characters.
    #[garde(custom(filled(255)))]
    #[schema(min_length = 1, max_length = 255, example = "Login Test")]
    pub name: String,
    /// At most 32 elements, from the root down.
    #[garde(custom(suite))]
    #[schema(max_items = 32, example = json!(["ROOT", "Regression", "Smoke"]))]
    pub suite_path: Option<Vec<String>>,
    /// The caller's own key, at most 500 characters, unique in the project.
    #[garde(custom(filled(500)))]
    #[schema(max_length = 500)]
    pub external_key: Option<String>,
    /// Free text.
    #[garde(custom(text(100_000)))]
    pub description: Option<String>,
    /// At most 50 labels of 64 characters.
    #[garde(custom(labels))]
    #[schema(max_items = 50)]
    pub tags: Option<Vec<String>>,
    /// Default true.
    #[garde(skip)]
    pub has_recording: Option<bool>,
}

/// The body that creates or updates many test cases by `external_key`.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, ToSchema)]
pub struct NewTestCases {
    /// 1 to 1,000 test cases.
    #[garde(custom(some_rows(MAX_ROWS)), dive)]
    #[schema(min_items = 1, max_items = 1000)]
    pub test_cases: Vec<NewTestCase>,
}

/// What a bulk request did.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BulkTestCases {
    /// The test cases as they are now, in the order of the request.
    pub items: Vec<TestCase>,
    /// How many were new.
    pub total_created: i64,
    /// How many existed before.
    pub total_updated: i64,
}
