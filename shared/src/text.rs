//! Foreign text made fit for reports and mails: names, messages and paths come from anybody who may write to a project.
//!
//! What comes out is still to be escaped, which the templates do.

use std::str::Chars;

use chrono::{DateTime, Utc};

/// Furthest that the end of an escape sequence is looked for, in characters.
const LONGEST_SEQUENCE: usize = 2_000;

/// The beginning of a text of many lines.
#[derive(Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// Without control characters, ready to be escaped.
    pub text: String,
    /// Whether lines at the end are missing.
    pub is_cut: bool,
}

/// Makes `text` one line of at most `limit` characters, the ellipsis of a cut included.
///
/// Runs of blanks, line breaks and control characters become one blank, so the result cannot break out of a mail header.
#[must_use]
pub fn one_line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    let mut length = 0;
    let mut blank_due = false;
    for character in Clean::of(text) {
        if character.is_whitespace() {
            blank_due = length > 0;
            continue;
        }
        length += 1 + usize::from(blank_due);
        if length > limit {
            let kept: String = line.chars().take(limit.saturating_sub(1)).collect();
            return format!("{}…", kept.trim_end());
        }
        if std::mem::take(&mut blank_due) {
            line.push(' ');
        }
        line.push(character);
    }
    line
}

/// The first `limit` lines of a text, indentation and empty lines between them kept.
#[must_use]
pub fn excerpt(text: &str, limit: usize) -> Excerpt {
    let clean: String = Clean::of(text).collect();
    let mut lines = clean.trim_end().split('\n').skip_while(|line| line.trim().is_empty());
    let kept: Vec<&str> = lines.by_ref().take(limit).map(str::trim_end).collect();
    Excerpt { text: kept.join("\n"), is_cut: lines.next().is_some() }
}

/// A duration in milliseconds as people say it, with its two largest units: `15 min 25 s`.
#[must_use]
pub fn duration(milliseconds: i64) -> String {
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

/// An instant to the second.
#[must_use]
pub fn instant(instant: DateTime<Utc>) -> String {
    instant.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The characters of a text without terminal sequences and without those that turn the reading direction, so that a name
/// cannot disguise its neighbours. Line breaks become `\n`, other control characters a blank.
struct Clean<'a> {
    rest: Chars<'a>,
}

impl<'a> Clean<'a> {
    fn of(text: &'a str) -> Self {
        Self { rest: text.chars() }
    }

    /// Skips what follows ESC, if it is a sequence that terminals know.
    fn skip_sequence(&mut self) {
        let mut ahead = self.rest.clone();
        match ahead.next() {
            Some('[') => {
                self.rest = ahead;
                self.skip_control_sequence();
            }
            Some(']' | 'P' | 'X' | '^' | '_') => {
                self.rest = ahead;
                self.skip_string();
            }
            // Character sets: intermediates, then one final character.
            Some(' '..='/') => {
                ahead.next();
                self.rest = ahead;
            }
            _ => {}
        }
    }

    /// Skips parameters and the letter that ends them: `31m` of `ESC [ 31 m`.
    fn skip_control_sequence(&mut self) {
        let mut ahead = self.rest.clone();
        while let Some(character) = ahead.next() {
            match character {
                ' '..='?' => self.rest = ahead.clone(),
                '@'..='~' => {
                    self.rest = ahead;
                    return;
                }
                _ => return,
            }
        }
    }

    /// Skips a title or a link up to BEL or ESC `\`; text without such an end is text.
    fn skip_string(&mut self) {
        let mut ahead = self.rest.clone();
        for _ in 0..LONGEST_SEQUENCE {
            match ahead.next() {
                Some('\u{7}' | '\u{9c}') => {
                    self.rest = ahead;
                    return;
                }
                Some('\u{1b}') => {
                    if ahead.next() == Some('\\') {
                        self.rest = ahead;
                    }
                    return;
                }
                Some(_) => {}
                None => return,
            }
        }
    }
}

impl Iterator for Clean<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        loop {
            match self.rest.next()? {
                '\u{1b}' => self.skip_sequence(),
                '\u{9b}' => self.skip_control_sequence(),
                '\r' if self.rest.clone().next() == Some('\n') => {}
                '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => return Some('\n'),
                '\t' => return Some('\t'),
                // Embeddings, overrides and isolates of the Unicode bidirectional algorithm.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
                character if character.is_control() => return Some(' '),
                character => return Some(character),
            }
        }
    }
}

#[cfg(test)]
mod tests;
