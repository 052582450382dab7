use std::io::ErrorKind;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const SOON: Duration = Duration::from_secs(30);
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// A client that speaks HTTP by hand, so that the receiver is judged by the protocol and not by one library.
async fn send(receiver: &WebhookReceiver, path: &str, headers: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(receiver.address).await.unwrap();
    let length = body.len();
    let request = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// The answer's head, in lower case.
async fn head(mut stream: TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(SOON, stream.read_u8()).await.expect("an answer")?);
    }
    Ok(String::from_utf8_lossy(&head).to_lowercase())
}

fn signed(id: &str, timestamp: i64, body: &str) -> String {
    let signature = standardwebhooks::Webhook::new(SECRET).unwrap().sign(id, timestamp, body.as_bytes()).unwrap();
    format!("webhook-id: {id}\r\nwebhook-timestamp: {timestamp}\r\nwebhook-signature: v1,old {signature}\r\n")
}

fn now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

#[tokio::test]
async fn keeps_what_it_is_sent_and_tells_what_is_signed() {
    let receiver = WebhookReceiver::start().await.unwrap();
    let good = signed("a", now(), "{}");
    assert!(head(send(&receiver, "/hook?x=1", &good, "{}").await).await.unwrap().starts_with("http/1.1 200"));
    head(send(&receiver, "/", &good, "{} ").await).await.unwrap();
    head(send(&receiver, "/", &signed("b", now() - 600, "{}"), "{}").await).await.unwrap();
    head(send(&receiver, "/", "", "").await).await.unwrap();

    let requests = receiver.wait_for(4, SOON).await.unwrap();
    let first = &requests[0];
    assert_eq!((first.number, first.attempt, first.path.as_str()), (0, 1, "/hook?x=1"));
    assert_eq!((first.webhook_id(), first.body.as_slice(), first.reply), ("a", b"{}".as_slice(), Reply::Accept));
    assert_eq!((requests[1].attempt, requests[2].attempt), (2, 1));
    let signed: Vec<_> = requests.iter().map(|request| request.is_signed_by(SECRET)).collect();
    assert_eq!(signed, [true, false, false, false], "as it was; another body; an old timestamp; no signature");
    assert!(!first.is_signed_by("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
}

#[tokio::test]
async fn answers_as_the_script_says_and_accepts_what_follows() {
    let replies = [Reply::Status(500), Reply::Busy { seconds: 7 }, Reply::Status(410), Reply::Reset];
    let receiver = WebhookReceiver::start_with(script(replies)).await.unwrap();
    assert!(head(send(&receiver, "/", "", "x").await).await.unwrap().starts_with("http/1.1 500"));
    let busy = head(send(&receiver, "/", "", "x").await).await.unwrap();
    assert!(busy.starts_with("http/1.1 429") && busy.contains("\r\nretry-after: 7\r\n"), "{busy}");
    assert!(head(send(&receiver, "/", "", "x").await).await.unwrap().starts_with("http/1.1 410"));
    let reset = head(send(&receiver, "/", "", "x").await).await.unwrap_err();
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
    assert!(head(send(&receiver, "/", "", "x").await).await.unwrap().starts_with("http/1.1 200"));
    let accepted: Vec<_> = receiver.requests().iter().map(|request| request.reply.accepts()).collect();
    assert_eq!(accepted, [false, false, false, false, true]);
}

#[tokio::test]
async fn a_hanging_request_leaves_the_others_alone_and_ends_with_the_receiver() {
    let hang_once = |request: &ReceivedRequest| if request.attempt == 1 { Reply::Hang } else { Reply::Accept };
    let receiver = WebhookReceiver::start_with(hang_once).await.unwrap();
    let mut stuck = send(&receiver, "/", "", "x").await;
    receiver.wait_for(1, SOON).await.unwrap();
    assert!(head(send(&receiver, "/", "", "x").await).await.unwrap().starts_with("http/1.1 200"));

    let address = receiver.address;
    drop(receiver);
    let mut rest = Vec::new();
    // Either an orderly end or a reset; both end the read with nothing said.
    let _ = timeout(SOON, stuck.read_to_end(&mut rest)).await.expect("the connection is closed");
    assert_eq!(rest, b"");
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}
