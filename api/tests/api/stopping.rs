//! A service that stops sends nobody away: it says that it is not ready, and goes on until balancers have noticed.

use std::time::Duration;

use test_support::Database;
use testrun_api::{AppState, Patience};
use testrun_shared::ops::Readiness;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Long enough for a machine that does much else.
const LIMIT: Duration = Duration::from_secs(60);
const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

/// Sends a request and reads until the service closes the connection.
async fn last_answer(mut client: TcpStream) -> anyhow::Result<String> {
    client.write_all(REQUEST).await?;
    let mut answer = String::new();
    timeout(LIMIT, client.read_to_string(&mut answer)).await??;
    Ok(answer)
}

#[tokio::test]
async fn connections_are_taken_and_closed_with_an_answer_until_the_stop_is_noticed() -> anyhow::Result<()> {
    let db = Database::new().await?;
    let service = testrun_api::service(AppState::new(db.pool.clone(), Readiness::default()));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let (stop, leaving) = (CancellationToken::new(), CancellationToken::new());
    // It ends with this test.
    let patience = Patience { farewell: LIMIT * 60, ..Patience::default() };
    let stopped = {
        let (stop, leaving) = (stop.clone(), leaving.clone());
        async move {
            stop.cancelled().await;
            leaving.cancel();
        }
    };
    tokio::spawn(testrun_api::serve_connections(listener, service, patience, stopped));

    let (mut kept, idle) = (TcpStream::connect(address).await?, TcpStream::connect(address).await?);
    kept.write_all(REQUEST).await?;
    let mut answer = vec![0; 1024];
    let length = timeout(LIMIT, kept.read(&mut answer)).await??;
    let answer = String::from_utf8_lossy(&answer[..length]).to_lowercase();
    assert!(answer.starts_with("http/1.1 200 ok") && !answer.contains("connection: close"), "{answer}");

    stop.cancel();
    leaving.cancelled().await;
    for client in [kept, idle, TcpStream::connect(address).await?] {
        let answer = last_answer(client).await?.to_lowercase();
        assert!(answer.starts_with("http/1.1 200 ok") && answer.contains("connection: close"), "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn then_it_ends() -> anyhow::Result<()> {
    let db = Database::new().await?;
    let service = testrun_api::service(AppState::new(db.pool.clone(), Readiness::default()));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let idle = TcpStream::connect(listener.local_addr()?).await?;
    let patience = Patience { farewell: Duration::from_millis(100), ..Patience::default() };
    timeout(LIMIT, testrun_api::serve_connections(listener, service, patience, std::future::ready(()))).await?;
    drop(idle);
    Ok(())
}
