//! Lines of the browser's console.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::text_enum::text_enum;
use super::validation::{MAX_LOG_LINES, count, instant, some_rows, text};

text_enum! {
    /// How serious a line is (specification, Log Levels).
    pub enum LogLevel {
        /// General log.
        Log = "log",
        /// Information.
        Info = "info",
        /// Warning.
        Warn = "warn",
        /// Error.
        Error = "error",
        /// Debug output.
        Debug = "debug",
    }
}

/// A line as stored and as shown.
#[derive(Debug, Clone, Serialize, Deserialize, FromRow, ToSchema)]
pub struct ConsoleLog {
    /// The line's id.
    pub id: Uuid,
    /// The result it belongs to.
    pub test_run_result_id: Uuid,
    /// How serious it is.
    pub log_level: LogLevel,
    /// The text.
    pub message: String,
    /// The script it came from.
    pub source: Option<String>,
    /// The line in that script.
    pub line_number: Option<i32>,
    /// The column in that line.
    pub column_number: Option<i32>,
    /// For errors.
    pub stack_trace: Option<String>,
    /// During which step.
    pub step_index: Option<i32>,
    /// When it was printed.
    pub timestamp: DateTime<Utc>,
    /// When the server got it.
    pub created_at: DateTime<Utc>,
}

/// One line of the body that adds lines.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
pub struct NewConsoleLog {
    /// How serious it is.
    #[garde(skip)]
    pub log_level: LogLevel,
    /// The text.
    #[garde(custom(text(1_000_000)))]
    #[schema(max_length = 1000000)]
    pub message: String,
    /// At most 500 characters.
    #[garde(custom(text(500)))]
    #[schema(max_length = 500)]
    pub source: Option<String>,
    /// The line in that script.
    #[garde(custom(count))]
    #[schema(minimum = 0)]
    pub line_number: Option<i32>,
    /// The column in that line.
    #[garde(custom(count))]
    #[schema(minimum = 0)]
    pub column_number: Option<i32>,
    /// For errors.
    #[garde(custom(text(1_000_000)))]
    #[schema(max_length = 1000000)]
    pub stack_trace: Option<String>,
    /// During which step.
    #[garde(custom(count))]
    #[schema(minimum = 0)]
    pub step_index: Option<i32>,
    /// When it was printed.
    #[garde(custom(instant))]
    pub timestamp: DateTime<Utc>,
}

/// The body that adds console lines.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
pub struct NewConsoleLogs {
    /// 1 to 10,000 lines.
    #[garde(custom(some_rows(MAX_LOG_LINES)), dive)]
    #[schema(min_items = 1, max_items = 10000)]
    pub logs: Vec<NewConsoleLog>,
}

/// How many log lines a request added.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AddedLogs {
    /// The number of new lines.
    pub total_added: usize,
}

impl NewConsoleLog {
    /// The row to store.
    #[must_use]
    pub fn into_row(self, test_run_result_id: Uuid, now: DateTime<Utc>) -> ConsoleLog {
        ConsoleLog {
            id: Uuid::now_v7(),
            test_run_result_id,
            log_level: self.log_level,
            message: self.message,
            source: self.source,
            line_number: self.line_number,
            column_number: self.column_number,
            stack_trace: self.stack_trace,
            step_index: self.step_index,
            timestamp: self.timestamp,
            created_at: now,
        }
    }
}
