//! Every wrong field is named, all of them at once.

use super::{IntervalUnit, Recurrence, RepeatType, Timing, cron, errors, every, timing, wall};
use crate::domain::recurrence::TimingError;

const ANCHOR: &str = "2026-01-18T02:00:00";

fn of(kind: RepeatType) -> Timing {
    timing(ANCHOR, "America/New_York", kind)
}

fn fields(timing: &Timing) -> Vec<&'static str> {
    Recurrence::new(timing).err().unwrap_or_default().iter().map(|error| error.field).collect()
}

#[track_caller]
fn assert_one_error(timing: &Timing, field: &str, message: &str) {
    let errors = errors(timing);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!((errors[0].field, errors[0].message.as_str()), (field, message));
}

#[test]
fn a_field_that_the_kind_does_not_use_is_refused() {
    let everything = |kind| Timing {
        repeat_interval: Some(1),
        repeat_interval_unit: Some(IntervalUnit::Hours),
        cron_expression: Some("* * * * *".to_owned()),
        repeat_days_of_week: Some(vec![1]),
        repeat_day_of_month: Some(1),
        repeat_end_date: Some(wall("2027-01-01T00:00:00")),
        max_occurrences: Some(5),
        ..of(kind)
    };
    let custom = ["repeat_interval", "repeat_interval_unit", "cron_expression"];
    let of_kind = |fields: &[&'static str]| [&custom[..], fields].concat();
    let both_days = ["repeat_days_of_week", "repeat_day_of_month"];
    let once = ["repeat_days_of_week", "repeat_day_of_month", "repeat_end_date", "max_occurrences"];
    assert_eq!(fields(&everything(RepeatType::None)), of_kind(&once));
    assert_eq!(fields(&everything(RepeatType::Hourly)), of_kind(&both_days));
    assert_eq!(fields(&everything(RepeatType::Daily)), of_kind(&both_days));
    assert_eq!(fields(&everything(RepeatType::Weekly)), of_kind(&both_days[1..]));
    assert_eq!(fields(&everything(RepeatType::Monthly)), of_kind(&both_days[..1]));
    assert_eq!(fields(&everything(RepeatType::Custom)), [&both_days[..], &["cron_expression"]].concat());
    assert_one_error(
        &Timing { repeat_interval: Some(2), ..of(RepeatType::Hourly) },
        "repeat_interval",
        "Is not used when repeat_type is 'hourly'; leave it out",
    );
}

#[test]
fn custom_takes_exactly_one_of_interval_and_cron() {
    assert_one_error(
        &of(RepeatType::Custom),
        "repeat_interval",
        "Is required when repeat_type is 'custom', unless cron_expression is given",
    );
    let unit_only = Timing { repeat_interval_unit: Some(IntervalUnit::Days), ..of(RepeatType::Custom) };
    assert_eq!(fields(&unit_only), ["repeat_interval"]);
    let both = Timing { repeat_interval: Some(1), ..cron(ANCHOR, "UTC", "* * * * *") };
    assert_one_error(&both, "cron_expression", "Cannot be combined with repeat_interval; leave one of the two out");
    let both_wrong = Timing { repeat_interval: Some(0), ..cron(ANCHOR, "UTC", "*") };
    assert_eq!(fields(&both_wrong), ["cron_expression", "repeat_interval", "cron_expression"]);
    let unit = Timing { repeat_interval_unit: Some(IntervalUnit::Hours), ..cron(ANCHOR, "UTC", "* * * * *") };
    assert_one_error(&unit, "repeat_interval_unit", "Is not used with cron_expression; leave it out");
}

#[test]
fn hours_are_the_default_unit() {
    let unsaid = Timing { repeat_interval_unit: None, ..every(ANCHOR, "UTC", 6, IntervalUnit::Hours) };
    assert_eq!(Recurrence::new(&unsaid), Recurrence::new(&every(ANCHOR, "UTC", 6, IntervalUnit::Hours)));
}

#[test]
fn numbers_have_ranges() {
    for (unit, max) in [(IntervalUnit::Hours, 87_600), (IntervalUnit::Days, 3_650)] {
        for good in [1, max] {
            assert_eq!(fields(&every(ANCHOR, "UTC", good, unit)), [""; 0]);
        }
        for bad in [i32::MIN, -1, 0, max + 1, i32::MAX] {
            let message = format!("Must be between 1 and {max}");
            assert_one_error(&every(ANCHOR, "UTC", bad, unit), "repeat_interval", &message);
        }
    }
    for (day, good) in [(i32::MIN, false), (0, false), (1, true), (31, true), (32, false), (i32::MAX, false)] {
        let monthly = Timing { repeat_day_of_month: Some(day), ..of(RepeatType::Monthly) };
        assert_eq!(fields(&monthly).is_empty(), good, "{day}");
    }
    for (days, good) in [
        (vec![], false),
        (vec![0], true),
        (vec![7, 7, 0, 1], true),
        (vec![-1], false),
        (vec![1, 8], false),
        (vec![i32::MIN], false),
        (vec![3; 10_000], true),
    ] {
        let weekly = Timing { repeat_days_of_week: Some(days.clone()), ..of(RepeatType::Weekly) };
        assert_eq!(fields(&weekly).is_empty(), good, "{:?}", days.first());
    }
    for (max, good) in [(i32::MIN, false), (-1, false), (0, false), (1, true), (i32::MAX, true)] {
        let daily = Timing { max_occurrences: Some(max), ..of(RepeatType::Daily) };
        assert_eq!(fields(&daily).is_empty(), good, "{max}");
    }
}

#[test]
fn an_end_lies_at_or_after_the_first_fire() {
    let until = |end: &str, timing: Timing| Timing { repeat_end_date: Some(wall(end)), ..timing };
    assert_eq!(fields(&until(ANCHOR, of(RepeatType::Daily))), [""; 0]);
    assert_one_error(
        &until("2026-01-18T01:59:59", of(RepeatType::Daily)),
        "repeat_end_date",
        "Must not be before the first fire",
    );
    // 18 January is a Sunday: the first fire is on the Monday.
    let monday = Timing { repeat_days_of_week: Some(vec![1]), ..of(RepeatType::Weekly) };
    assert_eq!(fields(&until("2026-01-19T01:59:59", monday.clone())), ["repeat_end_date"]);
    assert_eq!(fields(&until("2026-01-19T02:00:00", monday)), [""; 0]);
}

#[test]
fn all_wrong_fields_are_told_at_once() {
    let wrong = Timing {
        repeat_interval: Some(3),
        repeat_day_of_month: Some(99),
        repeat_end_date: Some(wall("2020-01-01T00:00:00")),
        max_occurrences: Some(0),
        ..of(RepeatType::Monthly)
    };
    assert_eq!(fields(&wrong), ["repeat_interval", "repeat_day_of_month", "max_occurrences", "repeat_end_date"]);
    let never = Timing { max_occurrences: Some(0), ..cron(ANCHOR, "UTC", "0 0 30 2 *") };
    assert_eq!(fields(&never), ["max_occurrences", "cron_expression"]);
}

#[test]
fn an_error_reads_as_field_and_message() {
    let error = TimingError { field: "timezone", message: "Must be known".to_owned() };
    assert_eq!(error.to_string(), "timezone: Must be known");
}
