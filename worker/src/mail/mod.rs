//! Mails about ended runs: what they tell, how they are written and how they leave.
//!
//! [`RunNotice`] holds the facts, [`message`] writes the mail, [`Mailer`] sends it.

mod message;
mod notice;
#[cfg(test)]
mod sample;
mod text;
mod transport;
mod view;

pub use message::{MessageError, message};
pub use notice::{FailedTest, NoticeKind, NoticeSchedule, RunCounts, RunEnd, RunNotice};
pub use transport::{FileMailer, Mailer, SEND_TIMEOUT, SendError, SmtpMailer, SmtpUrlError};
