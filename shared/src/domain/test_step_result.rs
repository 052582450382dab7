//! Steps of a result.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::masking;
use super::test_run_result::ResultStatus;
use super::validation::{MAX_ROWS, between, duration, filled, instant, some_rows, stored, text};

/// A step as stored and as shown.
#[derive(Debug, Clone, Serialize, Deserialize, FromRow, ToSchema)]
pub struct TestStepResult {
    /// The step's id.
    pub id: Uuid,
    /// The result it belongs to.
    pub test_run_result_id: Uuid,
    /// 1 and up, unique in the result.
    pub step_number: i32,
    /// For example `click`, `fill`, `navigate`.
    pub action: String,
    /// Free text.
    pub description: Option<String>,
    /// How it ended.
    pub status: ResultStatus,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
    /// Milliseconds.
    pub duration_ms: i64,
    /// The target element.
    pub selector: Option<String>,
    /// The element's HTML, captured on failure.
    pub element_html: Option<String>,
    /// What was typed; masked for password fields.
    pub input_value: Option<String>,
    /// A label; the server never opens it.
    pub screenshot_path: Option<String>,
    /// Where the screenshot is stored.
    pub screenshot_url: Option<String>,
    /// What went wrong.
    pub error_message: Option<String>,
    /// Where it went wrong.
    pub error_stack_trace: Option<String>,
    /// The step as Playwright code.
    pub playwright_code: Option<String>,
    /// The browser window.
    pub window_id: Option<String>,
    /// The browser window's title.
    pub window_title: Option<String>,
    /// When the server got it.
    pub created_at: DateTime<Utc>,
}

/// The body that adds a step.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
pub struct NewTestStepResult {
    /// 1 and up, unique in the result.
    #[garde(custom(between(1, i32::MAX)))]
    #[schema(minimum = 1)]
    pub step_number: i32,
    /// 1 to 100 characters.
    #[garde(custom(filled(100)))]
    #[schema(min_length = 1, max_length = 100, example = "navigate")]
    pub action: String,
    /// Free text.
    #[garde(custom(text(1_000_000)))]
    #[schema(max_length = 1000000)]
    pub description: Option<String>,
    /// How it ended.
    #[garde(skip)]
    pub status: ResultStatus,
    /// When it began.
    #[garde(custom(instant))]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    #[garde(custom(instant))]
    pub completed_at: Option<DateTime<Utc>>,
    /// Milliseconds; default 0.
    #[garde(custom(duration))]
    #[schema(minimum = 0)]
    pub duration_ms: Option<i64>,
    /// At most 1,000 characters.
    #[garde(custom(text(1_000)))]
    #[schema(max_length = 1000)]
    pub selector: Option<String>,
    /// The element's HTML.
    #[garde(custom(text(1_000_000)))]
    #[schema(max_length = 1000000)]
    pub element_html: Option<String>,
    /// What was typed. Masked before it is stored where the selector names a password field.
    #[garde(custom(text(1_000_000)))]
    #[schema(max_length = 1000000)]
    pub input_value: Option<String>,
    /// At most 500 characters.
    #[garde(custom(text(500)))]
    #[schema(max_length = 500)]
    pub screenshot_path: Option<String>,
    /// At most 500 characters.
    #[garde(custom(text(500)))]
    #[schema(max_length = 500)]
    pub screenshot_url: Option<String>,
    /// What went wrong.
    #[garde(custom(text(1_000_000)))]
    #[schema(max_length = 1000000)]
    pub error_message: Option<String>,
    /// Where it went wrong.
    #[garde(custom(text(1_000_000)))]
    #[schema(max_length = 1000000)]
    pub error_stack_trace: Option<String>,
    /// The step as Playwright code.
    #[garde(custom(text(1_000_000)))]
    #[schema(max_length = 1000000)]
    pub playwright_code: Option<String>,
    /// At most 100 characters.
    #[garde(custom(text(100)))]
    #[schema(max_length = 100)]
    pub window_id: Option<String>,
    /// At most 500 characters.
    #[garde(custom(text(500)))]
    #[schema(max_length = 500)]
    pub window_title: Option<String>,
}

/// The body that adds many steps.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
pub struct NewTestStepResults {
    /// 1 to 1,000 steps.
    #[garde(custom(some_rows(MAX_ROWS)), dive)]
    #[schema(min_items = 1, max_items = 1000)]
    pub steps: Vec<NewTestStepResult>,
}

/// What a bulk addition did.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AddedSteps {
    /// The new steps, in the order of the request.
    pub items: Vec<TestStepResult>,
    /// How many there are.
    pub total_added: usize,
}

impl NewTestStepResult {
    /// The row to store.
    #[must_use]
    pub fn into_row(self, test_run_result_id: Uuid, now: DateTime<Utc>) -> TestStepResult {
        let input_value = masking::input_value(self.selector.as_deref(), self.input_value);
        TestStepResult {
            id: Uuid::now_v7(),
            test_run_result_id,
            step_number: self.step_number,
            action: self.action,
            description: self.description,
            status: self.status,
            started_at: self.started_at.map(stored),
            completed_at: self.completed_at.map(stored),
            duration_ms: self.duration_ms.unwrap_or(0),
            selector: self.selector,
            element_html: self.element_html,
            input_value,
            screenshot_path: self.screenshot_path,
            screenshot_url: self.screenshot_url,
            error_message: self.error_message,
            error_stack_trace: self.error_stack_trace,
            playwright_code: self.playwright_code,
            window_id: self.window_id,
            window_title: self.window_title,
            created_at: now,
        }
    }
}
