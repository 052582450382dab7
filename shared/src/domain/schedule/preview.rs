//! The next fires of a schedule, stored or not.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{invalid, parse_times};
use crate::domain::recurrence::{self, Fire, IntervalUnit, Recurrence, RepeatType, Timing};
use crate::domain::validation::{between, instant, text};
use crate::error::{Error, Result};

/// The body of a preview of a schedule that is not stored: its timing fields.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
pub struct PreviewRequest {
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
    /// For `weekly`: 1 is Monday, 7 and 0 are Sunday.
    #[garde(skip)]
    pub repeat_days_of_week: Option<Vec<i32>>,
    /// For `monthly`: 1 to 31.
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
    /// Lists fires after this instant; default now.
    #[garde(custom(instant))]
    pub from: Option<DateTime<Utc>>,
    /// How many fires to list: 1 to 50; default 10.
    #[garde(custom(between(1, 50)))]
    #[schema(minimum = 1, maximum = 50, default = 10)]
    pub count: Option<i32>,
}

impl PreviewRequest {
    /// The plan that the body describes.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming every wrong timing field.
    pub fn recurrence(&self) -> Result<Recurrence> {
        let timezone = self.timezone.as_deref().unwrap_or("UTC");
        let (start, end) = parse_times(timezone, Some(&self.scheduled_datetime), self.repeat_end_date.as_deref())?;
        let timing = Timing {
            scheduled_datetime: start.unwrap_or_default().naive_utc(),
            timezone: recurrence::parse_timezone(timezone).map_err(|message| Error::invalid("timezone", message))?,
            repeat_type: self.repeat_type.unwrap_or(RepeatType::None),
            repeat_interval: self.repeat_interval,
            repeat_interval_unit: self.repeat_interval_unit,
            cron_expression: self.cron_expression.clone(),
            repeat_days_of_week: self.repeat_days_of_week.clone(),
            repeat_day_of_month: self.repeat_day_of_month,
            repeat_end_date: end.map(|end| end.naive_utc()),
            max_occurrences: self.max_occurrences,
        };
        Recurrence::new(&timing).map_err(invalid)
    }
}

/// The next fires of a schedule.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Preview {
    /// In order, at most 50.
    pub fires: Vec<Fire>,
}
