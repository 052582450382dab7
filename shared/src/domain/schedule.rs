//! Schedules: what to run and when (scheduling rules).

mod bodies;
mod preview;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::recurrence::{self, IntervalUnit, Recurrence, RepeatType, Timing, TimingError};
use super::schedule_execution::ExecutionStatus;
use super::text_enum::text_enum;
use crate::error::{Error, FieldError, Result};

pub use bodies::{NewSchedule, SchedulePatch};
pub use preview::{Preview, PreviewRequest};

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
                .map_err(|message| Error::invalid("timezone", message))?,
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

impl Schedule {
    /// Sets the next due time: the first occurrence after `now`, and for a one-time schedule its only one, however long
    /// ago. A schedule with nothing left is completed (scheduling, Next and Ends).
    ///
    /// # Errors
    /// [`Error::Invalid`] naming every wrong timing field.
    pub fn plan(&mut self, now: DateTime<Utc>) -> Result<()> {
        let recurrence = self.recurrence()?;
        self.next_execution_at = recurrence.plan(now).filter(|_| !recurrence.is_exhausted(self.execution_count));
        if self.next_execution_at.is_none() {
            self.status = ScheduleStatus::Completed;
        }
        Ok(())
    }

    /// What a change of has to compute the next due time anew (scheduling, Next).
    fn timing_fields(&self) -> impl PartialEq + use<> {
        (
            (self.scheduled_datetime, self.timezone.clone(), self.repeat_type, self.repeat_interval),
            (self.repeat_interval_unit, self.cron_expression.clone(), self.repeat_days_of_week.clone()),
            (self.repeat_day_of_month, self.repeat_end_date, self.max_occurrences),
        )
    }
}

/// Reads the wall-clock digits of a body in its zone, as they are stored.
fn parse_times(timezone: &str, start: Option<&str>, end: Option<&str>) -> Result<WallTimes> {
    let zone = recurrence::parse_timezone(timezone).map_err(|message| Error::invalid("timezone", message))?;
    let wall = |field: &str, digits: Option<&str>| {
        let parsed = digits.map(|digits| recurrence::parse_wall_clock(digits, zone)).transpose();
        parsed.map(|wall| wall.map(|wall| wall.and_utc())).map_err(|message| FieldError::new(field, message))
    };
    match (wall("scheduled_datetime", start), wall("repeat_end_date", end)) {
        (Ok(start), Ok(end)) => Ok((start, end)),
        (start, end) => Err(Error::Invalid(start.err().into_iter().chain(end.err()).collect())),
    }
}

/// First and last date, as far as they were given.
type WallTimes = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

fn invalid(errors: Vec<TimingError>) -> Error {
    Error::Invalid(errors.into_iter().map(|error| FieldError::new(error.field, error.message)).collect())
}
