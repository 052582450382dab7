//! When a schedule fires: from its timing columns to instants, without a clock and without a database.
//!
//! [`Recurrence::new`] checks a [`Timing`]; the rest answers questions about the list of fires that it stands for.
//! That list is defined in two steps. A rule makes either instants (elapsed kinds) or wall times (civil kinds, see
//! `calendar`); wall times become instants by one rule for gaps and folds (see `zone`), are sorted, and count once
//! if several fall on the same instant. What lies from the anchor to the end is the list: it strictly increases.
//!
//! The compiled zone data know of no change of any clock after 2099: from then on every zone keeps its last offset.

mod calendar;
mod civil;
mod cron;
mod due;
mod input;
mod timing;
mod zone;

#[cfg(test)]
mod tests;

use std::iter;

use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use civil::Civil;

pub use due::{Due, MAX_MISSED};
pub use input::{parse_timezone, parse_wall_clock};
pub use timing::{IntervalUnit, RepeatType, Timing, TimingError};
pub use zone::ZONE_DATA_VERSION;

/// The most fires that [`Recurrence::preview`] lists.
pub const MAX_PREVIEW: usize = 50;

const SECOND: TimeDelta = TimeDelta::seconds(1);

/// The checked timing of a schedule: the list of instants at which it fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recurrence {
    zone: Tz,
    rule: Rule,
    starts_at: DateTime<Utc>,
    /// Inclusive; the end of the year 9999 if the schedule has no end.
    ends_at: DateTime<Utc>,
    max_occurrences: Option<i32>,
}

/// A kind with its own fields, without beginning and end.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    /// At the anchor.
    Once,
    /// The anchor plus any number of these steps.
    Elapsed { seconds: i64 },
    /// Wall times.
    Civil(Civil),
}

/// One fire of a preview.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Fire {
    /// The instant.
    pub utc: DateTime<Utc>,
    /// The same instant as the zone's clock shows it.
    pub local: DateTime<FixedOffset>,
}

impl Recurrence {
    /// Checks the timing columns of a schedule (scheduling.md, Kinds and Ends).
    ///
    /// # Errors
    /// Every wrong field at once: one that the kind does not use, a value out of range, a cron expression that is
    /// malformed or never fires, an end before the first fire, a count below 1.
    pub fn new(timing: &Timing) -> Result<Self, Vec<TimingError>> {
        let mut errors = timing.unused_fields();
        let rule = keep(timing.rule(), &mut errors);
        let starts_at = keep(timing.starts_at(), &mut errors);
        let max_occurrences = keep(timing.checked_max_occurrences(), &mut errors).flatten();
        let recurrence = rule.zip(starts_at).map(|(rule, starts_at)| Self {
            zone: timing.timezone,
            rule,
            starts_at,
            ends_at: zone::last_instant(timing.timezone),
            max_occurrences,
        });
        let first = recurrence.as_ref().map(Self::first);
        if first == Some(None) {
            errors.push(never_fires(timing));
        }
        let ends_at = timing.ends_at();
        // While the rule itself is wrong, the anchor is the best that is known of the first fire.
        if let (Some(end), Some(first)) = (ends_at, first.flatten().or(starts_at))
            && end < first
        {
            errors.push(TimingError::new("repeat_end_date", "Must not be before the first fire"));
        }
        let mut recurrence = recurrence.filter(|_| errors.is_empty()).ok_or(errors)?;
        recurrence.ends_at = ends_at.map_or(recurrence.ends_at, |end| end.min(recurrence.ends_at));
        Ok(recurrence)
    }

    /// The first fire; `None` never happens to a recurrence that [`Self::new`] accepted.
    #[must_use]
    pub fn first(&self) -> Option<DateTime<Utc>> {
        self.next_after(self.starts_at - SECOND)
    }

    /// The first fire strictly after an instant; `None` if the rule or its end has nothing left.
    ///
    /// `max_occurrences` has no say here: it counts runs, see [`Self::is_exhausted`].
    #[must_use]
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let after = whole_seconds(instant).max(self.starts_at - SECOND);
        if after >= self.ends_at {
            return None;
        }
        let next = match &self.rule {
            Rule::Once => Some(self.starts_at).filter(|at| *at > after),
            Rule::Elapsed { seconds } => {
                let passed = (after - self.starts_at).num_seconds().div_euclid(*seconds);
                let since_start = TimeDelta::try_seconds((passed + 1).checked_mul(*seconds)?)?;
                self.starts_at.checked_add_signed(since_start)
            }
            Rule::Civil(civil) => civil.after(after),
        };
        next.filter(|at| *at <= self.ends_at)
    }

    /// The last fire at or before an instant, if there is any.
    #[must_use]
    pub fn latest_at_or_before(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let limit = whole_seconds(instant).min(self.ends_at);
        if limit < self.starts_at {
            return None;
        }
        match &self.rule {
            Rule::Once => Some(self.starts_at),
            Rule::Elapsed { seconds } => {
                let past_last = (limit - self.starts_at).num_seconds().rem_euclid(*seconds);
                limit.checked_sub_signed(TimeDelta::try_seconds(past_last)?)
            }
            Rule::Civil(civil) => civil.at_or_before(limit, self.starts_at),
        }
    }

    /// The fire that a stored next time stands for, if the zone data changed since it was computed: the nearest one, of two
    /// equally near ones the later. Fires up to `handled`, the last one that was dealt with, are out of the question.
    ///
    /// A change moves fires by hours at most, so the nearest is the same occurrence at its new instant, be it before or
    /// after now. The first fire after now would be the wrong answer where a change moves an occurrence over now: it
    /// would leave it out, or fire it again.
    #[must_use]
    pub fn moved(&self, stored: DateTime<Utc>, handled: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        let is_open = |at: &DateTime<Utc>| handled.is_none_or(|handled| *at > handled);
        let before = self.latest_at_or_before(stored).filter(is_open);
        let after = self.next_after(handled.map_or(stored, |handled| stored.max(handled)));
        match (before, after) {
            (Some(before), Some(after)) if stored - before < after - stored => Some(before),
            (before, after) => after.or(before),
        }
    }

    /// The instant to store as `next_execution_at` at creation, at resume, and when a timing field changes.
    ///
    /// That is the first fire strictly after now, except that a one-time schedule in the past is due at once.
    #[must_use]
    pub fn plan(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.rule {
            Rule::Once => Some(self.starts_at),
            _ => self.next_after(now),
        }
    }

    /// The fires strictly after an instant, in order, as far as the rule and its end go.
    pub fn fires_after(&self, instant: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
        iter::successors(self.next_after(instant), |at| self.next_after(*at))
    }

    /// The next fires strictly after `from`: `count` of them, but at most [`MAX_PREVIEW`], and no more than
    /// `max_occurrences` leaves after the `executed` runs that the plan has created.
    #[must_use]
    pub fn preview(&self, from: DateTime<Utc>, count: usize, executed: i32) -> Vec<Fire> {
        let left = self
            .max_occurrences
            .map_or(usize::MAX, |max| usize::try_from(i64::from(max) - i64::from(executed)).unwrap_or(0));
        self.fires_after(from)
            .take(count.min(MAX_PREVIEW).min(left))
            .map(|utc| Fire { utc, local: utc.with_timezone(&self.zone).fixed_offset() })
            .collect()
    }

    /// Whether the plan has created as many runs as `max_occurrences` allows: then nothing fires any more.
    #[must_use]
    pub fn is_exhausted(&self, executed: i32) -> bool {
        self.max_occurrences.is_some_and(|max| executed >= max)
    }
}

/// The value of a check, or its errors added to the others.
fn keep<T>(checked: Result<T, Vec<TimingError>>, errors: &mut Vec<TimingError>) -> Option<T> {
    checked.map_err(|found| errors.extend(found)).ok()
}

fn never_fires(timing: &Timing) -> TimingError {
    match timing.cron_expression {
        Some(_) => TimingError::new("cron_expression", "Never fires: no such date exists"),
        None => TimingError::new("scheduled_datetime", "Never fires before the end of the year 9999"),
    }
}

/// Fires are whole seconds, so the fraction of an instant never matters; clocks and databases have one.
fn whole_seconds(instant: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp(instant.timestamp(), 0).unwrap_or(instant)
}
