//! More than can be done: what is let in, what waits and what is refused, and that all is well again afterwards.

use std::time::Duration;

use axum::http::HeaderValue;
use futures_util::future::try_join_all;
use serde_json::json;
use test_support::{Database, until};
use testrun_api::{Admission, AppState};
use testrun_shared::ops::Readiness;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use crate::app::{App, Raw, Server, none_wrong};
use crate::world::{pending, running};

const PATIENCE: Duration = Duration::from_secs(60);
const ORIGIN: &str = "https://ci.example.com";
const BUSY: &str = "The service has more to do than it can; try again";

async fn start(in_progress: usize, streams: usize) -> anyhow::Result<App> {
    let db = Database::new().await?;
    let tenant = db.tenant("Home").await?;
    let admission = Admission::new(in_progress, streams);
    let cors_origins = vec![HeaderValue::from_static(ORIGIN)];
    let state = AppState { admission, cors_origins, ..AppState::new(db.pool.clone(), Readiness::default()) };
    let server = Server::with(state).await?;
    let client = server.client(Some(&tenant.token))?;
    Ok(App { db, tenant, client, server })
}

/// Sends a request in the background.
fn send(asking: &mut JoinSet<anyhow::Result<Raw>>, app: &App, method: &'static str, path: &str, body: &'static str) {
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build();
    let request = http.map(|http| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let url = format!("http://{}{path}", app.server.authority());
        http.request(method, url).bearer_auth(&app.tenant.token).header("content-type", "application/json").body(body)
    });
    asking.spawn(async move {
        let response = request?.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Raw { status, headers, bytes: response.bytes().await?.to_vec() })
    });
}

/// Waits until so many statements wait for a lock.
async fn blocked(app: &App, statements: i64) -> anyhow::Result<()> {
    until("requests to wait for a lock", PATIENCE, || async {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(&app.db.pool)
        .await?;
        Ok((waiting == statements).then_some(()))
    })
    .await
}

/// What is wrong with this answer, as that of a service that has too much to do.
fn not_busy(answer: &Raw) -> Option<String> {
    let is_told = answer.header("retry-after") == "1" && !answer.header("x-request-id").is_empty();
    answer.not_detail(503, BUSY).or_else(|| (!is_told).then(|| format!("{:?}", answer.headers)))
}

#[tokio::test]
async fn reports_that_take_long_leave_room_for_lists_and_writes() -> anyhow::Result<()> {
    let app = start(4, 1).await?;
    let run = pending(&app.client, &json!({}), 1).await?;
    let mut lock = app.db.pool.begin().await?;
    sqlx::query("LOCK TABLE test_runs IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await?;
    let mut held = JoinSet::new();
    send(&mut held, &app, "GET", &format!("{}/report", run.path()), "");
    blocked(&app, 1).await?;

    let mut more = JoinSet::new();
    for path in ["report", "summary", "report"] {
        send(&mut more, &app, "GET", &format!("{}/{path}", run.path()), "");
    }
    let mut wrong = Vec::new();
    while let Some(answer) = more.join_next().await {
        wrong.extend(not_busy(&answer??));
    }
    none_wrong(&wrong);
    app.client.get("/api/v1/test-scripts").await?.expect(200)?;
    app.client.post("/api/v1/test-cases", &json!({"name": "In time"})).await?.expect(201)?;

    lock.rollback().await?;
    assert_eq!(held.join_next().await.expect("one")??.status, 200);
    app.client.get(&format!("{}/summary", run.path())).await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn writes_beyond_what_can_be_done_are_refused_until_there_is_room() -> anyhow::Result<()> {
    testrun_shared::ops::start_metrics();
    let app = start(4, 1).await?;
    let run = running(&app.client, &json!({}), 1).await?;
    let mut lock = app.db.pool.begin().await?;
    sqlx::query("SELECT 1 FROM test_runs WHERE id = $1 FOR UPDATE")
        .bind(Uuid::parse_str(&run.id)?)
        .execute(&mut *lock)
        .await?;
    let mut held = JoinSet::new();
    for _ in 0..4 {
        send(&mut held, &app, "PUT", &run.path(), r#"{"run_name": "Held"}"#);
    }
    blocked(&app, 4).await?;

    let mut more = JoinSet::new();
    for _ in 0..20 {
        send(&mut more, &app, "POST", "/api/v1/test-cases", r#"{"name": "Too much"}"#);
        send(&mut more, &app, "GET", "/api/v1/test-cases", "");
    }
    let mut wrong = Vec::new();
    while let Some(answer) = more.join_next().await {
        wrong.extend(not_busy(&answer??));
    }
    let authorization = format!("Bearer {}", app.tenant.token);
    let headers = [("authorization", authorization.as_str()), ("origin", ORIGIN), ("x-request-id", "client-4711")];
    let of_a_page = (0..20).map(|_| app.server.send("POST", "/api/v1/test-cases", &headers, Vec::new()));
    for answer in try_join_all(of_a_page).await? {
        wrong.extend(not_busy(&answer));
        let may_see =
            answer.header("access-control-allow-origin") == ORIGIN && answer.header("x-request-id") == "client-4711";
        wrong.extend((!may_see).then(|| format!("a page may not see {:?}", answer.headers)));
    }
    none_wrong(&wrong);
    let told = app.server.send("GET", "/metrics", &[], Vec::new()).await?.text();
    let turned_away = r#"testrun_http_requests_total{method="POST",route="unmatched",status="503"}"#;
    assert!(told.contains(turned_away), "{told}");
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(app.server.send("GET", path, &[], Vec::new()).await?.status, 200, "{path}");
    }

    lock.rollback().await?;
    while let Some(answer) = held.join_next().await {
        assert_eq!(answer??.status, 200, "what was let in is done");
    }
    let cases = app.client.get("/api/v1/test-cases").await?.expect(200)?;
    assert_eq!(cases["total"], 1, "what was refused did nothing");
    app.client.post("/api/v1/test-cases", &json!({"name": "In time"})).await?.expect(201)?;
    Ok(())
}

#[tokio::test]
async fn a_refusal_under_load_comes_before_the_token_and_the_body() -> anyhow::Result<()> {
    let app = start(2, 1).await?;
    let run = pending(&app.client, &json!({}), 0).await?;
    let mut lock = app.db.pool.begin().await?;
    sqlx::query("LOCK TABLE test_runs IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await?;
    // Two are worked on and four may wait; the others ask again and again, so that the queue is full nearly always.
    let mut asking = JoinSet::new();
    for _ in 0..12 {
        let (client, path) = (app.client.clone(), run.path());
        asking.spawn(async move { while client.send(reqwest::Method::DELETE, &path, None).await.is_ok() {} });
    }
    blocked(&app, 2).await?;
    let refused = until("a refusal before the body", PATIENCE, || async {
        let mut nobody = TcpStream::connect(app.server.authority()).await?;
        let head = "POST /api/v1/test-cases HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n";
        nobody.write_all(head.as_bytes()).await?;
        let mut answer = vec![0; 12];
        // Nothing comes where there was a place in the queue: then the body is waited for.
        let told = timeout(Duration::from_millis(200), nobody.read_exact(&mut answer)).await;
        Ok(told.is_ok_and(|read| read.is_ok()).then_some(answer))
    })
    .await?;
    assert_eq!(String::from_utf8_lossy(&refused), "HTTP/1.1 503");
    asking.shutdown().await;
    lock.rollback().await?;
    Ok(())
}

#[tokio::test]
async fn streams_have_a_number_of_their_own() -> anyhow::Result<()> {
    let app = start(2, 1).await?;
    let authorization = format!("Bearer {}", app.tenant.token);
    let headers = [("authorization", authorization.as_str())];
    let open = app.server.open("GET", "/api/v1/events", &headers, Vec::new()).await?;
    assert_eq!(open.status(), 200);
    for path in ["/api/v1/events", "/api/v1/ws"] {
        assert_eq!(not_busy(&app.server.send("GET", path, &headers, Vec::new()).await?), None, "{path}");
    }
    app.client.get("/api/v1/test-runs").await?.expect(200)?;
    drop(open);
    until("the stream's place to be free", PATIENCE, || async {
        let another = app.server.open("GET", "/api/v1/events", &headers, Vec::new()).await?;
        Ok((another.status() == 200).then_some(()))
    })
    .await
}

/// Begins a request, and waits until the service asks for its body.
async fn begun(app: &App, path: &str, length: usize) -> anyhow::Result<(TcpStream, String)> {
    let mut connection = TcpStream::connect(app.server.authority()).await?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         expect: 100-continue\r\ncontent-length: {length}\r\n\r\n",
        app.tenant.token
    );
    connection.write_all(head.as_bytes()).await?;
    let mut answer = vec![0; 12];
    timeout(PATIENCE, connection.read_exact(&mut answer)).await??;
    Ok((connection, String::from_utf8(answer)?))
}

#[tokio::test]
async fn small_bodies_that_do_not_come_hold_nobody_up() -> anyhow::Result<()> {
    let app = start(2, 1).await?;
    let mut slow = Vec::new();
    for _ in 0..10 {
        let (connection, told) = begun(&app, "/api/v1/test-cases", 100).await?;
        assert_eq!(told, "HTTP/1.1 100");
        slow.push(connection);
    }
    app.client.post("/api/v1/test-cases", &json!({"name": "In time"})).await?.expect(201)?;
    Ok(())
}

#[tokio::test]
async fn large_bodies_that_do_not_come_leave_room_for_small_ones() -> anyhow::Result<()> {
    let app = start(8, 1).await?;
    let path = "/api/v1/test-cases/bulk";
    let mut slow = Vec::new();
    for _ in 0..4 {
        let (connection, told) = begun(&app, path, 100_000).await?;
        assert_eq!(told, "HTTP/1.1 100");
        slow.push(connection);
    }
    assert_eq!(begun(&app, path, 100_000).await?.1, "HTTP/1.1 503");
    app.client.post("/api/v1/test-cases", &json!({"name": "In time"})).await?.expect(201)?;
    drop(slow);
    until("room for another large body", PATIENCE, || async {
        Ok((begun(&app, path, 100_000).await?.1 == "HTTP/1.1 100").then_some(()))
    })
    .await
}

#[tokio::test]
async fn bodies_of_every_length_arrive_whole_whether_announced_or_not() -> anyhow::Result<()> {
    let app = start(4, 1).await?;
    let mut wrong = Vec::new();
    for length in [0, 1, 32_767, 32_768, 32_769, 200_000] {
        for is_announced in [true, false] {
            let name = format!("{length}, {is_announced}");
            let body = json!({"name": name, "description": "x".repeat(length.min(100_000)), "tags": []}).to_string();
            // White space is no part of JSON, but of the length.
            let body = format!("{body}{}", " ".repeat(length));
            let mut connection = TcpStream::connect(app.server.authority()).await?;
            let head = format!(
                "POST /api/v1/test-cases HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
                 content-type: application/json\r\nconnection: close\r\n",
                app.tenant.token
            );
            let sent = if is_announced {
                format!("{head}content-length: {}\r\n\r\n{body}", body.len())
            } else {
                let (first, second) = body.split_at(body.len() / 2);
                let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
                format!("{head}transfer-encoding: chunked\r\n\r\n{}{}0\r\n\r\n", chunk(first), chunk(second))
            };
            connection.write_all(sent.as_bytes()).await?;
            let mut answer = String::new();
            timeout(PATIENCE, connection.read_to_string(&mut answer)).await??;
            let is_stored = answer.starts_with("HTTP/1.1 201") && answer.contains(&format!("\"name\":\"{name}\""));
            wrong.extend((!is_stored).then(|| format!("{name}: {answer:.300}")));
        }
    }
    none_wrong(&wrong);
    Ok(())
}
