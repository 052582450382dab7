//! Far dates, chrono's own limits, rules that never fire, and what the engine takes for granted of the zone data.

use std::time::{Duration, Instant};

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Offset, TimeZone, Utc};

use super::{IntervalUnit, Recurrence, RepeatType, Timing, cron, errors, every, recurrence, timing, utc, wall, zones};
use crate::domain::recurrence::zone;

/// Generous, for a debug build on a busy machine; to list what is only to be counted would take hours.
const PROMPT: Duration = Duration::from_secs(60);

fn one_of_each(anchor: &str, zone: &str) -> Vec<Timing> {
    vec![
        timing(anchor, zone, RepeatType::None),
        timing(anchor, zone, RepeatType::Hourly),
        timing(anchor, zone, RepeatType::Daily),
        timing(anchor, zone, RepeatType::Weekly),
        timing(anchor, zone, RepeatType::Monthly),
        every(anchor, zone, 87_600, IntervalUnit::Hours),
        every(anchor, zone, 3_650, IntervalUnit::Days),
        cron(anchor, zone, "0 0 29 2 *"),
        cron(anchor, zone, "*/5 * * * *"),
    ]
}

#[test]
fn no_instant_is_too_far() {
    let far =
        [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC, utc("0000-01-01T00:00:00Z"), utc("9999-12-31T23:59:59Z")];
    for zone in ["UTC", "Pacific/Kiritimati", "Pacific/Niue", "America/New_York"] {
        for timing in one_of_each("2026-03-08T02:30:00", zone) {
            let recurrence = recurrence(&timing);
            for at in far {
                let next = recurrence.next_after(at);
                assert_eq!(next, if at.year() < 2000 { recurrence.first() } else { None }, "{timing:?} {at}");
                let latest = recurrence.latest_at_or_before(at);
                assert_eq!(latest.is_some(), at.year() > 2000, "{timing:?} {at}");
                assert!(latest.is_none_or(|latest| latest.year() <= 9999));
                assert!(recurrence.preview(at, usize::MAX, i32::MIN).len() <= 50);
            }
        }
    }
}

#[test]
fn thousands_of_missed_years_are_counted_promptly() {
    let started = Instant::now();
    for timing in one_of_each("2026-03-08T02:30:00", "America/New_York") {
        let recurrence = recurrence(&timing);
        let first = recurrence.first().unwrap();
        let due = recurrence.due(first, DateTime::<Utc>::MAX_UTC).unwrap();
        let days = (due.fire - first).num_days();
        let expected = match (timing.repeat_type, timing.cron_expression.as_deref()) {
            (RepeatType::None, _) => 0,
            (RepeatType::Hourly, _) => (due.fire - first).num_hours(),
            (RepeatType::Daily, _) => days,
            (RepeatType::Weekly, _) => days / 7,
            (RepeatType::Monthly, _) => i64::from(due.fire.year() - 2026) * 12 + 9,
            (RepeatType::Custom, Some("0 0 29 2 *")) => (2032..=9996).map(|year| i64::from(is_leap(year))).sum(),
            // The day of the anchor lacks the 42 times before 03:30, the last one the 60 after 18:55, which is the end
            // of the year in UTC; each gap from 2027 to 2099 hides 12 times.
            (RepeatType::Custom, Some(_)) => (days + 1) * 288 - 42 - 60 - 73 * 12 - 1,
            (RepeatType::Custom, None) => days / 3_650,
        };
        assert_eq!(due.missed.len() as u64 + due.missed_more, u64::try_from(expected).unwrap(), "{timing:?}");
    }
    assert!(started.elapsed() < PROMPT, "{:?}", started.elapsed());
}

fn is_leap(year: i32) -> bool {
    NaiveDate::from_ymd_opt(year, 2, 29).is_some()
}

#[test]
fn ten_years_of_missed_hours_are_counted_exactly() {
    let hourly = recurrence(&timing("2016-01-01T00:00:00", "Europe/London", RepeatType::Hourly));
    let due = hourly.due(utc("2016-01-01T00:00:00Z"), utc("2026-01-01T00:00:00Z")).unwrap();
    assert_eq!(due.missed_more + 100, 3_653 * 24);
}

#[test]
fn a_stored_time_at_the_limits_is_no_panic() {
    for timing in one_of_each("2026-03-08T02:30:00", "America/New_York") {
        let recurrence = recurrence(&timing);
        let due = recurrence.due(DateTime::<Utc>::MIN_UTC, utc("2026-03-10T00:00:00Z")).unwrap();
        let missed = due.missed.len() as u64 + due.missed_more;
        assert_eq!(due.fire == DateTime::<Utc>::MIN_UTC, missed == 0, "{timing:?}");
        assert!(missed <= 12 * 48 + 1, "{timing:?}: {missed}");
        let last = recurrence.due(DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MAX_UTC).unwrap();
        assert_eq!((last.fire, last.next), (DateTime::<Utc>::MAX_UTC, None));
    }
}

#[test]
fn anchors_live_in_the_years_1_to_9999() {
    for zone in ["UTC", "Pacific/Kiritimati", "Pacific/Niue"] {
        for inside in ["0001-01-02T00:00:00", "9999-12-30T23:59:59"] {
            assert!(Recurrence::new(&timing(inside, zone, RepeatType::Daily)).is_ok(), "{inside} {zone}");
        }
        for outside in ["0000-12-31T23:59:59", "-0001-01-01T00:00:00", "+10000-01-01T00:00:00"] {
            for timing in one_of_each(outside, zone) {
                let [error] = errors(&timing).try_into().unwrap();
                assert_eq!(error.to_string(), "scheduled_datetime: Must be in the years 1 to 9999", "{outside} {zone}");
            }
        }
        for limit in [NaiveDateTime::MIN, NaiveDateTime::MAX] {
            let timing = Timing { scheduled_datetime: limit, ..timing("2026-01-01T00:00:00", zone, RepeatType::Daily) };
            assert_eq!(errors(&timing)[0].field, "scheduled_datetime");
        }
    }
}

#[test]
fn nothing_fires_after_the_year_9999() {
    for zone in ["UTC", "Pacific/Kiritimati", "Pacific/Niue"] {
        for timing in one_of_each("9999-12-20T02:30:00", zone) {
            let Ok(recurrence) = Recurrence::new(&timing) else {
                assert_eq!(timing.cron_expression.as_deref(), Some("0 0 29 2 *"));
                continue;
            };
            // Every minute of a cron expression is too many to list: begin shortly before the end.
            for at in recurrence.fires_after(utc("9999-12-30T00:00:00Z")) {
                assert_eq!((at.year(), at.with_timezone(&timing.timezone).year()), (9999, 9999), "{timing:?}");
            }
        }
    }
    let ending = Timing {
        repeat_end_date: Some(NaiveDateTime::MAX),
        ..timing("9999-12-31T00:00:00", "UTC", RepeatType::Hourly)
    };
    assert_eq!(recurrence(&ending).fires_after(utc("9999-12-31T00:00:00Z")).count(), 23);
}

#[test]
fn fractions_of_a_second_in_the_columns_are_dropped() {
    let precise = Timing {
        scheduled_datetime: wall("2026-01-18T02:00:00.999"),
        repeat_end_date: Some(wall("2026-01-20T02:00:00.001")),
        ..timing("2026-01-18T02:00:00", "UTC", RepeatType::Daily)
    };
    let whole = Timing {
        scheduled_datetime: wall("2026-01-18T02:00:00"),
        repeat_end_date: Some(wall("2026-01-20T02:00:00")),
        ..precise.clone()
    };
    assert_eq!(recurrence(&precise), recurrence(&whole));
}

#[test]
fn no_zone_changes_its_clock_after_2099() {
    for zone in zones() {
        let offset = |text| zone.offset_from_utc_datetime(&utc(text).naive_utc()).fix();
        for later in ["2100-04-15T00:00:00Z", "2100-07-15T00:00:00Z", "2101-01-01T00:00:00Z", "5000-06-01T00:00:00Z"] {
            assert_eq!(offset("2100-01-01T00:00:00Z"), offset(later), "{zone} {later}");
        }
        assert_eq!(
            zone::probe_end(utc("2100-01-01T00:00:00Z"), utc("9000-01-01T00:00:00Z")),
            utc("9000-01-01T00:00:00Z")
        );
    }
}
