//! Clients that send or take nothing are cut off, and others are served meanwhile.

use std::time::Duration;

use test_support::{Database, until};
use testrun_api::{AppState, Patience};
use testrun_shared::ops::Readiness;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::app::Server;

/// Long enough for a machine that does much else.
const LIMIT: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

async fn server(patience: Patience) -> anyhow::Result<(Database, Server)> {
    let db = Database::new().await?;
    let server = Server::with_patience(AppState::new(db.pool.clone(), Readiness::default()), patience).await?;
    Ok((db, server))
}

#[tokio::test]
async fn a_head_that_does_not_end_is_cut_off() -> anyhow::Result<()> {
    let (_db, server) = server(Patience { head: SHORT, ..Patience::default() }).await?;
    let mut slow = TcpStream::connect(server.authority()).await?;
    slow.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ").await?;
    let mut answer = Vec::new();
    timeout(LIMIT, slow.read_to_end(&mut answer)).await??;
    assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
    // Whoever is slow for once, as any client on a busy machine, is cut off as well, and asks again.
    until("others to be served", LIMIT, || async {
        let answer = server.send("GET", "/healthz", &[], Vec::new()).await;
        Ok(answer.is_ok_and(|answer| answer.status == 200).then_some(()))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_connection_without_a_request_is_cut_off() -> anyhow::Result<()> {
    let (_db, server) = server(Patience { head: SHORT, ..Patience::default() }).await?;
    let mut idle = TcpStream::connect(server.authority()).await?;
    assert_eq!(timeout(LIMIT, idle.read(&mut [0; 16])).await??, 0);
    Ok(())
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answers_does_not_keep_the_service_from_stopping() -> anyhow::Result<()> {
    let db = Database::new().await?;
    let service = testrun_api::service(AppState::new(db.pool.clone(), Readiness::default()));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let stop = CancellationToken::new();
    let patience = Patience { stalled: SHORT, ..Patience::default() };
    let serving =
        tokio::spawn(testrun_api::serve_connections(listener, service, patience, stop.clone().cancelled_owned()));

    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    let mut slow = socket.connect(address).await?;
    // The page's script is more than all buffers between us hold.
    let requests = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: x\r\n\r\n".repeat(20);
    slow.write_all(requests.as_bytes()).await?;
    slow.readable().await?;
    stop.cancel();
    timeout(LIMIT, serving).await??;
    drop(slow);
    Ok(())
}

#[tokio::test]
async fn a_refusal_of_a_large_body_says_that_the_connection_ends() -> anyhow::Result<()> {
    let (_db, server) = server(Patience::default()).await?;
    // It has no token, so it is refused before it is read.
    for (size, is_last) in [(16 * 1024 * 1024, true), (1024, false)] {
        let mut client = TcpStream::connect(server.authority()).await?;
        let head = format!(
            "POST /api/v1/test-run-results HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n"
        );
        client.write_all(head.as_bytes()).await?;
        // It looks for the answer when all is sent, or cannot be.
        let _: Result<(), _> = client.write_all(&vec![b'x'; size]).await;
        let mut answer = vec![0; 4096];
        let length = timeout(LIMIT, client.read(&mut answer)).await??;
        let answer = String::from_utf8_lossy(&answer[..length]).to_ascii_lowercase();
        assert!(answer.starts_with("http/1.1 401 "), "{size}: {answer}");
        assert_eq!(answer.contains("connection: close"), is_last, "{size}: {answer}");
    }
    Ok(())
}
