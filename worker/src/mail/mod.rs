//! Mails about ended runs and disabled webhooks: what they tell, how they are written and how they leave.
//!
//! [`RunNotice`] holds the facts, [`message`] writes the mail, [`Mailer`] sends it; [`WebhookNotice`] and [`webhook_message`]
//! are the same for webhooks.

mod message;
mod notice;
#[cfg(test)]
mod sample;
mod text;
mod transport;
mod view;
mod webhook;

pub use message::{MessageError, message};
pub use notice::{FailedTest, NoticeKind, NoticeSchedule, RunCounts, RunEnd, RunNotice};
pub use transport::{FileMailer, Mailer, SEND_TIMEOUT, SendError, SmtpMailer, SmtpUrlError};
pub use webhook::{WebhookNotice, webhook_message};
