//! Golden cases, hand-made cases, properties over all zones, and an oracle of another kind.

mod cases;
mod cron;
mod golden;
mod input;
mod limits;
mod missed;
mod moved;
mod oracle;
mod properties;
mod validation;

use chrono::{DateTime, NaiveDateTime, Utc};
use chrono_tz::Tz;

use super::{IntervalUnit, Recurrence, RepeatType, Timing, TimingError};

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn wall(text: &str) -> NaiveDateTime {
    text.parse().unwrap()
}

/// A timing of one kind with nothing else set.
fn timing(scheduled_datetime: &str, zone: &str, repeat_type: RepeatType) -> Timing {
    Timing {
        scheduled_datetime: wall(scheduled_datetime),
        timezone: zone.parse().unwrap(),
        repeat_type,
        repeat_interval: None,
        repeat_interval_unit: None,
        cron_expression: None,
        repeat_days_of_week: None,
        repeat_day_of_month: None,
        repeat_end_date: None,
        max_occurrences: None,
    }
}

fn cron(scheduled_datetime: &str, zone: &str, expression: &str) -> Timing {
    Timing { cron_expression: Some(expression.to_owned()), ..timing(scheduled_datetime, zone, RepeatType::Custom) }
}

fn every(scheduled_datetime: &str, zone: &str, interval: i32, unit: IntervalUnit) -> Timing {
    Timing {
        repeat_interval: Some(interval),
        repeat_interval_unit: Some(unit),
        ..timing(scheduled_datetime, zone, RepeatType::Custom)
    }
}

fn recurrence(timing: &Timing) -> Recurrence {
    Recurrence::new(timing).unwrap()
}

fn errors(timing: &Timing) -> Vec<TimingError> {
    Recurrence::new(timing).unwrap_err()
}

/// The zones of the compiled data, by name.
fn zones() -> &'static [Tz] {
    &chrono_tz::TZ_VARIANTS
}
