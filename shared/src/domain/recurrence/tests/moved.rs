//! What a stored next time stands for once the zone data it was computed with are no longer ours.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::{cron, recurrence, timing, utc};
use crate::domain::recurrence::RepeatType;

/// Daily at two in New York, which is 07:00Z in winter.
fn daily() -> super::Recurrence {
    recurrence(&timing("2026-01-10T02:00:00", "America/New_York", RepeatType::Daily))
}

fn moved(stored: &str, handled: Option<&str>) -> Option<DateTime<Utc>> {
    daily().moved(utc(stored), handled.map(utc))
}

#[test]
fn the_same_occurrence_is_found_at_its_new_instant() {
    let due = Some(utc("2026-01-18T07:00:00Z"));
    for stored in ["2026-01-18T06:00:00Z", "2026-01-18T07:00:00Z", "2026-01-18T08:00:00Z", "2026-01-18T10:30:00Z"] {
        assert_eq!(moved(stored, None), due, "{stored}");
        assert_eq!(moved(stored, Some("2026-01-17T07:00:00Z")), due, "{stored}");
    }
}

#[test]
fn an_occurrence_that_was_dealt_with_at_its_old_instant_does_not_come_again_at_its_new_one() {
    // The one of the 18th fired at 06:00Z, when our data were not yet here; the stored next time is the 19th's.
    let handled = Some("2026-01-18T06:00:00Z");
    assert_eq!(moved("2026-01-19T06:00:00Z", handled), Some(utc("2026-01-19T07:00:00Z")));
}

#[test]
fn what_was_dealt_with_is_out_of_the_question_however_near() {
    assert_eq!(
        moved("2026-01-18T08:00:00Z", Some("2026-01-18T07:00:00Z")),
        Some(utc("2026-01-19T07:00:00Z")),
        "a row changed by hand"
    );
}

#[test]
fn of_two_equally_near_fires_the_later_is_taken() {
    let every_hour = recurrence(&cron("2026-01-10T00:00:00", "Asia/Kathmandu", "15 * * * *"));
    assert_eq!(every_hour.moved(utc("2026-01-18T06:00:00Z"), None), Some(utc("2026-01-18T06:30:00Z")));
    assert_eq!(every_hour.moved(utc("2026-01-18T06:00:01Z"), None), Some(utc("2026-01-18T06:30:00Z")));
    assert_eq!(every_hour.moved(utc("2026-01-18T05:59:59Z"), None), Some(utc("2026-01-18T05:30:00Z")));
}

#[test]
fn the_last_fire_before_the_end_is_kept_and_nothing_is_made_up_after_it() {
    let mut ending = timing("2026-01-10T02:00:00", "America/New_York", RepeatType::Daily);
    ending.repeat_end_date = Some(super::wall("2026-01-18T02:00:00"));
    let ending = recurrence(&ending);
    let last = utc("2026-01-18T07:00:00Z");
    assert_eq!(ending.moved(utc("2026-01-18T08:00:00Z"), None), Some(last));
    assert_eq!(ending.moved(utc("2026-01-19T08:00:00Z"), Some(last)), None);
    let once = recurrence(&timing("2026-01-18T02:00:00", "America/New_York", RepeatType::None));
    assert_eq!(once.moved(utc("2026-01-18T09:00:00Z"), None), Some(last));
    assert_eq!(once.moved(utc("2026-01-18T04:00:00Z"), None), Some(last));
}

proptest! {
    #[test]
    fn a_fire_stays_where_it_is_and_a_shifted_one_comes_back(days in 0_i64..2000, shift in -5_i64..=5) {
        let daily = daily();
        let after = utc("2026-01-10T00:00:00Z") + TimeDelta::days(days);
        let fire = daily.next_after(after).expect("a daily fire");
        prop_assert_eq!(daily.moved(fire + TimeDelta::hours(shift), daily.latest_at_or_before(after)), Some(fire));
    }
}
