//! The raw timing columns of a schedule, and the check that turns them into a rule.

use chrono::{DateTime, Datelike, NaiveDateTime, Timelike, Utc};
use chrono_tz::Tz;

use super::calendar::{Calendar, Days, Weekdays, weekday};
use super::civil::Civil;
use super::{Rule, cron, whole_seconds, zone};
use crate::domain::text_enum::text_enum;

/// The longest `repeat_interval` in hours: ten years.
pub(super) const MAX_INTERVAL_HOURS: i32 = 87_600;
/// The longest `repeat_interval` in days: ten years.
pub(super) const MAX_INTERVAL_DAYS: i32 = 3_650;

const SECONDS_PER_HOUR: i64 = 3_600;

text_enum! {
    /// How a schedule repeats (scheduling.md, Kinds).
    pub enum RepeatType {
        /// Once.
        None = "none",
        /// Every elapsed hour from the anchor.
        Hourly = "hourly",
        /// The same wall time each civil day.
        Daily = "daily",
        /// The same wall time on some days of the week.
        Weekly = "weekly",
        /// The same wall time on one day of each month.
        Monthly = "monthly",
        /// By `repeat_interval` or by `cron_expression`.
        Custom = "custom",
    }
}

text_enum! {
    /// What `repeat_interval` counts.
    pub enum IntervalUnit {
        /// Elapsed hours.
        Hours = "hours",
        /// Civil days.
        Days = "days",
    }
}

/// The columns of a schedule that say when it fires, as stored and not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The anchor: wall clock digits in `timezone`, whole seconds.
    pub scheduled_datetime: NaiveDateTime,
    /// The zone whose wall clock all digits and days are of.
    pub timezone: Tz,
    /// The kind.
    pub repeat_type: RepeatType,
    /// For `custom`: how many units lie between two fires.
    pub repeat_interval: Option<i32>,
    /// For `custom` with `repeat_interval`: its unit, hours if absent.
    pub repeat_interval_unit: Option<IntervalUnit>,
    /// For `custom` without `repeat_interval`: five standard fields, read in `timezone`.
    pub cron_expression: Option<String>,
    /// For `weekly`: 1 = Monday … 7 = Sunday, and 0 is Sunday too; the anchor's own day if absent.
    pub repeat_days_of_week: Option<Vec<i32>>,
    /// For `monthly`: 1–31, in shorter months their last day; the anchor's own day if absent.
    pub repeat_day_of_month: Option<i32>,
    /// For every kind but `none`: the last moment to fire, inclusive; wall clock digits in `timezone`.
    pub repeat_end_date: Option<NaiveDateTime>,
    /// For every kind but `none`: how many runs the plan creates.
    pub max_occurrences: Option<i32>,
}

/// One wrong field of a [`Timing`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct TimingError {
    /// The name of the column, which is the JSON field's name too.
    pub field: &'static str,
    /// What is wrong with it and what it should be.
    pub message: String,
}

impl TimingError {
    pub(super) fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self { field, message: message.into() }
    }
}

impl Timing {
    /// The fields that are set although the kind does not use them.
    pub(super) fn unused_fields(&self) -> Vec<TimingError> {
        let kind = self.repeat_type;
        let (custom, repeats) = (kind == RepeatType::Custom, kind != RepeatType::None);
        [
            ("repeat_interval", custom, self.repeat_interval.is_some()),
            ("repeat_interval_unit", custom, self.repeat_interval_unit.is_some()),
            ("cron_expression", custom, self.cron_expression.is_some()),
            ("repeat_days_of_week", kind == RepeatType::Weekly, self.repeat_days_of_week.is_some()),
            ("repeat_day_of_month", kind == RepeatType::Monthly, self.repeat_day_of_month.is_some()),
            ("repeat_end_date", repeats, self.repeat_end_date.is_some()),
            ("max_occurrences", repeats, self.max_occurrences.is_some()),
        ]
        .into_iter()
        .filter(|(_, used, set)| *set && !used)
        .map(|(field, ..)| TimingError::new(field, format!("Is not used when repeat_type is '{kind}'; leave it out")))
        .collect()
    }

    /// The anchor as an instant, if it lies in the years in which anything can fire.
    pub(super) fn starts_at(&self) -> Result<DateTime<Utc>, Vec<TimingError>> {
        zone::to_instant(self.timezone, self.scheduled_datetime)
            .map(whole_seconds)
            .filter(|instant| instant.year() >= 1 && self.scheduled_datetime.year() >= 1)
            .filter(|instant| *instant <= zone::last_instant(self.timezone))
            .ok_or_else(|| vec![TimingError::new("scheduled_datetime", "Must be in the years 1 to 9999")])
    }

    /// The end as an instant, if the kind has one.
    pub(super) fn ends_at(&self) -> Option<DateTime<Utc>> {
        let end = self.repeat_end_date.filter(|_| self.repeat_type != RepeatType::None)?;
        zone::to_instant(self.timezone, end).map(whole_seconds)
    }

    /// The limit on runs, if the kind has one.
    pub(super) fn checked_max_occurrences(&self) -> Result<Option<i32>, Vec<TimingError>> {
        match self.max_occurrences.filter(|_| self.repeat_type != RepeatType::None) {
            Some(..1) => Err(vec![TimingError::new("max_occurrences", "Must be at least 1")]),
            max => Ok(max),
        }
    }

    /// The kind with its own fields, without beginning and end.
    pub(super) fn rule(&self) -> Result<Rule, Vec<TimingError>> {
        let anchor = self.scheduled_datetime.date();
        match self.repeat_type {
            RepeatType::None => Ok(Rule::Once),
            RepeatType::Hourly => Ok(Rule::Elapsed { seconds: SECONDS_PER_HOUR }),
            RepeatType::Daily => Ok(self.civil(Days::Every { days: 1, anchor })),
            RepeatType::Weekly => Ok(self.civil(Days::Weekly(self.weekdays()?))),
            RepeatType::Monthly => Ok(self.civil(Days::Monthly(self.day_of_month()?))),
            RepeatType::Custom => self.custom(),
        }
    }

    /// Days at the anchor's time of day.
    fn civil(&self, days: Days) -> Rule {
        let time = self.scheduled_datetime.time();
        let times = vec![time.with_nanosecond(0).unwrap_or(time)];
        self.read_in_zone(Calendar { days, times })
    }

    fn read_in_zone(&self, calendar: Calendar) -> Rule {
        Rule::Civil(Civil { zone: self.timezone, calendar })
    }

    fn weekdays(&self) -> Result<Weekdays, Vec<TimingError>> {
        let error = |message| Err(vec![TimingError::new("repeat_days_of_week", message)]);
        match self.repeat_days_of_week.as_deref() {
            None => Ok([self.scheduled_datetime.weekday()].into_iter().collect()),
            Some([]) => error("Must have at least one day, or be left out"),
            Some(days) if !days.iter().all(|day| (0..=7).contains(day)) => {
                error("Must have days from 1 (Monday) to 7 (Sunday) only; 0 is Sunday too")
            }
            Some(days) => Ok(days.iter().map(|day| weekday(day.unsigned_abs())).collect()),
        }
    }

    fn day_of_month(&self) -> Result<u32, Vec<TimingError>> {
        match self.repeat_day_of_month {
            None => Ok(self.scheduled_datetime.day()),
            Some(day @ 1..=31) => Ok(day.unsigned_abs()),
            Some(_) => Err(vec![TimingError::new("repeat_day_of_month", "Must be between 1 and 31")]),
        }
    }

    fn custom(&self) -> Result<Rule, Vec<TimingError>> {
        match (self.repeat_interval, self.cron_expression.as_deref()) {
            (Some(interval), None) => self.interval(interval).map_err(|error| vec![error]),
            (None, Some(expression)) => self.cron(expression),
            (None, None) => Err(vec![TimingError::new(
                "repeat_interval",
                "Is required when repeat_type is 'custom', unless cron_expression is given",
            )]),
            (Some(interval), Some(expression)) => {
                let mut errors = vec![TimingError::new(
                    "cron_expression",
                    "Cannot be combined with repeat_interval; leave one of the two out",
                )];
                errors.extend(self.interval(interval).err());
                errors
                    .extend(cron::parse(expression).err().map(|message| TimingError::new("cron_expression", message)));
                Err(errors)
            }
        }
    }

    fn interval(&self, interval: i32) -> Result<Rule, TimingError> {
        let unit = self.repeat_interval_unit.unwrap_or(IntervalUnit::Hours);
        let max = match unit {
            IntervalUnit::Hours => MAX_INTERVAL_HOURS,
            IntervalUnit::Days => MAX_INTERVAL_DAYS,
        };
        if !(1..=max).contains(&interval) {
            return Err(TimingError::new("repeat_interval", format!("Must be between 1 and {max}")));
        }
        Ok(match unit {
            IntervalUnit::Hours => Rule::Elapsed { seconds: i64::from(interval) * SECONDS_PER_HOUR },
            IntervalUnit::Days => {
                self.civil(Days::Every { days: i64::from(interval), anchor: self.scheduled_datetime.date() })
            }
        })
    }

    fn cron(&self, expression: &str) -> Result<Rule, Vec<TimingError>> {
        let mut errors = Vec::new();
        if self.repeat_interval_unit.is_some() {
            errors.push(TimingError::new("repeat_interval_unit", "Is not used with cron_expression; leave it out"));
        }
        match cron::parse(expression) {
            Ok(calendar) if errors.is_empty() => return Ok(self.read_in_zone(calendar)),
            Ok(_) => {}
            Err(message) => errors.push(TimingError::new("cron_expression", message)),
        }
        Err(errors)
    }
}
