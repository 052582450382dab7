//! The messages of PostgreSQL's protocol, version 3: a letter, a length that counts itself, and as many bytes.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, BufReader};

/// A client's simple query `COMMIT`, as sqlx ends its transactions.
pub(super) const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";
/// The server's word that it has committed.
pub(super) const COMMITTED: &[u8] = b"C\0\0\0\x0bCOMMIT\0";

/// No message is longer; a length that is greater is nonsense.
const LONGEST: usize = 1 << 30;

/// Reads one side of a connection message by message.
pub(super) struct Frames<R> {
    read: BufReader<R>,
    /// The first message of a client has no letter.
    is_first: bool,
    frame: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(super) fn of_client(read: R) -> Self {
        Self { read: BufReader::new(read), is_first: true, frame: Vec::new() }
    }

    pub(super) fn of_server(read: R) -> Self {
        Self { is_first: false, ..Self::of_client(read) }
    }

    /// The next message as it came; `None` at the end.
    pub(super) async fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let head = if std::mem::take(&mut self.is_first) { 4 } else { 5 };
        self.frame.clear();
        self.frame.resize(head, 0);
        match self.read.read_exact(&mut self.frame).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            outcome => outcome?,
        };
        let length = self.frame[head - 4..].iter().fold(0, |length, byte| (length << 8) | usize::from(*byte));
        let length = length.checked_sub(4).filter(|length| *length <= LONGEST);
        let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not PostgreSQL's protocol"))?;
        self.frame.resize(head + length, 0);
        self.read.read_exact(&mut self.frame[head..]).await?;
        Ok(Some(&self.frame))
    }

    /// Whether nothing more has come, so that what was read has to be passed on.
    pub(super) fn is_drained(&self) -> bool {
        self.read.buffer().is_empty()
    }
}
