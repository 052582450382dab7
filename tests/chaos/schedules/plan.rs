//! What happens, and when: all of it drawn from the seed before anything starts.

use std::time::Duration;

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::super::faults::Faults;

/// How many schedules fire every minute. They begin with due times that came while no scheduler was there.
const MINUTELY: u32 = 8;
/// The first one-time schedule is due so long after the start: all are stored by then.
const HEAD_START: Duration = Duration::from_secs(5);

/// What is to happen.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) minutely: Vec<Minutely>,
    /// When each one-time schedule is due. Whole seconds; some share one.
    pub(crate) once: Vec<DateTime<Utc>>,
    pub(crate) faults: Faults,
}

/// A schedule that fires every minute from the first to the last one, both inclusive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Minutely {
    pub(crate) first: DateTime<Utc>,
    pub(crate) last: DateTime<Utc>,
}

impl Minutely {
    pub(crate) fn occurrences(self) -> impl Iterator<Item = DateTime<Utc>> {
        (0..=(self.last - self.first).num_minutes()).map(move |minutes| self.first + TimeDelta::minutes(minutes))
    }
}

impl Plan {
    /// Draws a plan for `processes` processes with that many occurrences, from `start` on.
    pub(crate) fn draw(
        seed: u64,
        occurrences: u32,
        duration: Duration,
        processes: usize,
        start: DateTime<Utc>,
    ) -> anyhow::Result<Self> {
        let mut rng = StdRng::seed_from_u64(seed);
        let last = (start + duration).duration_trunc(TimeDelta::minutes(1))?;
        let this_minute = start.duration_trunc(TimeDelta::minutes(1))?;
        let mut left = occurrences;
        let mut minutely = Vec::new();
        for _ in 0..MINUTELY {
            let drawn = Minutely { first: this_minute - TimeDelta::minutes(rng.random_range(1..=12)), last };
            let fires = u32::try_from(drawn.occurrences().count())?;
            // The others are for one-time schedules, half of all at least.
            if left < occurrences / 2 + fires {
                break;
            }
            left -= fires;
            minutely.push(drawn);
        }

        let (from, to) = (HEAD_START.as_secs(), duration.as_secs().max(HEAD_START.as_secs() + 1));
        let mut once = Vec::new();
        while once.len() < usize::try_from(left)? {
            let due = start.duration_trunc(TimeDelta::seconds(1))? + Duration::from_secs(rng.random_range(from..to));
            let together = if rng.random_bool(0.1) { rng.random_range(5..=20) } else { 1 };
            once.extend(std::iter::repeat_n(due, together.min(usize::try_from(left)? - once.len())));
        }

        Ok(Self { minutely, once, faults: Faults::draw(seed, duration, processes) })
    }
}
