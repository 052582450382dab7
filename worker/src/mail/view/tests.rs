use rstest::rstest;

use super::*;
use crate::mail::sample::{after_failures, failed, passed};

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

#[rstest]
#[case::first(0, failed(), "FAILED 3/120", "3 of 120 tests failed")]
#[case::second(1, failed(), "FAILED 3/120", "3 of 120 tests failed, still failing (2nd run)")]
#[case::third(2, failed(), "FAILED 3/120", "3 of 120 tests failed, still failing (3rd run)")]
#[case::passed(0, passed(), "PASSED 120/120", "All 120 tests passed")]
#[case::recovered(1, passed(), "RECOVERED 120/120", "All 120 tests passed, recovered after 1 failed run")]
#[case::recovered_late(7, passed(), "RECOVERED 120/120", "All 120 tests passed, recovered after 7 failed runs")]
#[case::mostly(
    1,
    RunNotice { counts: counts(9, 8, 0, 1, 0), ..passed() },
    "RECOVERED 8/9",
    "8 of 9 tests passed, none failed, recovered after 1 failed run"
)]
#[case::broken(
    3,
    RunNotice { end: RunEnd::Failed, ..failed() },
    "RUN FAILED",
    "The run could not be carried out, still failing (4th run)"
)]
#[case::nothing_ran(3, RunNotice { counts: counts(5, 0, 0, 0, 5), ..passed() }, "NO TESTS RAN", "No tests ran")]
#[case::one(0, RunNotice { counts: counts(1, 0, 1, 0, 0), ..failed() }, "FAILED 1/1", "The only test failed")]
#[case::one_passed(0, RunNotice { counts: counts(1, 1, 0, 0, 0), ..passed() }, "PASSED 1/1", "The only test passed")]
fn earlier_runs_are_told_of(
    #[case] failed_before: i64,
    #[case] notice: RunNotice,
    #[case] result: &str,
    #[case] headline: &str,
) {
    let view = View::of(&after_failures(failed_before, notice));
    assert_eq!((view.result.as_str(), view.headline.as_str()), (result, headline));
}

#[test]
fn runs_are_counted_as_people_count() {
    let numbers = [1, 2, 3, 4, 10, 11, 12, 13, 14, 20, 21, 22, 23, 24, 101, 111, 112, 113, 121, 1012, 1022];
    let counted = [
        "1st", "2nd", "3rd", "4th", "10th", "11th", "12th", "13th", "14th", "20th", "21st", "22nd", "23rd", "24th",
        "101st", "111th", "112th", "113th", "121st", "1012th", "1022nd",
    ];
    assert_eq!(numbers.map(ordinal), counted);
}

#[test]
fn the_subject_of_a_scheduled_run_ends_with_the_schedules_name() {
    let named = |name: &str| RunNotice { run_name: name.to_owned(), ..passed() };
    for (name, expected) in [
        ("Nightly 2026-11-22 02:00", "PASSED 120/120: Nightly #42"),
        ("Nightly", "PASSED 120/120: Nightly #42"),
        ("Nightly Regression", "PASSED 120/120: Nightly Regression #42"),
        ("Nightlys 2026", "PASSED 120/120: Nightlys 2026 #42"),
    ] {
        assert_eq!(subject(&named(name)), expected);
        assert_eq!(View::of(&named(name)).title, format!("{name} #42"), "the body has it all");
    }
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
