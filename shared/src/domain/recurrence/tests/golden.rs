//! The golden cases that the documentation quotes.

use std::fs;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::{RepeatType, Timing, recurrence};
use crate::domain::recurrence::{IntervalUnit, MAX_PREVIEW, parse_timezone, parse_wall_clock};

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/schedule-cases.json");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    no: u32,
    name: String,
    schedule: Schedule,
    now: DateTime<Utc>,
    next: Vec<DateTime<Utc>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Schedule {
    scheduled_datetime: String,
    timezone: String,
    repeat_type: RepeatType,
    repeat_interval: Option<i32>,
    repeat_interval_unit: Option<IntervalUnit>,
    cron_expression: Option<String>,
    repeat_days_of_week: Option<Vec<i32>>,
    repeat_day_of_month: Option<i32>,
    repeat_end_date: Option<String>,
    max_occurrences: Option<i32>,
}

impl Schedule {
    fn timing(self) -> Timing {
        let timezone = parse_timezone(&self.timezone).unwrap();
        let wall = |text: String| parse_wall_clock(&text, timezone).unwrap();
        Timing {
            scheduled_datetime: wall(self.scheduled_datetime),
            timezone,
            repeat_type: self.repeat_type,
            repeat_interval: self.repeat_interval,
            repeat_interval_unit: self.repeat_interval_unit,
            cron_expression: self.cron_expression,
            repeat_days_of_week: self.repeat_days_of_week,
            repeat_day_of_month: self.repeat_day_of_month,
            repeat_end_date: self.repeat_end_date.map(wall),
            max_occurrences: self.max_occurrences,
        }
    }
}

#[test]
fn every_golden_case_fires_exactly_as_listed() {
    let cases: Vec<Case> = serde_json::from_str(&fs::read_to_string(CASES).unwrap()).unwrap();
    assert!(!cases.is_empty(), "no cases in {CASES}");
    for Case { no, name, schedule, now, next } in cases {
        let timing = schedule.timing();
        let recurrence = recurrence(&timing);

        let preview = recurrence.preview(now, MAX_PREVIEW, 0);
        let fires: Vec<_> = preview.iter().map(|fire| fire.utc).collect();
        let ends = timing.repeat_type == RepeatType::None
            || timing.repeat_end_date.is_some()
            || timing.max_occurrences.is_some();
        if ends {
            assert_eq!(fires, next, "case {no}, {name}: a list that ends");
        } else {
            assert_eq!(fires[..next.len()], next, "case {no}, {name}");
            assert_eq!(fires.len(), MAX_PREVIEW, "case {no}, {name}: goes on");
        }

        let mut at = now;
        for expected in &next {
            at = recurrence.next_after(at).unwrap();
            assert_eq!(at, *expected, "case {no}, {name}: one step");
        }
        if ends && timing.max_occurrences.is_none() {
            assert_eq!(recurrence.next_after(at), None, "case {no}, {name}: nothing after the last");
        }
        if recurrence.first() > Some(now) {
            assert_eq!(recurrence.first(), next.first().copied(), "case {no}, {name}: the first fire");
        }
    }
}
