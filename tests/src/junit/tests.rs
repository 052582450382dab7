use std::collections::HashSet;
use std::path::{Path, PathBuf};

use chrono::DateTime;
use serde_json::Value;
use uuid::Uuid;

use super::payload::{Ids, TestCase, TestRunResult, external_key};
use super::{Case, Counts, Outcome, Report, read, read_file};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/junit")
}

fn report(name: &str) -> Report {
    read_file(data().join(name)).unwrap()
}

fn one_case(children: &str) -> Case {
    let xml = format!(r#"<testsuite name="s"><testcase classname="c" name="n">{children}</testcase></testsuite>"#);
    read(xml.as_bytes()).unwrap().cases.remove(0)
}

/// The table "Counts" of the data's README: file, size in bytes and the "counted" row.
fn counted() -> Vec<(String, u64, Counts)> {
    let readme = std::fs::read_to_string(data().join("README.md")).unwrap();
    let mut rows = Vec::new();
    let mut file = None;
    for line in readme.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<_> = line.split('|').map(|cell| cell.trim().trim_matches(['*', '`'])).collect();
        let number = |cell: &str| {
            let digits = cell.split(' ').next().unwrap_or("").trim_matches('*').replace(',', "");
            digits.parse().unwrap_or_else(|_| panic!("no number in '{cell}' of '{line}'"))
        };
        if cells[1].ends_with(".xml") {
            file = Some((cells[1].to_owned(), number(cells[2])));
        } else if cells[3] == "counted"
            && let Some((name, bytes)) = file.take()
        {
            let [total, passed, failed, errors, skipped] = [4, 5, 6, 7, 8].map(|column| number(cells[column]));
            rows.push((name, bytes, Counts { total, passed, failed, errors, skipped }));
        }
    }
    rows
}

#[test]
fn every_file_has_the_counts_of_the_readme() {
    let rows = counted();
    assert_eq!(rows.len(), 8);
    for (name, bytes, counts) in rows {
        assert_eq!(std::fs::metadata(data().join(&name)).unwrap().len(), bytes, "{name}");
        assert_eq!(report(&name).counts(), counts, "{name}");
    }
}

#[test]
fn every_file_has_bodies_that_the_server_takes() {
    for (name, _, counts) in counted() {
        let mut keys = HashSet::new();
        for case in report(&name).cases {
            let test_case = TestCase::new(&case, &name);
            assert!(test_case.external_key.chars().count() <= 500, "{test_case:?}");
            assert!((1..=255).contains(&test_case.name.chars().count()), "{test_case:?}");
            assert!(test_case.suite_path.iter().all(|part| !part.is_empty()), "{test_case:?}");
            let size = serde_json::to_vec(&result(&case)).unwrap().len();
            assert!(size < 1_000_000, "{size} bytes for {}", case.name);
            keys.insert(test_case.external_key);
        }
        assert_eq!(keys.len() as u64, counts.total, "keys repeat in {name}");
    }
}

#[test]
fn a_test_that_passed_at_its_second_attempt_is_flaky() {
    let report = report("notify-nextest-42tests.xml");
    let flaky: Vec<_> = report.cases.iter().filter(|case| case.flaky).collect();
    assert_eq!(flaky.len(), 1);
    assert_eq!(flaky[0].name, "poll::tests::create_file");
    assert_eq!(flaky[0].outcome, Outcome::Passed);
    assert_eq!(flaky[0].attempts, 2);
    assert_eq!(flaky[0].stdout, "", "the output belongs to the failed attempt");
    assert_eq!(report.cases.iter().filter(|case| case.timestamp.is_none()).count(), 2, "the ignored ones");
}

#[test]
fn attempts_that_fail_again_keep_the_first_ones_text() {
    let report = report("hickory-resolver-nextest-94tests.xml");
    let failed: Vec<_> = report.cases.iter().filter(|case| case.outcome == Outcome::Failed).collect();
    assert_eq!(failed.len(), 11);
    for case in &failed {
        assert_eq!(case.attempts, 3, "{}", case.name);
        assert!(!case.flaky);
        assert_eq!(case.stderr.matches("stack backtrace:").count(), 1, "{}", case.name);
    }
    assert!(failed.iter().any(|case| !case.trace.is_ascii()), "non-ASCII text in one failure");
    let suites: HashSet<_> = report.cases.iter().map(|case| &case.suite).collect();
    assert_eq!(suites.len(), 2);
    let first = &report.cases[0];
    assert_eq!(first.name, "cache::tests::test_authority_ttl_does_not_shorten_answer_cache");
    assert_eq!(first.duration_ms, 14);
    assert_eq!(first.timestamp, DateTime::parse_from_rfc3339("2026-11-22T12:07:58.538Z").ok().map(Into::into));
}

#[test]
fn reruns_are_numbered() {
    let report = report("requests-pytest-671tests.xml");
    let numbered = |suffix| report.cases.iter().filter(|case| case.name.ends_with(suffix)).count();
    assert_eq!(numbered(" (2)"), 32);
    assert_eq!(numbered(" (3)"), 32);
    assert_eq!(numbered(" (4)"), 0);
    assert!(report.cases.iter().filter(|case| case.name.ends_with(" (2)")).all(|case| case.outcome == Outcome::Passed));
    let errors: Vec<_> = report.cases.iter().filter(|case| case.outcome == Outcome::Error).collect();
    let message = |case: &Case| case.message.clone().unwrap();
    assert!(errors.iter().all(|case| message(case).starts_with("failed on setup with")));
    assert!(errors.iter().all(|case| message(case).contains('\n')), "line breaks of a message are kept");
    let longest = report.cases.iter().filter_map(|case| Some(case.message.as_ref()?.chars().count())).max();
    assert_eq!(longest, Some(533));
}

#[test]
fn suites_of_the_same_name_and_file_are_told_apart() {
    let report = report("express-mocha-1256tests.xml");
    assert_eq!(report.cases.iter().filter(|case| case.name.ends_with(" (2)")).count(), 8);
    assert!(report.cases.iter().all(|case| case.file.is_some()), "the file is an attribute of the suite");
    let first = TestCase::new(&report.cases[0], "express");
    assert_eq!(first.name, "Route should work without handlers");
    assert_eq!(first.suite_path, ["express", "Route"], "the class repeats the title");
}

#[test]
fn a_module_that_was_skipped_has_no_class() {
    for (name, modules) in [("markdown-it-py-pytest-1190tests.xml", 1), ("networkx-pytest-5220tests.xml", 3)] {
        let report = report(name);
        let skipped: Vec<_> = report.cases.iter().filter(|case| case.classname.is_empty()).collect();
        assert_eq!(skipped.len(), modules, "{name}");
        for case in skipped {
            assert_eq!(case.outcome, Outcome::Skipped);
            assert_eq!(case.message.as_deref(), Some("collection skipped"));
            assert!(case.trace.contains("Skipped: could not import"), "{}", case.trace);
            assert_eq!(TestCase::new(case, "root").suite_path, ["root", "pytest"]);
        }
    }
}

#[test]
fn long_tracebacks_are_read_whole() {
    let report = report("networkx-pytest-5220tests.xml");
    let longest = report.cases.iter().map(|case| case.trace.chars().count()).max();
    assert_eq!(longest, Some(24_016));
    let float = report.cases.iter().filter(|case| case.trace.contains("`np.float_` was removed")).count();
    assert_eq!(float, 80);
}

#[test]
fn references_and_cdata_are_text() {
    let case =
        one_case(r#"<failure message="a &lt; b&#10;&quot;c&quot;">1 &lt; 2 &amp; <![CDATA[<x> & ]]>&#233;</failure>"#);
    assert_eq!(case.message.as_deref(), Some("a < b\n\"c\""));
    assert_eq!(case.trace, "1 < 2 & <x> & é");
}

#[test]
fn characters_that_xml_forbids_are_replaced() {
    let case = one_case("<system-out>a\u{0}b\u{1b}[31m&#0;&#27;&#xFFFF;\t\n</system-out>");
    assert_eq!(case.stdout, "a\u{fffd}b\u{fffd}[31m\u{fffd}\u{fffd}\u{fffd}\t\n");
    let xml = "<testsuite name='s'><testcase name='a&#8;b\u{7}'/><testcase name='&#0;'/></testsuite>";
    let names: Vec<_> = read(xml.as_bytes()).unwrap().cases.into_iter().map(|case| case.name).collect();
    assert_eq!(names, ["a\u{fffd}b\u{fffd}", "&#0;"]);
}

#[test]
fn the_gravest_child_counts() {
    let case = one_case(r#"<skipped message="s"/><failure message="f">trace</failure><error message="e"/>"#);
    assert_eq!(case.outcome, Outcome::Failed);
    assert_eq!(case.message.as_deref(), Some("f"));
}

#[test]
fn times_are_rounded_to_milliseconds() {
    for (time, expected) in
        [("0.0004", 0), ("0.0006", 1), ("1,234.5", 1_234_500), ("-1", 0), ("NaN", 0), ("1e300", 0), ("", 0)]
    {
        let xml = format!(r#"<testsuite><testcase name="n" time="{time}"/></testsuite>"#);
        assert_eq!(read(xml.as_bytes()).unwrap().cases[0].duration_ms, expected, "{time}");
    }
}

#[test]
fn a_name_that_looks_numbered_is_not_given_out_twice() {
    let xml =
        "<testsuite><testcase name='n (2)'/><testcase name='n'/><testcase name='n'/><testcase name='n'/></testsuite>";
    let names: Vec<_> = read(xml.as_bytes()).unwrap().cases.into_iter().map(|case| case.name).collect();
    assert_eq!(names, ["n (2)", "n", "n (3)", "n (4)"]);
}

#[test]
fn what_is_no_report_is_refused_with_the_reason() {
    for (xml, reason) in [
        (&b"<html></html>"[..], "no <testsuite>"),
        (b"", "no <testsuite>"),
        (b"<testsuites><testsuite><testcase name='a'/>", "cut off"),
        (b"<testsuites></testsuite>", "bad XML at byte"),
        (b"<testsuite><testcase name='a' name='b'/></testsuite>", "bad attribute of <testcase>"),
        (b"<testsuite name='\xff'/>", "not UTF-8"),
    ] {
        let error = format!("{:#}", read(xml).unwrap_err());
        assert!(error.contains(reason), "'{error}' for {}", String::from_utf8_lossy(xml));
    }
    let error = read_file(data().join("none.xml")).unwrap_err().to_string();
    assert!(error.contains("none.xml"), "{error}");
}

#[test]
fn keys_are_readable_stable_and_short() {
    let mut case = one_case("");
    assert_eq!(external_key(&case, "root"), "root :: s :: c :: n");
    case.name = "é".repeat(600);
    let long = external_key(&case, "root");
    assert_eq!(long.chars().count(), 500);
    assert!(long.starts_with("root :: s :: c :: éé"), "{long}");
    // Keys outlive the program that made them: this one must not change.
    assert!(long.ends_with("… #e20000304f5bc1a2"), "{long}");
    case.name.push('x');
    assert_ne!(external_key(&case, "root"), long);
}

#[test]
fn keys_do_not_meet_where_the_separator_is_in_a_part() {
    let mut one = one_case("");
    one.suite = "a :: b".to_owned();
    one.classname = "c".to_owned();
    let mut other = one.clone();
    other.suite = "a".to_owned();
    other.classname = "b :: c".to_owned();
    assert_ne!(external_key(&one, "root"), external_key(&other, "root"));
}

fn result(case: &Case) -> TestRunResult {
    let ids = Ids { run: Uuid::nil(), item: Uuid::nil(), test_case: Uuid::nil() };
    TestRunResult::new(case, ids, DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(1))
}

fn json(case: &Case) -> Value {
    serde_json::to_value(result(case)).unwrap()
}

#[test]
fn an_error_is_a_failed_result_with_its_trace_and_output() {
    let mut case = one_case(
        r#"<error message="no fixture">where it was</error><system-out>one

two</system-out><system-err>three</system-err>"#,
    );
    case.duration_ms = 1_500;
    let body = json(&case);
    assert_eq!(body["status"], "failed");
    assert_eq!(body["error_message"], "no fixture");
    assert_eq!(body["started_at"], "1970-01-01T00:59:58.500Z");
    assert_eq!(body["completed_at"], "1970-01-01T01:00:00Z");
    assert_eq!(body["duration_ms"], 1_500);
    assert_eq!(body["steps"][0]["step_number"], 1);
    assert_eq!(body["steps"][0]["status"], "failed");
    assert_eq!(body["steps"][0]["error_stack_trace"], "where it was");
    let logs: Vec<_> =
        body["console_logs"].as_array().unwrap().iter().map(|l| (&l["log_level"], &l["message"])).collect();
    assert_eq!(
        serde_json::to_value(logs).unwrap(),
        serde_json::json!([["log", "one"], ["log", "two"], ["error", "three"]])
    );
}

#[test]
fn a_passed_result_has_no_error_and_a_skipped_one_its_reason() {
    let passed = json(&one_case(""));
    assert_eq!((&passed["status"], &passed["error_message"]), (&"passed".into(), &Value::Null));
    assert_eq!(passed["steps"][0]["error_stack_trace"], Value::Null);
    let skipped = json(&one_case("<skipped>\nnot here\nat all</skipped>"));
    assert_eq!((&skipped["status"], &skipped["error_message"]), (&"skipped".into(), &"not here".into()));
}

#[test]
fn the_longest_possible_texts_fit_into_a_body() {
    for filler in ["\"", "\n\\", "é", "x\n", "\u{fffd}"] {
        let mut case = one_case("<failure/>");
        let text = filler.repeat(2_000_000 / filler.len());
        case.name.clone_from(&text);
        case.message = Some(text.clone());
        case.trace.clone_from(&text);
        case.stdout.clone_from(&text);
        case.stderr = text;
        let body = serde_json::to_vec(&result(&case)).unwrap();
        assert!(body.len() < 1_000_000, "{} bytes of {filler:?}", body.len());
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert!(body["console_logs"].as_array().unwrap().len() <= 10_000);
        let trace = body["steps"][0]["error_stack_trace"].as_str().unwrap();
        assert!(trace.len() > 99_000 && trace.contains("bytes left out"), "{} bytes", trace.len());
    }
}

#[test]
fn lines_that_do_not_fit_are_counted() {
    let mut case = one_case("");
    case.stdout = "x\n".repeat(7_000);
    let body = json(&case);
    let logs = body["console_logs"].as_array().unwrap();
    let left: usize = logs.last().unwrap()["message"].as_str().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    assert_eq!(logs.len() - 1 + left, 7_000);
}
