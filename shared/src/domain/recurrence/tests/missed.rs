//! The table that ends scheduling.md, and what is around it.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Recurrence, RepeatType, Timing, cron, recurrence, timing, utc, wall};
use crate::domain::recurrence::{Due, MAX_MISSED};

fn hourly() -> Recurrence {
    recurrence(&timing("2026-01-01T00:00:00", "UTC", RepeatType::Hourly))
}

fn daily() -> Timing {
    timing("2026-01-18T02:00:00", "America/New_York", RepeatType::Daily)
}

fn list(instants: &[&str]) -> Vec<DateTime<Utc>> {
    instants.iter().map(|at| utc(at)).collect()
}

#[test]
fn hours_without_a_scheduler() {
    let due = hourly().due(utc("2026-01-18T04:00:00Z"), utc("2026-01-18T09:20:00Z"));
    let missed = ["04", "05", "06", "07", "08"].map(|hour| utc(&format!("2026-01-18T{hour}:00:00Z"))).to_vec();
    assert_eq!(
        due,
        Some(Due {
            fire: utc("2026-01-18T09:00:00Z"),
            missed,
            missed_more: 0,
            next: Some(utc("2026-01-18T10:00:00Z")),
        })
    );
}

#[test]
fn days_without_a_scheduler() {
    let due = recurrence(&daily()).due(utc("2026-01-18T07:00:00Z"), utc("2026-01-21T12:00:00Z"));
    assert_eq!(
        due,
        Some(Due {
            fire: utc("2026-01-21T07:00:00Z"),
            missed: list(&["2026-01-18T07:00:00Z", "2026-01-19T07:00:00Z", "2026-01-20T07:00:00Z"]),
            missed_more: 0,
            next: Some(utc("2026-01-22T07:00:00Z")),
        })
    );
}

#[test]
fn a_one_time_schedule_fires_however_late() {
    let once = recurrence(&timing("2026-01-18T02:00:00", "America/New_York", RepeatType::None));
    let due = once.due(utc("2026-01-18T07:00:00Z"), utc("2026-02-18T00:00:00Z"));
    assert_eq!(due, Some(Due { fire: utc("2026-01-18T07:00:00Z"), missed: vec![], missed_more: 0, next: None }));
}

#[test]
fn a_month_of_missed_hours_is_a_hundred_and_a_count() {
    let due = hourly().due(utc("2026-01-01T00:00:00Z"), utc("2026-01-31T00:30:00Z")).unwrap();
    assert_eq!(due.fire, utc("2026-01-31T00:00:00Z"));
    assert_eq!(due.next, Some(utc("2026-01-31T01:00:00Z")));
    assert_eq!(due.missed.len(), MAX_MISSED);
    assert_eq!(due.missed_more, 720 - 100);
    assert_eq!(due.missed.first(), Some(&utc("2026-01-26T20:00:00Z")));
    assert_eq!(due.missed.last(), Some(&utc("2026-01-30T23:00:00Z")));
}

#[test]
fn an_end_that_passed_completes_the_schedule() {
    let ending = Timing { repeat_end_date: Some(wall("2026-01-19T02:00:00")), ..daily() };
    let due = recurrence(&ending).due(utc("2026-01-18T07:00:00Z"), utc("2026-01-20T12:00:00Z"));
    assert_eq!(
        due,
        Some(Due {
            fire: utc("2026-01-19T07:00:00Z"),
            missed: list(&["2026-01-18T07:00:00Z"]),
            missed_more: 0,
            next: None,
        })
    );
}

#[test]
fn a_resumed_schedule_misses_nothing() {
    let now = utc("2026-01-21T12:00:00Z");
    assert_eq!(recurrence(&daily()).next_after(now), Some(utc("2026-01-22T07:00:00Z")));
    assert_eq!(recurrence(&daily()).plan(now), Some(utc("2026-01-22T07:00:00Z")));
}

#[test]
fn nothing_is_due_before_its_time_and_everything_at_it() {
    let at = utc("2026-01-18T04:00:00Z");
    assert_eq!(hourly().due(at, at - TimeDelta::nanoseconds(1)), None);
    let due = hourly().due(at, at).unwrap();
    assert_eq!((due.fire, due.missed.len(), due.missed_more), (at, 0, 0));
    assert_eq!(due.next, Some(utc("2026-01-18T05:00:00Z")));
    // a clock has microseconds, a fire has not
    assert_eq!(hourly().due(at, at + TimeDelta::microseconds(999_999)), Some(due));
}

#[test]
fn exactly_a_hundred_missed_need_no_count() {
    let now = utc("2026-02-01T00:00:00Z");
    for (hours, listed, more) in [(99, 99, 0), (100, 100, 0), (101, 100, 1)] {
        let due = hourly().due(now - TimeDelta::hours(hours), now).unwrap();
        assert_eq!((due.missed.len(), due.missed_more), (listed, more), "{hours} hours");
    }
}

#[test]
fn a_stored_time_that_the_rule_does_not_know_counts_all_the_same() {
    let promised = utc("2026-01-18T06:30:00Z");
    let only = recurrence(&daily()).due(promised, utc("2026-01-18T06:45:00Z")).unwrap();
    assert_eq!((only.fire, only.missed, only.missed_more), (promised, vec![], 0));
    assert_eq!(only.next, Some(utc("2026-01-18T07:00:00Z")));

    let then = recurrence(&daily()).due(promised, utc("2026-01-19T12:00:00Z")).unwrap();
    assert_eq!(then.fire, utc("2026-01-19T07:00:00Z"));
    assert_eq!(then.missed, list(&["2026-01-18T06:30:00Z", "2026-01-18T07:00:00Z"]));

    let long = recurrence(&daily()).due(promised, utc("2027-01-18T12:00:00Z")).unwrap();
    assert_eq!(long.missed.len() as u64 + long.missed_more, 1 + 365);
}

#[test]
fn counting_agrees_with_listing_over_years_of_clock_changes() {
    let from = utc("2026-01-01T00:00:00Z");
    let to = utc("2029-06-01T00:00:00Z");
    for (zone, expression) in [
        ("America/New_York", "*/17 1-3 * * *"),
        ("Australia/Lord_Howe", "*/10 * * * 0"),
        ("Africa/Casablanca", "*/20 2,3 * * *"),
        ("UTC", "0 */6 31 * *"),
    ] {
        let recurrence = recurrence(&cron("2026-01-01T00:00:00", zone, expression));
        let fires = recurrence.fires_after(from).take_while(|at| *at <= to).collect::<Vec<_>>();
        let (fire, missed) = fires.split_last().unwrap();
        let due = recurrence.due(missed[0], to).unwrap();
        assert_eq!(due.fire, *fire, "{zone} {expression}");
        let listed = missed.len().min(MAX_MISSED);
        assert_eq!(due.missed, missed[missed.len() - listed..], "{zone} {expression}");
        assert_eq!(due.missed_more, (missed.len() - listed) as u64, "{zone} {expression}");
    }
}
