//! Foreign text made fit for a mail.

use testrun_shared::text::one_line;

/// Most lines of an error message that a mail quotes.
const EXCERPT_LINES: usize = 6;
/// Most characters of one quoted line.
const EXCERPT_WIDTH: usize = 160;

/// The first lines of an error message, each clean and short; a last line of `…` says that there is more.
pub(super) fn excerpt(message: &str) -> Vec<String> {
    let mut lines = message.lines().map(|line| one_line(line, EXCERPT_WIDTH)).filter(|line| !line.is_empty());
    let mut quoted: Vec<String> = lines.by_ref().take(EXCERPT_LINES).collect();
    if lines.next().is_some() {
        quoted.push("…".to_owned());
    }
    quoted
}

#[cfg(test)]
mod tests;
