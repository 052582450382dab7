//! Compares what the books say, what arrived and what was seen.

pub(super) mod deliveries;
pub(super) mod mails;
pub(super) mod streams;

use std::fmt;
use std::time::{Duration, SystemTime};

use super::Happened;

/// For so long a claimed mail or delivery is its worker's: within that time it has noted what came of it, or was cut off.
const LEASE: Duration = Duration::from_secs(20);
/// What a worker had sent when it was killed may be read so much later: the readers, too, are on a busy machine.
const IN_FLIGHT: Duration = Duration::from_millis(500);

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) mails: mails::Mails,
    pub(crate) deliveries: deliveries::Deliveries,
    pub(crate) streams: streams::StreamVerdict,
    pub(crate) faults: usize,
}

impl Verdict {
    /// What should not be; nothing, if all went well.
    pub(crate) fn violations(&self) -> Vec<&str> {
        let all = [&self.mails.violations, &self.deliveries.violations, &self.streams.violations];
        all.into_iter().flatten().map(String::as_str).collect()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.mails, self.deliveries, self.streams)?;
        let violations = self.violations();
        for violation in violations.iter().take(50) {
            writeln!(f, "VIOLATION {violation}")?;
        }
        write!(f, "verdict: {} violations after {} faults", violations.len(), self.faults)
    }
}

/// Whether a fault can have kept a worker from noting that something was accepted at `taken`, so that it came again at
/// `again`.
fn is_cut(happened: &Happened, taken: SystemTime, again: SystemTime) -> bool {
    let noted = again.min(taken + LEASE);
    happened.iter().any(|(from, to)| *from <= noted && taken <= *to + IN_FLIGHT)
}
