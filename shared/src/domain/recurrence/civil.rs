//! From wall times to instants: the fires of a civil rule in one zone, without beginning and end.

use std::collections::BTreeSet;
use std::iter;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::calendar::Calendar;
use super::zone::{self, WallBounds};

/// The wall times of a calendar, read in a zone.
///
/// Around a change of the clock the order of wall times is not that of instants, so a search looks at every wall
/// time that could still turn out nearer than the best one found. [`WallBounds`] says which those are; where no
/// change is near it is a single one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Civil {
    pub(super) zone: Tz,
    pub(super) calendar: Calendar,
}

impl Civil {
    /// The first fire strictly after an instant.
    pub(super) fn after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut wall = WallBounds::around(self.zone, instant)?.floor;
        let mut nearest = None;
        let mut limit = None;
        loop {
            match self.calendar.after(wall) {
                Some(next) if limit.is_none_or(|limit| next <= limit) => wall = next,
                _ => return nearest,
            }
            let fire = zone::to_instant(self.zone, wall)?;
            if fire > instant && nearest.is_none_or(|nearest| fire < nearest) {
                nearest = Some(fire);
                limit = Some(WallBounds::around(self.zone, fire)?.ceiling);
            }
        }
    }

    /// The last fire at or before `instant` that is not before `from`.
    pub(super) fn at_or_before(&self, instant: DateTime<Utc>, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut wall = WallBounds::around(self.zone, instant)?.ceiling + TimeDelta::seconds(1);
        let mut nearest = None;
        let mut limit = WallBounds::around(self.zone, from)?.floor;
        loop {
            match self.calendar.before(wall) {
                Some(previous) if previous >= limit => wall = previous,
                _ => return nearest,
            }
            let fire = zone::to_instant(self.zone, wall)?;
            if fire >= from && fire <= instant && nearest.is_none_or(|nearest| fire > nearest) {
                nearest = Some(fire);
                limit = limit.max(WallBounds::around(self.zone, fire)?.floor);
            }
        }
    }

    /// How many fires there are from `from` to just before `to`.
    pub(super) fn count(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> u64 {
        let mut total = 0;
        let mut at = from;
        while at < to {
            let end = zone::probe_end(at, to);
            total += self.count_steady(at, end).unwrap_or_else(|| self.count_singly(at, end));
            at = end;
        }
        total
    }

    /// Counts without a look at each fire, where no change of the clock is near.
    fn count_steady(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Option<u64> {
        let offset = zone::steady_offset(self.zone, from, to)?;
        let wall = |at: DateTime<Utc>| at.naive_utc().checked_add_offset(offset);
        Some(self.calendar.count(wall(from)?, wall(to)?))
    }

    /// Counts the instants of all wall times that could lie in between.
    fn count_singly(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> u64 {
        let walls = || {
            let first = WallBounds::around(self.zone, from)?.floor - TimeDelta::seconds(1);
            let last = WallBounds::around(self.zone, to)?.ceiling;
            Some(
                iter::successors(self.calendar.after(first), |wall| self.calendar.after(*wall))
                    .take_while(move |wall| *wall <= last),
            )
        };
        let instants: BTreeSet<_> = walls()
            .into_iter()
            .flatten()
            .filter_map(|wall| zone::to_instant(self.zone, wall))
            .filter(|instant| *instant >= from && *instant < to)
            .collect();
        instants.len() as u64
    }
}
