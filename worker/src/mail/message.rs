//! Writes the mail about an ended run: subject, headers, text part and HTML part.

use askama::Template;
use chrono::{DateTime, Utc};
use lettre::{
    Address, Message,
    address::AddressError,
    message::{
        Mailbox, MessageBuilder, MultiPart, SinglePart,
        header::{HeaderName, HeaderValue},
    },
};

use super::{
    NoticeSchedule, RunNotice,
    view::{HtmlPart, TextPart, View},
};

/// Longest `Message-ID` that is accepted, in characters, its brackets included: it must fit one header line.
const MESSAGE_ID_LIMIT: usize = 250;

/// A mail cannot be written; trying again would not help.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// The recipient is not an e-mail address.
    #[error("recipient {0:?} is not an e-mail address ({1}): correct notification_emails of the schedule")]
    Recipient(String, #[source] AddressError),
    /// The caller's `Message-ID` is not of the form `<id@domain>`.
    #[error("message id {0:?} is not of the form <id@domain>")]
    MessageId(String),
    /// A template could not be filled in.
    #[error("cannot fill in the mail's template: {0}")]
    Template(#[from] askama::Error),
    /// The parts could not be put together.
    #[error("cannot put the mail together: {0}")]
    Build(#[from] lettre::error::Error),
}

/// Writes the mail to one recipient about one ended run.
///
/// `to` is a bare address. `message_id` is of the form `<id@domain>` and stays the same however often the mail is
/// tried. `date` is when the notice arose, by the database's clock.
///
/// # Errors
/// When the recipient is no address or `message_id` is malformed.
pub fn message(
    notice: &RunNotice,
    to: &str,
    from: &Mailbox,
    message_id: &str,
    date: DateTime<Utc>,
) -> Result<Message, MessageError> {
    let view = View::of(notice);
    let mut message = headers(&view.subject(), to, from, message_id, date)?;
    if let Some(schedule) = &notice.schedule {
        let thread = checked_message_id(&thread_id(schedule, from))?;
        message = message.in_reply_to(thread.clone()).references(thread);
    }
    if let Some(url) = &notice.unsubscribe_url {
        message = message.raw_header(raw(HeaderName::new_from_ascii_str("List-Unsubscribe"), &format!("<{url}>")));
        // RFC 8058, 3.1: one click is promised for HTTPS only. Elsewhere the link leads to a page with a button.
        if url.scheme() == "https" {
            let name = HeaderName::new_from_ascii_str("List-Unsubscribe-Post");
            message = message.raw_header(raw(name, "List-Unsubscribe=One-Click"));
        }
    }
    Ok(message.multipart(parts(&TextPart { view: &view }, &HtmlPart { view: &view })?)?)
}

/// What every mail has on top.
pub(super) fn headers(
    subject: &str,
    to: &str,
    from: &Mailbox,
    message_id: &str,
    date: DateTime<Utc>,
) -> Result<MessageBuilder, MessageError> {
    let recipient: Address = to.trim().parse().map_err(|reason| MessageError::Recipient(to.to_owned(), reason))?;
    Ok(Message::builder()
        .message_id(Some(checked_message_id(message_id)?))
        .date(date.into())
        .from(from.clone())
        .to(Mailbox::new(None, recipient))
        .subject(subject)
        // RFC 3834: holiday replies and the like are not to answer this mail.
        .raw_header(raw(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated")))
}

/// The same twice, of which a mail program shows one.
pub(super) fn parts(text: &impl Template, html: &impl Template) -> Result<MultiPart, MessageError> {
    let (text, html) = (SinglePart::plain(text.render()?), SinglePart::html(html.render()?));
    Ok(MultiPart::alternative().singlepart(text).singlepart(html))
}

fn raw(name: HeaderName, value: &str) -> HeaderValue {
    HeaderValue::new(name, value.to_owned())
}

/// The id of a mail that was never sent: all mails about a schedule answer it, so mail programs show them as one thread.
fn thread_id(schedule: &NoticeSchedule, from: &Mailbox) -> String {
    format!("<schedule.{}@{}>", schedule.id, from.email.domain())
}

/// The id itself, if it has the shape that RFC 5322, 3.6.4 gives to ids: `<dot-atom@dot-atom>`.
fn checked_message_id(message_id: &str) -> Result<String, MessageError> {
    let is_atom = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte))
    };
    let is_valid = message_id.len() <= MESSAGE_ID_LIMIT
        && message_id
            .strip_prefix('<')
            .and_then(|id| id.strip_suffix('>'))
            .and_then(|id| id.split_once('@'))
            .is_some_and(|(id, domain)| is_atom(id) && is_atom(domain));
    if is_valid { Ok(message_id.to_owned()) } else { Err(MessageError::MessageId(message_id.to_owned())) }
}

#[cfg(test)]
mod tests;
