//! The head of a report: verdict, figures, chart.

use askama::Template;
use chrono::{DateTime, Utc};

use crate::domain::summary::RunFigures;
use crate::domain::test_run::{RunStatus, TestRun};
use crate::text::{Excerpt, duration, excerpt, instant, one_line};

/// Most characters of a name.
const NAME_LIMIT: usize = 255;
/// Most characters of other lines.
const LINE_LIMIT: usize = 500;
/// Most characters and lines of the notes.
const NOTES_LIMIT: (usize, usize) = (4_000, 40);
/// The chart's circle is this long; what is there at all gets at least `SLIVER` of it.
const CIRCLE: i64 = 1_000;
const SLIVER: i64 = 10;

/// Everything above the failures.
#[derive(Template)]
#[template(path = "report/head.html")]
pub(super) struct Head<'a> {
    title: String,
    project: String,
    verdict: Verdict,
    reason: Option<String>,
    as_of: Option<String>,
    pass_rate: String,
    duration: String,
    figures: &'a RunFigures,
    chart: Vec<Segment>,
    facts: Vec<(&'static str, String)>,
    tags: Vec<String>,
    notes: Option<Excerpt>,
    run_id: String,
    rendered: String,
}

impl<'a> Head<'a> {
    pub(super) fn new(run: &TestRun, figures: &'a RunFigures, project: &str, now: DateTime<Utc>) -> Self {
        Self {
            title: title(run),
            project: one_line(project, NAME_LIMIT),
            verdict: Verdict::of(run.status, figures),
            reason: run.failure_reason.as_deref().map(|reason| one_line(reason, LINE_LIMIT)),
            as_of: (!run.status.is_final()).then(|| instant(now)),
            pass_rate: figures.pass_rate.round_dp(2).normalize().to_string(),
            duration: lasted(run, now),
            figures,
            chart: chart(figures),
            facts: facts(run),
            tags: run.tags.iter().flatten().map(|tag| one_line(tag, NAME_LIMIT)).collect(),
            notes: run.notes.as_deref().map(notes).filter(|notes| !notes.text.is_empty()),
            run_id: run.id.to_string(),
            rendered: instant(now),
        }
    }
}

/// The result in one sentence.
struct Verdict {
    class: &'static str,
    /// For the window's title: `FAILED 3/120`.
    short: String,
    sentence: String,
}

impl Verdict {
    fn of(status: RunStatus, figures: &RunFigures) -> Self {
        let (total, passed, failed) = (figures.total_tests, figures.passed_tests, figures.failed_tests);
        let (class, short, sentence) = match status {
            RunStatus::Failed => ("failed", "RUN FAILED".to_owned(), "The run could not be carried out".to_owned()),
            RunStatus::Cancelled => ("no-run", "CANCELLED".to_owned(), "The run was cancelled".to_owned()),
            RunStatus::Completed if failed > 0 => {
                ("failed", format!("FAILED {failed}/{total}"), format!("{failed} of {} failed", tests(total)))
            }
            RunStatus::Completed if passed == total && total > 0 => {
                ("passed", format!("PASSED {passed}/{total}"), format!("All {} passed", tests(total)))
            }
            RunStatus::Completed if passed > 0 => {
                let sentence = format!("{passed} of {} passed, none failed", tests(total));
                ("passed", format!("PASSED {passed}/{total}"), sentence)
            }
            RunStatus::Completed => ("no-run", "NO TESTS RAN".to_owned(), "No tests ran".to_owned()),
            RunStatus::Running => {
                let done = total - open(figures);
                ("open", format!("RUNNING {done}/{total}"), format!("Running: {done} of {} done", tests(total)))
            }
            RunStatus::Pending => ("open", "PENDING".to_owned(), "Not started yet".to_owned()),
            RunStatus::Queued => ("open", "QUEUED".to_owned(), "Waiting for a client".to_owned()),
        };
        Self { class, short, sentence }
    }
}

fn tests(count: i64) -> String {
    if count == 1 { "1 test".to_owned() } else { format!("{count} tests") }
}

/// Items that are not final.
fn open(figures: &RunFigures) -> i64 {
    let done = figures.passed_tests + figures.failed_tests + figures.skipped_tests + figures.no_run_tests;
    (figures.total_tests - done).max(0)
}

/// An arc of the chart and its line in the legend.
#[derive(Debug, PartialEq, Eq)]
struct Segment {
    class: &'static str,
    label: &'static str,
    count: i64,
    percent: String,
    length: i64,
    start: i64,
}

/// One arc for each outcome that there is; their lengths add up to the circle, and the longest gives what the smallest
/// need to be seen.
fn chart(figures: &RunFigures) -> Vec<Segment> {
    let outcomes = [
        ("passed", "Passed", figures.passed_tests),
        ("failed", "Failed", figures.failed_tests),
        ("skipped", "Skipped", figures.skipped_tests),
        ("no-run", "Not run", figures.no_run_tests),
        ("open", "Not finished", open(figures)),
    ];
    let total = outcomes.iter().map(|(_, _, count)| count).sum::<i64>().max(1);
    let mut segments: Vec<Segment> = outcomes
        .into_iter()
        .filter(|(_, _, count)| *count > 0)
        .map(|(class, label, count)| Segment {
            class,
            label,
            count,
            percent: percent(count, total),
            length: (count * CIRCLE / total).max(SLIVER),
            start: 0,
        })
        .collect();
    let excess = segments.iter().map(|segment| segment.length).sum::<i64>() - CIRCLE;
    if let Some(longest) = segments.iter_mut().max_by_key(|segment| segment.length) {
        longest.length -= excess;
    }
    let mut start = 0;
    for segment in &mut segments {
        segment.start = start;
        start += segment.length;
    }
    segments
}

/// One decimal, and neither 0 nor 100 unless it is exactly that.
fn percent(count: i64, total: i64) -> String {
    let tenths = ((count * 2_000 + total) / (total * 2)).clamp(1, if count == total { 1_000 } else { 999 });
    if tenths % 10 == 0 { format!("{} %", tenths / 10) } else { format!("{}.{} %", tenths / 10, tenths % 10) }
}

/// The run's name and number, without saying the number twice: it is in the default name, and people name runs `Smoke #42`
/// themselves.
fn title(run: &TestRun) -> String {
    let name = one_line(&run.run_name, NAME_LIMIT);
    let number = run.run_number;
    if name == format!("Run_{number:03}") || name.ends_with(&format!("#{number}")) {
        return name;
    }
    format!("{name} #{number}")
}

/// How long the run took, or has been under way.
fn lasted(run: &TestRun, now: DateTime<Utc>) -> String {
    match (run.started_at, run.completed_at) {
        (None, _) => "–".to_owned(),
        (Some(_), Some(_)) => duration(run.duration_ms),
        (Some(started_at), None) => duration((now - started_at).num_milliseconds()),
    }
}

fn facts(run: &TestRun) -> Vec<(&'static str, String)> {
    let words = |words: [&Option<String>; 2]| words.into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
    let suite = match (&run.suite_path, &run.suite_name) {
        (Some(path), _) if !path.is_empty() => path.join(" › "),
        (_, name) => name.clone().unwrap_or_default(),
    };
    let viewport = match (run.viewport_width, run.viewport_height) {
        (Some(width), Some(height)) => format!("{width} × {height}"),
        _ => String::new(),
    };
    [
        ("Status", run.status.to_string()),
        ("Scheduled", run.scheduled_at.map(instant).unwrap_or_default()),
        ("Started", run.started_at.map(instant).unwrap_or_default()),
        ("Ended", run.completed_at.map(instant).unwrap_or_default()),
        ("Suite", suite),
        ("Browser", words([&run.browser_name, &run.browser_version])),
        ("System", words([&run.os_name, &run.os_version])),
        ("Viewport", viewport),
    ]
    .into_iter()
    .map(|(label, text)| (label, one_line(&text, LINE_LIMIT)))
    .filter(|(_, text)| !text.is_empty())
    .collect()
}

fn notes(notes: &str) -> Excerpt {
    let (characters, lines) = NOTES_LIMIT;
    let beginning: String = notes.chars().take(characters).collect();
    let excerpt = excerpt(&beginning, lines);
    Excerpt { is_cut: excerpt.is_cut || notes.chars().nth(characters).is_some(), ..excerpt }
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::*;

    fn figures([passed, failed, skipped, no_run, open]: [i64; 5]) -> RunFigures {
        RunFigures {
            total_tests: passed + failed + skipped + no_run + open,
            passed_tests: passed,
            failed_tests: failed,
            skipped_tests: skipped,
            no_run_tests: no_run,
            pass_rate: Decimal::ZERO,
            total_steps: 0,
            passed_steps: 0,
            failed_steps: 0,
            total_checkpoints: 0,
            passed_checkpoints: 0,
            failed_checkpoints: 0,
        }
    }

    #[test]
    fn the_arcs_close_the_circle_and_the_smallest_is_seen() {
        for counts in [[1, 0, 0, 0, 0], [7, 2, 1, 0, 0], [99_999, 1, 0, 0, 0], [0, 0, 0, 0, 3], [1, 1, 1, 99_996, 1]] {
            let segments = chart(&figures(counts));
            assert_eq!(segments.len(), counts.iter().filter(|count| **count > 0).count());
            assert_eq!(segments.iter().map(|segment| segment.length).sum::<i64>(), CIRCLE, "{counts:?}");
            assert!(segments.iter().all(|segment| segment.length >= SLIVER), "{segments:?}");
            for pair in segments.windows(2) {
                assert_eq!(pair[0].start + pair[0].length, pair[1].start);
            }
        }
        assert!(chart(&figures([0; 5])).is_empty());
    }

    #[test]
    fn shares_round_but_never_to_none_or_all() {
        assert_eq!(percent(1, 3), "33.3 %");
        assert_eq!(percent(1, 2), "50 %");
        assert_eq!(percent(3, 3), "100 %");
        assert_eq!(percent(99_999, 100_000), "99.9 %");
        assert_eq!(percent(1, 100_000), "0.1 %");
    }

    #[test]
    fn the_verdict_follows_the_run_and_then_its_tests() {
        let short = |status, counts| Verdict::of(status, &figures(counts)).short;
        assert_eq!(short(RunStatus::Completed, [3, 0, 0, 0, 0]), "PASSED 3/3");
        assert_eq!(short(RunStatus::Completed, [2, 1, 0, 0, 0]), "FAILED 1/3");
        assert_eq!(short(RunStatus::Completed, [0, 0, 0, 2, 0]), "NO TESTS RAN");
        assert_eq!(short(RunStatus::Failed, [2, 0, 1, 0, 0]), "RUN FAILED");
        assert_eq!(short(RunStatus::Cancelled, [2, 1, 1, 0, 0]), "CANCELLED");
        assert_eq!(short(RunStatus::Running, [2, 1, 0, 0, 4]), "RUNNING 3/7");
    }
}
