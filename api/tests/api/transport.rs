//! What HTTP itself offers: HEAD, compression, other sites' pages, the rate limit.

use std::io::Read as _;
use std::time::Duration;

use flate2::read::GzDecoder;
use test_support::until;
use testrun_api::{AppState, RateLimit};
use testrun_shared::domain::identity::Role;
use testrun_shared::ops::Readiness;

use crate::app::{App, Raw, Server, none_wrong};
use crate::document::operations;
use crate::world::{World, case};

const CASES: &str = "/api/v1/test-cases";

async fn get(server: &Server, token: &str, path: &str, headers: &[(&str, &str)]) -> anyhow::Result<Raw> {
    let authorization = format!("Bearer {token}");
    let headers = [&[("authorization", authorization.as_str())], headers].concat();
    server.send("GET", path, &headers, Vec::new()).await
}

#[tokio::test]
async fn head_answers_like_get_without_a_body() -> anyhow::Result<()> {
    let app = App::start().await?;
    let world = World::new(&app.client).await?;
    let before = app.contents().await?;
    let mut wrong = Vec::new();
    for operation in operations().iter().filter(|operation| operation.method == "GET") {
        let absent = operation.path_in(&world.absent());
        for path in [operation.path_in(&world), absent, operation.path_with(|_| "x".to_owned()) + "?limit=0&count=0"] {
            let (get, head) = (app.send("GET", &path, "").await?, app.send("HEAD", &path, "").await?);
            let told = |raw: &Raw| (raw.status, ["content-type", "link"].map(|name| raw.header(name).to_owned()));
            if !head.bytes.is_empty() || told(&get) != told(&head) || head.header("x-request-id").is_empty() {
                wrong.push(format!("HEAD {path}: {:?} instead of {:?}", told(&head), told(&get)));
            }
        }
    }
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn answers_are_compressed_for_who_asks_and_only_then() -> anyhow::Result<()> {
    let app = App::start().await?;
    for number in 0..20 {
        case(&app.client, &format!("Case {number}")).await?;
    }
    let plain = get(&app.server, &app.tenant.token, CASES, &[]).await?;
    assert_eq!((plain.status, plain.header("content-encoding")), (200, ""));
    let packed = get(&app.server, &app.tenant.token, CASES, &[("accept-encoding", "br, gzip;q=0.8")]).await?;
    assert_eq!((packed.status, packed.header("content-encoding")), (200, "gzip"));
    assert!(packed.header("vary").to_lowercase().contains("accept-encoding"), "{:?}", packed.headers);
    assert!(packed.bytes.len() * 3 < plain.bytes.len(), "{} of {} bytes", packed.bytes.len(), plain.bytes.len());
    let mut unpacked = Vec::new();
    GzDecoder::new(packed.bytes.as_slice()).read_to_end(&mut unpacked)?;
    assert_eq!(unpacked, plain.bytes);
    assert_eq!(packed.header("etag"), plain.header("etag"), "a weak tag stands for both");

    let known = [("accept-encoding", "gzip"), ("if-none-match", plain.header("etag"))];
    assert_eq!(get(&app.server, &app.tenant.token, CASES, &known).await?.status, 304);
    let refused = get(&app.server, &app.tenant.token, CASES, &[("accept-encoding", "gzip;q=0")]).await?;
    assert_eq!((refused.header("content-encoding"), &refused.bytes), ("", &plain.bytes));
    Ok(())
}

#[tokio::test]
async fn every_answer_arrives_whether_compressed_or_not() -> anyhow::Result<()> {
    let app = App::start().await?;
    let world = World::new(&app.client).await?;
    let mut wrong = Vec::new();
    for operation in operations().iter().filter(|operation| operation.method == "GET") {
        for path in [operation.path_in(&world), operation.path_in(&world.absent())] {
            let plain = app.send("GET", &path, "").await?;
            match get(&app.server, &app.tenant.token, &path, &[("accept-encoding", "gzip")]).await {
                Ok(packed) if packed.status == plain.status => {}
                Ok(packed) => wrong.push(format!("{path}: {} instead of {}", packed.status, plain.status)),
                Err(error) => wrong.push(format!("{path}: {error:#}")),
            }
        }
    }
    none_wrong(&wrong);
    Ok(())
}

const ORIGIN: &str = "https://ci.example.com";

async fn preflight(server: &Server, origin: &str, method: &str) -> anyhow::Result<Raw> {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", method),
        ("access-control-request-headers", "authorization,content-type,idempotency-key,if-none-match"),
    ];
    server.send("OPTIONS", CASES, &headers, Vec::new()).await
}

fn cors_headers(raw: &Raw) -> Vec<String> {
    let names = raw.headers.keys().map(ToString::to_string);
    names.filter(|name| name.starts_with("access-control")).collect()
}

#[tokio::test]
async fn pages_of_other_sites_are_kept_out_unless_told_otherwise() -> anyhow::Result<()> {
    let app = App::start().await?;
    assert_eq!(cors_headers(&get(&app.server, &app.tenant.token, CASES, &[("origin", ORIGIN)]).await?), [""; 0]);
    let asked = preflight(&app.server, ORIGIN, "GET").await?;
    assert_eq!((asked.status, cors_headers(&asked).len()), (405, 0));
    Ok(())
}

#[tokio::test]
async fn pages_of_configured_origins_may_call_and_see_our_headers() -> anyhow::Result<()> {
    let app = App::start().await?;
    let state = AppState::new(app.db.pool.clone(), Readiness::default());
    let origins = vec!["https://other.example.com".parse()?, ORIGIN.parse()?];
    let server = Server::with(AppState { cors_origins: origins, ..state }).await?;
    for method in ["GET", "POST", "PUT", "DELETE"] {
        let asked = preflight(&server, ORIGIN, method).await?;
        assert_eq!((asked.status, asked.header("access-control-allow-origin")), (200, ORIGIN), "{method}");
        assert!(asked.header("access-control-allow-methods").contains(method), "{:?}", asked.headers);
        let allowed = asked.header("access-control-allow-headers").to_lowercase();
        for name in ["authorization", "content-type", "idempotency-key", "if-none-match"] {
            assert!(allowed.contains(name), "{name} is not in {allowed}");
        }
    }
    for stranger in ["https://evil.example.com", "http://ci.example.com", "https://ci.example.com.evil.com", "null"] {
        let asked = preflight(&server, stranger, "GET").await?;
        assert_eq!(asked.header("access-control-allow-origin"), "", "{stranger}");
        let answer = get(&server, &app.tenant.token, CASES, &[("origin", stranger)]).await?;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{stranger}");
    }
    let answer = get(&server, &app.tenant.token, CASES, &[("origin", ORIGIN)]).await?;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, ORIGIN));
    assert_eq!(answer.header("access-control-allow-credentials"), "", "tokens are not cookies");
    let exposed = answer.header("access-control-expose-headers").to_lowercase();
    for name in ["etag", "link", "retry-after", "x-request-id", "idempotency-replayed"] {
        assert!(exposed.contains(name), "{name} is not in {exposed}");
    }
    let refused = get(&server, "trn_nobody", CASES, &[("origin", ORIGIN)]).await?;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, ORIGIN));
    Ok(())
}

#[tokio::test]
async fn a_token_that_sends_too_much_is_told_when_to_come_back() -> anyhow::Result<()> {
    let app = App::start().await?;
    let other = app.db.token("Home", &app.tenant.email, Role::Viewer).await?;
    let state = AppState::new(app.db.pool.clone(), Readiness::default());
    let server = Server::with(AppState { rate_limit: RateLimit::new(2), ..state }).await?;
    let ask = async || get(&server, &app.tenant.token, CASES, &[]).await;
    for number in 0..4 {
        assert_eq!(ask().await?.status, 200, "request {number} of a burst of two seconds' worth");
    }
    let refused = until("a refusal", Duration::from_secs(10), || async {
        let answer = ask().await?;
        Ok((answer.status != 200).then_some(answer))
    })
    .await?;
    assert_eq!(refused.not_detail(429, "The token sends too many requests; try again later"), None);
    assert_eq!(refused.header("retry-after"), "1", "there are two a second");
    assert!(!refused.header("x-request-id").is_empty());

    // Neither others nor what needs no token are held up; who is nobody is told that.
    assert_eq!(get(&server, &other, CASES, &[]).await?.status, 200);
    assert_eq!(get(&server, "trn_nobody", CASES, &[]).await?.status, 401);
    assert_eq!(server.send("GET", "/healthz", &[], Vec::new()).await?.status, 200);
    until("the token to be let in again", Duration::from_secs(10), || async {
        Ok((ask().await?.status == 200).then_some(()))
    })
    .await
}

#[tokio::test]
async fn the_rate_comes_before_the_role_and_the_body_and_counts_a_request_once() -> anyhow::Result<()> {
    let app = App::start().await?;
    crate::world::user(&app.client, "viewer@example.com").await?;
    let viewer = format!("Bearer {}", app.db.token("Home", "viewer@example.com", Role::Viewer).await?);
    let member = format!("Bearer {}", app.tenant.token);
    let state = AppState::new(app.db.pool.clone(), Readiness::default());
    let server = Server::with(AppState { rate_limit: RateLimit::new(2), ..state }).await?;
    for token in [&viewer, &member] {
        let headers = [
            ("authorization", token.as_str()),
            ("content-type", "application/json"),
            // A request with a key asks twice who sent it.
            ("idempotency-key", "k"),
        ];
        let send = async || server.send("POST", "/api/v1/test-runs", &headers, b"{".to_vec()).await;
        let expected = if token == &viewer { 403 } else { 400 };
        for number in 0..4 {
            assert_eq!(send().await?.status, expected, "request {number} of a burst of two seconds' worth");
        }
        // However slow the machine is, more than two a second come some time.
        until("a refusal", Duration::from_secs(60), || async {
            let status = send().await?.status;
            assert!([expected, 429].contains(&status), "{status}");
            Ok((status == 429).then_some(()))
        })
        .await?;
    }
    Ok(())
}
