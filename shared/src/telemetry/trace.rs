//! Which trace the work at hand belongs to (W3C Trace Context, level 1): taken over from a client, carried from the request
//! to its jobs, and on to the mails and webhooks that come of them.
//!
//! Nothing is recorded here; the ids are in the log lines and in what leaves, so that somebody else's tracing joins them.

use std::fmt;
use std::str::FromStr;

use tokio::task::futures::TaskLocalFuture;

/// The header's name, and the key under which a job's metadata have it.
pub const TRACEPARENT: &str = "traceparent";

/// The flag by which a caller says that the trace is recorded somewhere.
const SAMPLED: u8 = 1;
/// `00-` trace id `-` parent id `-` flags.
const LENGTH: usize = 55;

tokio::task_local! {
    static CURRENT: TraceParent;
}

/// A place in a trace: what a `traceparent` header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace_id: u128,
    parent_id: u64,
    flags: u8,
}

/// The text is no `traceparent` that may be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid traceparent")]
pub struct InvalidTraceParent;

impl TraceParent {
    /// The beginning of a new trace. It is marked as recorded: the log is a record, and receivers that follow the mark would
    /// otherwise leave their part out.
    #[must_use]
    pub fn begin() -> Self {
        Self {
            trace_id: rand::random_range(1..=u128::MAX),
            parent_id: rand::random_range(1..=u64::MAX),
            flags: SAMPLED,
        }
    }

    /// A new place in the same trace, for what is done here in its name.
    #[must_use]
    pub fn child(self) -> Self {
        Self { parent_id: rand::random_range(1..=u64::MAX), ..self }
    }

    /// The trace's id: 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, self.flags)
    }
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    /// Takes version 00 by the letter, and of later versions what 00 has as well, as the standard asks.
    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        let (head, rest) = text.split_at_checked(LENGTH).ok_or(InvalidTraceParent)?;
        let mut parts = head.split('-');
        let version = hex(parts.next(), 2)?;
        let trace_id = hex(parts.next(), 32)?;
        let parent_id = u64::try_from(hex(parts.next(), 16)?).map_err(|_| InvalidTraceParent)?;
        let flags = u8::try_from(hex(parts.next(), 2)?).map_err(|_| InvalidTraceParent)?;
        let ends_well = rest.is_empty() || (version > 0 && rest.starts_with('-'));
        if version == 0xff || trace_id == 0 || parent_id == 0 || !ends_well {
            return Err(InvalidTraceParent);
        }
        Ok(Self { trace_id, parent_id, flags: flags & SAMPLED })
    }
}

/// Exactly this many lower-case digits.
fn hex(part: Option<&str>, digits: usize) -> Result<u128, InvalidTraceParent> {
    let part =
        part.filter(|part| part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    u128::from_str_radix(part.ok_or(InvalidTraceParent)?, 16).map_err(|_| InvalidTraceParent)
}

/// The trace that the present task works for; `None` outside of [`scope`], and in tasks that were spawned inside it.
#[must_use]
pub fn current() -> Option<TraceParent> {
    CURRENT.try_with(|trace| *trace).ok()
}

/// Has `work` find `trace` as the [`current`] one. Tasks that it spawns have to be put into the scope by themselves.
pub fn scope<F: Future>(trace: TraceParent, work: F) -> TaskLocalFuture<TraceParent, F> {
    CURRENT.scope(trace, work)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_read_is_written_again() {
        let trace: TraceParent = GIVEN.parse().unwrap();
        assert_eq!(trace.to_string(), GIVEN);
        assert_eq!(trace.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    }

    #[test]
    fn a_child_is_another_place_in_the_same_trace() {
        let trace = TraceParent::begin();
        assert_eq!(trace.to_string().parse(), Ok(trace));
        let child = trace.child();
        assert_eq!(child.trace_id(), trace.trace_id());
        assert_ne!(child, trace);
        assert_ne!(TraceParent::begin().trace_id(), trace.trace_id());
    }

    #[rstest]
    #[case::later_version("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-brings")]
    #[case::later_version_of_the_same_length("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
    #[case::unknown_flags("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff")]
    fn later_versions_and_flags_are_read_as_far_as_they_are_known(#[case] text: &str) {
        assert_eq!(text.parse::<TraceParent>().unwrap().to_string(), GIVEN);
    }

    #[rstest]
    #[case::nothing("")]
    #[case::short("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0")]
    #[case::long("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-")]
    #[case::runs_on("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-011")]
    #[case::no_version("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
    #[case::no_trace("00-00000000000000000000000000000000-00f067aa0ba902b7-01")]
    #[case::no_parent("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01")]
    #[case::upper_case("00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01")]
    #[case::no_digits("00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01")]
    #[case::signs("00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
    #[case::shifted("00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01")]
    #[case::between_letters("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0\u{e9}")]
    fn anything_else_is_no_trace(#[case] text: &str) {
        assert_eq!(text.parse::<TraceParent>(), Err(InvalidTraceParent));
    }

    #[tokio::test]
    async fn the_work_in_a_scope_finds_its_trace_and_nobody_else_does() {
        assert_eq!(current(), None);
        let trace = TraceParent::begin();
        assert_eq!(scope(trace, async { current() }).await, Some(trace));
        assert_eq!(current(), None);
    }
}
