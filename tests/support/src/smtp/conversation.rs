//! The server's side of the connections.

use std::{io, net::IpAddr, sync::Arc, time::SystemTime};

use mailin::{Action, Handler, Response, SessionBuilder, response};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use super::{Reaction, ReceivedMail, journal::Journal};

pub(super) async fn accept(listener: TcpListener, journal: Arc<watch::Sender<Journal>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, peer)) = listener.accept().await {
        let conversation = Conversation::new(Arc::clone(&journal));
        connections.spawn(async move {
            // A client that goes away in the middle of a word is nothing that a test of the client can act on.
            let _ = converse(stream, peer.ip(), conversation).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Codes that no SMTP server answers with: the handler's orders to the loop that holds the connection.
const HANG: u16 = 900;
const CLOSE: u16 = 901;

async fn converse(stream: TcpStream, peer: IpAddr, conversation: Conversation) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut session = SessionBuilder::new("sink.test").build(peer, conversation);
    write.write_all(&session.greeting().buffer()?).await?;
    let mut line = Vec::new();
    while read.read_until(b'\n', &mut line).await? > 0 {
        let answer = session.process(&line);
        line.clear();
        match (answer.code, &answer.action) {
            (HANG, _) => return tokio::io::copy(&mut read, &mut tokio::io::sink()).await.map(drop),
            (CLOSE, _) => return Ok(()),
            (_, Action::NoReply) => {}
            (_, action) => {
                write.write_all(&answer.buffer()?).await?;
                if *action == Action::Close {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// One connection's side of the protocol.
struct Conversation {
    journal: Arc<watch::Sender<Journal>>,
    mail: ReceivedMail,
    after_data: Reaction,
}

impl Conversation {
    fn new(journal: Arc<watch::Sender<Journal>>) -> Self {
        Self { journal, mail: ReceivedMail::from(""), after_data: Reaction::Accept }
    }

    fn keep(&mut self) -> Response {
        let mail = std::mem::replace(&mut self.mail, ReceivedMail::from(""));
        let mail = ReceivedMail { reaction: self.after_data, taken_at: SystemTime::now(), ..mail };
        let mut kept = Ok(());
        self.journal.send_modify(|journal| kept = journal.keep(mail));
        match kept {
            Ok(()) => response::OK,
            Err(_) => response::INTERNAL_ERROR,
        }
    }
}

impl Handler for Conversation {
    fn mail(&mut self, _peer: IpAddr, _domain: &str, from: &str) -> Response {
        self.mail = ReceivedMail::from(from);
        self.after_data = Reaction::Accept;
        response::OK
    }

    fn rcpt(&mut self, to: &str) -> Response {
        let mut reaction = Reaction::Accept;
        self.journal.send_modify(|journal| reaction = journal.react_to(to));
        match reaction {
            Reaction::RefuseForNow => return Response::custom(450, "4.2.1 Mailbox busy, try again later".to_owned()),
            Reaction::Refuse => return Response::custom(550, "5.1.1 No such mailbox here".to_owned()),
            Reaction::Hang => return Response::custom(HANG, String::new()),
            Reaction::Accept => {}
            Reaction::LoseAfterData | Reaction::KeepAfterData | Reaction::HangAfterData => self.after_data = reaction,
        }
        self.mail.recipients.push(to.to_owned());
        response::OK
    }

    fn data(&mut self, line: &[u8]) -> io::Result<()> {
        self.mail.raw.extend_from_slice(line);
        Ok(())
    }

    fn data_end(&mut self) -> Response {
        if self.after_data == Reaction::LoseAfterData {
            return Response::custom(CLOSE, String::new());
        }
        let answer = self.keep();
        match self.after_data {
            Reaction::KeepAfterData => Response::custom(CLOSE, String::new()),
            Reaction::HangAfterData => Response::custom(HANG, String::new()),
            _ => answer,
        }
    }
}
