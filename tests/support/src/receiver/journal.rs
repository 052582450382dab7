//! What the receiver has seen.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use axum::http::HeaderMap;
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook};

use super::Reply;

/// How far Standard Webhooks lets a timestamp be away from a receiver's clock.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// One request that the receiver has read to its end.
#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    /// Its number among the requests for the same path, from 0.
    pub number: usize,
    /// Its number among the requests with the same `webhook-id`, from 1.
    pub attempt: usize,
    /// When its head was there, by this machine's clock.
    pub arrived_at: SystemTime,
    /// The path of its address, with the query.
    pub path: String,
    /// All headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// What it was answered.
    pub reply: Reply,
}

impl ReceivedRequest {
    /// The value of a header; empty if it is missing or no text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The header `webhook-id`; empty if it is missing.
    #[must_use]
    pub fn webhook_id(&self) -> &str {
        self.header(HEADER_WEBHOOK_ID)
    }

    /// The header `webhook-timestamp`, in seconds since 1970.
    #[must_use]
    pub fn timestamp(&self) -> Option<i64> {
        self.header(HEADER_WEBHOOK_TIMESTAMP).parse().ok()
    }

    /// The header `webhook-signature`: one signature or several, with blanks between them.
    #[must_use]
    pub fn signatures(&self) -> &str {
        self.header(HEADER_WEBHOOK_SIGNATURE)
    }

    /// Whether it is signed by this secret (`whsec_…`), and its timestamp was right when it came.
    #[must_use]
    pub fn is_signed_by(&self, secret: &str) -> bool {
        let Some(timestamp) = self.timestamp() else { return false };
        let signed = Webhook::new(secret).and_then(|key| key.sign(self.webhook_id(), timestamp, &self.body));
        let is_signed = signed.is_ok_and(|wanted| self.signatures().split(' ').any(|signature| signature == wanted));
        let sent_at = SystemTime::UNIX_EPOCH + Duration::from_secs(timestamp.try_into().unwrap_or_default());
        let apart = self.arrived_at.duration_since(sent_at).unwrap_or_else(|early| early.duration());
        is_signed && apart <= TOLERANCE
    }
}

/// What happened; its changes wake the waiting tests.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pub(super) requests: Vec<ReceivedRequest>,
    attempts: HashMap<String, usize>,
    paths: HashMap<String, usize>,
}

impl Journal {
    /// Writes a request down with the reply that `decide` finds for it, and returns that.
    pub(super) fn keep(&mut self, mut request: ReceivedRequest, decide: impl Fn(&ReceivedRequest) -> Reply) -> Reply {
        let attempts = self.attempts.entry(request.webhook_id().to_owned()).or_default();
        *attempts += 1;
        let of_path = self.paths.entry(request.path.clone()).or_default();
        (request.number, request.attempt) = (*of_path, *attempts);
        *of_path += 1;
        request.reply = decide(&request);
        let reply = request.reply;
        self.requests.push(request);
        reply
    }
}
