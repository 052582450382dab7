//! One attempt: sign, connect to where it is allowed, read the answer's beginning.

use std::error::Error as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::json;
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook};
use testrun_shared::db::webhook_deliveries::ClaimedDelivery;
use testrun_shared::domain::webhook::{MAX_REPLY_CHARS, WebhookDeliveryAttempt};
use testrun_shared::telemetry::trace::{self, TRACEPARENT};
use url::Url;

use super::AllowList;
use super::addresses::{Addresses, NotAllowed};

/// Longest time for an attempt, from the name's resolution to the answer's end. Below the lease and the job's own time.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(15);
/// Most bytes of an answer that are read; the rest is left in the connection, which is closed.
const MAX_REPLY_BYTES: usize = 64 * 1024;

/// Sends deliveries.
#[derive(Debug)]
pub(crate) struct WebhookClient {
    http: reqwest::Client,
    addresses: Addresses,
}

/// What became of an attempt. It was accepted if there is no error.
#[derive(Debug)]
pub(crate) struct Attempted {
    pub(crate) attempt: WebhookDeliveryAttempt,
    /// How long a busy receiver wants to be left alone.
    pub(crate) retry_after_seconds: Option<f64>,
}

/// What came back, if anything did.
#[derive(Debug, Default)]
struct Reply {
    status: Option<u16>,
    body: Option<String>,
    error: Option<String>,
    retry_after_seconds: Option<f64>,
}

impl WebhookClient {
    /// A client that connects to public addresses and to those in the list, and gives each attempt so long.
    ///
    /// It follows no redirects, since their targets would be the receiver's choice; goes through no proxy, which would
    /// resolve names where they are not checked; and keeps no connections, so that every attempt is checked.
    pub(crate) fn new(allowed: AllowList, timeout: Duration) -> anyhow::Result<Self> {
        // The process may have one already, which is then the same.
        drop(rustls::crypto::ring::default_provider().install_default());
        let addresses = Addresses::new(allowed);
        let builder = || {
            reqwest::Client::builder()
                .timeout(timeout)
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .pool_max_idle_per_host(0)
                .dns_resolver(addresses.clone())
                .user_agent(concat!("testrun/", env!("CARGO_PKG_VERSION")))
        };
        let http = builder().build().or_else(|error| {
            // Without the system's certificates plain HTTP still works, and an HTTPS receiver is told apart by its error.
            tracing::warn!(error = %error, "no certificates of authorities found; webhooks over HTTPS will fail");
            builder().tls_certs_only([]).build().context("the HTTP client could not be made")
        })?;
        Ok(Self { http, addresses })
    }

    /// Makes the attempt that was claimed.
    ///
    /// # Errors
    /// If it cannot be signed; whatever the receiver does is no error.
    pub(crate) async fn send(&self, claimed: &ClaimedDelivery) -> anyhow::Result<Attempted> {
        let began = Instant::now();
        let reply = self.post(claimed).await?;
        let attempt = WebhookDeliveryAttempt {
            attempt: claimed.attempt,
            started_at: claimed.started_at,
            duration_ms: i64::try_from(began.elapsed().as_millis())?,
            response_status: reply.status.map(i32::from),
            response_body: reply.body,
            error: reply.error,
        };
        Ok(Attempted { attempt, retry_after_seconds: reply.retry_after_seconds })
    }

    async fn post(&self, claimed: &ClaimedDelivery) -> anyhow::Result<Reply> {
        let failed = |error: String| Ok(Reply { error: Some(error), ..Reply::default() });
        let Ok(url) = Url::parse(&claimed.url) else { return failed("the address is not a URL".to_owned()) };
        if let Err(refusal) = self.addresses.check_host(&url) {
            return failed(refusal.to_string());
        }
        let body = serde_json::to_vec(&json!({
            "id": claimed.event_id, "type": claimed.event_type, "timestamp": claimed.event_at,
            "project_id": claimed.project_id, "data": claimed.data,
        }))?;
        let mut request = self
            .http
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header(HEADER_WEBHOOK_ID, claimed.id.to_string())
            .header(HEADER_WEBHOOK_TIMESTAMP, claimed.started_at.timestamp().to_string())
            .header(HEADER_WEBHOOK_SIGNATURE, signatures(claimed, &body)?)
            .body(body);
        if let Some(trace) = trace::current() {
            request = request.header(TRACEPARENT, trace.child().to_string());
        }
        match request.send().await {
            Ok(response) => Ok(read(response, claimed.started_at).await),
            Err(error) => failed(told(&error)),
        }
    }
}

/// A signature by the secret, and one by the secret before it while receivers change over.
fn signatures(claimed: &ClaimedDelivery, body: &[u8]) -> anyhow::Result<String> {
    let keys = std::iter::once(&claimed.secret).chain(&claimed.previous_secret);
    let signed: Vec<String> = keys
        .map(|key| {
            Webhook::from_bytes(key.bytes().to_vec())?.sign(
                &claimed.id.to_string(),
                claimed.started_at.timestamp(),
                body,
            )
        })
        .collect::<Result<_, _>>()
        .context("the delivery could not be signed")?;
    Ok(signed.join(" "))
}

/// The status decides; a body that is cut short or drags on takes nothing from it.
async fn read(mut response: Response, now: DateTime<Utc>) -> Reply {
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after_seconds =
        retry_after.filter(|_| matches!(status.as_u16(), 429 | 503)).and_then(|text| seconds(text, now));
    let mut bytes = Vec::new();
    while bytes.len() < MAX_REPLY_BYTES
        && let Ok(Some(chunk)) = response.chunk().await
    {
        bytes.extend_from_slice(&chunk[..chunk.len().min(MAX_REPLY_BYTES - bytes.len())]);
    }
    let error = match status.as_u16() {
        200..300 => None,
        status @ 300..400 => Some(format!("the receiver answered {status}; redirects are not followed")),
        status => Some(format!("the receiver answered {status}")),
    };
    Reply { status: Some(status.as_u16()), body: beginning(&bytes), error, retry_after_seconds }
}

/// As much of a reply as is kept, as text that PostgreSQL and terminals can bear.
fn beginning(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let kept: String =
        text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).take(MAX_REPLY_CHARS).collect();
    (!kept.is_empty()).then_some(kept)
}

/// A `Retry-After`: seconds, or a date.
fn seconds(text: &str, now: DateTime<Utc>) -> Option<f64> {
    if let Ok(seconds) = text.trim().parse::<u32>() {
        return Some(f64::from(seconds));
    }
    let date = DateTime::parse_from_rfc2822(text.trim()).ok()?;
    Some((date.to_utc() - now).as_seconds_f64().max(0.0))
}

/// Why there was no answer, in words that name no address of ours.
fn told(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "the receiver did not answer in time".to_owned();
    }
    let mut next = error.source();
    let mut last = None;
    while let Some(cause) = next {
        if let Some(refusal) = cause.downcast_ref::<NotAllowed>() {
            return refusal.to_string();
        }
        last = Some(cause.to_string());
        next = cause.source();
    }
    last.unwrap_or_else(|| "the request could not be sent".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = "2026-01-18T02:00:00Z".parse().expect("an instant");
        for (text, expected) in [
            ("120", Some(120.0)),
            (" 0 ", Some(0.0)),
            ("Sun, 18 Jan 2026 02:00:30 GMT", Some(30.0)),
            ("Sun, 18 Jan 2026 01:00:00 GMT", Some(0.0)),
            ("-1", None),
            ("soon", None),
            ("99999999999", None),
        ] {
            assert_eq!(seconds(text, now), expected, "{text}");
        }
    }

    #[test]
    fn a_reply_is_kept_as_text_without_control_characters_and_cut() {
        assert_eq!(beginning(b""), None);
        assert_eq!(beginning(b"a\0b\x1b[31m\r\nc").as_deref(), Some("ab[31m\nc"));
        assert_eq!(beginning(b"\xff\xfe").as_deref(), Some("\u{fffd}\u{fffd}"));
        let long = "ä".repeat(MAX_REPLY_CHARS + 1);
        assert_eq!(beginning(long.as_bytes()).map(|kept| kept.chars().count()), Some(MAX_REPLY_CHARS));
    }
}
