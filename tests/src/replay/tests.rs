use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};

use super::answer::{Answer, pause};
use super::api::RunSummary;
use super::{Options, RunCounts, replay};
use crate::junit::{Counts, Report};

fn answer(status: StatusCode, body: &str) -> Answer {
    Answer {
        url: "http://host/api/v1/test-runs".to_owned(),
        status,
        headers: HeaderMap::new(),
        body: body.into(),
        tries: 1,
    }
}

#[test]
fn only_what_may_change_is_asked_again() {
    for (status, body, is_final) in [
        (201, "", true),
        (400, r#"{"detail":"Validation error"}"#, true),
        (401, "", true),
        (409, r#"{"detail":"Result already exists"}"#, true),
        (409, r#"{"detail":"A request with this Idempotency-Key is already in progress"}"#, false),
        (422, "", true),
        (429, "", false),
        (500, "", false),
        (503, "", false),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(answer(status, body).is_final(), is_final, "{status} {body}");
    }
}

#[test]
fn a_conflict_that_says_when_to_come_back_is_asked_again() {
    let mut busy = answer(StatusCode::CONFLICT, "busy");
    busy.headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
    assert!(!busy.is_final());
    assert_eq!(busy.retry_after(), Some(Duration::from_secs(2)));
}

#[test]
fn a_retry_after_that_is_a_date_is_left_to_the_back_off() {
    let mut busy = answer(StatusCode::SERVICE_UNAVAILABLE, "");
    busy.headers.insert(RETRY_AFTER, HeaderValue::from_static("Sun, 22 Nov 2026 12:00:00 GMT"));
    assert_eq!(busy.retry_after(), None);
}

#[test]
fn the_pause_doubles_up_to_five_seconds() {
    let pauses: Vec<_> = (1..=8).map(|tries| pause(tries).as_millis()).collect();
    assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    assert_eq!(pause(u32::MAX), Duration::from_secs(5));
}

#[test]
fn a_refusal_names_every_field() {
    let body = r#"{"detail":"Validation error","errors":[{"field":"run_name","message":"too long"},{"field":"tags","message":"too many"}]}"#;
    assert_eq!(
        answer(StatusCode::BAD_REQUEST, body).refusal().to_string(),
        "http://host/api/v1/test-runs answered 400 Bad Request: Validation error; run_name: too long; tags: too many",
    );
    let plain = answer(StatusCode::BAD_GATEWAY, "<html>").refusal().to_string();
    assert!(plain.ends_with("502 Bad Gateway: <html>"), "{plain}");
}

#[test]
fn the_specifications_summary_is_read() {
    // The example of test-run-api.md, "Get Test Run Summary", without its items.
    let body = r#"{
        "id": "550e8400-e29b-41d4-a716-446655440000", "run_name": "Smoke Test Run", "status": "completed",
        "started_at": "2026-01-17T10:05:00Z", "completed_at": "2026-01-17T10:15:30Z", "duration_ms": 630000,
        "summary": {
            "total_tests": 3, "passed_tests": 2, "failed_tests": 1, "skipped_tests": 0, "pass_rate": 66.67,
            "total_steps": 45, "passed_steps": 42, "failed_steps": 3,
            "total_checkpoints": 15, "passed_checkpoints": 14, "failed_checkpoints": 1
        }
    }"#;
    let summary: RunSummary = answer(StatusCode::OK, body).read().unwrap();
    assert!(summary.status.is_final());
    assert_eq!(summary.duration_ms, Some(630_000));
    assert!(summary.summary.agree_with(&Counts { total: 3, passed: 2, failed: 0, errors: 1, skipped: 0 }));
}

#[test]
fn counts_disagree_if_any_one_differs() {
    let report = Counts { total: 10, passed: 4, failed: 1, errors: 2, skipped: 3 };
    let same = RunCounts { total_tests: 10, passed_tests: 4, failed_tests: 3, skipped_tests: 3, no_run_tests: Some(0) };
    assert!(same.agree_with(&report));
    assert!(RunCounts { no_run_tests: None, ..same }.agree_with(&report));
    for other in [
        RunCounts { total_tests: 11, ..same },
        RunCounts { passed_tests: 3, ..same },
        RunCounts { failed_tests: 1, ..same },
        RunCounts { skipped_tests: 0, ..same },
        RunCounts { no_run_tests: Some(1), ..same },
    ] {
        assert!(!other.agree_with(&report), "{other:?}");
    }
}

#[test]
fn options_do_not_show_the_token() {
    let options = Options::new("http://127.0.0.1:8080", "trt_secret", "suite");
    assert!(!format!("{options:?}").contains("trt_secret"));
}

#[tokio::test]
async fn an_empty_report_is_refused_by_a_future_that_can_be_spawned() {
    fn send<T: Send>(future: T) -> T {
        future
    }
    let options = Options::new("http://127.0.0.1:1", "token", "suite");
    let error = send(replay(options, Report { cases: Vec::new() }, |_| {})).await.unwrap_err();
    assert!(error.to_string().contains("no test cases"), "{error}");
}
