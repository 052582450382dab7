//! What surrounds every operation: request ids, unknown paths, failures, a database that is away, health.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use test_support::{Database, refusing_port, until};
use testrun_shared::auth::Token;
use testrun_shared::db;
use testrun_shared::ops::Readiness;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, UnixStream};
use tokio::task::JoinSet;
use url::Url;
use uuid::Uuid;

use crate::app::{App, Raw, Server, none_wrong};
use crate::document::operations;

#[tokio::test]
async fn every_answer_carries_the_clients_request_id_or_a_new_one() -> anyhow::Result<()> {
    let app = App::start().await?;
    let authorization = format!("Bearer {}", app.tenant.token);
    for path in ["/api/v1/test-runs", "/api/v1/test-runs/x", "/no/such/path", "/healthz", "/docs/", "/openapi.json"] {
        let headers = [("authorization", authorization.as_str()), ("x-request-id", "client-4711")];
        let answer = app.server.send("GET", path, &headers, Vec::new()).await?;
        assert_eq!(answer.header("x-request-id"), "client-4711", "{path}");
        let first = app.server.send("GET", path, &headers[..1], Vec::new()).await?;
        let second = app.server.send("GET", path, &headers[..1], Vec::new()).await?;
        let ids = [first, second].map(|answer| Uuid::parse_str(answer.header("x-request-id")));
        assert!(matches!(&ids, [Ok(first), Ok(second)] if first != second), "{path}: {ids:?}");
    }
    Ok(())
}

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_in_the_specifications_shape() -> anyhow::Result<()> {
    let server = Server::without_database().await?;
    let mut wrong = Vec::new();
    for path in
        ["/", "/api", "/api/v1", "/api/v1/test-runs/", "/api/v2/test-runs", "/api/v1/test_runs", "/api/v1/%00", "//"]
    {
        let answer = server.send("GET", path, &[], Vec::new()).await?;
        wrong.extend(answer.not_detail(404, "No such path; see /docs").map(|what| format!("{path}: {what}")));
    }
    for (method, path) in [
        ("PATCH", "/api/v1/test-runs"),
        ("DELETE", "/api/v1/test-runs"),
        ("GET", "/api/v1/test-runs/00000000-0000-0000-0000-000000000000/start"),
        ("PROPFIND", "/api/v1/schedules"),
        ("POST", "/healthz"),
    ] {
        let answer = server.send(method, path, &[], Vec::new()).await?;
        let detail = "The path does not take this method; see /docs";
        wrong.extend(answer.not_detail(405, detail).map(|what| format!("{method} {path}: {what}")));
        wrong.extend(answer.header("allow").is_empty().then(|| format!("{method} {path}: no Allow")));
    }
    none_wrong(&wrong);
    Ok(())
}

#[tokio::test]
async fn a_failure_of_ours_shows_nothing_but_the_request_id() -> anyhow::Result<()> {
    let app = App::start().await?;
    app.client.get("/api/v1/test-runs").await?.expect(200)?;
    sqlx::raw_sql("ALTER TABLE test_runs RENAME TO gone").execute(&app.db.pool).await?;
    let authorization = format!("Bearer {}", app.tenant.token);
    let headers = [("authorization", authorization.as_str()), ("x-request-id", "client-4711")];
    let answer = app.server.send("GET", "/api/v1/test-runs", &headers, Vec::new()).await?;
    assert_eq!(answer.status, 500);
    let expected = serde_json::json!({"detail": "Internal server error", "request_id": "client-4711"});
    assert_eq!(answer.json(), expected);
    assert_eq!(answer.header("content-type"), "application/json");
    let own = app.send("GET", "/api/v1/test-runs", "").await?;
    assert_eq!(own.json()["request_id"], own.header("x-request-id"));
    Ok(())
}

/// How often a service may be late that is not to be: a busy machine may hold up anybody, but not every time.
const TRIES: usize = 5;

/// What is wrong with this answer, as that of a service whose database is away.
fn not_away(answer: &Raw) -> Option<String> {
    let shape = answer.not_detail(503, "The database is not available; try again");
    let seconds = answer.header("retry-after");
    shape.or_else(|| {
        (!seconds.parse::<u32>().is_ok_and(|seconds| seconds > 0)).then(|| format!("Retry-After {seconds:?}"))
    })
}

/// What is wrong with how a service answers whose database is away: in its shape at any time, or in its time every time.
async fn not_away_in_time(server: &Server, authorization: &str) -> anyhow::Result<Option<String>> {
    let mut late = Vec::new();
    while late.len() < TRIES {
        let began = Instant::now();
        let answer = server.send("GET", "/api/v1/test-runs", &[("authorization", authorization)], Vec::new()).await?;
        let took = began.elapsed();
        if let Some(wrong) = not_away(&answer) {
            return Ok(Some(wrong));
        }
        if took <= Duration::from_millis(2_500) {
            return Ok(None);
        }
        late.push(took);
    }
    Ok(Some(format!("took {late:?}")))
}

#[tokio::test]
async fn a_database_that_is_away_is_told_within_two_and_a_half_seconds() -> anyhow::Result<()> {
    // One that is nowhere, one that refuses, one that accepts and says nothing.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let (_kept, refusing) = refusing_port()?;
    let addresses = [
        "postgres://testrun@localhost/testrun?host=/no/such/directory".to_owned(),
        format!("postgres://testrun@{refusing}/testrun"),
        format!("postgres://testrun@{}/testrun", silent.local_addr()?),
    ];
    let token = format!("Bearer {}", Token::generate().reveal());
    let mut asking = JoinSet::new();
    for address in addresses {
        let server = Server::start(db::pool(&address.clone().into(), 5, "test")?, Readiness::default()).await?;
        let token = token.clone();
        asking.spawn(async move {
            let wrong = not_away_in_time(&server, &token).await?;
            let alive = server.send("GET", "/healthz", &[], Vec::new()).await?;
            anyhow::ensure!(alive.status == 200, "not alive without its database");
            anyhow::Ok(wrong.map(|what| format!("{address}: {what}")))
        });
    }
    let mut wrong = Vec::new();
    while let Some(answer) = asking.join_next().await {
        wrong.extend(answer??);
    }
    none_wrong(&wrong);
    Ok(())
}

#[tokio::test]
async fn requests_that_wait_together_are_told_the_same_when_the_database_is_away() -> anyhow::Result<()> {
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let address = format!("postgres://testrun@{}/testrun", silent.local_addr()?);
    let server = std::sync::Arc::new(Server::start(db::pool(&address.into(), 5, "test")?, Readiness::default()).await?);
    let token = format!("Bearer {}", Token::generate().reveal());
    let mut asking = JoinSet::new();
    for _ in 0..8 {
        let (server, token) = (server.clone(), token.clone());
        asking.spawn(async move { not_away_in_time(&server, &token).await });
    }
    let mut wrong = Vec::new();
    while let Some(answer) = asking.join_next().await {
        wrong.extend(answer??);
    }
    none_wrong(&wrong);
    Ok(())
}

#[tokio::test]
async fn a_database_that_goes_away_and_comes_back_is_noticed_both_times() -> anyhow::Result<()> {
    let db = Database::new().await?;
    let tenant = db.tenant("Home").await?;
    let mut url = Url::parse(&db.url)?;
    let path = format!("{}/.s.PGSQL.{}", directory(&url)?, url.port().context("a port")?);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let line = Line::new(listener, path.clone());
    url.set_query(Some("sslmode=disable"));
    anyhow::ensure!(url.set_host(Some("127.0.0.1")).is_ok() && url.set_port(Some(address.port())).is_ok());
    let server = Server::start(db::pool(&url.to_string().into(), 5, "test")?, Readiness::default()).await?;
    let authorization = format!("Bearer {}", tenant.token);
    let ask = async || server.send("GET", "/api/v1/test-runs", &[("authorization", &authorization)], Vec::new()).await;
    assert_eq!(ask().await?.status, 200);

    drop(line);
    assert_eq!(not_away_in_time(&server, &authorization).await?, None);

    let _line = Line::new(TcpListener::bind(address).await?, path);
    until("the database to be back", Duration::from_secs(30), || async {
        Ok((ask().await?.status == 200).then_some(()))
    })
    .await
}

/// The directory of a PostgreSQL's socket.
fn directory(url: &Url) -> anyhow::Result<String> {
    let host = url.query_pairs().find(|(name, _)| name == "host");
    Ok(host.context("a database on a socket")?.1.into_owned())
}

/// A way to the database that can be cut, by dropping it.
struct Line {
    _talking: JoinSet<()>,
}

impl Line {
    fn new(listener: TcpListener, socket: String) -> Self {
        let mut talking = JoinSet::new();
        talking.spawn(async move {
            let mut conversations = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let socket = socket.clone();
                conversations.spawn(async move {
                    if let Ok(mut database) = UnixStream::connect(socket).await {
                        drop(copy_bidirectional(&mut client, &mut database).await);
                    }
                });
            }
        });
        Self { _talking: talking }
    }
}

#[tokio::test]
async fn health_needs_no_database_and_readiness_gives_its_reason() -> anyhow::Result<()> {
    testrun_shared::ops::start_metrics();
    let pool = db::pool(&"postgres://testrun@localhost/testrun?host=/no/such/directory".to_owned().into(), 5, "test")?;
    let readiness = Readiness::default();
    let server = Server::start(pool, readiness.clone()).await?;
    let get =
        async |path: &str| server.send("GET", path, &[], Vec::new()).await.map(|answer| (answer.status, answer.text()));
    assert_eq!(get("/healthz").await?, (200, "alive\n".to_owned()));
    assert_eq!(get("/readyz").await?, (200, "ready\n".to_owned()));
    readiness.expect("database", Duration::from_secs(60));
    assert_eq!(get("/readyz").await?, (503, "not ready: database: has not worked yet\n".to_owned()));
    let worked = Instant::now();
    readiness.beat("database");
    let (status, told) = get("/readyz").await?;
    let age = told.strip_prefix("ready\ndatabase: last worked ").and_then(|rest| rest.strip_suffix(" s ago\n"));
    let age: u64 = age.with_context(|| told.clone())?.parse()?;
    assert!(status == 200 && age <= worked.elapsed().as_secs(), "{status} {told}");
    let metrics = get("/metrics").await?.1;
    let line = "testrun_last_success_age_seconds{part=\"database\"} ";
    let age = metrics.lines().find_map(|one| one.strip_prefix(line)).with_context(|| metrics.clone())?;
    assert!((0.0..=worked.elapsed().as_secs_f64()).contains(&age.parse::<f64>()?), "{metrics}");
    readiness.stop();
    assert_eq!(get("/readyz").await?, (503, "not ready: the service is stopping\n".to_owned()));
    assert_eq!(get("/healthz").await?, (200, "alive\n".to_owned()), "stopping is not dying");
    Ok(())
}

#[tokio::test]
async fn metrics_are_text() -> anyhow::Result<()> {
    testrun_shared::ops::start_metrics();
    let app = App::start().await?;
    ::metrics::counter!("testrun_metrics_asked_total").increment(3);
    let answer = app.server.send("GET", "/metrics", &[], Vec::new()).await?;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/plain; charset=utf-8"));
    assert!(answer.text().lines().any(|line| line == "testrun_metrics_asked_total 3"), "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn head_and_options_do_not_confuse_the_service() -> anyhow::Result<()> {
    let app = App::start().await?;
    let list = app.send("HEAD", "/api/v1/test-runs", "").await?;
    assert_eq!((list.status, list.bytes.len()), (200, 0));
    for operation in operations() {
        let path = operation.path_with(|_| Uuid::nil().to_string());
        let answer = app.send("OPTIONS", &path, "").await?;
        assert_eq!(answer.status, 405, "{path}");
    }
    Ok(())
}
