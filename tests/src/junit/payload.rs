//! A test case of a report as the request bodies of the public API, cut to the server's bounds.

use std::fmt::Write as _;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Case, Outcome};

const KEY_CHARACTERS: usize = 500;
const NAME_CHARACTERS: usize = 255;
const SEPARATOR: &str = " :: ";

// A body may have 1 MB. JSON at most doubles text that XML 1.0 allows, and a message is sent twice, so these bounds
// come to 2 * (2 * 10 + 100) kB for the texts and 2 * 300 kB for the two logs: 840 kB and some names.
const MESSAGE_BYTES: usize = 10_000;
const TRACE_BYTES: usize = 100_000;
const LOG_JSON_BYTES: usize = 300_000;
/// Half of the 10,000 log lines of a request, since there are two streams.
const LOG_LINES: usize = 5_000;

/// One entry of `POST /test-cases/bulk`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestCase {
    /// Unique in the report and the same each time it is replayed, so that a replay updates what an earlier one made.
    pub external_key: String,
    /// At most 255 characters, never empty.
    pub name: String,
    /// Root, suite and class, as far as they say something that the name does not.
    pub suite_path: Vec<String>,
    /// Always `junit`.
    pub tags: Vec<String>,
}

impl TestCase {
    /// Describes a case of the report that is filed under `root`.
    pub fn new(case: &Case, root: &str) -> Self {
        // As their class, mocha-junit-reporter repeats the test's title, Playwright and nextest the suite's name.
        let class = Some(&case.classname).filter(|class| !plain_name(case).ends_with(class.as_str()));
        let mut suite_path = vec![cut(root, NAME_CHARACTERS)];
        for part in std::iter::once(&case.suite).chain(class) {
            let part = cut(part, NAME_CHARACTERS);
            if !part.is_empty() && !suite_path.contains(&part) {
                suite_path.push(part);
            }
        }
        Self {
            external_key: external_key(case, root),
            name: if case.name.is_empty() { "(no name)".to_owned() } else { cut(&case.name, NAME_CHARACTERS) },
            suite_path,
            tags: vec!["junit".to_owned()],
        }
    }
}

/// The key of a case in its project: root, suite, class and name.
///
/// A key that is too long for the server's 500 characters, or that another case could have too because one of its parts
/// has the separator in it, ends with a hash of the parts.
pub fn external_key(case: &Case, root: &str) -> String {
    let parts = [root, &case.suite, &case.classname, &case.name];
    let key = parts.join(SEPARATOR);
    let ambiguous = parts[..3].iter().any(|part| part.contains(SEPARATOR));
    if !ambiguous && key.chars().count() <= KEY_CHARACTERS {
        return key;
    }
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        // No part has a NUL in it: the reader replaces them.
        hash.update([0]);
    }
    let mut suffix = String::from(" #");
    for byte in hash.finalize().iter().take(8) {
        // Writing to a string cannot fail.
        let _ = write!(suffix, "{byte:02x}");
    }
    cut(&key, KEY_CHARACTERS - suffix.len()) + &suffix
}

/// The server's ids of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// Of the run.
    pub run: Uuid,
    /// Of the case's item in the run.
    pub item: Uuid,
    /// Of the test case.
    pub test_case: Uuid,
}

/// The body of `POST /test-run-results`: a whole execution, with one step and the output of the test.
#[derive(Debug, Clone, Serialize)]
pub struct TestRunResult {
    test_run_id: Uuid,
    test_run_item_id: Uuid,
    test_case_id: Uuid,
    status: &'static str,
    started_at: DateTime<Utc>,
    completed_at: DateTime<Utc>,
    duration_ms: u64,
    error_message: Option<String>,
    /// Said explicitly, since "the next free attempt" would let a repeated request pass for a second attempt.
    retry_attempt: u32,
    steps: [Step; 1],
    console_logs: Vec<ConsoleLog>,
}

#[derive(Debug, Clone, Serialize)]
struct Step {
    step_number: u32,
    action: &'static str,
    description: String,
    status: &'static str,
    duration_ms: u64,
    error_message: Option<String>,
    error_stack_trace: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
struct ConsoleLog {
    log_level: &'static str,
    message: String,
    timestamp: DateTime<Utc>,
}

impl TestRunResult {
    /// Tells of a case as if it had ended at `completed_at`: a replay happens now, not when the report was written.
    pub fn new(case: &Case, ids: Ids, completed_at: DateTime<Utc>) -> Self {
        let completed_at = completed_at.trunc_subsecs(3);
        let started_at = i64::try_from(case.duration_ms)
            .ok()
            .and_then(TimeDelta::try_milliseconds)
            .and_then(|time| completed_at.checked_sub_signed(time))
            .unwrap_or(completed_at);
        let status = status(case.outcome);
        let error_message = error_message(case);
        let mut console_logs = console_logs_of("log", &case.stdout, completed_at);
        console_logs.extend(console_logs_of("error", &case.stderr, completed_at));
        Self {
            test_run_id: ids.run,
            test_run_item_id: ids.item,
            test_case_id: ids.test_case,
            status,
            started_at,
            completed_at,
            duration_ms: case.duration_ms,
            error_message: error_message.clone(),
            retry_attempt: 0,
            steps: [Step {
                step_number: 1,
                action: "test",
                description: cut(&case.name, NAME_CHARACTERS),
                status,
                duration_ms: case.duration_ms,
                error_message,
                error_stack_trace: Some(cut_middle(&case.trace, TRACE_BYTES)).filter(|trace| !trace.is_empty()),
            }],
            console_logs,
        }
    }
}

fn status(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Skipped => "skipped",
        Outcome::Error | Outcome::Failed => "failed",
    }
}

/// The message, or the first line of the trace where there is none; for a skipped case the reason.
fn error_message(case: &Case) -> Option<String> {
    if case.outcome == Outcome::Passed {
        return None;
    }
    let said = case.message.as_deref().filter(|message| !message.trim().is_empty());
    said.or_else(|| case.trace.lines().find(|line| !line.trim().is_empty()))
        .map(|message| cut_middle(message, MESSAGE_BYTES))
}

fn console_logs_of(log_level: &'static str, text: &str, timestamp: DateTime<Utc>) -> Vec<ConsoleLog> {
    let entry = |message| ConsoleLog { log_level, message, timestamp };
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let mut logs = Vec::new();
    let mut bytes = 0;
    for (number, line) in lines.iter().enumerate() {
        let message = cut_middle(line, MESSAGE_BYTES);
        // The other fields of an entry and its punctuation take about 80 bytes.
        bytes += 2 * message.len() + 100;
        let last = number + 1 == lines.len();
        if bytes > LOG_JSON_BYTES || (logs.len() + 1 == LOG_LINES && !last) {
            logs.push(entry(format!("… {} more lines left out", lines.len() - number)));
            break;
        }
        logs.push(entry(message));
    }
    logs
}

/// The name without the number that makes it unique.
fn plain_name(case: &Case) -> &str {
    match case.name.rsplit_once(" (") {
        Some((name, number)) if number.strip_suffix(')').is_some_and(|n| n.parse::<u32>().is_ok()) => name,
        _ => &case.name,
    }
}

/// Cuts a text at its end to a number of characters, not bytes.
fn cut(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    text.chars().take(characters - 1).chain(['…']).collect()
}

/// Cuts a text in its middle to about a number of bytes: a traceback's ends say most.
fn cut_middle(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let head = &text[..text.floor_char_boundary(bytes / 2)];
    let tail = &text[text.ceil_char_boundary(text.len() - bytes / 2)..];
    format!("{head}\n… {} bytes left out …\n{tail}", text.len() - head.len() - tail.len())
}
