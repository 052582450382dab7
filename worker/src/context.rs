//! What handlers work with.

use lettre::message::Mailbox;
use sqlx::PgPool;
use url::Url;

use crate::mail::Mailer;
use crate::webhook::WebhookClient;

/// What handlers work with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) db: PgPool,
    pub(crate) mailer: Mailer,
    pub(crate) mail_from: Mailbox,
    pub(crate) public_url: Option<Url>,
    pub(crate) webhooks: WebhookClient,
}

impl Context {
    /// The address of something below `/api/v1`; `None` where the service's address is not set.
    pub(crate) fn link(&self, path: &str) -> anyhow::Result<Option<Url>> {
        let Some(mut url) = self.public_url.clone() else { return Ok(None) };
        // A path of the address is one that a proxy puts in front of ours, with or without a slash at its end.
        url.set_path(&format!("{}/", url.path().trim_end_matches('/')));
        Ok(Some(url.join(&format!("api/v1/{path}"))?))
    }
}
