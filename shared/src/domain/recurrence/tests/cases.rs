//! Cases made by hand: what the golden ones leave out.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{IntervalUnit, RepeatType, Timing, cron, every, recurrence, timing, utc, wall};

#[track_caller]
fn assert_fires(timing: &Timing, now: &str, expected: &[&str]) {
    let recurrence = recurrence(timing);
    let fires: Vec<DateTime<Utc>> = recurrence.fires_after(utc(now)).take(expected.len()).collect();
    assert_eq!(fires, expected.iter().map(|at| utc(at)).collect::<Vec<_>>());
}

#[test]
fn hourly_through_the_spring_gap_is_elapsed_time() {
    assert_fires(
        &timing("2026-03-08T00:30:00", "America/New_York", RepeatType::Hourly),
        "2026-03-08T05:00:00Z",
        &["2026-03-08T05:30:00Z", "2026-03-08T06:30:00Z", "2026-03-08T07:30:00Z", "2026-03-08T08:30:00Z"],
    );
}

#[test]
fn hourly_from_an_anchor_in_the_gap_starts_after_the_gap() {
    assert_fires(
        &timing("2026-03-08T02:30:00", "America/New_York", RepeatType::Hourly),
        "2026-03-08T00:00:00Z",
        &["2026-03-08T07:30:00Z", "2026-03-08T08:30:00Z"],
    );
}

#[test]
fn a_half_hour_fold_fires_once() {
    assert_fires(
        &timing("2026-04-03T01:45:00", "Australia/Lord_Howe", RepeatType::Daily),
        "2026-04-02T00:00:00Z",
        &["2026-04-02T14:45:00Z", "2026-04-03T14:45:00Z", "2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"],
    );
}

#[test]
fn midnight_in_a_gap_becomes_one_o_clock() {
    // Cairo moves its clock at 00:00 on the last Friday of April.
    assert_fires(
        &timing("2026-04-22T00:00:00", "Africa/Cairo", RepeatType::Daily),
        "2026-04-22T12:00:00Z",
        &["2026-04-22T22:00:00Z", "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"],
    );
}

#[test]
fn a_day_that_came_twice_fires_once() {
    // Kwajalein crossed the date line eastwards: 30 September 1969 was shown for almost two days.
    assert_fires(
        &timing("1969-09-29T12:00:00", "Pacific/Kwajalein", RepeatType::Daily),
        "1969-09-28T00:00:00Z",
        &["1969-09-29T01:00:00Z", "1969-09-30T01:00:00Z", "1969-10-02T00:00:00Z"],
    );
}

#[test]
fn cron_in_a_gap_fires_late_and_equal_instants_once() {
    assert_fires(
        &cron("2026-03-08T00:00:00", "America/New_York", "*/20 2,3 * * *"),
        "2026-03-08T00:00:00Z",
        &["2026-03-08T07:00:00Z", "2026-03-08T07:20:00Z", "2026-03-08T07:40:00Z", "2026-03-09T06:00:00Z"],
    );
    // 02:10, 02:45, 03:10 and 03:45 are in order as wall times; as instants they are 07:10, 07:45, 07:10, 07:45.
    assert_fires(
        &cron("2026-03-08T00:00:00", "America/New_York", "10,45 2-3 8 3 *"),
        "2026-03-08T00:00:00Z",
        &["2026-03-08T07:10:00Z", "2026-03-08T07:45:00Z", "2027-03-08T07:10:00Z"],
    );
    assert_fires(
        &cron("2026-03-08T00:00:00", "America/New_York", "45 2 * * *"),
        "2026-03-08T07:00:00Z",
        &["2026-03-08T07:45:00Z", "2026-03-09T06:45:00Z"],
    );
}

#[test]
fn cron_in_a_fold_fires_in_its_first_hour_only() {
    assert_fires(
        &cron("2026-11-01T00:00:00", "America/New_York", "*/30 * * * *"),
        "2026-11-01T04:30:00Z",
        &["2026-11-01T05:00:00Z", "2026-11-01T05:30:00Z", "2026-11-01T07:00:00Z", "2026-11-01T07:30:00Z"],
    );
}

#[test]
fn cron_fires_on_either_day_field_when_both_are_restricted() {
    assert_fires(
        &cron("2026-02-10T00:00:00", "UTC", "0 12 13 * fri"),
        "2026-02-10T00:00:00Z",
        &[
            "2026-02-13T12:00:00Z",
            "2026-02-20T12:00:00Z",
            "2026-02-27T12:00:00Z",
            "2026-03-06T12:00:00Z",
            "2026-03-13T12:00:00Z",
            "2026-03-20T12:00:00Z",
            "2026-03-27T12:00:00Z",
            "2026-04-03T12:00:00Z",
            "2026-04-10T12:00:00Z",
            "2026-04-13T12:00:00Z",
        ],
    );
}

#[test]
fn cron_knows_sunday_as_0_7_and_sun() {
    for sunday in ["0", "7", "SUN", "sun", "7-7"] {
        assert_fires(
            &cron("2026-01-01T00:00:00", "Europe/London", &format!("0 6 * * {sunday}")),
            "2026-01-01T00:00:00Z",
            &["2026-01-04T06:00:00Z", "2026-01-11T06:00:00Z"],
        );
    }
    assert_fires(
        &cron("2026-01-01T00:00:00", "UTC", "0 6 * JAN-FEB FRI-SUN"),
        "2026-01-01T00:00:00Z",
        &["2026-01-02T06:00:00Z", "2026-01-03T06:00:00Z", "2026-01-04T06:00:00Z", "2026-01-09T06:00:00Z"],
    );
}

#[test]
fn a_wall_time_after_the_anchor_may_be_an_instant_before_it() {
    // The anchor is 07:30Z; 03:10 comes after 02:30, but it is 07:10Z.
    let recurrence = recurrence(&cron("2026-03-08T02:30:00", "America/New_York", "10,50 2-3 * * *"));
    assert_eq!(recurrence.first(), Some(utc("2026-03-08T07:50:00Z")));
    assert_eq!(recurrence.latest_at_or_before(utc("2026-03-08T07:45:00Z")), None);
}

#[test]
fn cron_starts_with_its_anchor() {
    assert_fires(&cron("2026-06-01T09:00:01", "UTC", "0 9 * * *"), "2026-01-01T00:00:00Z", &["2026-06-02T09:00:00Z"]);
    assert_fires(&cron("2026-06-01T09:00:00", "UTC", "0 9 * * *"), "2026-01-01T00:00:00Z", &["2026-06-01T09:00:00Z"]);
}

#[test]
fn a_leap_day_is_clamped_by_monthly_and_awaited_by_cron() {
    assert_fires(
        &timing("2028-01-29T00:00:00", "UTC", RepeatType::Monthly),
        "2028-01-30T00:00:00Z",
        &["2028-02-29T00:00:00Z", "2028-03-29T00:00:00Z"],
    );
    assert_fires(
        &cron("2094-01-01T00:00:00", "UTC", "0 0 29 2 *"),
        "2094-01-01T00:00:00Z",
        &["2096-02-29T00:00:00Z", "2104-02-29T00:00:00Z"],
    );
}

#[test]
fn weekly_days_fold_duplicates_and_both_sundays() {
    let days = Timing {
        repeat_days_of_week: Some(vec![7, 0, 3, 3]),
        ..timing("2026-01-01T09:00:00", "UTC", RepeatType::Weekly)
    };
    assert_fires(
        &days,
        "2026-01-01T00:00:00Z",
        &["2026-01-04T09:00:00Z", "2026-01-07T09:00:00Z", "2026-01-11T09:00:00Z"],
    );
}

#[test]
fn custom_days_skip_a_civil_day_that_never_was() {
    assert_fires(
        &every("2011-12-28T09:00:00", "Pacific/Apia", 2, IntervalUnit::Days),
        "2011-12-28T00:00:00Z",
        &["2011-12-28T19:00:00Z", "2011-12-30T19:00:00Z", "2011-12-31T19:00:00Z", "2012-01-02T19:00:00Z"],
    );
}

#[test]
fn an_end_is_the_instant_of_its_wall_clock() {
    let until = |end: &str, zone, kind| Timing {
        repeat_end_date: Some(wall(end)),
        ..timing("2026-10-31T01:30:00", zone, kind)
    };
    let last = |timing: &Timing| recurrence(timing).latest_at_or_before(utc("2030-01-01T00:00:00Z"));
    // 01:30 on 1 November comes twice in New York; as an end it is the first.
    let fold = until("2026-11-01T01:30:00", "America/New_York", RepeatType::Hourly);
    assert_eq!(last(&fold), Some(utc("2026-11-01T05:30:00Z")));
    let second_before = until("2026-11-01T01:29:59", "America/New_York", RepeatType::Daily);
    assert_eq!(last(&second_before), Some(utc("2026-10-31T05:30:00Z")));
    assert_eq!(recurrence(&second_before).next_after(utc("2026-10-31T05:30:00Z")), None);
}

#[test]
fn a_preview_leaves_out_what_was_executed() {
    let timing =
        Timing { max_occurrences: Some(3), ..timing("2026-01-18T02:00:00", "America/New_York", RepeatType::Daily) };
    let recurrence = recurrence(&timing);
    let now = utc("2026-01-18T12:00:00Z");
    assert_eq!(recurrence.preview(now, 10, 1).len(), 2);
    assert_eq!(recurrence.preview(now, 1, 1).len(), 1);
    assert_eq!(recurrence.preview(now, 10, 3), []);
    assert_eq!(recurrence.preview(now, 10, i32::MAX), []);
    assert_eq!([0, 2, 3, 4].map(|executed| recurrence.is_exhausted(executed)), [false, false, true, true]);
    assert_eq!(
        serde_json::to_value(recurrence.preview(utc("2026-01-17T10:00:00Z"), 1, 0)).unwrap(),
        json!([{ "utc": "2026-01-18T07:00:00Z", "local": "2026-01-18T02:00:00-05:00" }]),
    );
}

#[test]
fn a_plan_is_due_at_once_only_if_it_is_for_one_time() {
    let now = utc("2026-02-18T00:30:00Z");
    let past = "2026-01-18T02:00:00";
    assert_eq!(recurrence(&timing(past, "UTC", RepeatType::None)).plan(now), Some(utc("2026-01-18T02:00:00Z")));
    assert_eq!(recurrence(&timing(past, "UTC", RepeatType::Hourly)).plan(now), Some(utc("2026-02-18T01:00:00Z")));
}
