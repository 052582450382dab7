//! `send_email`: one mail to one recipient.
//!
//! The row is claimed, the mail sent outside any transaction, and the outcome written by whoever holds the claim. A crash
//! in between repeats the mail with the same Message-ID, which is as often as SMTP allows to say "once".

use std::sync::Arc;
use std::time::Instant;

use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use testrun_shared::db::notifications::ClaimedNotification;
use testrun_shared::domain::notification::NotificationKind;
use testrun_shared::domain::test_run::TestRun;
use testrun_shared::jobs::{JobOutcome, SendEmail};
use testrun_shared::telemetry::trace::{self, TraceParent};
use testrun_shared::{actions, db};

use super::{LEASE_SECONDS, tell_run};
use crate::context::Context;
use crate::mail::{
    self, FailedTest, NoticeKind, NoticeSchedule, RunCounts, RunEnd, RunNotice, SendError, WebhookNotice,
};

/// How many failed tests a mail names.
const NAMED_FAILURES: i64 = 10;
const RUN_GONE: &str = "the run is gone";
const WEBHOOK_BACK: &str = "the webhook is enabled again or gone";

/// What a mail tells.
enum Notice {
    Run(Box<RunNotice>),
    Webhook(WebhookNotice),
}

pub(crate) async fn run(job: SendEmail, context: Arc<Context>) -> anyhow::Result<JobOutcome> {
    let Some(claimed) = db::notifications::claim(&context.db, job.notification_id, LEASE_SECONDS).await? else {
        return Ok(JobOutcome::Done);
    };
    claimed.test_run_id.into_iter().for_each(tell_run);
    let sent = match notice(&context, &claimed).await? {
        Ok(notice) => send(&context, &claimed, &notice).await,
        Err(reason) => Err(SendError::Permanent(reason.to_owned())),
    };
    match sent {
        Ok(()) => {
            db::notifications::set_sent(&context.db, claimed.id, claimed.attempt).await?;
            metrics::counter!("testrun_mails_total", "outcome" => "sent").increment(1);
        }
        Err(error) => failed(&context, &claimed, &error).await?,
    }
    Ok(JobOutcome::Done)
}

async fn send(context: &Context, claimed: &ClaimedNotification, notice: &Notice) -> Result<(), SendError> {
    let (to, from, date) = (&claimed.recipient, &context.mail_from, claimed.created_at);
    let message_id = format!("<{}@{}>", claimed.id, from.email.domain());
    let message = match notice {
        Notice::Run(notice) => mail::message(notice, to, from, &message_id, date)?,
        Notice::Webhook(notice) => mail::webhook_message(notice, to, from, &message_id, date)?,
    };
    let message = traced(message, trace::current());
    let began = Instant::now();
    let sent = context.mailer.send(message).await;
    metrics::histogram!("testrun_mail_duration_seconds").record(began.elapsed());
    sent
}

/// The mail with its place in the trace of what it is about, so that a bounce or a complaint leads to it.
fn traced(mut message: Message, trace: Option<TraceParent>) -> Message {
    if let Some(trace) = trace {
        let name = HeaderName::new_from_ascii_str("Traceparent");
        message.headers_mut().insert_raw(HeaderValue::new(name, trace.child().to_string()));
    }
    message
}

async fn failed(context: &Context, claimed: &ClaimedNotification, error: &SendError) -> anyhow::Result<()> {
    let (text, permanent) = match error {
        SendError::Transient(text) => (text, false),
        SendError::Permanent(text) => (text, true),
    };
    tracing::warn!(notification.id = %claimed.id, attempt = claimed.attempt, permanent, error = text, "mail not sent");
    let outcome = if permanent { "refused" } else { "failed" };
    metrics::counter!("testrun_mails_total", "outcome" => outcome).increment(1);
    Ok(actions::deliveries::mail_failed(&context.db, claimed, text, permanent).await?)
}

/// The facts of the mail; or why there is none to send.
async fn notice(context: &Context, claimed: &ClaimedNotification) -> anyhow::Result<Result<Notice, &'static str>> {
    let kind = match claimed.kind {
        NotificationKind::Completion => NoticeKind::Completion,
        NotificationKind::Failure => NoticeKind::Failure,
        NotificationKind::WebhookDisabled => {
            return Ok(about_webhook(context, claimed).await?.map(Notice::Webhook).ok_or(WEBHOOK_BACK));
        }
    };
    Ok(about_run(context, claimed, kind).await?.map(|notice| Notice::Run(Box::new(notice))))
}

async fn about_webhook(context: &Context, claimed: &ClaimedNotification) -> anyhow::Result<Option<WebhookNotice>> {
    let Some(webhook_id) = claimed.webhook_id else { return Ok(None) };
    let Some(webhook) = db::webhooks::find(&context.db, webhook_id).await? else { return Ok(None) };
    let (Some(reason), Some(disabled_at)) = (webhook.disabled_reason, webhook.disabled_at) else { return Ok(None) };
    if claimed.webhook_disabled_at != Some(disabled_at) {
        return Ok(None);
    }
    let project = db::projects::find(&context.db, &webhook.project_id.to_string()).await?;
    Ok(Some(WebhookNotice {
        webhook_id,
        project_name: project.map(|project| project.name).unwrap_or_default(),
        url: webhook.url,
        description: webhook.description,
        reason,
        disabled_at,
        failing_since: webhook.failing_since,
        webhook_url: context.link(&format!("webhooks/{webhook_id}"))?,
    }))
}

async fn about_run(
    context: &Context,
    claimed: &ClaimedNotification,
    kind: NoticeKind,
) -> anyhow::Result<Result<RunNotice, &'static str>> {
    let Some(run_id) = claimed.test_run_id else { return Ok(Err(RUN_GONE)) };
    let Some(run) = db::test_runs::find(&context.db, run_id).await? else { return Ok(Err(RUN_GONE)) };
    let Some(end) = RunEnd::from_status(run.status.as_str()) else { return Ok(Err(RUN_GONE)) };
    let schedule = schedule(context, &run).await?;
    let mut unsubscribe_url = None;
    if let Some(schedule) = &schedule {
        let link = db::unsubscribe_links::of_recipient(&context.db, schedule.id, &claimed.recipient).await?;
        // Said after the mail was put down: while it waited for its next attempt, for example.
        if link.unsubscribed_at.is_some() {
            return Ok(Err("the recipient has unsubscribed"));
        }
        unsubscribe_url = context.link(&format!("unsubscribe/{}", link.token))?;
    }
    let project = db::projects::find(&context.db, &run.project_id.to_string()).await?;
    let failures = db::test_run_items::first_failures(&context.db, run.id, NAMED_FAILURES).await?;
    Ok(Ok(RunNotice {
        kind,
        project_name: project.map(|project| project.name).unwrap_or_default(),
        run_id: run.id,
        schedule,
        end,
        counts: RunCounts {
            total: run.total_tests,
            passed: run.passed_tests,
            failed: run.failed_tests,
            skipped: run.skipped_tests,
            no_run: run.no_run_tests,
        },
        run_name: run.run_name,
        run_number: run.run_number,
        failure_reason: run.failure_reason,
        pass_rate: run.pass_rate,
        duration_ms: run.duration_ms,
        started_at: run.started_at,
        completed_at: run.completed_at,
        failures: failures
            .into_iter()
            .map(|item| FailedTest { test_case_name: item.test_case_name, error_message: item.error_message })
            .collect(),
        run_url: context.link(&format!("test-runs/{}", run.id))?,
        report_url: context.link(&format!("test-runs/{}/report", run.id))?,
        unsubscribe_url,
    }))
}

async fn schedule(context: &Context, run: &TestRun) -> anyhow::Result<Option<NoticeSchedule>> {
    let Some(execution) = db::schedule_executions::of_run(&context.db, run.id).await? else { return Ok(None) };
    let Some(schedule) = db::schedules::find(&context.db, execution.schedule_id).await? else { return Ok(None) };
    let failed_before = db::schedule_executions::count_failed_before(&context.db, run.id).await?;
    Ok(Some(NoticeSchedule { id: schedule.id, name: schedule.schedule_name, failed_before }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_carries_the_trace_that_it_belongs_to_and_none_otherwise() -> anyhow::Result<()> {
        let message = || -> anyhow::Result<Message> {
            let builder = Message::builder().from("a@example.com".parse()?).to("b@example.com".parse()?);
            Ok(builder.body(String::new())?)
        };
        let trace = TraceParent::begin();
        let text = String::from_utf8(traced(message()?, Some(trace)).formatted())?;
        let header = text.lines().find_map(|line| line.strip_prefix("Traceparent: "));
        let carried: Option<TraceParent> = header.and_then(|header| header.parse().ok());
        assert_eq!(carried.map(TraceParent::trace_id), Some(trace.trace_id()), "{text}");
        assert!(!String::from_utf8(traced(message()?, None).formatted())?.contains("Traceparent"));
        Ok(())
    }
}
