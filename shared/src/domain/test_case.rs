//! Test cases: what can be run.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::patch::{Nullable, not_null, nullable, set};
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
    #[schema(max_items = 32, min_length = 1, max_length = 255, example = json!(["ROOT", "Regression", "Smoke"]))]
    pub suite_path: Option<Vec<String>>,
    /// The caller's own key, at most 500 characters, unique in the project.
    #[garde(custom(filled(500)))]
    #[schema(max_length = 500)]
    pub external_key: Option<String>,
    /// Free text.
    #[garde(custom(text(100_000)))]
    #[schema(max_length = 100000)]
    pub description: Option<String>,
    /// At most 50 labels of 64 characters.
    #[garde(custom(labels))]
    #[schema(max_items = 50, min_length = 1, max_length = 64)]
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

/// The body that changes a test case: absent fields keep their values, null clears those that may be null.
#[derive(Debug, Clone, Default, Deserialize, Validate, ToSchema)]
pub struct TestCasePatch {
    /// 1 to 255 characters.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(custom(filled(255)))]
    #[schema(nullable = false, min_length = 1, max_length = 255)]
    pub name: Option<String>,
    /// At most 32 elements, from the root down.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(custom(suite))]
    #[schema(nullable = false, max_items = 32, min_length = 1, max_length = 255)]
    pub suite_path: Option<Vec<String>>,
    /// At most 500 characters, unique in the project.
    #[serde(default, with = "nullable")]
    #[garde(custom(filled(500)))]
    #[schema(value_type = Option<String>, max_length = 500)]
    pub external_key: Nullable<String>,
    /// Free text.
    #[serde(default, with = "nullable")]
    #[garde(custom(text(100_000)))]
    #[schema(value_type = Option<String>, max_length = 100000)]
    pub description: Nullable<String>,
    /// At most 50 labels of 64 characters.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(custom(labels))]
    #[schema(nullable = false, max_items = 50, min_length = 1, max_length = 64)]
    pub tags: Option<Vec<String>>,
    /// Whether the case can be executed.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(skip)]
    #[schema(nullable = false)]
    pub has_recording: Option<bool>,
}

impl TestCasePatch {
    /// Changes a test case as the body says.
    pub fn apply(self, case: &mut TestCase) {
        set(&mut case.name, self.name);
        set(&mut case.suite_path, self.suite_path);
        set(&mut case.external_key, self.external_key);
        set(&mut case.description, self.description);
        set(&mut case.tags, self.tags);
        set(&mut case.has_recording, self.has_recording);
    }
}
