//! What the sink has seen and what it is told to do.

use std::{
    collections::{HashMap, VecDeque},
    fs, io,
    path::PathBuf,
    time::SystemTime,
};

use mailparse::{MailHeaderMap, ParsedMail};

use super::Reaction;

/// One mail that the sink accepted.
#[derive(Debug, Clone)]
pub struct ReceivedMail {
    /// Address of the envelope's sender.
    pub sender: String,
    /// Addresses of the envelope's recipients, in the order of their RCPT commands.
    pub recipients: Vec<String>,
    /// The message as it came, without the dots that SMTP adds.
    pub raw: Vec<u8>,
    /// How it was taken: [`Reaction::Accept`] if its sender was told so. After anything else the sender cannot know.
    pub reaction: Reaction,
    /// When it was there in full, by this machine's clock.
    pub taken_at: SystemTime,
}

impl ReceivedMail {
    /// One that begins with this envelope.
    pub(super) fn from(sender: &str) -> Self {
        Self {
            sender: sender.to_owned(),
            recipients: Vec::new(),
            raw: Vec::new(),
            reaction: Reaction::Accept,
            taken_at: SystemTime::UNIX_EPOCH,
        }
    }

    /// The decoded value of the first header of this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let (headers, _) = mailparse::parse_headers(&self.raw).ok()?;
        headers.get_first_value(name)
    }

    /// The `Message-ID`, with its angle brackets.
    #[must_use]
    pub fn message_id(&self) -> Option<String> {
        self.header("Message-ID")
    }

    /// The decoded `Subject`.
    #[must_use]
    pub fn subject(&self) -> Option<String> {
        self.header("Subject")
    }

    /// The decoded `To` header; the addresses that count are in [`recipients`](Self::recipients).
    #[must_use]
    pub fn to(&self) -> Option<String> {
        self.header("To")
    }

    /// The decoded body of the first `text/plain` part.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        self.body_of("text/plain")
    }

    /// The decoded body of the first `text/html` part.
    #[must_use]
    pub fn html(&self) -> Option<String> {
        self.body_of("text/html")
    }

    fn body_of(&self, mimetype: &str) -> Option<String> {
        let mail = mailparse::parse_mail(&self.raw).ok()?;
        let is_wanted = |part: &&ParsedMail<'_>| part.ctype.mimetype == mimetype;
        mail.parts().find(is_wanted)?.get_body().ok()
    }
}

/// What happened and what is to happen; its changes wake the waiting tests.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pub(super) mails: Vec<ReceivedMail>,
    pub(super) attempts: HashMap<String, usize>,
    pub(super) scripts: HashMap<String, Script>,
    pub(super) directory: Option<PathBuf>,
}

#[derive(Debug)]
pub(super) struct Script {
    next: VecDeque<Reaction>,
    then: Reaction,
}

impl Script {
    pub(super) fn new(next: impl IntoIterator<Item = Reaction>, then: Reaction) -> Self {
        Self { next: next.into_iter().collect(), then }
    }
}

impl Journal {
    pub(super) fn attempts_of(&self, recipient: &str) -> usize {
        self.attempts.get(&recipient.to_lowercase()).copied().unwrap_or_default()
    }

    pub(super) fn react_to(&mut self, recipient: &str) -> Reaction {
        let recipient = recipient.to_lowercase();
        let reaction = match self.scripts.get_mut(&recipient) {
            Some(script) => script.next.pop_front().unwrap_or(script.then),
            None => Reaction::Accept,
        };
        *self.attempts.entry(recipient).or_default() += 1;
        reaction
    }

    pub(super) fn keep(&mut self, mail: ReceivedMail) -> io::Result<()> {
        if let Some(directory) = &self.directory {
            let envelope: String = mail.recipients.iter().map(|to| format!("Delivered-To: {to}\r\n")).collect();
            let file = [envelope.as_bytes(), &mail.raw].concat();
            fs::write(directory.join(format!("{:04}.eml", self.mails.len() + 1)), file)?;
        }
        self.mails.push(mail);
        Ok(())
    }
}
