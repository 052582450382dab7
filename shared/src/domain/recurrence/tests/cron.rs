//! Cron expressions: what is accepted, and croner as a second opinion on what they mean.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use croner::Cron;
use proptest::prelude::*;

use super::properties::cron_expressions;
use super::{cron, errors, recurrence, utc};
use crate::domain::recurrence::Recurrence;

const ANCHOR: &str = "2026-01-01T00:00:00";

fn fires(expression: &str, count: usize) -> Vec<DateTime<Utc>> {
    recurrence(&cron(ANCHOR, "UTC", expression)).fires_after(utc("2026-01-01T00:00:00Z")).take(count).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn croner_finds_the_same_wall_times(expression in cron_expressions()) {
        let pattern: Cron = expression.parse().unwrap();
        let start: NaiveDateTime = ANCHOR.parse().unwrap();
        let theirs: Vec<_> = pattern.iter_after(start).take(20).map(|wall| wall.and_utc()).collect();
        prop_assert_eq!(fires(&expression, 20), theirs);
    }

    #[test]
    fn no_text_is_a_panic(text in r"[-0-9*/,A-Za-z#@?+ ]{0,24}|\PC{0,12}") {
        let _ = Recurrence::new(&cron(ANCHOR, "Europe/London", &text)).map(|recurrence| recurrence.first());
    }
}

#[test]
fn names_stand_for_numbers_in_any_case() {
    assert_eq!(fires("0 0 * feb,Apr-JUN mon-Fri", 50), fires("0 0 * 2,4-6 1-5", 50));
    assert_eq!(fires("0 0 * * SUN-TUE", 50), fires("0 0 * * 0-2", 50));
    assert_eq!(fires("  0\t0 1   1 *  ", 3), fires("0 0 1 1 *", 3));
}

#[test]
fn a_day_field_with_a_step_is_restricted() {
    // 1, 8, 15, 22 and 29 January, or a Monday
    let january = fires("0 0 */7 * 1", 7);
    let days = ["05", "08", "12", "15", "19", "22", "26"].map(|day| utc(&format!("2026-01-{day}T00:00:00Z")));
    assert_eq!(january, days);
}

#[test]
fn a_field_at_fault_is_named() {
    for (expression, name) in [
        ("60 * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day-of-month"),
        ("* * 32 * *", "day-of-month"),
        ("* * * 13 *", "month"),
        ("* * * 0 *", "month"),
        ("* * * * 8", "day-of-week"),
        ("5-1 * * * *", "minute"),
        ("*/0 * * * *", "minute"),
        ("5/10 * * * *", "minute"),
        ("*/99999999999 * * * *", "minute"),
        ("99999999999999999999 * * * *", "minute"),
        ("* 1- * * *", "hour"),
        ("* -1 * * *", "hour"),
        ("* 1-2-3 * * *", "hour"),
        ("* 1/2/3 * * *", "hour"),
        ("*,5 * * * *", "minute"),
        (",5 * * * *", "minute"),
        ("5, * * * *", "minute"),
        ("+5 * * * *", "minute"),
        ("*-5 * * * *", "minute"),
        ("** * * * *", "minute"),
        ("MON * * * *", "minute"),
        ("* * * MON *", "month"),
        ("* * * * JAN", "day-of-week"),
        ("* * * */FEB *", "month"),
        ("* * L * *", "day-of-month"),
        ("* * 15W * *", "day-of-month"),
        ("* * ? * *", "day-of-month"),
        ("* * * * 5#3", "day-of-week"),
        ("* * * * 5L", "day-of-week"),
        ("* * * * +1", "day-of-week"),
        ("* * * * MONDAY", "day-of-week"),
        ("* * * * SUNMON", "day-of-week"),
        ("* * * * ²", "day-of-week"),
        ("H * * * *", "minute"),
    ] {
        let errors = errors(&cron(ANCHOR, "UTC", expression));
        assert_eq!(errors.len(), 1, "{expression}");
        assert_eq!(errors[0].field, "cron_expression");
        assert!(errors[0].message.starts_with(&format!("The {name} field")), "{expression}: {}", errors[0]);
    }
}

#[test]
fn five_fields_are_wanted() {
    for expression in ["", "   ", "*", "* * * *", "0 * * * * *", "0 0 * * * * 2026", "@daily", "@reboot", "@every 5m"] {
        let errors = errors(&cron(ANCHOR, "UTC", expression));
        assert!(errors[0].message.starts_with("Must have five fields"), "'{expression}': {}", errors[0]);
    }
    let long = errors(&cron(ANCHOR, "UTC", &"1,".repeat(200)));
    assert_eq!(long[0].message, "Must have at most 255 characters");
}

#[test]
fn a_date_that_never_comes_is_refused() {
    for expression in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 30,31 2 *"] {
        let errors = errors(&cron(ANCHOR, "America/New_York", expression));
        assert_eq!(errors.len(), 1, "{expression}");
        assert_eq!(errors[0].field, "cron_expression");
        assert_eq!(errors[0].message, "Never fires: no such date exists");
    }
}

#[test]
fn every_minute_is_every_minute() {
    let all = fires("* * * * *", 1_500);
    assert!(all.windows(2).all(|pair| pair[1] - pair[0] == TimeDelta::minutes(1)));
}
