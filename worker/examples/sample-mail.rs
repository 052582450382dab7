//! Sends a sample of each notice by `SMTP_URL`, for `.ci/check-mail` and for looking at mails:
//! `cargo run -p testrun-worker --example sample-mail -- --to team@example.com`; without `SMTP_URL` they become files.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use clap::Parser;
use testrun_worker::MailConfig;
use testrun_worker::mail::{FailedTest, NoticeKind, NoticeSchedule, RunCounts, RunEnd, RunNotice, message};
use url::Url;
use uuid::Uuid;

#[derive(Parser)]
struct Options {
    /// Who gets the mails
    #[arg(long, default_value = "team@example.com")]
    to: String,

    #[command(flatten)]
    mail: MailConfig,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mailer = options.mail.mailer()?;
    let from = options.mail.mail_from;
    for (name, notice) in
        [("failed", failed(0)?), ("still-failing", failed(3)?), ("recovered", passed(4)?), ("broken", broken()?)]
    {
        let message_id = format!("<{name}@{}>", from.email.domain());
        let mail = message(&notice, &options.to, &from, &message_id, at("2026-11-22T02:15:29Z")?)?;
        mailer.send(mail).await.with_context(|| format!("the mail '{name}' was not sent"))?;
    }
    println!("sent to {}", mailer.describe());
    Ok(())
}

fn at(instant: &str) -> anyhow::Result<DateTime<Utc>> {
    Ok(instant.parse()?)
}

fn failed(failed_before: i64) -> anyhow::Result<RunNotice> {
    let link = |path: &str| Url::parse(&format!("https://testrun.example.com/api/v1/{path}"));
    let run_id = Uuid::from_u128(0x0193_a1b2_c3d4_7e5f_8a9b_0c1d_2e3f_4a5b);
    let failure = |name: &str, message: Option<&str>| FailedTest {
        test_case_name: name.to_owned(),
        error_message: message.map(str::to_owned),
    };
    Ok(RunNotice {
        kind: NoticeKind::Failure,
        project_name: "Web shop – Überall".to_owned(),
        run_id,
        run_name: "Nightly Regression 2026-11-22 03:00".to_owned(),
        run_number: 42,
        schedule: Some(NoticeSchedule { id: Uuid::from_u128(5), name: "Nightly Regression".to_owned(), failed_before }),
        end: RunEnd::Completed,
        failure_reason: None,
        counts: RunCounts { total: 120, passed: 114, failed: 3, skipped: 2, no_run: 1 },
        pass_rate: "95".parse()?,
        duration_ms: 925_000,
        started_at: Some(at("2026-11-22T02:00:03Z")?),
        completed_at: Some(at("2026-11-22T02:15:28Z")?),
        failures: vec![
            failure(
                "Checkout with an expired card",
                Some(
                    "TimeoutError: locator('#pay') is not visible\n    at checkout.spec.ts:41:7\n    \
                     at https://shop.example.com/assets/a-file-with-a-very-long-name-that-has-to-be-broken.js:1:99999",
                ),
            ),
            failure("Suche nach „Größe 38“ 🚀", Some("expected 12 results, got 0")),
            failure("Log out", None),
        ],
        run_url: Some(link(&format!("test-runs/{run_id}"))?),
        report_url: Some(link(&format!("test-runs/{run_id}/report"))?),
        unsubscribe_url: Some(link("unsubscribe/4f0c2b6e-8d0a-4a83-9b57-1c1f6a1d2e3f")?),
    })
}

fn passed(failed_before: i64) -> anyhow::Result<RunNotice> {
    Ok(RunNotice {
        kind: NoticeKind::Completion,
        counts: RunCounts { total: 120, passed: 120, ..RunCounts::default() },
        pass_rate: "100".parse()?,
        failures: Vec::new(),
        ..failed(failed_before)?
    })
}

fn broken() -> anyhow::Result<RunNotice> {
    Ok(RunNotice {
        end: RunEnd::Failed,
        failure_reason: Some("The schedule selects no test cases".to_owned()),
        counts: RunCounts::default(),
        pass_rate: "0".parse()?,
        duration_ms: 0,
        started_at: None,
        failures: Vec::new(),
        ..failed(0)?
    })
}
