//! The facts of a mail about an ended run.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use url::Url;
use uuid::Uuid;

/// Everything that a mail about one ended run tells.
///
/// Texts are taken as they are in the database: cleaning and escaping is the mail's business.
#[derive(Debug, Clone)]
pub struct RunNotice {
    /// What the recipient is told of.
    pub kind: NoticeKind,
    /// Name of the run's project.
    pub project_name: String,
    /// The run.
    pub run_id: Uuid,
    /// `run_name` of the run.
    pub run_name: String,
    /// `run_number` of the run.
    pub run_number: i32,
    /// The schedule that created the run, if one did.
    pub schedule: Option<NoticeSchedule>,
    /// The terminal status of the run.
    pub end: RunEnd,
    /// Why the run could not be carried out, for a `failed` run.
    pub failure_reason: Option<String>,
    /// The run's counts of tests.
    pub counts: RunCounts,
    /// Passed ÷ total × 100, as stored on the run.
    pub pass_rate: Decimal,
    /// `completed_at` − `started_at`, in milliseconds.
    pub duration_ms: i64,
    /// When the run started, if it did.
    pub started_at: Option<DateTime<Utc>>,
    /// When the run ended.
    pub completed_at: Option<DateTime<Utc>>,
    /// The first failed tests; the mail shows up to ten and counts the rest from `counts.failed`.
    pub failures: Vec<FailedTest>,
    /// Where the run is shown, to whoever has an API token; `None` where the service's address is not known.
    pub run_url: Option<Url>,
    /// Where the run's report is, likewise.
    pub report_url: Option<Url>,
    /// Where the recipient gets rid of these mails.
    pub unsubscribe_url: Option<Url>,
}

/// The schedule that created a run, and how its earlier runs went.
#[derive(Debug, Clone)]
pub struct NoticeSchedule {
    /// The schedule; its mails are one thread.
    pub id: Uuid,
    /// `schedule_name` of the schedule.
    pub name: String,
    /// How many of its runs failed in a row directly before this one.
    pub failed_before: i64,
}

/// What a notice tells of; one mail is sent per run, kind and recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// The run ended without failures.
    Completion,
    /// The run has failed tests or could not be carried out.
    Failure,
}

/// The terminal statuses of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEnd {
    /// Every item is final, whatever passed.
    Completed,
    /// An infrastructure failure ended the run.
    Failed,
    /// Somebody stopped or cancelled the run.
    Cancelled,
}

impl RunEnd {
    /// Reads a run's `status`; `None` for one that is not terminal.
    #[must_use]
    pub fn from_status(status: &str) -> Option<Self> {
        match status {
            "completed" => Some(Self::Completed),
            "failed" => Some(Self::Failed),
            "cancelled" => Some(Self::Cancelled),
            _ => None,
        }
    }

    /// The status as it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The counts of a run, as stored on its row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunCounts {
    /// `total_tests`.
    pub total: i32,
    /// `passed_tests`.
    pub passed: i32,
    /// `failed_tests`.
    pub failed: i32,
    /// `skipped_tests`.
    pub skipped: i32,
    /// `no_run_tests`.
    pub no_run: i32,
}

/// One failed test of a run.
#[derive(Debug, Clone)]
pub struct FailedTest {
    /// Name of the test case.
    pub test_case_name: String,
    /// The error as the client sent it, of any length, colour codes included.
    pub error_message: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_terminal_statuses_end_a_run() {
        for end in [RunEnd::Completed, RunEnd::Failed, RunEnd::Cancelled] {
            assert_eq!(RunEnd::from_status(end.as_str()), Some(end));
        }
        assert_eq!(RunEnd::from_status("running"), None);
    }
}
