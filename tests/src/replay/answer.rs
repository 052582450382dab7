//! What a server answers, and whether to ask again.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::Deserialize;
use serde::de::DeserializeOwned;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub(super) struct Answer {
    pub(super) url: String,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// How many times the request was sent for it.
    pub(super) tries: u32,
}

#[derive(Deserialize)]
struct ErrorBody {
    detail: String,
    #[serde(default)]
    errors: Vec<FieldError>,
}

#[derive(Deserialize)]
struct FieldError {
    field: String,
    message: String,
}

impl Answer {
    pub(super) async fn to(request: reqwest::RequestBuilder, tries: u32) -> reqwest::Result<Self> {
        let response = request.send().await?;
        Ok(Self {
            url: response.url().to_string(),
            status: response.status(),
            headers: response.headers().clone(),
            body: response.bytes().await?.into(),
            tries,
        })
    }

    /// Whether asking again would get the same answer.
    pub(super) fn is_final(&self) -> bool {
        match self.status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => false,
            // The other meaning of 409: a try with this key is still being worked on.
            StatusCode::CONFLICT => {
                let text = String::from_utf8_lossy(&self.body).to_lowercase();
                !text.contains("idempotency") && !self.headers.contains_key(RETRY_AFTER)
            }
            status => !status.is_server_error(),
        }
    }

    /// The wait that the server asks for, if it gives it in seconds.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.status.is_success() { Ok(()) } else { Err(self.refusal()) }
    }

    pub(super) fn read<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        self.check()?;
        serde_json::from_slice(&self.body).with_context(|| format!("unexpected answer of {}", self.url))
    }

    /// The server's words, in its error format or else as they are.
    pub(super) fn refusal(&self) -> anyhow::Error {
        let mut text = String::new();
        match serde_json::from_slice::<ErrorBody>(&self.body) {
            Ok(body) => {
                text.push_str(&body.detail);
                for error in body.errors {
                    text.push_str(&format!("; {}: {}", error.field, error.message));
                }
            }
            Err(_) => text.extend(String::from_utf8_lossy(&self.body).chars().take(500)),
        }
        anyhow!("{} answered {}: {text}", self.url, self.status)
    }
}

/// The wait after a number of tries, which doubles from try to try.
pub(super) fn pause(tries: u32) -> Duration {
    let times = 2_u32.saturating_pow(tries.saturating_sub(1));
    FIRST_PAUSE.saturating_mul(times).min(LONGEST_PAUSE)
}
