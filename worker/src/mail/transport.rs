//! How mails leave: by SMTP, or as files where no SMTP server is set.

use std::{
    io,
    path::{Path, PathBuf, absolute},
    time::Duration,
};

use lettre::{
    AsyncFileTransport, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    transport::{
        file,
        smtp::{self, PoolConfig},
    },
};
use secrecy::{ExposeSecret, SecretString};
use testrun_shared::text::one_line;
use tokio::time::timeout;
use url::Url;

use super::MessageError;

/// Longest time that one send may take from the connection to the server's last answer.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest time for the TCP connection alone; lettre bounds nothing else of an asynchronous send.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Most characters of a server's answer that an error keeps.
const REASON_LIMIT: usize = 500;
/// What a server answers when it wants another login: RFC 4954, 6. Such an answer is about us, not about the mail.
const LOGIN_CODES: [u16; 4] = [530, 534, 535, 538];

/// Sends mails; cheap to clone, and clones share what there is to share.
#[derive(Debug, Clone)]
pub enum Mailer {
    /// Delivers to an SMTP server.
    Smtp(SmtpMailer),
    /// Writes each mail as an `.eml` file.
    Files(FileMailer),
}

/// The SMTP server of a [`Mailer`].
#[derive(Debug, Clone)]
pub struct SmtpMailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    shown_url: String,
}

/// The directory of a [`Mailer`].
#[derive(Debug, Clone)]
pub struct FileMailer {
    transport: AsyncFileTransport<Tokio1Executor>,
    directory: PathBuf,
}

/// A mail was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// A later attempt may succeed: no connection, no answer in time, a 4xx answer, a login refused, a full disk.
    #[error("{0}")]
    Transient(String),
    /// This mail to this recipient will not be taken: a 5xx answer, an impossible address.
    #[error("{0}")]
    Permanent(String),
}

/// The setting `SMTP_URL` cannot be used; the text never holds the password.
#[derive(Debug, thiserror::Error)]
#[error(
    "SMTP_URL: {0}; write smtps://user:password@host, smtp://user:password@host?tls=required, \
     or smtp://host for a server in a trusted network"
)]
pub struct SmtpUrlError(String);

impl Mailer {
    /// Takes an SMTP server by its URL, which is lettre's: `smtps://` for TLS from the start, `smtp://` with
    /// `?tls=required` or `?tls=opportunistic` for STARTTLS and without it for none; user and password
    /// percent-encoded; the path, if any, is the name to greet with.
    ///
    /// Nothing is connected before the first mail. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the URL is malformed or says something that would be silently passed over.
    pub fn from_url(url: &SecretString) -> Result<Self, SmtpUrlError> {
        let parsed = Url::parse(url.expose_secret()).map_err(|error| SmtpUrlError(error.to_string()))?;
        check_url(&parsed)?;
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret())
            .map_err(|error| SmtpUrlError(error.to_string()))?
            .timeout(Some(CONNECT_TIMEOUT))
            // A connection for each mail. lettre puts a connection back even when its send was dropped half-way, and
            // the next mail would then read the last one's answers: it could pass for sent without being accepted.
            .pool_config(PoolConfig::new().max_size(0))
            .build();
        Ok(Self::Smtp(SmtpMailer { transport, shown_url: shown_url(&parsed) }))
    }

    /// Takes a directory, which is made if it is missing.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn to_directory(directory: impl AsRef<Path>) -> io::Result<Self> {
        let directory = absolute(directory)?;
        std::fs::create_dir_all(&directory)?;
        Ok(Self::Files(FileMailer { transport: AsyncFileTransport::new(&directory), directory }))
    }

    /// Sends one mail, within [`SEND_TIMEOUT`].
    ///
    /// Dropping the returned future gives the mail up, unless the server has it already.
    ///
    /// # Errors
    /// [`SendError::Transient`] when trying again may help, [`SendError::Permanent`] when it will not. After a
    /// transient error the server may still have taken the mail, if only its answer was lost.
    pub async fn send(&self, message: Message) -> Result<(), SendError> {
        self.send_within(message, SEND_TIMEOUT).await
    }

    async fn send_within(&self, message: Message, limit: Duration) -> Result<(), SendError> {
        let all_ascii = message.envelope().to().iter().all(|to| AsRef::<str>::as_ref(to).is_ascii());
        let sending = async {
            match self {
                Self::Smtp(smtp) => smtp.transport.send(message).await.map(drop).map_err(|e| smtp_error(&e, all_ascii)),
                Self::Files(files) => files.transport.send(message).await.map(drop).map_err(|e| files.error(&e)),
            }
        };
        timeout(limit, sending).await.unwrap_or_else(|_| {
            Err(SendError::Transient(format!("{} did not finish within {limit:?}", self.describe())))
        })
    }

    /// Where mails go, for people to read: `smtps://mail.example.com:465` or a directory; never a user or password.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Smtp(smtp) => smtp.shown_url.clone(),
            Self::Files(files) => files.directory.display().to_string(),
        }
    }
}

impl From<MessageError> for SendError {
    fn from(error: MessageError) -> Self {
        Self::Permanent(one_line(&error.to_string(), REASON_LIMIT))
    }
}

impl FileMailer {
    fn error(&self, error: &file::Error) -> SendError {
        SendError::Transient(format!("cannot write to {}: {error}", self.directory.display()))
    }
}

/// `all_ascii`: whether the recipients' addresses are; if not, lettre gives up on a server without SMTPUTF8.
fn smtp_error(error: &smtp::Error, all_ascii: bool) -> SendError {
    let reason = one_line(&error.to_string(), REASON_LIMIT);
    let wants_login = error.status().is_some_and(|code| LOGIN_CODES.contains(&u16::from(code)));
    if (error.is_permanent() && !wants_login) || (error.is_client() && !all_ascii) {
        SendError::Permanent(reason)
    } else {
        SendError::Transient(reason)
    }
}

/// Refuses what lettre would pass over in silence, since the silence would cost encryption or the login.
fn check_url(url: &Url) -> Result<(), SmtpUrlError> {
    // The offender is not named: it may be the rest of a password with a `?` or `#` that is not percent-encoded.
    if url.query_pairs().any(|(key, _)| key != "tls") || url.fragment().is_some() {
        return Err(SmtpUrlError("only the parameter tls is known; percent-encode user and password".to_owned()));
    }
    if !url.username().is_empty() && url.password().is_none() {
        return Err(SmtpUrlError("a user without a password".to_owned()));
    }
    Ok(())
}

fn shown_url(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}://{}{port}{query}", url.scheme(), url.host_str().unwrap_or_default())
}

#[cfg(test)]
mod tests;
