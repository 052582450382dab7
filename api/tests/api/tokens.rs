//! `/tokens`

use serde_json::json;
use testrun_shared::domain::identity::Role;

use crate::app::{App, column, has, none_wrong};
use crate::world::{id, user, with};

const TOKENS: &str = "/api/v1/tokens";

#[tokio::test]
async fn a_token_works_is_shown_once_and_is_listed_without_its_secret() -> anyhow::Result<()> {
    let app = App::start().await?;
    let body = json!({"name": "CI", "role": "member", "expires_at": "2999-01-01T00:00:00Z"});
    let created = app.client.post(TOKENS, &body).await?.expect(201)?;
    has(&created, &with(body, &json!({"user_id": app.tenant.user_id, "project_id": app.tenant.project_id})));
    let secret = id(&created["token"])?;
    let there = app.client.with_token(Some(&secret));
    there.post("/api/v1/test-runs", &json!({})).await?.expect(201)?;
    let read = app.client.get(&format!("{TOKENS}/{}", id(&created["id"])?)).await?.expect(200)?;
    assert!(read.get("token").is_none(), "{read}");
    assert!(read["last_used_at"].is_string() && created["last_used_at"].is_null(), "{read}");
    let hint = id(&read["token_hint"])?;
    assert!(hint.len() * 2 < secret.len(), "{hint} tells too much");
    let list = app.client.get(TOKENS).await?.expect(200)?;
    assert_eq!(column(&list, "name"), ["CI", "test"], "newest first");
    assert!(!list.to_string().contains(&secret));
    Ok(())
}

#[tokio::test]
async fn a_token_is_for_a_member_up_to_the_members_role_and_into_the_future() -> anyhow::Result<()> {
    let app = App::start().await?;
    let member = user(&app.client, "member@example.com").await?;
    let stranger = app.db.tenant("Theirs").await?.user_id;
    let body = json!({"name": "CI", "role": "viewer"});
    let before = app.contents().await?;
    let mut wrong = Vec::new();
    for (fields, named) in [
        (json!({"user_id": member, "role": "admin"}), "role"),
        (json!({"user_id": stranger}), "user_id"),
        (json!({"user_id": uuid::Uuid::new_v4()}), "user_id"),
        (json!({"expires_at": "2020-01-01T00:00:00Z"}), "expires_at"),
        (json!({"expires_at": "9999999"}), "expires_at"),
        (json!({"role": "owner"}), "role"),
        (json!({"role": null}), "role"),
        (json!({"name": " "}), "name"),
    ] {
        let answer = app.send("POST", TOKENS, with(body.clone(), &fields).to_string()).await?;
        wrong.extend(answer.not_invalid(&[named]).map(|what| format!("{fields}: {what}")));
    }
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    let made =
        app.client.post(TOKENS, &with(body, &json!({"user_id": member, "role": "member"}))).await?.expect(201)?;
    let run = app.client.with_token(made["token"].as_str()).post("/api/v1/test-runs", &json!({})).await?.expect(201)?;
    assert_eq!(run["created_by"], member);
    Ok(())
}

#[tokio::test]
async fn a_revoked_token_stops_working_and_stays_in_the_list() -> anyhow::Result<()> {
    let app = App::start().await?;
    let created = app.client.post(TOKENS, &json!({"name": "CI", "role": "viewer"})).await?.expect(201)?;
    let there = app.client.with_token(created["token"].as_str());
    there.get("/api/v1/test-runs").await?.expect(200)?;
    let path = format!("{TOKENS}/{}", id(&created["id"])?);
    app.delete(&path).await?.expect(204)?;
    // Here it stops at once; other processes need up to 5 seconds (auth.rs).
    there.get("/api/v1/test-runs").await?.expect(401)?;
    let revoked = app.client.get(&path).await?.expect(200)?;
    assert!(revoked["revoked_at"].is_string(), "{revoked}");
    app.delete(&path).await?.expect(204)?;
    assert_eq!(app.client.get(&path).await?.expect(200)?, revoked, "a second time changes nothing");
    assert_eq!(column(&app.client.get(TOKENS).await?.expect(200)?, "name"), ["CI", "test"]);
    Ok(())
}

#[tokio::test]
async fn a_token_can_be_renamed_and_nothing_else() -> anyhow::Result<()> {
    let app = App::start().await?;
    let created = app.client.post(TOKENS, &json!({"name": "CI", "role": "viewer"})).await?.expect(201)?;
    let path = format!("{TOKENS}/{}", id(&created["id"])?);
    let change = json!({"name": "Nightly", "role": "admin", "expires_at": "2999-01-01T00:00:00Z"});
    let changed = app.put(&path, &change).await?.expect(200)?;
    has(&changed, &json!({"name": "Nightly", "role": "viewer", "expires_at": null}));
    assert_eq!(app.client.get(&path).await?.expect(200)?, changed);
    Ok(())
}

#[tokio::test]
async fn only_admins_see_or_make_tokens() -> anyhow::Result<()> {
    let app = App::start().await?;
    user(&app.client, "member@example.com").await?;
    let token = app.db.token("Home", "member@example.com", Role::Member).await?;
    let path = format!("{TOKENS}/{}", app.tenant.caller.token_id);
    let before = app.contents().await?;
    for (method, path) in [("GET", TOKENS), ("POST", TOKENS), ("GET", path.as_str()), ("PUT", &path), ("DELETE", &path)]
    {
        let body = json!({"name": "Mine", "role": "member"});
        let answer = app.client.with_token(Some(&token)).send(method.parse()?, path, Some(&body)).await?;
        let detail = json!({"detail": "This needs the role 'admin'; the token has 'member'"});
        assert_eq!((answer.status.as_u16(), answer.body), (403, detail), "{method} {path}");
    }
    assert_eq!(app.contents().await?, before);
    Ok(())
}
