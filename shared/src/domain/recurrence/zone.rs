//! Wall clock and instant: the one rule for gaps and folds that all kinds of schedule share.

use chrono::{DateTime, FixedOffset, LocalResult, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};

/// Longer than any change of a zone's clock: the largest, a whole day, is the move over the date line.
const LONGEST_CHANGE: TimeDelta = TimeDelta::hours(25);

/// Together with [`LONGEST_CHANGE`] shorter than the time between any two changes of one zone (6 days and 23 hours).
const STEADY_PROBE: TimeDelta = TimeDelta::days(4);

/// 2100-01-01T00:00:00Z in seconds; the compiled zone data knows of no change after it.
const LAST_CHANGE: i64 = 4_102_444_800;

/// The last year in which anything fires: RFC 3339 cannot write a later one.
const LAST_YEAR: i32 = 9999;

/// The version of the IANA data that is compiled in, such as `2025b`.
pub const ZONE_DATA_VERSION: &str = chrono_tz::IANA_TZDB_VERSION;

/// Reads wall clock digits in a zone (RFC 5545, 3.3.5).
///
/// A time in a gap takes the offset before the gap, a time in a fold is its first occurrence. `None` only beyond
/// the range of chrono.
pub(super) fn to_instant(zone: Tz, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
    let offset = match zone.offset_from_local_datetime(&wall) {
        LocalResult::Single(offset) | LocalResult::Ambiguous(offset, _) => offset,
        LocalResult::None => GapInfo::new(&wall, &zone)?.begin?.1,
    };
    Some(wall.checked_sub_offset(offset.fix())?.and_utc())
}

/// Two wall times around an instant that bound where a search has to look.
///
/// Every wall time up to `floor` is an instant at or before the given one, and every wall time after `ceiling` is a
/// later instant. The two are the same unless the zone's clock changed within the last day: then the wall times
/// between them lie, in no simple order, on both sides.
pub(super) struct WallBounds {
    pub(super) floor: NaiveDateTime,
    pub(super) ceiling: NaiveDateTime,
}

impl WallBounds {
    pub(super) fn around(zone: Tz, instant: DateTime<Utc>) -> Option<Self> {
        let offset = offset_at(zone, instant).local_minus_utc();
        let earlier = offset_at(zone, instant.checked_sub_signed(LONGEST_CHANGE)?).local_minus_utc();
        let wall = |seconds: i32| instant.naive_utc().checked_add_offset(FixedOffset::east_opt(seconds)?);
        Some(Self { floor: wall(offset.min(earlier))?, ceiling: wall(offset.max(earlier))? })
    }
}

/// How far from `at` a look at the zone's offset at both ends tells whether it changes in between.
pub(super) fn probe_end(at: DateTime<Utc>, limit: DateTime<Utc>) -> DateTime<Utc> {
    if at.timestamp() >= LAST_CHANGE {
        return limit;
    }
    at.checked_add_signed(STEADY_PROBE).map_or(limit, |end| end.min(limit))
}

/// The offset that holds from `from` to `to`, if the times between them are untouched by any change of the clock.
///
/// The two must be no further apart than [`probe_end`] says.
pub(super) fn steady_offset(zone: Tz, from: DateTime<Utc>, to: DateTime<Utc>) -> Option<FixedOffset> {
    let offset = offset_at(zone, from);
    let before = offset_at(zone, from.checked_sub_signed(LONGEST_CHANGE)?);
    (before == offset && offset_at(zone, to) == offset).then_some(offset)
}

/// The last instant at which both UTC and the zone's wall clock show a year that RFC 3339 can write.
pub(super) fn last_instant(zone: Tz) -> DateTime<Utc> {
    let wall = NaiveDate::from_ymd_opt(LAST_YEAR, 12, 31)
        .and_then(|date| date.and_hms_opt(23, 59, 59))
        .unwrap_or(NaiveDateTime::MAX);
    to_instant(zone, wall).map_or(wall.and_utc(), |instant| instant.min(wall.and_utc()))
}

fn offset_at(zone: Tz, instant: DateTime<Utc>) -> FixedOffset {
    zone.offset_from_utc_datetime(&instant.naive_utc()).fix()
}
