//! What breaks, and when: all of it drawn from the seed before anything starts.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Longest time that a service is frozen: as long as PostgreSQL bears with an idle transaction.
const LONGEST_FREEZE: Duration = Duration::from_secs(60);
/// Longest time for which everything between services and PostgreSQL is slow.
const LONGEST_SLOWNESS: Duration = Duration::from_secs(10);

/// What breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// kill -9 of this member of the fleet, which is started again.
    Kill(usize),
    /// SIGSTOP of this member.
    Freeze(usize),
    /// SIGCONT of this member.
    Thaw(usize),
    /// An immediate stop of PostgreSQL, as a crash, and a start.
    RestartDatabase,
    /// `pg_terminate_backend` of about a third of the connections.
    TerminateBackends(u32),
    /// The proxy cuts all connections.
    Cut,
    /// The proxy loses the replies to the next so many transactions that commit.
    SwallowCommits(usize),
    /// The proxy delays everything, each way, by up to so many milliseconds; 0 ends it.
    Delay(u64),
}

impl Fault {
    /// Whether it ends another one.
    pub(crate) fn mends(self) -> bool {
        matches!(self, Self::Thaw(_) | Self::Delay(0))
    }
}

/// Faults in order, each with its time from the start.
#[derive(Debug)]
pub(crate) struct Plan(pub(crate) Vec<(Duration, Fault)>);

impl Plan {
    /// Draws this many kills for `members` services, and other faults in proportion, over `duration`.
    pub(crate) fn draw(seed: u64, duration: Duration, kills: u32, members: usize) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut faults = Vec::new();
        let at = |random: &mut StdRng| duration.mul_f64(random.random_range(0.02..0.98));
        let some = |part: u32| kills.div_ceil(part);
        for _ in 0..kills {
            faults.push((at(&mut random), Fault::Kill(random.random_range(0..members))));
        }
        for _ in 0..some(20) {
            faults.push((at(&mut random), Fault::RestartDatabase));
        }
        for _ in 0..some(10) {
            faults.push((at(&mut random), Fault::TerminateBackends(random.random())));
            faults.push((at(&mut random), Fault::Cut));
        }
        for _ in 0..some(5) {
            faults.push((at(&mut random), Fault::SwallowCommits(random.random_range(1..=5))));
        }
        for _ in 0..some(12) {
            let (begin, member) = (at(&mut random), random.random_range(0..members));
            let end = begin + LONGEST_FREEZE.min(duration / 3).mul_f64(random.random_range(0.1..1.0));
            faults.extend([(begin, Fault::Freeze(member)), (end, Fault::Thaw(member))]);
        }
        for _ in 0..some(12) {
            let begin = at(&mut random);
            let end = begin + LONGEST_SLOWNESS.min(duration / 5).mul_f64(random.random_range(0.2..1.0));
            faults.extend([(begin, Fault::Delay(random.random_range(5..=60))), (end, Fault::Delay(0))]);
        }
        faults.sort_by_key(|(at, _)| *at);
        Self(faults)
    }

    /// How many of each kind there are.
    pub(crate) fn summary(&self) -> String {
        let count = |is: fn(&Fault) -> bool| self.0.iter().filter(|(_, fault)| is(fault)).count();
        format!(
            "{} kills, {} restarts of PostgreSQL, {} freezes, {} times backends terminated, {} cuts, {} times replies to COMMIT \
             lost, {} times slow",
            count(|fault| matches!(fault, Fault::Kill(_))),
            count(|fault| matches!(fault, Fault::RestartDatabase)),
            count(|fault| matches!(fault, Fault::Freeze(_))),
            count(|fault| matches!(fault, Fault::TerminateBackends(_))),
            count(|fault| matches!(fault, Fault::Cut)),
            count(|fault| matches!(fault, Fault::SwallowCommits(_))),
            count(|fault| matches!(fault, Fault::Delay(1..))),
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(_) => f.write_str("kill -9"),
            Self::Freeze(_) => f.write_str("SIGSTOP"),
            Self::Thaw(_) => f.write_str("SIGCONT"),
            Self::RestartDatabase => f.write_str("PostgreSQL restarts"),
            Self::TerminateBackends(_) => f.write_str("backends are terminated"),
            Self::Cut => f.write_str("all connections are cut"),
            Self::SwallowCommits(count) => write!(f, "{count} replies to COMMIT are lost"),
            Self::Delay(0) => f.write_str("delays end"),
            Self::Delay(milliseconds) => write!(f, "delays of up to {milliseconds} ms"),
        }
    }
}
