//! The bodies that create and change a schedule.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{OverlapPolicy, Schedule, ScheduleStatus, parse_times};
use crate::domain::patch::{Nullable, not_null, nullable, set};
use crate::domain::recurrence::{IntervalUnit, RepeatType};
use crate::domain::validation::{MAX_ROWS, between, filled, recipients, some_rows, suite, text};
use crate::error::{Error, Result};

/// The body that creates a schedule.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
pub struct NewSchedule {
    /// 1 to 255 characters.
    #[garde(custom(filled(255)))]
    #[schema(min_length = 1, max_length = 255, example = "Nightly Regression")]
    pub schedule_name: String,
    /// Runs all test cases at or below this suite. Either this or `test_case_ids`.
    #[garde(custom(suite))]
    #[schema(max_items = 32, min_length = 1, max_length = 255, example = json!(["ROOT", "Regression"]))]
    pub suite_path: Option<Vec<String>>,
    /// At most 255 characters.
    #[garde(custom(text(255)))]
    #[schema(max_length = 255, example = "Regression")]
    pub suite_name: Option<String>,
    /// Runs exactly these test cases, at most 1,000.
    #[garde(inner(custom(some_rows(MAX_ROWS))))]
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
    #[schema(max_items = 50, format = "email", min_length = 1, max_length = 320, example = json!(["team@example.com"]))]
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
        check_selection(self.suite_path.as_deref(), self.test_case_ids.as_deref())?;
        let timezone = self.timezone.unwrap_or_else(|| "UTC".to_owned());
        let (start, repeat_end_date) =
            parse_times(&timezone, Some(&self.scheduled_datetime), self.repeat_end_date.as_deref())?;
        let scheduled_datetime = start.ok_or_else(|| Error::invalid("scheduled_datetime", "Is required"))?;
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
        let mut schedule = schedule;
        schedule.plan(now)?;
        Ok(schedule)
    }
}

/// A schedule runs a suite or a list of test cases, not both.
fn check_selection(suite_path: Option<&[String]>, test_case_ids: Option<&[Uuid]>) -> Result<()> {
    if suite_path.is_some() == test_case_ids.is_some() {
        return Err(Error::invalid("suite_path", "Exactly one of suite_path and test_case_ids must be given"));
    }
    Ok(())
}

/// The body that changes a schedule: absent fields keep their values, null clears those that may be null.
#[derive(Debug, Clone, Default, Deserialize, Validate, ToSchema)]
pub struct SchedulePatch {
    /// 1 to 255 characters.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(custom(filled(255)))]
    #[schema(nullable = false, min_length = 1, max_length = 255)]
    pub schedule_name: Option<String>,
    /// Runs all test cases at or below this suite.
    #[serde(default, with = "nullable")]
    #[garde(custom(suite))]
    #[schema(value_type = Option<Vec<String>>, max_items = 32, min_length = 1, max_length = 255)]
    pub suite_path: Nullable<Vec<String>>,
    /// At most 255 characters.
    #[serde(default, with = "nullable")]
    #[garde(custom(text(255)))]
    #[schema(value_type = Option<String>, max_length = 255)]
    pub suite_name: Nullable<String>,
    /// Runs exactly these test cases, at most 1,000.
    #[serde(default, with = "nullable")]
    #[garde(inner(inner(custom(some_rows(MAX_ROWS)))))]
    #[schema(value_type = Option<Vec<Uuid>>, min_items = 1, max_items = 1000)]
    pub test_case_ids: Nullable<Vec<Uuid>>,
    /// Digits with `Z`, `+00:00` or no offset are wall clock in `timezone`; any other offset makes it an instant.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(skip)]
    #[schema(nullable = false)]
    pub scheduled_datetime: Option<String>,
    /// IANA name.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(skip)]
    #[schema(nullable = false, max_length = 50)]
    pub timezone: Option<String>,
    /// How it repeats.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(skip)]
    #[schema(nullable = false)]
    pub repeat_type: Option<RepeatType>,
    /// For `custom`: every so many hours or days.
    #[serde(default, with = "nullable")]
    #[garde(skip)]
    #[schema(value_type = Option<i32>, minimum = 1)]
    pub repeat_interval: Nullable<i32>,
    /// For `custom` with an interval.
    #[serde(default, with = "nullable")]
    #[garde(skip)]
    #[schema(value_type = Option<IntervalUnit>)]
    pub repeat_interval_unit: Nullable<IntervalUnit>,
    /// For `custom`: five standard cron fields.
    #[serde(default, with = "nullable")]
    #[garde(custom(text(255)))]
    #[schema(value_type = Option<String>, max_length = 255)]
    pub cron_expression: Nullable<String>,
    /// For `weekly`: 1 is Monday, 7 and 0 are Sunday.
    #[serde(default, with = "nullable")]
    #[garde(skip)]
    #[schema(value_type = Option<Vec<i32>>)]
    pub repeat_days_of_week: Nullable<Vec<i32>>,
    /// For `monthly`: 1 to 31.
    #[serde(default, with = "nullable")]
    #[garde(skip)]
    #[schema(value_type = Option<i32>, minimum = 1, maximum = 31)]
    pub repeat_day_of_month: Nullable<i32>,
    /// Read like `scheduled_datetime`; inclusive.
    #[serde(default, with = "nullable")]
    #[garde(skip)]
    #[schema(value_type = Option<String>)]
    pub repeat_end_date: Nullable<String>,
    /// How many runs the plan makes at most.
    #[serde(default, with = "nullable")]
    #[garde(skip)]
    #[schema(value_type = Option<i32>, minimum = 1)]
    pub max_occurrences: Nullable<i32>,
    /// Whether it fires at all.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(skip)]
    #[schema(nullable = false)]
    pub is_enabled: Option<bool>,
    /// For the runs it makes.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(skip)]
    #[schema(nullable = false)]
    pub parallel_enabled: Option<bool>,
    /// 1 to 10.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(custom(between(1, 10)))]
    #[schema(nullable = false, minimum = 1, maximum = 10)]
    pub parallel_count: Option<i32>,
    /// For the runs it makes.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(skip)]
    #[schema(nullable = false)]
    pub retry_on_failure: Option<bool>,
    /// 0 to 10.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(custom(between(0, 10)))]
    #[schema(nullable = false, minimum = 0, maximum = 10)]
    pub retry_count: Option<i32>,
    /// Mail about every run.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(skip)]
    #[schema(nullable = false)]
    pub notify_on_completion: Option<bool>,
    /// Mail about runs with failures.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(skip)]
    #[schema(nullable = false)]
    pub notify_on_failure: Option<bool>,
    /// At most 50 mail addresses.
    #[serde(default, with = "nullable")]
    #[garde(custom(recipients))]
    #[schema(value_type = Option<Vec<String>>, max_items = 50, format = "email", min_length = 1, max_length = 320)]
    pub notification_emails: Nullable<Vec<String>>,
    /// Seconds after which a due time is missed instead of fired late; null for no limit.
    #[serde(default, with = "nullable")]
    #[garde(custom(between(0, i32::MAX)))]
    #[schema(value_type = Option<i32>, minimum = 0)]
    pub catchup_window_seconds: Nullable<i32>,
    /// What happens to a due time whose previous run has not ended.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(skip)]
    #[schema(nullable = false)]
    pub overlap_policy: Option<OverlapPolicy>,
}

impl SchedulePatch {
    /// Changes a schedule as the body says. A change of timing, and enabling it again, computes the next due time anew.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming every wrong timing field; [`Error::InvalidState`] for one that is completed or cancelled.
    pub fn apply(self, schedule: &mut Schedule, now: DateTime<Utc>) -> Result<()> {
        if matches!(schedule.status, ScheduleStatus::Completed | ScheduleStatus::Cancelled) {
            return Err(Error::InvalidState(format!("Cannot change schedule: status is '{}'", schedule.status)));
        }
        let (timing, was_enabled) = (schedule.timing_fields(), schedule.is_enabled);
        set(&mut schedule.timezone, self.timezone);
        let end = self.repeat_end_date.as_ref().and_then(|end| end.as_deref());
        let (start, end) = parse_times(&schedule.timezone, self.scheduled_datetime.as_deref(), end)?;
        set(&mut schedule.scheduled_datetime, start);
        if self.repeat_end_date.is_some() {
            schedule.repeat_end_date = end;
        }
        set(&mut schedule.repeat_type, self.repeat_type);
        set(&mut schedule.repeat_interval, self.repeat_interval);
        set(&mut schedule.repeat_interval_unit, self.repeat_interval_unit);
        set(&mut schedule.cron_expression, self.cron_expression);
        set(&mut schedule.repeat_days_of_week, self.repeat_days_of_week);
        set(&mut schedule.repeat_day_of_month, self.repeat_day_of_month);
        set(&mut schedule.max_occurrences, self.max_occurrences);
        set(&mut schedule.schedule_name, self.schedule_name);
        set(&mut schedule.suite_path, self.suite_path);
        set(&mut schedule.suite_name, self.suite_name);
        set(&mut schedule.test_case_ids, self.test_case_ids);
        set(&mut schedule.is_enabled, self.is_enabled);
        set(&mut schedule.parallel_enabled, self.parallel_enabled);
        set(&mut schedule.parallel_count, self.parallel_count);
        set(&mut schedule.retry_on_failure, self.retry_on_failure);
        set(&mut schedule.retry_count, self.retry_count);
        set(&mut schedule.notify_on_completion, self.notify_on_completion);
        set(&mut schedule.notify_on_failure, self.notify_on_failure);
        set(&mut schedule.notification_emails, self.notification_emails);
        set(&mut schedule.catchup_window_seconds, self.catchup_window_seconds);
        set(&mut schedule.overlap_policy, self.overlap_policy);
        check_selection(schedule.suite_path.as_deref(), schedule.test_case_ids.as_deref())?;
        if timing != schedule.timing_fields() || (schedule.is_enabled && !was_enabled) {
            schedule.plan(now)?;
        }
        Ok(())
    }
}
