//! What an operator does before the first start: the schema, and somebody to be.

use anyhow::Context as _;
use futures_util::future::try_join_all;
use serde_json::json;
use test_support::{Client, Database, Process, until};
use uuid::Uuid;

use crate::programs::{output, printed};
use crate::world::PATIENCE;

#[tokio::test(flavor = "multi_thread")]
async fn migrations_can_be_checked_and_applied_by_many_at_once() -> anyhow::Result<()> {
    let database = Database::empty().await?;
    let variables = [("DATABASE_URL", database.url.as_str())];
    let check = ["migrate", "--check"];
    let before = output("testrun", &variables, &check).await?;
    assert_eq!(before.status.code(), Some(1));
    let missing = String::from_utf8(before.stdout)?;
    assert!(missing.contains("missing: testrun 1 ") && missing.contains("missing: apalis "), "{missing}");
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        .fetch_one(&database.pool)
        .await?;
    assert_eq!(tables, 0, "to check changes nothing");

    let refused = output("testrun-api", &[variables[0], ("TESTRUN_LISTEN", "127.0.0.1:0")], &[]).await?;
    let refusal = String::from_utf8(refused.stderr)?;
    assert!(!refused.status.success() && refusal.contains("testrun migrate"), "{refusal}");

    try_join_all((0..6).map(|_| printed("testrun", &variables, &["migrate"]))).await?;
    assert_eq!(printed("testrun", &variables, &check).await?, "the schema is current\n");
    assert_eq!(printed("testrun", &variables, &["migrate"]).await?, "0 migrations applied; the schema is current\n");
    Process::api(&database.url).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_users_and_tokens_made_by_the_admin_work() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let admin = async |arguments: &[&str]| {
        let arguments = [&["admin", "--database-url", &database.url][..], arguments].concat();
        anyhow::Ok(printed("testrun", &[], &arguments).await?.trim().to_owned())
    };
    let project: Uuid = admin(&["create-project", "--name", "Web shop"]).await?.parse()?;
    let user: Uuid = admin(&["create-user", "--email", "ann@example.com", "--name", "Ann"]).await?.parse()?;
    let token = admin(&["create-token", "--project", "Web shop", "--user", "ann@example.com"]).await?;
    let by_ids = ["create-token", "--project", &project.to_string(), "--user", &user.to_string(), "--role", "viewer"];
    let viewer_token = admin(&by_ids).await?;
    assert!(token.starts_with("trn_") && !token.contains('\n'), "{token}");

    let api = Process::api(&database.url).await?;
    let member = Client::new(&api.url().await?, Some(&token))?;
    let run = member.post("/api/v1/test-runs", &json!({})).await?.expect(201)?;
    assert_eq!((&run["project_id"], &run["created_by"]), (&json!(project), &json!(user)));
    let viewer = member.with_token(Some(&viewer_token));
    assert_eq!(viewer.get("/api/v1/test-runs").await?.expect(200)?["total"], 1);
    viewer.post("/api/v1/test-runs", &json!({})).await?.expect(403)?;

    let token_ids: Vec<Uuid> =
        sqlx::query_scalar("SELECT id FROM api_tokens WHERE role = 'member'").fetch_all(&database.pool).await?;
    admin(&["revoke-token", &token_ids.first().context("no token")?.to_string()]).await?;
    until("the token to stop working", PATIENCE, || async {
        Ok((member.get("/api/v1/test-runs").await?.status == 401).then_some(()))
    })
    .await?;
    viewer.get("/api/v1/test-runs").await?.expect(200)?;
    let again = ["admin", "--database-url", &database.url, "create-project", "--name", "Web shop"];
    let again = String::from_utf8(output("testrun", &[], &again).await?.stderr)?;
    assert!(again.contains("A project named 'Web shop' exists already"), "{again}");
    Ok(())
}
