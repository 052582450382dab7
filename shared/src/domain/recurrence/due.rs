//! What is due after a time without a scheduler (scheduling.md, Missed).

use std::iter;

use chrono::{DateTime, Utc};

use super::{Recurrence, Rule, SECOND, whole_seconds};

/// The most missed fires that are listed one by one.
pub const MAX_MISSED: usize = 100;

/// What a scheduler does with a schedule whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The latest due fire, however late: this one runs.
    pub fire: DateTime<Utc>,
    /// The newest of the earlier fires that were due too, oldest first, at most [`MAX_MISSED`].
    pub missed: Vec<DateTime<Utc>>,
    /// How many more were missed before those in `missed`.
    pub missed_more: u64,
    /// The first fire after now; the caller drops it once `max_occurrences` runs are created.
    pub next: Option<DateTime<Utc>>,
}

impl Recurrence {
    /// What is due now, given the stored next time; `None` if that is still to come.
    ///
    /// The stored time is due even if the rule does not know it (any more): it was promised.
    #[must_use]
    pub fn due(&self, next_execution_at: DateTime<Utc>, now: DateTime<Utc>) -> Option<Due> {
        if next_execution_at > now {
            return None;
        }
        let fire = self.latest_at_or_before(now).map_or(next_execution_at, |at| at.max(next_execution_at));
        let before = |at: &DateTime<Utc>| {
            let earlier = at.checked_sub_signed(SECOND).and_then(|at| self.latest_at_or_before(at));
            (*at > next_execution_at).then(|| earlier.map_or(next_execution_at, |at| at.max(next_execution_at)))
        };
        let mut missed: Vec<_> = iter::successors(before(&fire), before).take(MAX_MISSED).collect();
        missed.reverse();
        let missed_more = missed.first().map_or(0, |oldest| self.count(next_execution_at, *oldest));
        Some(Due { fire, missed, missed_more, next: self.next_after(now) })
    }

    /// How many fires there are from the stored next time, which counts in any case, to just before `oldest`.
    fn count(&self, next_execution_at: DateTime<Utc>, oldest: DateTime<Utc>) -> u64 {
        if next_execution_at >= oldest {
            return 0;
        }
        let from = (whole_seconds(next_execution_at) + SECOND).max(self.starts_at);
        let rest = match &self.rule {
            Rule::Once => 0,
            Rule::Elapsed { seconds } => {
                let steps_to = |at: DateTime<Utc>| (at - SECOND - self.starts_at).num_seconds().div_euclid(*seconds);
                u64::try_from(steps_to(oldest) - steps_to(from)).unwrap_or(0)
            }
            Rule::Civil(civil) => civil.count(from, oldest),
        };
        1 + rest
    }
}
