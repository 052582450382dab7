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
    pub(crate) public_url: Url,
    pub(crate) webhooks: WebhookClient,
}
