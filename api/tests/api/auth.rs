//! Who is let in: tokens and roles (decisions, Tenancy and identity).

use std::time::Duration;

use serde_json::json;
use test_support::until;
use testrun_shared::auth::Token;
use testrun_shared::db::api_tokens;
use testrun_shared::domain::identity::Role;

use crate::app::{App, Raw, none_wrong};
use crate::document::operations;
use crate::world::World;

/// What is wrong with this answer, as a 401 with this detail.
fn not_refused(answer: &Raw, detail: &str) -> Option<String> {
    answer.not_detail(401, detail).or_else(|| {
        let challenge = answer.header("www-authenticate");
        (challenge != "Bearer").then(|| format!("the challenge is {challenge:?}"))
    })
}

#[tokio::test]
async fn every_operation_asks_for_a_token_before_anything_else() -> anyhow::Result<()> {
    let app = App::start().await?;
    let world = World::new(&app.client).await?;
    let before = app.contents().await?;
    let mut wrong = Vec::new();
    let detail = "An API token is required: Authorization: Bearer <token>";
    for operation in operations() {
        let good = (operation.path_in(&world), operation.body_in(&world));
        let bad = (operation.path_with(|_| "x".to_owned()) + "?limit=0", b"{".to_vec());
        for (path, body) in [good, bad] {
            let headers = [("content-type", "application/json")];
            let answer = app.server.send(&operation.method, &path, &headers, body).await?;
            wrong.extend(not_refused(&answer, detail).map(|what| format!("{}: {what}", operation.name())));
        }
    }
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn a_header_that_carries_no_token_that_works_is_refused() -> anyhow::Result<()> {
    let app = App::start().await?;
    let expired = app.db.token("Home", &app.tenant.email, Role::Admin).await?;
    let revoked = app.db.token("Home", &app.tenant.email, Role::Admin).await?;
    sqlx::query("UPDATE api_tokens SET expires_at = now() WHERE token_hash = $1")
        .bind(Token::parse(&expired)?.hash())
        .execute(&app.db.pool)
        .await?;
    let id: uuid::Uuid = sqlx::query_scalar("SELECT id FROM api_tokens WHERE token_hash = $1")
        .bind(Token::parse(&revoked)?.hash())
        .fetch_one(&app.db.pool)
        .await?;
    assert!(api_tokens::revoke(&app.db.pool, id).await?);
    let unknown = Token::generate();
    let good = &app.tenant.token;
    let (scheme, malformed, useless) = (
        "The Authorization header must be: Bearer <token>",
        "The API token is malformed",
        "The API token is unknown, revoked or expired",
    );
    let headers: Vec<(String, &str)> = vec![
        (String::new(), scheme),
        ("Bearer".to_owned(), scheme),
        (good.clone(), scheme),
        (format!("Basic {good}"), scheme),
        (format!("Bearer: {good}"), scheme),
        ("Bearer ".to_owned(), scheme),
        ("Bearer x".to_owned(), malformed),
        (format!("Bearer {good}x"), malformed),
        (format!("Bearer {}", &good[..good.len() - 1]), malformed),
        (format!("Bearer {good},{good}"), malformed),
        (format!("Bearer {}", good.to_uppercase()), malformed),
        (format!("Bearer trn_{}", "0".repeat(38)), malformed),
        (format!("Bearer {}", "x".repeat(7_000)), malformed),
        (format!("Bearer {}", unknown.reveal()), useless),
        (format!("Bearer {expired}"), useless),
        (format!("Bearer {revoked}"), useless),
    ];
    let mut wrong = Vec::new();
    for (header, detail) in &headers {
        let answer = app.server.send("GET", "/api/v1/test-runs", &[("authorization", header)], Vec::new()).await?;
        wrong.extend(not_refused(&answer, detail).map(|what| format!("{header:.60}: {what}")));
    }
    let answer = app.server.send("GET", "/api/v1/test-runs", &[("authorization", "Bearer é")], Vec::new()).await?;
    wrong.extend(not_refused(&answer, scheme));
    for header in [format!("bearer {good}"), format!("BEARER  {good}")] {
        let answer = app.server.send("GET", "/api/v1/test-runs", &[("authorization", &header)], Vec::new()).await?;
        wrong.extend((answer.status != 200).then(|| format!("{header}: {}", answer.status)));
    }
    none_wrong(&wrong);
    Ok(())
}

#[tokio::test]
async fn a_token_that_was_just_used_stops_working_within_five_seconds_of_its_revocation() -> anyhow::Result<()> {
    let app = App::start().await?;
    app.client.get("/api/v1/test-runs").await?.expect(200)?;
    assert!(api_tokens::revoke(&app.db.pool, app.tenant.caller.token_id).await?);
    until("the token to stop working", Duration::from_secs(5), || async {
        Ok((app.client.get("/api/v1/test-runs").await?.status.as_u16() == 401).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_viewer_reads_everything_and_writes_nothing() -> anyhow::Result<()> {
    let app = App::start().await?;
    let world = World::new(&app.client).await?;
    let viewer = app.db.token("Home", "viewer@example.com", Role::Viewer).await;
    assert!(viewer.is_err(), "nobody has that address yet");
    testrun_shared::actions::identity::create_user(&app.db.pool, "viewer@example.com", "Viewer").await?;
    let viewer = app.db.token("Home", "viewer@example.com", Role::Viewer).await?;
    let authorization = format!("Bearer {viewer}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let before = app.contents().await?;
    let mut wrong = Vec::new();
    for operation in operations() {
        let (path, body) = (operation.path_in(&world), operation.body_in(&world));
        let answer = app.server.send(&operation.method, &path, &headers, body).await?;
        let what = if operation.writes() {
            answer.not_detail(403, "This needs the role 'member'; the token has 'viewer'")
        } else if operation.path.contains("/tokens") {
            answer.not_detail(403, "This needs the role 'admin'; the token has 'viewer'")
        } else if operation.path.contains("/admin/") {
            answer.not_detail(
                403,
                "This needs an operator's token, which is made by: testrun admin create-token --operator",
            )
        } else {
            (answer.status != 200).then(|| format!("{} {}", answer.status, answer.text()))
        };
        wrong.extend(what.map(|what| format!("{}: {what}", operation.name())));
    }
    // The role comes before the body, whatever that is.
    let answer = app.server.send("POST", "/api/v1/test-runs", &headers, b"{".to_vec()).await?;
    wrong.extend((answer.status != 403).then(|| answer.text()));
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn a_member_writes_and_a_demoted_one_does_not() -> anyhow::Result<()> {
    let app = App::start().await?;
    testrun_shared::actions::identity::create_user(&app.db.pool, "member@example.com", "Member").await?;
    let member = app.db.token("Home", "member@example.com", Role::Member).await?;
    let unused = app.db.token("Home", "member@example.com", Role::Member).await?;
    let client = app.client.with_token(Some(&member));
    let run = client.post("/api/v1/test-runs", &json!({})).await?.expect(201)?;
    assert_ne!(run["created_by"], app.tenant.user_id.to_string());

    sqlx::query("UPDATE project_members SET role = 'viewer' WHERE user_id <> $1")
        .bind(app.tenant.user_id)
        .execute(&app.db.pool)
        .await?;
    let answer = client.with_token(Some(&unused)).post("/api/v1/test-runs", &json!({})).await?;
    assert_eq!(answer.status.as_u16(), 403, "{}", answer.body);
    Ok(())
}
