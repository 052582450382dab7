//! What handlers work with.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use lettre::message::Mailbox;
use sqlx::PgPool;
use url::Url;

use crate::mail::Mailer;

/// Longest time for a webhook's answer.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(15);

/// What handlers work with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) db: PgPool,
    pub(crate) mailer: Mailer,
    pub(crate) mail_from: Mailbox,
    pub(crate) public_url: Url,
    pub(crate) http: reqwest::Client,
}

impl Context {
    /// A context with an HTTP client that follows no redirects.
    pub(crate) fn new(db: PgPool, mailer: Mailer, mail_from: Mailbox, public_url: Url) -> anyhow::Result<Arc<Self>> {
        // The process may have one already, which is then the same.
        drop(rustls::crypto::ring::default_provider().install_default());
        let builder = || {
            reqwest::Client::builder()
                .timeout(WEBHOOK_TIMEOUT)
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(concat!("testrun/", env!("CARGO_PKG_VERSION")))
        };
        let http = builder().build().or_else(|error| {
            // Without the system's certificates plain HTTP still works, and an HTTPS receiver is told apart by its error.
            tracing::warn!(error = %error, "no certificates of authorities found; webhooks over HTTPS will fail");
            builder().tls_certs_only([]).build().context("the HTTP client could not be made")
        })?;
        Ok(Arc::new(Self { db, mailer, mail_from, public_url, http }))
    }
}
