//! `/users`

use serde_json::json;
use testrun_shared::domain::identity::Role;

use crate::app::{App, column, has};
use crate::world::{id, user};

const USERS: &str = "/api/v1/users";

#[tokio::test]
async fn a_new_user_is_a_member_and_reads_as_answered() -> anyhow::Result<()> {
    let app = App::start().await?;
    let body = json!({"email": "Ada@Example.com", "display_name": "Ada É", "role": "viewer", "id": "x"});
    let created = app.client.post(USERS, &body).await?.expect(201)?;
    has(&created, &json!({"email": "Ada@Example.com", "display_name": "Ada É"}));
    let twice = app.client.post(USERS, &json!({"email": "ADA@example.com", "display_name": "Twice"})).await?;
    assert_eq!(twice.expect(409)?["detail"], "A user with this address exists already", "whatever the case");
    let path = format!("{USERS}/{}", id(&created["id"])?);
    assert_eq!(app.client.get(&path).await?.expect(200)?, created);
    let members = format!("/api/v1/projects/{}/members", app.tenant.project_id);
    let role =
        async |user: &str| anyhow::Ok(app.client.get(&format!("{members}/{user}")).await?.expect(200)?["role"].clone());
    assert_eq!(role(&id(&created["id"])?).await?, "viewer");
    assert_eq!(role(&user(&app.client, "second@example.com").await?).await?, "member", "unless said otherwise");
    Ok(())
}

#[tokio::test]
async fn users_are_seen_where_they_are_members() -> anyhow::Result<()> {
    let app = App::start().await?;
    let theirs = app.db.tenant("Theirs").await?;
    let list = app.client.get(USERS).await?.expect(200)?;
    assert_eq!(column(&list, "id"), [&json!(app.tenant.user_id)]);
    let path = format!("{USERS}/{}", theirs.user_id);
    let detail = format!("User not found: {}", theirs.user_id);
    for (method, body) in [("GET", ""), ("PUT", r#"{"display_name": "Mine"}"#), ("DELETE", "")] {
        assert_eq!(app.not_refused((method, &path, body), (404, &detail)).await?, None);
    }
    let members = format!("/api/v1/projects/{}/members", app.tenant.project_id);
    app.client.post(&members, &json!({"email": theirs.email, "role": "viewer"})).await?.expect(201)?;
    assert_eq!(app.client.get(&path).await?.expect(200)?["email"], theirs.email);
    // Now seen by both, and the other project's too: it cannot be deleted from here.
    let detail = "The user has made runs or schedules; remove the member from the project instead";
    assert_eq!(app.not_refused(("DELETE", &path, ""), (409, detail)).await?, None);
    Ok(())
}

#[tokio::test]
async fn a_name_is_changed_by_the_user_or_an_admin_and_the_address_by_nobody() -> anyhow::Result<()> {
    let app = App::start().await?;
    let (ada, bob) = (user(&app.client, "ada@example.com").await?, user(&app.client, "bob@example.com").await?);
    let token = app.db.token("Home", "ada@example.com", Role::Member).await?;
    let as_ada = app.client.with_token(Some(&token));
    let change = json!({"display_name": "Changed", "email": "changed@example.com"});
    let (own, other) = (format!("{USERS}/{ada}"), format!("{USERS}/{bob}"));
    let changed = as_ada.send(reqwest::Method::PUT, &own, Some(&change)).await?.expect(200)?;
    has(&changed, &json!({"display_name": "Changed", "email": "ada@example.com"}));
    let refused = as_ada.send(reqwest::Method::PUT, &other, Some(&change)).await?.expect(403)?;
    assert_eq!(refused["detail"], "This needs the role 'admin'; the token has 'member'");
    assert_eq!(app.client.get(&other).await?.expect(200)?["display_name"], "Colleague");
    assert_eq!(app.put(&other, &change).await?.expect(200)?["display_name"], "Changed");
    Ok(())
}

#[tokio::test]
async fn a_user_who_made_nothing_is_deleted_with_the_tokens() -> anyhow::Result<()> {
    let app = App::start().await?;
    let ada = user(&app.client, "ada@example.com").await?;
    let token = app.db.token("Home", "ada@example.com", Role::Member).await?;
    let path = format!("{USERS}/{ada}");
    app.delete(&path).await?.expect(204)?;
    app.delete(&path).await?.expect(404)?;
    assert_eq!(app.client.with_token(Some(&token)).get(USERS).await?.status.as_u16(), 401);
    assert_ne!(user(&app.client, "ada@example.com").await?, ada, "the address is free again");
    Ok(())
}
