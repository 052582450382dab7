//! Every stream showed every event of its project once, in one order.

use std::collections::HashSet;
use std::fmt;

use super::super::streams::Seen;

/// What the streams showed.
#[derive(Debug, Default)]
pub(crate) struct StreamVerdict {
    pub(crate) server_sent: usize,
    pub(crate) web_sockets: usize,
    /// Of all projects together.
    events: usize,
    projects: usize,
    seen: usize,
    /// How often a client came back.
    resumed: usize,
    pub(crate) violations: Vec<String>,
}

impl StreamVerdict {
    /// `expected` are the ids of each project's events in their order.
    pub(crate) fn judge(&mut self, expected: &[Vec<String>], streams: &[Seen]) {
        self.events = expected.iter().map(Vec::len).sum();
        self.projects = expected.len();
        for (number, stream) in streams.iter().enumerate() {
            self.web_sockets += usize::from(stream.is_web_socket);
            self.server_sent += usize::from(!stream.is_web_socket);
            self.seen += stream.events.len();
            self.resumed += stream.connections.saturating_sub(1);
            let expected = &expected[stream.project];
            if stream.events == *expected {
                continue;
            }
            let seen: HashSet<_> = stream.events.iter().collect();
            let known: HashSet<_> = expected.iter().collect();
            self.violations.push(format!(
                "stream {number} of project {}: {} events never came, {} came again, {} are none of the project's; the first \
                 difference is at {:?}",
                stream.project,
                known.difference(&seen).count(),
                stream.events.len() - seen.len(),
                seen.difference(&known).count(),
                stream.events.iter().zip(expected).position(|(seen, expected)| seen != expected),
            ));
        }
    }
}

impl fmt::Display for StreamVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server_sent, web_sockets, events, projects, seen, resumed, violations } = self;
        let sound = server_sent + web_sockets - violations.len();
        writeln!(
            f,
            "{server_sent} streams of server-sent events and {web_sockets} WebSockets, {resumed} times resumed"
        )?;
        write!(
            f,
            "  {events} events of {projects} projects, shown {seen} times; {sound} streams saw each event of theirs once and \
             in order"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_doubles_strangers_and_disorder_are_found() {
        let ids = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
        let violations = |seen: &str| {
            let mut verdict = StreamVerdict::default();
            verdict.judge(&[ids("abc"), ids("x")], &[Seen { events: ids(seen), ..Seen::default() }]);
            verdict.violations.len()
        };
        assert_eq!(violations("abc"), 0);
        for wrong in ["ab", "ac", "abbc", "abcx", "acb", ""] {
            assert_eq!(violations(wrong), 1, "{wrong}");
        }
    }
}
