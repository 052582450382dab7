//! A real SMTP server on the loopback interface that keeps what it is sent.
//!
//! Any process can deliver to it by its [`url`](SmtpSink::url). The protocol is `mailin`'s state machine over tokio's
//! TCP; there is no TLS and no login.

mod conversation;
mod journal;

use std::{fs, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::timeout};

pub use journal::ReceivedMail;
use journal::{Journal, Script};

/// What the sink does when a client names a recipient.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reaction {
    /// Takes the mail and says so.
    #[default]
    Accept,
    /// Answers RCPT with 450: come back later.
    RefuseForNow,
    /// Answers RCPT with 550: no such mailbox.
    Refuse,
    /// Never answers RCPT and keeps the connection open until the client closes it.
    Hang,
    /// Takes the whole mail, then closes the connection without an answer and forgets the mail.
    LoseAfterData,
    /// Takes the whole mail into the journal, then closes the connection without an answer.
    KeepAfterData,
    /// Takes the whole mail into the journal, never says so and keeps the connection open until the client closes it.
    HangAfterData,
}

/// A running SMTP server with a journal; it stops, and its connections close, when it is dropped.
#[derive(Debug)]
pub struct SmtpSink {
    address: SocketAddr,
    journal: Arc<watch::Sender<Journal>>,
    /// Holds the accepting task, which holds one task for each connection: a `JoinSet` aborts its tasks when dropped.
    _acceptor: JoinSet<()>,
}

impl SmtpSink {
    /// Starts a sink on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        Self::listen(Journal::default()).await
    }

    /// Starts a sink that also writes each accepted mail to `directory` as `0001.eml`, `0002.eml` …, its envelope in
    /// `Delivered-To` lines on top.
    ///
    /// # Errors
    /// When no port can be bound or the directory cannot be made.
    pub async fn start_with_files(directory: impl Into<PathBuf>) -> io::Result<Self> {
        let directory = directory.into();
        fs::create_dir_all(&directory)?;
        Self::listen(Journal { directory: Some(directory), ..Journal::default() }).await
    }

    async fn listen(journal: Journal) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let journal = Arc::new(watch::Sender::new(journal));
        let mut acceptor = JoinSet::new();
        acceptor.spawn(conversation::accept(listener, Arc::clone(&journal)));
        Ok(Self { address, journal, _acceptor: acceptor })
    }

    /// Where to deliver, as an `SMTP_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// The mails accepted up to now, oldest first.
    #[must_use]
    pub fn mails(&self) -> Vec<ReceivedMail> {
        self.journal.borrow().mails.clone()
    }

    /// How often a client has named this recipient in a RCPT command, whatever became of it.
    #[must_use]
    pub fn attempts(&self, recipient: &str) -> usize {
        self.journal.borrow().attempts_of(recipient)
    }

    /// Reacts to each of the next RCPT commands for `recipient` with one of `reactions`, then accepts again.
    pub fn script(&self, recipient: &str, reactions: impl IntoIterator<Item = Reaction>) {
        self.set_script(recipient, Script::new(reactions, Reaction::Accept));
    }

    /// Reacts to every RCPT command for `recipient` in the same way.
    pub fn always(&self, recipient: &str, reaction: Reaction) {
        self.set_script(recipient, Script::new([], reaction));
    }

    fn set_script(&self, recipient: &str, script: Script) {
        self.journal.send_modify(|journal| {
            journal.scripts.insert(recipient.to_lowercase(), script);
        });
    }

    /// Waits until `count` mails are accepted, and returns all that are.
    ///
    /// # Errors
    /// When that takes longer than `within`; the error tells what the sink has seen instead.
    pub async fn wait_for(&self, count: usize, within: Duration) -> anyhow::Result<Vec<ReceivedMail>> {
        self.wait_until(format!("{count} mails"), within, |journal| journal.mails.len() >= count).await?;
        Ok(self.mails())
    }

    /// Waits until clients have named `recipient` in `count` RCPT commands, accepted or not.
    ///
    /// # Errors
    /// When that takes longer than `within`; the error tells what the sink has seen instead.
    pub async fn wait_for_attempts(&self, recipient: &str, count: usize, within: Duration) -> anyhow::Result<()> {
        let wanted = format!("{count} RCPT commands for {recipient}");
        self.wait_until(wanted, within, |journal| journal.attempts_of(recipient) >= count).await
    }

    async fn wait_until(
        &self,
        wanted: String,
        within: Duration,
        is_seen: impl Fn(&Journal) -> bool,
    ) -> anyhow::Result<()> {
        let mut changes = self.journal.subscribe();
        let seen = timeout(within, changes.wait_for(is_seen)).await.is_ok_and(|seen| seen.is_ok());
        if seen {
            return Ok(());
        }
        let journal = self.journal.borrow();
        let subjects: Vec<_> = journal.mails.iter().map(ReceivedMail::subject).collect();
        anyhow::bail!(
            "waited {within:?} for {wanted}; mails accepted: {subjects:?}; RCPT commands: {:?}",
            journal.attempts
        )
    }
}

#[cfg(test)]
mod tests;
