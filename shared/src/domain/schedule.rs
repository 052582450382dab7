//! Schedules: what to run and when (scheduling rules).

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::recurrence::{self, IntervalUnit, Recurrence, RepeatType, Timing, TimingError};
use super::schedule_execution::ExecutionStatus;
use super::text_enum::text_enum;
use super::validation::{MAX_ROWS, between, filled, recipients, suite, text};
use crate::error::{Error, FieldError, Result};

text_enum! {
    /// Where a schedule is in its life (specification, Schedule Status).
    pub enum ScheduleStatus {
        /// It will run.
        Active = "active",
        /// Temporarily paused.
        Paused = "paused",
        /// Nothing is left to run.
        Completed = "completed",
        /// Permanently cancelled.
        Cancelled = "cancelled",
    }
}

text_enum! {
    /// What happens to a due time whose previous run has not ended.
    pub enum OverlapPolicy {
        /// It runs all the same.
        Allow = "allow",
        /// It is recorded as missed.
        Skip = "skip",
    }
}

/// Who is told about a schedule's runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotifySettings {
    /// Tell of every run that ended.
    pub on_completion: bool,
    /// Tell of runs with failures.
    pub on_failure: bool,
}

/// A schedule as stored and as shown.
#[derive(Debug, Clone, Serialize, Deserialize, FromRow, ToSchema)]
pub struct Schedule {
    /// The schedule's id.
    pub id: Uuid,
    /// The project it belongs to.
    pub project_id: Uuid,
    /// Whose token created it.
    pub created_by: Uuid,
    /// The name that people see.
    pub schedule_name: String,
    /// Runs all test cases at or below this suite.
    pub suite_path: Option<Vec<String>>,
    /// The suite's name.
    pub suite_name: Option<String>,
    /// Or exactly these test cases.
    pub test_case_ids: Option<Vec<Uuid>>,
    /// Wall-clock digits in `timezone`, shown with `Z`.
    pub scheduled_datetime: DateTime<Utc>,
    /// IANA name.
    pub timezone: String,
    /// How it repeats.
    pub repeat_type: RepeatType,
    /// For `custom`: every so many hours or days.
    pub repeat_interval: Option<i32>,
    /// For `custom` with an interval: default `hours`.
    pub repeat_interval_unit: Option<IntervalUnit>,
    /// For `custom`: five standard cron fields, read in `timezone`.
    pub cron_expression: Option<String>,
    /// For `weekly`: 1 is Monday, 7 and 0 are Sunday.
    pub repeat_days_of_week: Option<Vec<i32>>,
    /// For `monthly`: 1 to 31, clamped to the month's last day.
    pub repeat_day_of_month: Option<i32>,
    /// Wall-clock digits in `timezone`; inclusive.
    pub repeat_end_date: Option<DateTime<Utc>>,
    /// How many runs the plan makes at most.
    pub max_occurrences: Option<i32>,
    /// Where the schedule is in its life.
    pub status: ScheduleStatus,
    /// Whether it fires at all.
    pub is_enabled: bool,
    /// For the runs it makes.
    pub parallel_enabled: bool,
    /// For the runs it makes: 1 to 10.
    pub parallel_count: i32,
    /// For the runs it makes.
    pub retry_on_failure: bool,
    /// For the runs it makes: 0 to 10.
    pub retry_count: i32,
    /// Mail about every run.
    pub notify_on_completion: bool,
    /// Mail about runs with failures.
    pub notify_on_failure: bool,
    /// The recipients.
    pub notification_emails: Option<Vec<String>>,
    /// Seconds after which a due time is missed instead of fired late; null for no limit.
    pub catchup_window_seconds: Option<i32>,
    /// What happens to a due time whose previous run has not ended.
    pub overlap_policy: OverlapPolicy,
    /// Runs that the plan has made.
    pub execution_count: i32,
    /// The due time fired last.
    pub last_executed_at: Option<DateTime<Utc>>,
    /// What became of it.
    pub last_execution_status: Option<ExecutionStatus>,
    /// The next due time.
    pub next_execution_at: Option<DateTime<Utc>>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

impl Schedule {
    /// The plan of due times.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the stored columns contradict each other, which only a change by hand can cause.
    pub fn recurrence(&self) -> Result<Recurrence> {
        let timing = Timing {
            scheduled_datetime: self.scheduled_datetime.naive_utc(),
            timezone: recurrence::parse_timezone(&self.timezone)
                .map_err(|message| Error::Invalid(vec![FieldError::new("timezone", message)]))?,
            repeat_type: self.repeat_type,
            repeat_interval: self.repeat_interval,
            repeat_interval_unit: self.repeat_interval_unit,
            cron_expression: self.cron_expression.clone(),
            repeat_days_of_week: self.repeat_days_of_week.clone(),
            repeat_day_of_month: self.repeat_day_of_month,
            repeat_end_date: self.repeat_end_date.map(|end| end.naive_utc()),
            max_occurrences: self.max_occurrences,
        };
        Recurrence::new(&timing).map_err(invalid)
    }

    /// Who is told about its runs.
    #[must_use]
    pub const fn notify_settings(&self) -> NotifySettings {
        NotifySettings { on_completion: self.notify_on_completion, on_failure: self.notify_on_failure }
    }
}

/// The body that creates a schedule.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
pub struct NewSchedule {
    /// 1 to 255 characters.
    #[garde(custom(filled(255)))]
    #[schema(min_length = 1, max_length = 255, example = "Nightly Regression")]
    pub schedule_name: String,
    /// Runs all test cases at or below this suite. Either this or `test_case_ids`.
    #[garde(custom(suite))]
    #[schema(max_items = 32, example = json!(["ROOT", "Regression"]))]
    pub suite_path: Option<Vec<String>>,
    /// At most 255 characters.
    #[garde(custom(text(255)))]
    #[schema(max_length = 255, example = "Regression")]
    pub suite_name: Option<String>,
    /// Runs exactly these test cases, at most 1,000.
    #[garde(inner(custom(super::validation::some_rows(MAX_ROWS))))]
    #[schema(min_items = 1, max_items = 1000)]
    pub test_case_ids: Option<Vec<Uuid>>,
    /// Digits with `Z`, `+00:00` or no offset are wall clock in `timezone`; any other offset makes it an instant.
    #[garde(skip)]
    #[schema(example = "2026-01-18T02:00:00Z")]
    pub scheduled_datetime: String,
    /// IANA name; default `UTC`.
    #[garde(skip)]
    #[schema(max_length = 50, example = "America/New_York")]
    pub timezone: Option<String>,
    /// Default `none`.
    #[garde(skip)]
    pub repeat_type: Option<RepeatType>,
    /// For `custom`: every so many hours or days.
    #[garde(skip)]
    #[schema(minimum = 1)]
    pub repeat_interval: Option<i32>,
    /// For `custom` with an interval: default `hours`.
    #[garde(skip)]
    pub repeat_interval_unit: Option<IntervalUnit>,
    /// For `custom`: five standard cron fields.
    #[garde(custom(text(255)))]
    #[schema(max_length = 255)]
    pub cron_expression: Option<String>,
    /// For `weekly`: 1 is Monday, 7 and 0 are Sunday; default the first date's weekday.
    #[garde(skip)]
    pub repeat_days_of_week: Option<Vec<i32>>,
    /// For `monthly`: 1 to 31; default the first date's day.
    #[garde(skip)]
    #[schema(minimum = 1, maximum = 31)]
    pub repeat_day_of_month: Option<i32>,
    /// Read like `scheduled_datetime`; inclusive.
    #[garde(skip)]
    pub repeat_end_date: Option<String>,
    /// How many runs the plan makes at most.
    #[garde(skip)]
    #[schema(minimum = 1)]
    pub max_occurrences: Option<i32>,
    /// Default true.
    #[garde(skip)]
    pub is_enabled: Option<bool>,
    /// Default false.
    #[garde(skip)]
    pub parallel_enabled: Option<bool>,
    /// 1 to 10; default 1.
    #[garde(custom(between(1, 10)))]
    #[schema(minimum = 1, maximum = 10)]
    pub parallel_count: Option<i32>,
    /// Default false.
    #[garde(skip)]
    pub retry_on_failure: Option<bool>,
    /// 0 to 10; default 0.
    #[garde(custom(between(0, 10)))]
    #[schema(minimum = 0, maximum = 10)]
    pub retry_count: Option<i32>,
    /// Default true.
    #[garde(skip)]
    pub notify_on_completion: Option<bool>,
    /// Default true.
    #[garde(skip)]
    pub notify_on_failure: Option<bool>,
    /// At most 50 mail addresses.
    #[garde(custom(recipients))]
    #[schema(max_items = 50, example = json!(["team@example.com"]))]
    pub notification_emails: Option<Vec<String>>,
    /// Seconds after which a due time is missed instead of fired late; default no limit.
    #[garde(custom(between(0, i32::MAX)))]
    #[schema(minimum = 0)]
    pub catchup_window_seconds: Option<i32>,
    /// Default `allow`.
    #[garde(skip)]
    pub overlap_policy: Option<OverlapPolicy>,
}

impl NewSchedule {
    /// The row to store, with the first due time after `now`.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming every wrong timing field, or both ways of choosing test cases where not exactly one
    /// is given.
    pub fn into_row(self, project_id: Uuid, created_by: Uuid, now: DateTime<Utc>) -> Result<Schedule> {
        self.check_selection()?;
        let (scheduled_datetime, timezone, repeat_end_date) = self.parse_times()?;
        let schedule = Schedule {
            id: Uuid::now_v7(),
            project_id,
            created_by,
            schedule_name: self.schedule_name,
            suite_path: self.suite_path,
            suite_name: self.suite_name,
            test_case_ids: self.test_case_ids,
            scheduled_datetime,
            timezone,
            repeat_type: self.repeat_type.unwrap_or(RepeatType::None),
            repeat_interval: self.repeat_interval,
            repeat_interval_unit: self.repeat_interval_unit,
            cron_expression: self.cron_expression,
            repeat_days_of_week: self.repeat_days_of_week,
            repeat_day_of_month: self.repeat_day_of_month,
            repeat_end_date,
            max_occurrences: self.max_occurrences,
            status: ScheduleStatus::Active,
            is_enabled: self.is_enabled.unwrap_or(true),
            parallel_enabled: self.parallel_enabled.unwrap_or(false),
            parallel_count: self.parallel_count.unwrap_or(1),
            retry_on_failure: self.retry_on_failure.unwrap_or(false),
            retry_count: self.retry_count.unwrap_or(0),
            notify_on_completion: self.notify_on_completion.unwrap_or(true),
            notify_on_failure: self.notify_on_failure.unwrap_or(true),
            notification_emails: self.notification_emails,
            catchup_window_seconds: self.catchup_window_seconds,
            overlap_policy: self.overlap_policy.unwrap_or(OverlapPolicy::Allow),
            execution_count: 0,
            last_executed_at: None,
            last_execution_status: None,
            next_execution_at: None,
            created_at: now,
            updated_at: now,
        };
        schedule.with_first_due(now)
    }

    fn check_selection(&self) -> Result<()> {
        if self.suite_path.is_some() == self.test_case_ids.is_some() {
            let message = "Exactly one of suite_path and test_case_ids must be given";
            return Err(Error::Invalid(vec![FieldError::new("suite_path", message)]));
        }
        Ok(())
    }

    fn parse_times(&self) -> Result<(DateTime<Utc>, String, Option<DateTime<Utc>>)> {
        let timezone = self.timezone.as_deref().unwrap_or("UTC");
        let zone = recurrence::parse_timezone(timezone)
            .map_err(|message| Error::Invalid(vec![FieldError::new("timezone", message)]))?;
        let wall = |field: &str, digits: &str| {
            recurrence::parse_wall_clock(digits, zone)
                .map(|wall| wall.and_utc())
                .map_err(|message| FieldError::new(field, message))
        };
        let start = wall("scheduled_datetime", &self.scheduled_datetime);
        let end = self.repeat_end_date.as_deref().map(|digits| wall("repeat_end_date", digits)).transpose();
        match (start, end) {
            (Ok(start), Ok(end)) => Ok((start, timezone.to_owned(), end)),
            (start, end) => Err(Error::Invalid(start.err().into_iter().chain(end.err()).collect())),
        }
    }
}

impl Schedule {
    /// Sets the first due time: the first occurrence after `now`, and for a one-time schedule its only one, however
    /// long ago (scheduling, Next).
    fn with_first_due(mut self, now: DateTime<Utc>) -> Result<Self> {
        let recurrence = self.recurrence()?;
        self.next_execution_at = recurrence.plan(now);
        if self.next_execution_at.is_none() {
            self.status = ScheduleStatus::Completed;
        }
        Ok(self)
    }
}

fn invalid(errors: Vec<TimingError>) -> Error {
    Error::Invalid(errors.into_iter().map(|error| FieldError::new(error.field, error.message)).collect())
}
