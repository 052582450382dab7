//! Foreign text made fit for a mail: names and error messages come from anybody who may write to a project.

/// Most lines of an error message that a mail quotes.
const EXCERPT_LINES: usize = 6;
/// Most characters of one quoted line.
const EXCERPT_WIDTH: usize = 160;

/// Makes `text` one line of at most `limit` characters, the ellipsis of a cut included.
///
/// Runs of blanks, line breaks and control characters become one blank, so the result cannot break out of a mail
/// header; terminal colours and characters that turn the reading direction go, so a name cannot disguise its neighbours.
pub(super) fn one_line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    let mut length = 0;
    let mut blank_due = false;
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character == '\u{1b}' {
            skip_escape_sequence(&mut rest);
        } else if character.is_whitespace() || character.is_control() {
            blank_due = length > 0;
        } else if !turns_direction(character) {
            length += 1 + usize::from(blank_due);
            if length > limit {
                return with_ellipsis(&line, limit);
            }
            if std::mem::take(&mut blank_due) {
                line.push(' ');
            }
            line.push(character);
        }
    }
    line
}

/// The first lines of an error message, each clean and short; a last line of `…` says that there is more.
pub(super) fn excerpt(message: &str) -> Vec<String> {
    let mut lines = message.lines().map(|line| one_line(line, EXCERPT_WIDTH)).filter(|line| !line.is_empty());
    let mut quoted: Vec<String> = lines.by_ref().take(EXCERPT_LINES).collect();
    if lines.next().is_some() {
        quoted.push("…".to_owned());
    }
    quoted
}

/// A duration in milliseconds as people say it, with its two largest units: `15 min 25 s`.
pub(super) fn duration(milliseconds: i64) -> String {
    let milliseconds = milliseconds.max(0);
    let seconds = milliseconds / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match seconds {
        0 => format!("{milliseconds} ms"),
        1..60 => format!("{seconds}.{} s", milliseconds % 1000 / 100),
        60..3600 => format!("{minutes} min {} s", seconds % 60),
        3600..86_400 => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Skips what follows ESC up to the letter that ends it, as in `ESC [ 31 m`.
fn skip_escape_sequence(rest: &mut std::str::Chars<'_>) {
    let mut ahead = rest.clone();
    if ahead.next() == Some('[') {
        ahead.find(|character| ('@'..='~').contains(character));
        *rest = ahead;
    }
}

/// Embeddings, overrides and isolates of the Unicode bidirectional algorithm.
fn turns_direction(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn with_ellipsis(line: &str, limit: usize) -> String {
    let kept: String = line.chars().take(limit.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests;
