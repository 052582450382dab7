//! `JUnit` XML reports, as the common runners write them.
//!
//! There is no binding schema. What is read is what pytest, nextest, mocha-junit-reporter and Playwright have in common:
//! one `<testcase>` element is one case, and its children tell how it ended.

mod parse;
pub mod payload;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::Context as _;
use chrono::{DateTime, Utc};

/// How a test case ended.
///
/// In rising order: where a case has several of these children, the last one in this list counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// None of `<skipped>`, `<error>` and `<failure>`.
    Passed,
    /// A `<skipped>` child, which expected failures and ignored tests have too.
    Skipped,
    /// An `<error>` child: the test could not run to its end, mostly for want of a fixture.
    Error,
    /// A `<failure>` child: an assertion did not hold.
    Failed,
}

/// One `<testcase>` element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Name of the `<testsuite>` around it; of the innermost one if they are nested.
    pub suite: String,
    /// The `classname` attribute; empty for a whole module that pytest skipped.
    pub classname: String,
    /// The `name` attribute, with ` (2)`, ` (3)` … where suite, classname and name repeat within the report.
    pub name: String,
    /// The `file` attribute of the case or else of its suite.
    pub file: Option<String>,
    /// Duration in milliseconds, rounded; 0 where the report gives none.
    pub duration_ms: u64,
    /// Start of the case, where the report gives it for the case itself.
    pub timestamp: Option<DateTime<Utc>>,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether it passed only after a failed attempt (`<flakyFailure>`, `<flakyError>`).
    pub flaky: bool,
    /// Number of attempts that the report tells of, at least 1.
    pub attempts: u32,
    /// The `message` attribute of the child that decided the outcome.
    pub message: Option<String>,
    /// Text of the `<failure>`, `<error>` or `<skipped>` child, mostly a traceback; may be empty.
    pub trace: String,
    /// Standard output of the case, without that of its repeated attempts.
    pub stdout: String,
    /// Standard error of the case, without that of its repeated attempts.
    pub stderr: String,
}

/// Numbers of test cases by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All cases.
    pub total: u64,
    /// Cases that passed.
    pub passed: u64,
    /// Cases that failed, without the errors.
    pub failed: u64,
    /// Cases that ended with an error.
    pub errors: u64,
    /// Cases that were skipped.
    pub skipped: u64,
}

/// The test cases of a report, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// One for each `<testcase>` element.
    pub cases: Vec<Case>,
}

impl Report {
    /// Counts the cases by outcome, whatever the report's own attributes claim.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for case in &self.cases {
            counts.total += 1;
            match case.outcome {
                Outcome::Passed => counts.passed += 1,
                Outcome::Skipped => counts.skipped += 1,
                Outcome::Error => counts.errors += 1,
                Outcome::Failed => counts.failed += 1,
            }
        }
        counts
    }
}

/// Reads a report from the bytes of its file.
///
/// # Errors
/// If the bytes are not UTF-8, not well-formed XML or cut off, or if there is no `<testsuite>` in them.
pub fn read(xml: &[u8]) -> anyhow::Result<Report> {
    let text = std::str::from_utf8(xml).context("the report is not UTF-8, the only encoding that is read")?;
    let cases = parse::cases(text)?;
    Ok(Report { cases })
}

/// Reads a report from a file.
///
/// # Errors
/// If the file cannot be read, and whatever [`read`] finds wrong with it; the message names the file.
pub fn read_file(path: impl AsRef<Path>) -> anyhow::Result<Report> {
    let path = path.as_ref();
    let xml = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    read(&xml).with_context(|| format!("{} is not a JUnit report", path.display()))
}
