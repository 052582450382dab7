//! What holds of every schedule in every zone.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{IntervalUnit, Recurrence, RepeatType, Timing, recurrence, utc, zones};

fn config() -> ProptestConfig {
    ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() }
}

fn datetimes() -> impl Strategy<Value = NaiveDateTime> {
    // Half of them at the hours at which clocks change.
    let hours = prop_oneof![0..24_u32, 0..4_u32];
    (1970..2090_i32, 1..=366_u32, hours, 0..60_u32, 0..60_u32).prop_map(|(year, day, hour, minute, second)| {
        let date = NaiveDate::from_yo_opt(year, day).or(NaiveDate::from_yo_opt(year, 365)).unwrap();
        date.and_hms_opt(hour, minute, second).unwrap()
    })
}

fn instants() -> impl Strategy<Value = DateTime<Utc>> {
    (-400_000_000..4_300_000_000_i64, 0..1_000_000_000_u32)
        .prop_map(|(seconds, nanoseconds)| DateTime::from_timestamp(seconds, nanoseconds).unwrap())
}

/// A valid field: a list of numbers, ranges and steps.
fn cron_field(min: u32, max: u32) -> impl Strategy<Value = String> {
    let range = (min..=max, min..=max).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b)));
    let item = prop_oneof![
        4 => (min..=max).prop_map(|number| number.to_string()),
        1 => range.clone(),
        1 => (range, 1..10_u32).prop_map(|(range, step)| format!("{range}/{step}")),
        1 => (1..20_u32).prop_map(|step| format!("*/{step}")),
    ];
    prop_oneof![
        1 => Just("*".to_owned()),
        2 => prop::collection::vec(item, 1..3).prop_map(|items| items.join(",")),
    ]
}

/// Valid expressions; days up to 28, so that each of them fires.
pub(super) fn cron_expressions() -> impl Strategy<Value = String> {
    (cron_field(0, 59), cron_field(0, 23), cron_field(1, 28), cron_field(1, 12), cron_field(0, 7))
        .prop_map(|(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"))
}

/// The fields of the kinds, each valid.
#[derive(Clone, Debug)]
enum Kind {
    Plain(RepeatType),
    Weekly(Vec<i32>),
    Monthly(i32),
    Every(i32, IntervalUnit),
    Cron(String),
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        select(vec![RepeatType::None, RepeatType::Hourly, RepeatType::Daily, RepeatType::Weekly, RepeatType::Monthly])
            .prop_map(Kind::Plain),
        subsequence(vec![0, 1, 2, 3, 4, 5, 6, 7], 1..=7).prop_map(Kind::Weekly),
        (1..=31).prop_map(Kind::Monthly),
        (1..200, select(IntervalUnit::ALL)).prop_map(|(interval, unit)| Kind::Every(interval, unit)),
        cron_expressions().prop_map(Kind::Cron),
    ]
}

fn timings() -> impl Strategy<Value = Timing> {
    (datetimes(), select(zones()), kinds()).prop_map(|(scheduled_datetime, timezone, kind)| {
        let mut timing = Timing {
            scheduled_datetime,
            timezone,
            repeat_type: RepeatType::Custom,
            repeat_interval: None,
            repeat_interval_unit: None,
            cron_expression: None,
            repeat_days_of_week: None,
            repeat_day_of_month: None,
            repeat_end_date: None,
            max_occurrences: None,
        };
        match kind {
            Kind::Plain(repeat_type) => timing.repeat_type = repeat_type,
            Kind::Weekly(days) => {
                timing.repeat_type = RepeatType::Weekly;
                timing.repeat_days_of_week = Some(days);
            }
            Kind::Monthly(day) => {
                timing.repeat_type = RepeatType::Monthly;
                timing.repeat_day_of_month = Some(day);
            }
            Kind::Every(interval, unit) => {
                timing.repeat_interval = Some(interval);
                timing.repeat_interval_unit = Some(unit);
            }
            Kind::Cron(expression) => timing.cron_expression = Some(expression),
        }
        timing
    })
}

fn fires(recurrence: &Recurrence, after: DateTime<Utc>, count: usize) -> Vec<DateTime<Utc>> {
    recurrence.fires_after(after).take(count).collect()
}

/// Whether the zone's clock is the same for a good day on both sides.
fn is_steady(zone: Tz, at: DateTime<Utc>) -> bool {
    let offset = |hours| zone.offset_from_utc_datetime(&(at + TimeDelta::hours(hours)).naive_utc()).fix();
    (-27..=27).all(|hours| offset(hours) == offset(0))
}

/// The wall times of a civil kind, by the words of the rule.
fn is_wall_time(timing: &Timing, wall: NaiveDateTime) -> bool {
    let anchor = timing.scheduled_datetime;
    let days = (wall.date() - anchor.date()).num_days();
    let last = wall.date().num_days_in_month();
    let on_day = match (timing.repeat_type, timing.repeat_interval_unit) {
        (RepeatType::Weekly, _) => timing.repeat_days_of_week.as_ref().map_or(days % 7 == 0, |listed| {
            listed.iter().any(|day| day % 7 == wall.weekday().num_days_from_sunday().cast_signed())
        }),
        (RepeatType::Monthly, _) => {
            let day = timing.repeat_day_of_month.map_or(anchor.day(), i32::unsigned_abs);
            wall.day() == day.min(u32::from(last))
        }
        (RepeatType::Custom, Some(IntervalUnit::Days)) => days % i64::from(timing.repeat_interval.unwrap()) == 0,
        (RepeatType::Daily, _) => true,
        // Elapsed kinds show any time; cron is compared with croner elsewhere.
        _ => return wall.nanosecond() == 0,
    };
    on_day && wall.time() == anchor.time()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn fires_increase_and_the_next_is_after_now(timing in timings(), now in instants()) {
        let fires = fires(&recurrence(&timing), now, 12);
        prop_assert!(fires.first().is_none_or(|first| *first > now));
        prop_assert!(fires.is_sorted_by(|a, b| a < b), "{fires:?}");
        prop_assert!(fires.iter().all(|at| Some(*at) >= recurrence(&timing).first()));
        prop_assert_eq!(fires.len(), if timing.repeat_type == RepeatType::None { fires.len().min(1) } else { 12 });
    }

    #[test]
    fn the_wall_time_is_kept_away_from_changes(timing in timings(), now in instants()) {
        for at in fires(&recurrence(&timing), now, 12) {
            if is_steady(timing.timezone, at) {
                let wall = at.with_timezone(&timing.timezone).naive_local();
                prop_assert!(is_wall_time(&timing, wall), "{wall}");
            }
        }
    }

    #[test]
    fn elapsed_kinds_keep_their_distance(timing in timings(), now in instants()) {
        let hours = match (timing.repeat_type, timing.repeat_interval_unit) {
            (RepeatType::Hourly, _) => 1,
            (RepeatType::Custom, Some(IntervalUnit::Hours)) => timing.repeat_interval.unwrap(),
            _ => return Ok(()),
        };
        let recurrence = recurrence(&timing);
        let first = recurrence.first().unwrap();
        for at in fires(&recurrence, now, 5) {
            prop_assert_eq!((at - first).num_seconds() % (i64::from(hours) * 3_600), 0);
        }
    }

    #[test]
    fn stepping_listing_and_looking_back_agree(timing in timings(), now in instants(), thousandths in 0..1_000_i64) {
        let recurrence = recurrence(&timing);
        let list = fires(&recurrence, now, 8);
        let preview: Vec<_> = recurrence.preview(now, 8, 0).iter().map(|fire| fire.utc).collect();
        prop_assert_eq!(&preview, &list);
        for pair in list.windows(2) {
            // any instant between two fires knows both of them
            let between = pair[0] + TimeDelta::seconds((pair[1] - pair[0]).num_seconds() * thousandths / 1_000);
            prop_assert_eq!(recurrence.next_after(between), Some(pair[1]));
            prop_assert_eq!(recurrence.latest_at_or_before(between), Some(pair[0]));
            prop_assert_eq!(recurrence.latest_at_or_before(pair[1]), Some(pair[1]));
        }
    }

    #[test]
    fn what_is_due_is_what_was_listed(timing in timings(), now in instants(), count in 1..250_usize) {
        let recurrence = recurrence(&timing);
        let list = fires(&recurrence, now, count);
        let [first, .., last] = list.as_slice() else { return Ok(()) };
        let due = recurrence.due(*first, *last).unwrap();
        let listed = (list.len() - 1).min(100);
        prop_assert_eq!(due.fire, *last);
        prop_assert_eq!(&due.missed[..], &list[list.len() - 1 - listed..list.len() - 1]);
        prop_assert_eq!(due.missed_more, (list.len() - 1 - listed) as u64);
        prop_assert_eq!(due.next, recurrence.next_after(*last));
    }

    #[test]
    fn an_end_cuts_the_list_and_changes_nothing_before_it(timing in timings(), now in instants(), end in datetimes()) {
        prop_assume!(timing.repeat_type != RepeatType::None);
        let endless = recurrence(&timing);
        let Ok(ending) = Recurrence::new(&Timing { repeat_end_date: Some(end), ..timing }) else { return Ok(()) };
        let last = ending.latest_at_or_before(utc("9000-01-01T00:00:00Z")).unwrap();
        prop_assert_eq!(ending.next_after(last), None);
        let cut: Vec<_> = endless.fires_after(now).take(8).take_while(|at| *at <= last).collect();
        prop_assert_eq!(fires(&ending, now, 8), cut);
    }
}
