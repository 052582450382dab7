//! What the templates show: a notice's facts as finished texts, clean but not yet escaped.

use askama::Template;
use chrono::{DateTime, Utc};
use testrun_shared::text::{duration, one_line};

use super::{NoticeKind, RunCounts, RunEnd, RunNotice, text::excerpt};

/// Most failed tests that a mail names.
const FAILURES_SHOWN: usize = 10;
/// Most characters of a name, in the subject as in the body.
const NAME_LIMIT: usize = 120;
/// Most characters of the reason of an infrastructure failure.
const REASON_LIMIT: usize = 500;

const GREEN: &str = "#1a7f37";
const RED: &str = "#cf222e";
const AMBER: &str = "#bf8700";
const GREY: &str = "#6e7781";

/// The text part.
#[derive(Template)]
#[template(path = "notice.txt")]
pub(super) struct TextPart<'a> {
    pub(super) view: &'a View,
}

/// The HTML part.
#[derive(Template)]
#[template(path = "notice.html")]
pub(super) struct HtmlPart<'a> {
    pub(super) view: &'a View,
}

/// A notice as both parts show it.
pub(super) struct View {
    result: String,
    headline: String,
    accent: &'static str,
    title: String,
    subject_title: String,
    run_id: String,
    project: String,
    schedule: Option<String>,
    reason: Option<String>,
    status: &'static str,
    counts: RunCounts,
    bar: Vec<Segment>,
    pass_rate: String,
    duration: String,
    started: Option<String>,
    ended: Option<String>,
    failures: Vec<Failure>,
    more_failures: i64,
    run_url: Option<String>,
    report_url: Option<String>,
    unsubscribe_url: Option<String>,
    why: &'static str,
}

/// One coloured cell of the pass bar.
#[derive(Debug, PartialEq, Eq)]
struct Segment {
    colour: &'static str,
    percent: i64,
}

struct Failure {
    name: String,
    message: Vec<String>,
}

impl View {
    pub(super) fn of(notice: &RunNotice) -> Self {
        let verdict = Verdict::of(notice);
        let schedule = notice.schedule.as_ref().map(|schedule| one_line(&schedule.name, NAME_LIMIT));
        let failures: Vec<Failure> = notice.failures.iter().take(FAILURES_SHOWN).map(Failure::of).collect();
        let shown = i64::try_from(failures.len()).unwrap_or(i64::MAX);
        Self {
            result: verdict.result(notice.counts),
            headline: verdict.headline(notice),
            accent: verdict.accent(),
            title: title(notice),
            subject_title: subject_title(notice),
            run_id: notice.run_id.to_string(),
            project: one_line(&notice.project_name, NAME_LIMIT),
            schedule,
            reason: notice.failure_reason.as_deref().map(|reason| one_line(reason, REASON_LIMIT)),
            status: notice.end.as_str(),
            counts: notice.counts,
            bar: bar(notice.counts),
            pass_rate: format!("{} %", notice.pass_rate.round_dp(2).normalize()),
            duration: duration(notice.duration_ms),
            started: notice.started_at.map(instant),
            ended: notice.completed_at.map(instant),
            failures,
            more_failures: (i64::from(notice.counts.failed) - shown).max(0),
            run_url: notice.run_url.as_ref().map(ToString::to_string),
            report_url: notice.report_url.as_ref().map(ToString::to_string),
            unsubscribe_url: notice.unsubscribe_url.as_ref().map(ToString::to_string),
            why: why(notice),
        }
    }

    /// The subject, its result first: `FAILED 3/120: Nightly Regression #42`.
    pub(super) fn subject(&self) -> String {
        // A name that looks like an encoded word (RFC 2047) would be decoded by the reader's mail program.
        format!("{}: {}", self.result, self.subject_title).replace("=?", "= ?")
    }
}

/// The result in one word, from what the run's row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    /// Passed, after failures of the same schedule.
    Recovered,
    Failed,
    NothingRan,
    RunFailed,
    Cancelled,
}

impl Verdict {
    fn of(notice: &RunNotice) -> Self {
        match notice.end {
            RunEnd::Failed => Self::RunFailed,
            RunEnd::Cancelled => Self::Cancelled,
            RunEnd::Completed if notice.counts.failed > 0 => Self::Failed,
            RunEnd::Completed if notice.counts.passed > 0 && failed_before(notice) > 0 => Self::Recovered,
            RunEnd::Completed if notice.counts.passed > 0 => Self::Passed,
            RunEnd::Completed => Self::NothingRan,
        }
    }

    fn result(self, counts: RunCounts) -> String {
        match self {
            Self::Passed => format!("PASSED {}/{}", counts.passed, counts.total),
            Self::Recovered => format!("RECOVERED {}/{}", counts.passed, counts.total),
            Self::Failed => format!("FAILED {}/{}", counts.failed, counts.total),
            Self::NothingRan => "NO TESTS RAN".to_owned(),
            Self::RunFailed => "RUN FAILED".to_owned(),
            Self::Cancelled => "CANCELLED".to_owned(),
        }
    }

    /// The first line, which phones show below the subject: the figures in words, and how it went before.
    fn headline(self, notice: &RunNotice) -> String {
        let figures = self.figures(notice.counts);
        match (self, failed_before(notice)) {
            (Self::Recovered, 1) => format!("{figures}, recovered after 1 failed run"),
            (Self::Recovered, runs) => format!("{figures}, recovered after {runs} failed runs"),
            (Self::Failed | Self::RunFailed, runs) if runs > 0 => {
                format!("{figures}, still failing ({} run)", ordinal(runs.saturating_add(1)))
            }
            _ => figures,
        }
    }

    fn figures(self, counts: RunCounts) -> String {
        match self {
            Self::Passed | Self::Recovered if (counts.passed, counts.total) == (1, 1) => {
                "The only test passed".to_owned()
            }
            Self::Passed | Self::Recovered if counts.passed == counts.total => {
                format!("All {} tests passed", counts.total)
            }
            Self::Passed | Self::Recovered => {
                format!("{} of {} tests passed, none failed", counts.passed, counts.total)
            }
            Self::Failed if counts.total == 1 => "The only test failed".to_owned(),
            Self::Failed => format!("{} of {} tests failed", counts.failed, counts.total),
            Self::NothingRan => "No tests ran".to_owned(),
            Self::RunFailed => "The run could not be carried out".to_owned(),
            Self::Cancelled => "The run was cancelled".to_owned(),
        }
    }

    fn accent(self) -> &'static str {
        match self {
            Self::Passed | Self::Recovered => GREEN,
            Self::Failed | Self::RunFailed => RED,
            Self::NothingRan | Self::Cancelled => GREY,
        }
    }
}

impl Failure {
    fn of(test: &super::FailedTest) -> Self {
        Self {
            name: one_line(&test.test_case_name, NAME_LIMIT),
            message: test.error_message.as_deref().map(excerpt).unwrap_or_default(),
        }
    }
}

/// The run's name and number.
fn title(notice: &RunNotice) -> String {
    numbered(&notice.run_name, notice.run_number)
}

/// What the subject ends with. A schedule's run is named after the schedule and the due time; the due time would only keep
/// the mails of a schedule from looking alike.
fn subject_title(notice: &RunNotice) -> String {
    let is_time = |rest: &str| rest.chars().all(|character| character.is_ascii_digit() || " -:".contains(character));
    let name = match &notice.schedule {
        Some(schedule) if notice.run_name.strip_prefix(&*schedule.name).is_some_and(is_time) => &schedule.name,
        _ => &notice.run_name,
    };
    numbered(name, notice.run_number)
}

/// A name and a number, without saying the number twice: people name runs `Smoke #42` themselves.
fn numbered(name: &str, number: i32) -> String {
    let name = one_line(name, NAME_LIMIT);
    let number = format!("#{number}");
    if name.ends_with(&number) { name } else { format!("{name} {number}") }
}

fn failed_before(notice: &RunNotice) -> i64 {
    notice.schedule.as_ref().map_or(0, |schedule| schedule.failed_before)
}

/// A positive number as people count: `1st`, `2nd`, `3rd`, `4th`, `11th`.
fn ordinal(number: i64) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

fn instant(instant: DateTime<Utc>) -> String {
    instant.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn why(notice: &RunNotice) -> &'static str {
    match (&notice.schedule, notice.kind) {
        (Some(_), NoticeKind::Completion) => "The schedule named above reports completed runs to this address.",
        (Some(_), NoticeKind::Failure) => "The schedule named above reports failures to this address.",
        (None, _) => "This address is to be told of the end of this run.",
    }
}

/// Widths in whole percent that add up to 100; what is there at all gets at least 2, and the largest part gives it.
fn bar(counts: RunCounts) -> Vec<Segment> {
    let [passed, failed, skipped] = [counts.passed, counts.failed, counts.skipped].map(|count| i64::from(count.max(0)));
    let other = (i64::from(counts.total) - passed - failed - skipped).max(0);
    let total = passed + failed + skipped + other;
    let mut segments: Vec<Segment> = [(passed, GREEN), (failed, RED), (skipped, AMBER), (other, GREY)]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, colour)| Segment { colour, percent: (count * 100 / total).max(2) })
        .collect();
    let excess = segments.iter().map(|segment| segment.percent).sum::<i64>() - 100;
    if let Some(largest) = segments.iter_mut().max_by_key(|segment| segment.percent) {
        largest.percent -= excess;
    }
    segments
}

#[cfg(test)]
mod tests;
