//! Every event that a webhook wants was delivered, signed, under one id; again only where nobody could know better.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use serde_json::Value;
use sqlx::PgPool;
use test_support::receiver::{ReceivedRequest, Reply};
use uuid::Uuid;

use super::super::plan::{GONE_PATH, RETRY_AFTER};
use super::super::{Happened, Hook};
use super::is_cut;

/// What the database says.
#[derive(Debug, Default)]
pub(crate) struct Books {
    deliveries: Vec<Row>,
    /// Events that webhooks want, with their projects.
    events: Vec<(Uuid, Uuid)>,
    webhooks: HashMap<Uuid, Option<String>>,
    /// How often webhooks were told to be disabled.
    told_disabled: i64,
}

/// A row of `webhook_deliveries`.
#[derive(Debug, Clone, sqlx::FromRow)]
struct Row {
    id: Uuid,
    webhook_id: Uuid,
    event_id: Uuid,
    status: String,
    attempt: i32,
    last_error: Option<String>,
}

/// What became of the deliveries.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    pub(crate) due: usize,
    pub(crate) delivered: usize,
    pub(crate) gone: usize,
    /// Requests that came, of which all are signed.
    signed: usize,
    /// Requests with an id that came before.
    retries: usize,
    /// Retries after the receiver was busy, none of them too soon.
    heeded: usize,
    /// Requests that came again because a process was killed, or the database restarted, before it was noted.
    after_faults: usize,
    pub(crate) violations: Vec<String>,
}

impl Books {
    pub(crate) async fn read(pool: &PgPool) -> sqlx::Result<Self> {
        let deliveries = "SELECT id, webhook_id, event_id, status, attempt, last_error FROM webhook_deliveries";
        let events = "SELECT id, project_id FROM events WHERE type IN ('run.completed', 'webhook.disabled')";
        let webhooks: Vec<_> = sqlx::query_as("SELECT id, disabled_reason FROM webhooks").fetch_all(pool).await?;
        Ok(Self {
            deliveries: sqlx::query_as(deliveries).fetch_all(pool).await?,
            events: sqlx::query_as(events).fetch_all(pool).await?,
            webhooks: webhooks.into_iter().collect(),
            told_disabled: sqlx::query_scalar("SELECT count(*) FROM events WHERE type = 'webhook.disabled'")
                .fetch_one(pool)
                .await?,
        })
    }
}

impl Deliveries {
    /// `hooks` are all webhooks with their projects.
    pub(crate) fn judge(
        &mut self,
        hooks: &[(Uuid, &Hook)],
        books: &Books,
        requests: &[ReceivedRequest],
        happened: &Happened,
    ) {
        let mut by_id: HashMap<&str, Vec<&ReceivedRequest>> = HashMap::new();
        for request in requests {
            by_id.entry(request.webhook_id()).or_default().push(request);
        }
        for (project_id, hook) in hooks {
            self.judge_hook(*project_id, hook, books, &mut by_id, happened);
        }
        for (id, requests) in by_id {
            self.violations.push(format!("{} requests with the id '{id}', which is no delivery's", requests.len()));
        }
        let is_told = hooks.iter().any(|(_, hook)| hook.path == GONE_PATH);
        if books.told_disabled != i64::from(is_told) {
            self.violations.push(format!("{} times told that a webhook was disabled", books.told_disabled));
        }
    }

    fn judge_hook<'a>(
        &mut self,
        project_id: Uuid,
        hook: &Hook,
        books: &Books,
        requests: &mut HashMap<&'a str, Vec<&'a ReceivedRequest>>,
        happened: &Happened,
    ) {
        let is_gone = hook.path == GONE_PATH;
        let reason = books.webhooks.get(&hook.id).cloned().flatten();
        if reason.as_deref() != is_gone.then_some("gone") {
            self.violations.push(format!("{} is disabled: {reason:?}", hook.path));
        }
        let mut wanted: HashSet<_> =
            books.events.iter().filter(|(_, project)| *project == project_id).map(|(event, _)| *event).collect();
        for row in books.deliveries.iter().filter(|row| row.webhook_id == hook.id) {
            self.due += 1;
            if !wanted.remove(&row.event_id) {
                self.violations.push(format!("nobody wanted this, or it was there already: {row:?}"));
            }
            let requests = requests.remove(row.id.to_string().as_str()).unwrap_or_default();
            self.judge_end(row, is_gone, &requests);
            self.judge_requests(row, hook, &requests);
            self.judge_retries(row, &requests, happened);
        }
        // A webhook that is disabled gets no more of them.
        if !is_gone && !wanted.is_empty() {
            self.violations.push(format!("{}: {} events without a delivery", hook.path, wanted.len()));
        }
    }

    fn judge_end(&mut self, row: &Row, is_gone: bool, requests: &[&ReceivedRequest]) {
        let is_accepted = requests.iter().any(|request| request.reply.accepts());
        let error = row.last_error.as_deref();
        match row.status.as_str() {
            "delivered" if is_accepted => self.delivered += 1,
            "failed" if is_gone && matches!(error, Some("the receiver answered 410" | "the webhook was disabled")) => {
                self.gone += 1;
            }
            _ => self.violations.push(format!("accepted: {is_accepted}, {} requests: {row:?}", requests.len())),
        }
        if requests.len() > usize::try_from(row.attempt).unwrap_or_default() {
            self.violations.push(format!("{} requests by fewer attempts: {row:?}", requests.len()));
        }
    }

    /// Each is signed, goes to the right place and says the same.
    fn judge_requests(&mut self, row: &Row, hook: &Hook, requests: &[&ReceivedRequest]) {
        for request in requests {
            let event: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let is_same = request.body == requests[0].body && event["id"] == row.event_id.to_string();
            if is_same && request.path == hook.path && request.is_signed_by(&hook.secret) {
                self.signed += 1;
            } else {
                self.violations.push(format!("badly signed, misdirected or about something else: {request:?}"));
            }
        }
    }

    fn judge_retries(&mut self, row: &Row, requests: &[&ReceivedRequest], happened: &Happened) {
        for (first, again) in requests.iter().zip(requests.iter().skip(1)) {
            self.retries += 1;
            if first.reply.accepts() {
                if is_cut(happened, first.arrived_at, again.arrived_at) {
                    self.after_faults += 1;
                } else {
                    self.violations.push(format!("delivered again although nothing broke: {row:?}"));
                }
            }
            if first.reply == (Reply::Busy { seconds: RETRY_AFTER }) {
                let pause = again.arrived_at.duration_since(first.arrived_at).unwrap_or_default();
                if pause < Duration::from_secs(RETRY_AFTER.into()) {
                    self.violations.push(format!("not left alone for {RETRY_AFTER} s but for {pause:?}: {row:?}"));
                } else {
                    self.heeded += 1;
                }
            }
        }
    }
}

impl fmt::Display for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { due, delivered, gone, signed, retries, heeded, after_faults, .. } = self;
        writeln!(f, "{due} deliveries: {delivered} delivered, {gone} given up since the receiver was gone (410)")?;
        writeln!(f, "  {signed} requests, all signed; {retries} of them again, each with the webhook-id it had")?;
        write!(
            f,
            "  {after_faults} of those after a kill or restart before the answer was noted; {heeded} came no sooner than \
             Retry-After said"
        )
    }
}

#[cfg(test)]
mod tests;
