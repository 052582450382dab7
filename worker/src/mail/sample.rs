//! A notice for the tests to start from.

use chrono::{DateTime, Utc};
use lettre::{Message, message::Mailbox};
use rust_decimal::Decimal;

use uuid::Uuid;

use super::{FailedTest, NoticeKind, NoticeSchedule, RunCounts, RunEnd, RunNotice, message};

pub(super) const MESSAGE_ID: &str = "<0193a1b2.failure@testrun.example.com>";

pub(super) fn at(instant: &str) -> DateTime<Utc> {
    instant.parse().unwrap()
}

/// 3 of 120 tests of a scheduled run failed.
pub(super) fn failed() -> RunNotice {
    RunNotice {
        kind: NoticeKind::Failure,
        project_name: "Web shop".to_owned(),
        run_name: "Nightly Regression".to_owned(),
        run_number: 42,
        run_id: Uuid::from_u128(7),
        schedule: Some(NoticeSchedule { id: Uuid::from_u128(5), name: "Nightly".to_owned(), failed_before: 0 }),
        end: RunEnd::Completed,
        failure_reason: None,
        counts: RunCounts { total: 120, passed: 114, failed: 3, skipped: 2, no_run: 1 },
        pass_rate: Decimal::new(9500, 2),
        duration_ms: 925_000,
        started_at: Some(at("2026-11-22T02:00:03Z")),
        completed_at: Some(at("2026-11-22T02:15:28Z")),
        failures: [
            (
                "Checkout with an expired card",
                Some("TimeoutError: locator('#pay') not visible\n    at checkout.spec.ts:41:7"),
            ),
            ("Log out", None),
        ]
        .map(|(name, error)| FailedTest { test_case_name: name.to_owned(), error_message: error.map(str::to_owned) })
        .into(),
        run_url: Some("https://testrun.example.com/api/v1/test-runs/7".parse().unwrap()),
        report_url: Some("https://testrun.example.com/api/v1/test-runs/7/report".parse().unwrap()),
        unsubscribe_url: Some("https://testrun.example.com/api/v1/unsubscribe/9".parse().unwrap()),
    }
}

/// The same notice after so many failed runs of its schedule.
pub(super) fn after_failures(failed_before: i64, notice: RunNotice) -> RunNotice {
    let schedule = notice.schedule.map(|schedule| NoticeSchedule { failed_before, ..schedule });
    RunNotice { schedule, ..notice }
}

/// All 120 tests of the same run passed.
pub(super) fn passed() -> RunNotice {
    RunNotice {
        kind: NoticeKind::Completion,
        counts: RunCounts { total: 120, passed: 120, ..RunCounts::default() },
        pass_rate: Decimal::new(10000, 2),
        failures: Vec::new(),
        ..failed()
    }
}

/// The mail about `notice` to one recipient, as `Testrun <ci@testrun.example.com>` sends it.
pub(super) fn mail_to(to: &str, notice: &RunNotice) -> Message {
    let from: Mailbox = "Testrun <ci@testrun.example.com>".parse().unwrap();
    message(notice, to, &from, MESSAGE_ID, at("2026-11-22T02:15:29Z")).unwrap()
}
