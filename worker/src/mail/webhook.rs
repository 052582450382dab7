//! The mail about a webhook that is no longer sent to.

use askama::Template;
use chrono::{DateTime, Utc};
use lettre::Message;
use lettre::message::Mailbox;
use testrun_shared::domain::webhook::DisabledReason;
use testrun_shared::text::one_line;
use url::Url;
use uuid::Uuid;

use super::MessageError;
use super::message::{headers, parts};

/// Most characters of a name.
const NAME_LIMIT: usize = 120;
/// Most characters of a description.
const DESCRIPTION_LIMIT: usize = 500;

/// Everything that a mail about a disabled webhook tells.
#[derive(Debug, Clone)]
pub struct WebhookNotice {
    /// The webhook.
    pub webhook_id: Uuid,
    /// Name of its project.
    pub project_name: String,
    /// Where it was sent to. The mail names the host alone: the rest may be as good as a password.
    pub url: String,
    /// What it is for, as its maker wrote it.
    pub description: Option<String>,
    /// Why it was disabled.
    pub reason: DisabledReason,
    /// When it was disabled.
    pub disabled_at: DateTime<Utc>,
    /// The first failed attempt since the last one that was accepted.
    pub failing_since: Option<DateTime<Utc>>,
    /// Where it is enabled again, by whoever has an API token; `None` where the service's address is not known.
    pub webhook_url: Option<Url>,
}

/// Writes the mail to one recipient about one disabled webhook. The arguments are those of [`super::message`].
///
/// # Errors
/// When the recipient is no address or `message_id` is malformed.
pub fn webhook_message(
    notice: &WebhookNotice,
    to: &str,
    from: &Mailbox,
    message_id: &str,
    date: DateTime<Utc>,
) -> Result<Message, MessageError> {
    let view = View::of(notice);
    // A name that looks like an encoded word (RFC 2047) would be decoded by the reader's mail program.
    let subject = format!("WEBHOOK DISABLED: {} of {}", view.host, view.project).replace("=?", "= ?");
    let message = headers(&subject, to, from, message_id, date)?;
    Ok(message.multipart(parts(&TextPart { view: &view }, &HtmlPart { view: &view })?)?)
}

#[derive(Template)]
#[template(path = "webhook.txt")]
struct TextPart<'a> {
    view: &'a View,
}

#[derive(Template)]
#[template(path = "webhook.html")]
struct HtmlPart<'a> {
    view: &'a View,
}

/// A notice as both parts show it: clean but not yet escaped.
struct View {
    host: String,
    project: String,
    description: Option<String>,
    reason: String,
    disabled: String,
    webhook_id: String,
    webhook_url: Option<String>,
}

impl View {
    fn of(notice: &WebhookNotice) -> Self {
        let url = Url::parse(&notice.url).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or("an unknown host");
        Self {
            host: one_line(host, NAME_LIMIT),
            project: one_line(&notice.project_name, NAME_LIMIT),
            description: notice.description.as_deref().map(|text| one_line(text, DESCRIPTION_LIMIT)),
            reason: reason(notice),
            disabled: instant(notice.disabled_at),
            webhook_id: notice.webhook_id.to_string(),
            webhook_url: notice.webhook_url.as_ref().map(ToString::to_string),
        }
    }
}

fn reason(notice: &WebhookNotice) -> String {
    match (notice.reason, notice.failing_since) {
        (DisabledReason::Gone, _) => "Its receiver answered 410 Gone, which says that it wants no more.".to_owned(),
        (DisabledReason::Failing, Some(since)) => {
            format!("Every attempt has failed since {}, for more than five days.", instant(since))
        }
        (DisabledReason::Failing, None) => "Every attempt has failed for more than five days.".to_owned(),
        (DisabledReason::Manual, _) => "Somebody switched it off.".to_owned(),
    }
}

fn instant(instant: DateTime<Utc>) -> String {
    instant.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use mailparse::MailHeaderMap as _;

    use super::*;

    fn written(notice: &WebhookNotice) -> (String, String, String) {
        let from = "Testrun <ci@testrun.example.com>".parse().unwrap();
        let at = "2026-11-22T02:15:29Z".parse().unwrap();
        let mail = webhook_message(notice, "lead@example.com", &from, "<1@testrun.example.com>", at).unwrap();
        let raw = mail.formatted();
        let mail = mailparse::parse_mail(&raw).unwrap();
        let part = |kind| {
            let part = mail.parts().find(|part| part.ctype.mimetype == kind).unwrap();
            part.get_body().unwrap().replace("\r\n", "\n")
        };
        (mail.headers.get_first_value("Subject").unwrap(), part("text/plain"), part("text/html"))
    }

    fn notice() -> WebhookNotice {
        WebhookNotice {
            webhook_id: Uuid::from_u128(7),
            project_name: "Web shop".to_owned(),
            url: "https://hooks.example.com:8443/services/SECRET?token=SECRET".to_owned(),
            description: Some("Chat <b>&</b>\nroom".to_owned()),
            reason: DisabledReason::Failing,
            disabled_at: "2026-11-22T02:15:28Z".parse().unwrap(),
            failing_since: Some("2026-11-17T02:15:00Z".parse().unwrap()),
            webhook_url: Some("https://testrun.example.com/api/v1/webhooks/7".parse().unwrap()),
        }
    }

    #[test]
    fn both_parts_say_which_webhook_why_and_what_to_do() {
        let (subject, text, html) = written(&notice());
        assert_eq!(subject, "WEBHOOK DISABLED: hooks.example.com of Web shop");
        assert_eq!(
            text,
            "Events are no longer sent to hooks.example.com\n\n\
             Every attempt has failed since 2026-11-17 02:15:00 UTC, for more than five days.\n\n\
             Webhook:   00000000-0000-0000-0000-000000000007\n\
             For:       Chat <b>&</b> room\n\
             Project:   Web shop\n\
             Disabled:  2026-11-22 02:15:28 UTC\n\n\
             What waited to be delivered was given up. Once the receiver works again, an admin of the project enables the \
             webhook:\n\
             PUT https://testrun.example.com/api/v1/webhooks/7 with {\"is_enabled\": true}\n\n\
             -- \n\
             You made this webhook, or you are an admin of its project and its maker is not a member any more.\n"
        );
        assert!(html.contains("Chat &#60;b&#62;&#38;&#60;/b&#62; room") && html.contains("webhooks/7"), "{html}");
        for part in [&text, &html] {
            assert!(!part.contains("SECRET"), "{part}");
        }
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let gone = WebhookNotice {
            reason: DisabledReason::Gone,
            description: None,
            webhook_url: None,
            url: "nonsense".to_owned(),
            ..notice()
        };
        let (subject, text, _) = written(&gone);
        assert_eq!(subject, "WEBHOOK DISABLED: an unknown host of Web shop");
        assert!(text.contains("answered 410 Gone") && !text.contains("For:") && text.contains("PUT /api/v1/webhooks/"));
    }
}
