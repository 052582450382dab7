use rstest::rstest;

use super::*;
use crate::mail::sample::{failed, passed};

fn counts(total: i32, passed: i32, failed: i32, skipped: i32, no_run: i32) -> RunCounts {
    RunCounts { total, passed, failed, skipped, no_run }
}

fn subject(notice: &RunNotice) -> String {
    View::of(notice).subject()
}

#[test]
fn subjects_begin_with_the_result() {
    assert_eq!(subject(&failed()), "FAILED 3/120: Nightly Regression #42");
    assert_eq!(subject(&passed()), "PASSED 120/120: Nightly Regression #42");
    let some_skipped = RunNotice { counts: counts(120, 118, 0, 2, 0), ..passed() };
    assert_eq!(subject(&some_skipped), "PASSED 118/120: Nightly Regression #42");
    let none_recorded = RunNotice { counts: counts(5, 0, 0, 0, 5), ..passed() };
    assert_eq!(subject(&none_recorded), "NO TESTS RAN: Nightly Regression #42");
    let broken = RunNotice { end: RunEnd::Failed, ..failed() };
    assert_eq!(subject(&broken), "RUN FAILED: Nightly Regression #42");
    let stopped = RunNotice { end: RunEnd::Cancelled, ..failed() };
    assert_eq!(subject(&stopped), "CANCELLED: Nightly Regression #42");
}

#[test]
fn the_number_is_not_said_twice() {
    let named = RunNotice { run_name: "Smoke Test Run #42".to_owned(), ..passed() };
    assert_eq!(subject(&named), "PASSED 120/120: Smoke Test Run #42");
}

#[test]
fn long_names_are_cut_and_keep_the_number() {
    let named = RunNotice { run_name: "ä".repeat(255), ..passed() };
    let subject = subject(&named);
    assert!(subject.ends_with("ä… #42"), "{subject}");
    assert!(subject.chars().count() < 150, "{subject}");
}

#[test]
fn names_cannot_pass_for_encoded_words() {
    let named = RunNotice { run_name: "=?utf-8?b?UEFTU0VE?=".to_owned(), ..failed() };
    assert!(!subject(&named).contains("=?"), "{}", subject(&named));
}

#[rstest]
#[case::all_passed(counts(120, 120, 0, 0, 0), &[(GREEN, 100)])]
#[case::quarters(counts(4, 1, 1, 1, 1), &[(GREEN, 25), (RED, 25), (AMBER, 25), (GREY, 25)])]
#[case::thirds(counts(3, 1, 1, 1, 0), &[(GREEN, 33), (RED, 33), (AMBER, 34)])]
#[case::one_in_a_million(counts(1_000_000, 999_999, 1, 0, 0), &[(GREEN, 98), (RED, 2)])]
#[case::unfinished(counts(10, 5, 0, 0, 0), &[(GREEN, 50), (GREY, 50)])]
#[case::nothing(counts(0, 0, 0, 0, 0), &[])]
#[case::more_than_the_total(counts(1, 2, 2, 0, 0), &[(GREEN, 50), (RED, 50)])]
#[case::largest(counts(i32::MAX, i32::MAX, 0, 0, 0), &[(GREEN, 100)])]
fn the_bar_always_adds_up(#[case] counts: RunCounts, #[case] expected: &[(&str, i64)]) {
    let cells: Vec<_> = bar(counts).iter().map(|segment| (segment.colour, segment.percent)).collect();
    assert_eq!(cells, expected);
    assert!(cells.is_empty() || cells.iter().map(|(_, percent)| percent).sum::<i64>() == 100);
}

#[test]
fn only_ten_failures_are_named_and_the_rest_is_counted() {
    let one = failed().failures.remove(0);
    let notice = RunNotice { counts: counts(120, 20, 100, 0, 0), failures: vec![one; 25], ..failed() };
    let view = View::of(&notice);
    assert_eq!(view.failures.len(), 10);
    assert_eq!(view.more_failures, 90);
    assert_eq!(View::of(&failed()).more_failures, 1, "two are named, three failed");
    assert_eq!(View::of(&passed()).more_failures, 0);
}
