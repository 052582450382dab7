//! Webhooks: where events are sent, and how that went.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use url::Url;
use utoipa::ToSchema;
use uuid::Uuid;

use super::event::EventType;
use super::patch::{Nullable, not_null, nullable, set};
use super::text_enum::text_enum;
use super::validation::{Texts, text};

/// Longest address, in characters.
pub const MAX_URL_CHARS: usize = 2_000;
/// Most event types that a webhook names; more than there are.
pub const MAX_EVENT_TYPES: usize = 50;
/// Most characters of a reply that are kept.
pub const MAX_REPLY_CHARS: usize = 1_000;

text_enum! {
    /// Why a webhook is disabled.
    pub enum DisabledReason {
        /// Somebody switched it off.
        Manual = "manual",
        /// The receiver answered 410: it wants no more.
        Gone = "gone",
        /// For five days every attempt failed.
        Failing = "failing",
    }
}

text_enum! {
    /// How far a delivery is.
    pub enum DeliveryStatus {
        /// It waits for its first attempt or for the next one.
        Pending = "pending",
        /// An attempt is under way.
        Sending = "sending",
        /// The receiver answered 2xx.
        Delivered = "delivered",
        /// It was given up.
        Failed = "failed",
    }
}

/// What deliveries are signed with. It shows itself in no log.
#[derive(Clone, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub struct SigningKey(Vec<u8>);

impl SigningKey {
    /// A new key: 32 bytes of the system's random source.
    #[must_use]
    pub fn generate() -> Self {
        Self(rand::random::<[u8; 32]>().to_vec())
    }

    /// The key as bytes, to sign with.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key as Standard Webhooks writes it, to be shown once: `whsec_` and Base64.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("whsec_{}", STANDARD.encode(&self.0))
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// A webhook without its secret.
#[derive(Debug, Clone, Serialize, Deserialize, FromRow, ToSchema)]
pub struct Webhook {
    /// The webhook's id.
    pub id: Uuid,
    /// The project whose events it gets.
    pub project_id: Uuid,
    /// Where events are sent.
    pub url: String,
    /// What it is for.
    pub description: Option<String>,
    /// The events that it gets; empty for all.
    #[schema(value_type = Vec<EventType>)]
    pub event_types: Vec<String>,
    /// Whether events are sent.
    pub is_enabled: bool,
    /// When it was disabled.
    pub disabled_at: Option<DateTime<Utc>>,
    /// Why it is disabled.
    pub disabled_reason: Option<DisabledReason>,
    /// The first failed attempt since the last one that was accepted.
    pub failing_since: Option<DateTime<Utc>>,
    /// Until when deliveries are signed with the secret before the present one as well.
    pub previous_secret_expires_at: Option<DateTime<Utc>>,
    /// Who made it.
    pub created_by: Uuid,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

/// A webhook with its secret, this once.
#[derive(Clone, Serialize, ToSchema)]
pub struct WebhookWithSecret {
    /// What deliveries are signed with, `whsec_` and Base64. It cannot be read again.
    pub secret: String,
    /// The rest, as lists show it.
    #[serde(flatten)]
    pub details: Webhook,
}

impl std::fmt::Debug for WebhookWithSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookWithSecret").field("details", &self.details).finish_non_exhaustive()
    }
}

/// The body that creates a webhook.
#[derive(Debug, Clone, Deserialize, Validate, ToSchema)]
pub struct NewWebhook {
    /// An absolute http or https address without user and password, at most 2,000 characters.
    #[garde(custom(receiver))]
    #[schema(format = "uri", max_length = 2000, example = "https://ci.example.com/testrun")]
    pub url: String,
    /// The events that it gets; default all.
    #[garde(custom(known_types))]
    #[schema(max_items = 50)]
    pub event_types: Option<Vec<EventType>>,
    /// Whether events are sent; default true.
    #[garde(skip)]
    pub is_enabled: Option<bool>,
    /// What it is for.
    #[garde(custom(text(100_000)))]
    #[schema(max_length = 100000)]
    pub description: Option<String>,
}

/// The body that changes a webhook: absent fields keep their values, null clears the description.
#[derive(Debug, Clone, Default, Deserialize, Validate, ToSchema)]
pub struct WebhookPatch {
    /// An absolute http or https address without user and password, at most 2,000 characters.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(custom(receiver))]
    #[schema(nullable = false, format = "uri", max_length = 2000)]
    pub url: Option<String>,
    /// The events that it gets; empty for all.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(custom(known_types))]
    #[schema(nullable = false, max_items = 50)]
    pub event_types: Option<Vec<EventType>>,
    /// Whether events are sent. True also ends the disablement of a receiver that was gone or failing.
    #[serde(default, deserialize_with = "not_null")]
    #[garde(skip)]
    #[schema(nullable = false)]
    pub is_enabled: Option<bool>,
    /// What it is for.
    #[serde(default, with = "nullable")]
    #[garde(custom(text(100_000)))]
    #[schema(value_type = Option<String>, max_length = 100000)]
    pub description: Nullable<String>,
}

impl WebhookPatch {
    /// Changes a webhook as the body says.
    pub fn apply(self, webhook: &mut Webhook, now: DateTime<Utc>) {
        if self.url.as_ref().is_some_and(|url| *url != webhook.url) {
            // What the old address did is not held against the new one.
            webhook.failing_since = None;
        }
        set(&mut webhook.url, self.url);
        set(&mut webhook.event_types, self.event_types.map(|types| names(&types)));
        set(&mut webhook.description, self.description);
        match self.is_enabled {
            Some(true) => webhook.enable(),
            Some(false) if webhook.is_enabled => webhook.disable(DisabledReason::Manual, now),
            _ => {}
        }
    }
}

impl Webhook {
    fn enable(&mut self) {
        if !self.is_enabled {
            self.failing_since = None;
        }
        (self.is_enabled, self.disabled_at, self.disabled_reason) = (true, None, None);
    }

    /// Switches the webhook off.
    pub fn disable(&mut self, reason: DisabledReason, now: DateTime<Utc>) {
        (self.is_enabled, self.disabled_at, self.disabled_reason) = (false, Some(now), Some(reason));
    }
}

/// The types' names in the order given, each once.
#[must_use]
pub fn names(types: &[EventType]) -> Vec<String> {
    let mut names = Vec::new();
    for name in types.iter().map(|event_type| event_type.as_str()) {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// One event on its way to one webhook.
#[derive(Debug, Clone, Serialize, Deserialize, FromRow, ToSchema)]
pub struct WebhookDelivery {
    /// The delivery's id, which every attempt carries as `webhook-id`.
    pub id: Uuid,
    /// Whom it goes to.
    pub webhook_id: Uuid,
    /// What it tells.
    pub event_id: Uuid,
    /// What happened.
    #[schema(value_type = EventType)]
    pub event_type: String,
    /// The run that the event is about.
    pub test_run_id: Option<Uuid>,
    /// How far it is.
    pub status: DeliveryStatus,
    /// How many attempts were begun.
    pub attempt_count: i32,
    /// When it is tried next.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// The status of the last answer.
    pub response_status: Option<i32>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it was accepted.
    pub delivered_at: Option<DateTime<Utc>>,
    /// When the event happened that it tells.
    pub created_at: DateTime<Utc>,
}

/// One attempt of a delivery.
#[derive(Debug, Clone, Serialize, Deserialize, FromRow, ToSchema)]
pub struct WebhookDeliveryAttempt {
    /// Its number; one that is missing was cut short by the end of its process.
    pub attempt: i32,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// How long it took, in milliseconds.
    pub duration_ms: i64,
    /// The status of the answer.
    pub response_status: Option<i32>,
    /// The beginning of the answer's body, at most 1,000 characters.
    pub response_body: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
}

/// A delivery with its attempts.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WebhookDeliveryDetails {
    /// The delivery, as lists show it.
    #[serde(flatten)]
    pub delivery: WebhookDelivery,
    /// The attempts, first to last; the latest hundred.
    pub attempts: Vec<WebhookDeliveryAttempt>,
}

/// An address that events can be sent to. Whether its host may be connected to is decided when it is.
fn receiver<T: Texts>(value: &T, (): &()) -> garde::Result {
    text::<T>(MAX_URL_CHARS)(value, &())?;
    value.each(&mut |text| {
        let refused = |message: &str| Err(garde::Error::new(message));
        // The parser takes these out, so that the text would not be the address.
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return refused("Must not contain white space");
        }
        let Ok(url) = Url::parse(text) else { return refused("Must be an absolute http or https URL") };
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return refused("Must be an absolute http or https URL");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refused("Must not contain a user or a password");
        }
        Ok(())
    })
}

fn known_types(value: &Option<Vec<EventType>>, (): &()) -> garde::Result {
    match value {
        Some(types) if types.len() > MAX_EVENT_TYPES => {
            Err(garde::Error::new(format!("Must have at most {MAX_EVENT_TYPES} elements")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_absolute_http_without_credentials() {
        for (url, message) in [
            ("", "Must be an absolute http or https URL"),
            ("example.com/hook", "Must be an absolute http or https URL"),
            ("/hook", "Must be an absolute http or https URL"),
            ("http://", "Must be an absolute http or https URL"),
            ("ftp://example.com", "Must be an absolute http or https URL"),
            ("file:///etc/passwd", "Must be an absolute http or https URL"),
            ("http://example.com:99999/", "Must be an absolute http or https URL"),
            ("https://user@example.com", "Must not contain a user or a password"),
            ("https://user:word@example.com", "Must not contain a user or a password"),
            ("https://:word@example.com", "Must not contain a user or a password"),
            (" https://example.com", "Must not contain white space"),
            ("https://exa\tmple.com", "Must not contain white space"),
            ("https://example.com/\u{7}", "Must not contain white space"),
        ] {
            let refusal = receiver(&url.to_owned(), &()).expect_err(url);
            assert_eq!(refusal.to_string(), message, "{url}");
        }
        for url in ["http://example.com", "HTTPS://example.com:8443/a?b=c#d", "http://[::1]:80/", "https://ä.example/ö"]
        {
            assert!(receiver(&url.to_owned(), &()).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_key_is_shown_as_standard_webhooks_writes_it_and_never_by_debugging() {
        let key = SigningKey::generate();
        let encoded = key.reveal();
        let encoded = encoded.strip_prefix("whsec_").expect("the prefix");
        assert_eq!(STANDARD.decode(encoded).expect("Base64"), key.bytes());
        assert_eq!(key.bytes().len(), 32);
        assert_ne!(key, SigningKey::generate());
        assert_eq!(format!("{key:?}"), "SigningKey(…)");
    }
}
