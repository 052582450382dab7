use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::*;

const SOON: Duration = Duration::from_secs(10);

/// A client that speaks SMTP by hand, so that the sink is judged by the protocol and not by one library.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn connect(sink: &SmtpSink) -> Self {
        let mut client = Self(BufReader::new(TcpStream::connect(sink.address).await.unwrap()));
        assert_eq!(client.answer().await, "220 sink.test ESMTP");
        assert!(client.say("EHLO client.test").await.starts_with("250"));
        assert_eq!(client.answer().await, "250 8BITMIME");
        client
    }

    async fn answer(&mut self) -> String {
        let mut line = String::new();
        timeout(SOON, self.0.read_line(&mut line)).await.unwrap().unwrap();
        line.trim_end().to_owned()
    }

    async fn write(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).await.unwrap();
    }

    async fn say(&mut self, command: &str) -> String {
        self.write(&format!("{command}\r\n")).await;
        self.answer().await
    }

    async fn deliver(&mut self, to: &[&str], message: &str) -> String {
        assert!(self.say("MAIL FROM:<ci@example.com>").await.starts_with("250"));
        for to in to {
            assert!(self.say(&format!("RCPT TO:<{to}>")).await.starts_with("250"));
        }
        assert!(self.say("DATA").await.starts_with("354"));
        self.say(&format!("{message}\r\n.")).await
    }
}

#[tokio::test]
async fn keeps_envelope_headers_and_bytes() {
    let sink = SmtpSink::start().await.unwrap();
    let mut client = Client::connect(&sink).await;
    let message =
        "Message-ID: <1@example.com>\r\nSubject: =?utf-8?b?R3LDvMOfZQ==?=\r\nTo: a@example.com\r\n\r\nHi\r\n..dot";
    assert!(client.deliver(&["a@example.com", "b@example.com"], message).await.starts_with("250"));
    assert!(client.say("QUIT").await.starts_with("221"));

    let mails = sink.wait_for(1, SOON).await.unwrap();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].sender, "ci@example.com");
    assert_eq!(mails[0].recipients, ["a@example.com", "b@example.com"]);
    assert_eq!(mails[0].message_id().as_deref(), Some("<1@example.com>"));
    assert_eq!(mails[0].subject().as_deref(), Some("Grüße"));
    assert_eq!(mails[0].to().as_deref(), Some("a@example.com"));
    assert_eq!(mails[0].text().as_deref(), Some("Hi\r\n.dot\r\n"));
    assert_eq!(mails[0].html(), None);
}

#[tokio::test]
async fn takes_several_mails_on_one_connection_and_several_connections_at_once() {
    let sink = SmtpSink::start().await.unwrap();
    let (mut one, mut two) = (Client::connect(&sink).await, Client::connect(&sink).await);
    assert!(one.deliver(&["a@example.com"], "Subject: first\r\n\r\nx").await.starts_with("250"));
    assert!(two.deliver(&["b@example.com"], "Subject: second\r\n\r\nx").await.starts_with("250"));
    assert!(one.deliver(&["c@example.com"], "Subject: third\r\n\r\nx").await.starts_with("250"));

    let subjects: Vec<_> = sink.mails().iter().filter_map(ReceivedMail::subject).collect();
    assert_eq!(subjects, ["first", "second", "third"]);
    assert_eq!(sink.mails()[2].recipients, ["c@example.com"], "the envelope starts anew with each mail");
}

#[tokio::test]
async fn reacts_to_recipients_as_scripted() {
    let sink = SmtpSink::start().await.unwrap();
    sink.script("Busy@example.com", [Reaction::RefuseForNow]);
    sink.always("gone@example.com", Reaction::Refuse);
    let mut client = Client::connect(&sink).await;
    client.say("MAIL FROM:<ci@example.com>").await;

    assert!(client.say("RCPT TO:<busy@example.com>").await.starts_with("450"));
    assert!(client.say("RCPT TO:<busy@example.com>").await.starts_with("250"));
    assert!(client.say("RCPT TO:<gone@example.com>").await.starts_with("550"));
    assert!(client.say("RCPT TO:<GONE@example.com>").await.starts_with("550"));
    assert_eq!(sink.attempts("busy@example.com"), 2);
    sink.wait_for_attempts("gone@example.com", 2, SOON).await.unwrap();
    assert!(sink.mails().is_empty());
}

#[tokio::test]
async fn closes_after_data_with_or_without_keeping_the_mail() {
    let sink = SmtpSink::start().await.unwrap();
    sink.always("lost@example.com", Reaction::LoseAfterData);
    sink.always("kept@example.com", Reaction::KeepAfterData);
    for to in ["lost@example.com", "kept@example.com"] {
        let mut client = Client::connect(&sink).await;
        assert_eq!(client.deliver(&[to], "Subject: x\r\n\r\nx").await, "", "the connection ends without an answer");
    }
    let kept: Vec<_> = sink.mails().into_iter().map(|mail| (mail.recipients, mail.reaction)).collect();
    assert_eq!(kept, [(vec!["kept@example.com".to_owned()], Reaction::KeepAfterData)]);
}

#[tokio::test]
async fn a_hanging_conversation_leaves_the_others_alone_and_ends_with_the_sink() {
    let sink = SmtpSink::start().await.unwrap();
    sink.always("slow@example.com", Reaction::Hang);
    let mut stuck = Client::connect(&sink).await;
    stuck.say("MAIL FROM:<ci@example.com>").await;
    stuck.write("RCPT TO:<slow@example.com>\r\n").await;
    sink.wait_for_attempts("slow@example.com", 1, SOON).await.unwrap();
    let mut other = Client::connect(&sink).await;
    assert!(other.deliver(&["b@example.com"], "Subject: x\r\n\r\nx").await.starts_with("250"));

    let address = sink.address;
    drop(sink);
    let mut rest = Vec::new();
    // Either an orderly end or a reset; both end the read with nothing said.
    let _ = timeout(SOON, stuck.0.read_to_end(&mut rest)).await.expect("the connection is closed");
    assert_eq!(rest, b"");
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_mail_may_be_taken_without_a_word() {
    let sink = SmtpSink::start().await.unwrap();
    sink.script("taken@example.com", [Reaction::HangAfterData]);
    let mut stuck = Client::connect(&sink).await;
    stuck.say("MAIL FROM:<ci@example.com>").await;
    stuck.say("RCPT TO:<taken@example.com>").await;
    stuck.say("DATA").await;
    stuck.write("Subject: x\r\n\r\nx\r\n.\r\n").await;
    sink.wait_for(1, SOON).await.unwrap();
    let word = timeout(Duration::from_millis(50), stuck.0.read_u8()).await;
    assert!(word.is_err(), "neither an answer nor an end: {word:?}");
    let mut again = Client::connect(&sink).await;
    assert!(again.deliver(&["taken@example.com"], "Subject: x\r\n\r\nx").await.starts_with("250"));
}

#[tokio::test]
async fn waiting_in_vain_tells_what_was_seen() {
    let sink = SmtpSink::start().await.unwrap();
    let mut client = Client::connect(&sink).await;
    client.deliver(&["a@example.com"], "Subject: only one\r\n\r\nx").await;
    let error = sink.wait_for(2, Duration::from_millis(20)).await.unwrap_err().to_string();
    assert!(error.contains("2 mails") && error.contains("only one") && error.contains("a@example.com"), "{error}");
}

#[tokio::test]
async fn writes_the_journal_to_files_on_demand() {
    let directory = tempfile::tempdir().unwrap();
    let sink = SmtpSink::start_with_files(directory.path().join("mails")).await.unwrap();
    let mut client = Client::connect(&sink).await;
    client.deliver(&["a@example.com", "b@example.com"], "Subject: x\r\n\r\nbody").await;
    let file = fs::read_to_string(directory.path().join("mails/0001.eml")).unwrap();
    assert_eq!(file, "Delivered-To: a@example.com\r\nDelivered-To: b@example.com\r\nSubject: x\r\n\r\nbody\r\n");
}
