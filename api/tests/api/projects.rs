//! `/projects` and their members

use serde_json::{Value, json};
use testrun_shared::domain::identity::Role;
use testrun_shared::ops::Readiness;

use crate::app::{App, Server, column, has, none_wrong};
use crate::world::{World, id, pending, user};

const PROJECTS: &str = "/api/v1/projects";

fn own(app: &App) -> String {
    format!("{PROJECTS}/{}", app.tenant.project_id)
}

#[tokio::test]
async fn a_token_sees_its_own_project_and_no_other() -> anyhow::Result<()> {
    let app = App::start().await?;
    let theirs = app.db.tenant("Theirs").await?;
    let list = app.client.get(PROJECTS).await?.expect(200)?;
    assert_eq!((&list["total"], column(&list, "name")), (&json!(1), vec![&json!("Home")]));
    assert_eq!(app.client.get(&own(&app)).await?.expect(200)?, list["items"][0]);
    let mut wrong = Vec::new();
    let path = format!("{PROJECTS}/{}", theirs.project_id);
    let detail = format!("Project not found: {}", theirs.project_id);
    for (method, path, body) in [
        ("GET", path.clone(), "{}"),
        ("PUT", path.clone(), r#"{"name": "Ours now"}"#),
        ("DELETE", path.clone(), ""),
        ("GET", format!("{path}/members"), ""),
        ("POST", format!("{path}/members"), r#"{"email": "a@example.com", "role": "admin"}"#),
        ("DELETE", format!("{path}/members/{}", theirs.user_id), ""),
    ] {
        wrong.extend(app.not_refused((method, &path, body), (404, &detail)).await?);
    }
    none_wrong(&wrong);
    Ok(())
}

#[tokio::test]
async fn who_creates_a_project_is_its_admin() -> anyhow::Result<()> {
    let app = App::start().await?;
    let body = json!({"name": "Fresh", "description": "All new"});
    let project = app.client.post(PROJECTS, &body).await?.expect(201)?;
    has(&project, &body);
    // The first token of it comes from the admin's command; the role that it may have shows who the user is there.
    let token = app.db.token("Fresh", &app.tenant.email, Role::Admin).await?;
    let there = app.client.with_token(Some(&token));
    let path = format!("{PROJECTS}/{}", id(&project["id"])?);
    assert_eq!(there.get(&path).await?.expect(200)?, project);
    let members = there.get(&format!("{path}/members")).await?.expect(200)?;
    assert_eq!(column(&members, "role"), ["admin"]);
    assert_eq!(members["items"][0]["user_id"], app.tenant.user_id.to_string());
    assert_eq!(app.client.get(&path).await?.status.as_u16(), 404, "the token is one of the other project");
    assert_eq!(there.get("/api/v1/test-runs").await?.expect(200)?["total"], 0);
    Ok(())
}

#[tokio::test]
async fn deleting_a_project_deletes_all_of_it_and_nothing_else() -> anyhow::Result<()> {
    let app = App::start().await?;
    let theirs = app.db.tenant("Theirs").await?.token;
    let them = app.client.with_token(Some(&theirs));
    let kept = World::new(&them).await?;
    let world = World::new(&app.client).await?;
    app.delete(&world.fill("/api/v1/test-runs/$running")).await?.expect(204)?;
    app.delete(&own(&app)).await?.expect(204)?;
    assert_eq!(app.client.get("/api/v1/test-runs").await?.status.as_u16(), 401, "the token went too");
    for (table, ours) in [
        ("test_runs", "test_runs WHERE project_id = $1"),
        ("test_run_results", "test_run_results r JOIN test_cases c ON c.id = r.test_case_id WHERE c.project_id = $1"),
        ("test_cases", "test_cases WHERE project_id = $1"),
        ("schedules", "schedules WHERE project_id = $1"),
        ("api_tokens", "api_tokens WHERE project_id = $1"),
        ("project_members", "project_members WHERE project_id = $1"),
        ("events", "events WHERE project_id = $1"),
        ("projects", "projects WHERE id = $1"),
    ] {
        let count = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {ours}")));
        let left: i64 = count.bind(app.tenant.project_id).fetch_one(&app.db.pool).await?;
        let all = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}")));
        let all: i64 = all.fetch_one(&app.db.pool).await?;
        assert!(left == 0 && all > 0, "{table}: {left} of {all} left");
    }
    let path = kept.fill("/api/v1/test-run-results/$result");
    assert_eq!(them.get(&path).await?.expect(200)?["status"], "passed");
    Ok(())
}

#[tokio::test]
async fn another_process_that_does_not_know_it_yet_finds_the_project_gone() -> anyhow::Result<()> {
    let app = App::start().await?;
    let other = Server::start(app.db.pool.clone(), Readiness::default()).await?;
    let there = other.client(Some(&app.tenant.token))?;
    there.get("/api/v1/test-runs").await?.expect(200)?;
    app.delete(&own(&app)).await?.expect(204)?;
    let at = "2050-06-01T09:30:00Z";
    let mut wrong = Vec::new();
    for (path, body) in [
        ("/api/v1/test-runs", json!({})),
        ("/api/v1/test-cases", json!({"name": "N"})),
        ("/api/v1/test-cases/bulk", json!({"test_cases": [{"name": "N", "external_key": "k"}]})),
        ("/api/v1/test-scripts", json!({"name": "N", "script_type": "on_demand"})),
        ("/api/v1/schedules", json!({"schedule_name": "N", "suite_path": [], "scheduled_datetime": at})),
        ("/api/v1/users", json!({"email": "n@example.com", "display_name": "N"})),
        ("/api/v1/tokens", json!({"name": "N", "role": "viewer"})),
    ] {
        let answer = there.post(path, &body).await?;
        wrong.extend((answer.status != 401 && path != "/api/v1/tokens").then(|| format!("{path}: {}", answer.body)));
        wrong.extend((answer.status.as_u16() >= 500).then(|| format!("{path}: {} {}", answer.status, answer.body)));
    }
    none_wrong(&wrong);
    Ok(())
}

#[tokio::test]
async fn only_admins_manage_projects_and_members() -> anyhow::Result<()> {
    let app = App::start().await?;
    let member = user(&app.client, "member@example.com").await?;
    let token = app.db.token("Home", "member@example.com", Role::Member).await?;
    let client = app.client.with_token(Some(&token));
    let (path, members) = (own(&app), format!("{}/members", own(&app)));
    let before = app.contents().await?;
    for (method, path, body) in [
        ("POST", PROJECTS, json!({"name": "Mine"})),
        ("PUT", path.as_str(), json!({"name": "Mine"})),
        ("DELETE", &path, Value::Null),
        ("POST", &members, json!({"email": "x@example.com", "role": "viewer"})),
        ("PUT", &format!("{members}/{member}"), json!({"role": "admin"})),
        ("DELETE", &format!("{members}/{member}"), Value::Null),
    ] {
        let answer = client.send(method.parse()?, path, Some(&body)).await?;
        let told = (answer.status.as_u16(), &answer.body["detail"]);
        assert_eq!(told, (403, &json!("This needs the role 'admin'; the token has 'member'")), "{method} {path}");
    }
    assert_eq!(app.contents().await?, before);
    assert_eq!(client.get(&members).await?.expect(200)?["total"], 2, "members may look");
    Ok(())
}

#[tokio::test]
async fn a_known_user_becomes_a_member_changes_role_and_leaves() -> anyhow::Result<()> {
    let app = App::start().await?;
    let stranger = app.db.tenant("Theirs").await?;
    let members = format!("{}/members", own(&app));
    let member = format!("{members}/{}", stranger.user_id);
    let body = json!({"email": stranger.email.to_uppercase(), "role": "member"});
    let unknown = app.client.post(&members, &json!({"email": "nobody@example.com", "role": "member"})).await?;
    assert_eq!(unknown.expect(404)?, json!({"detail": "User not found: nobody@example.com"}));
    let added = app.client.post(&members, &body).await?.expect(201)?;
    has(&added, &json!({"user_id": stranger.user_id, "email": stranger.email, "role": "member"}));
    assert_eq!(app.client.get(&member).await?.expect(200)?, added);
    let listed = app.client.get(&members).await?.expect(200)?;
    let mut sorted = column(&listed, "email");
    sorted.sort_by_key(ToString::to_string);
    assert_eq!(column(&listed, "email"), sorted, "by address");

    let token = app.db.token("Home", &stranger.email, Role::Member).await?;
    let there = app.client.with_token(Some(&token));
    pending(&there, &json!({}), 0).await?;
    assert_eq!(app.put(&member, &json!({"role": "admin"})).await?.expect(200)?["role"], "admin");
    // Now there is another admin, so the first one may go down.
    let me = format!("{members}/{}", app.tenant.user_id);
    assert_eq!(app.put(&me, &json!({"role": "viewer"})).await?.expect(200)?["role"], "viewer");
    let low = app.put(&me, &json!({"role": "admin"})).await?;
    assert_eq!(low.status.as_u16(), 403, "the token is held to its user's role: {}", low.body);

    let admin = app.client.with_token(Some(&app.db.token("Home", &stranger.email, Role::Admin).await?));
    admin.send(reqwest::Method::DELETE, &me, None).await?.expect(204)?;
    assert_eq!(app.client.get(PROJECTS).await?.status.as_u16(), 401, "the member's tokens went too");
    let gone = admin.send(reqwest::Method::DELETE, &me, None).await?;
    assert_eq!(gone.expect(404)?, json!({"detail": format!("Member not found: {}", app.tenant.user_id)}));
    Ok(())
}

#[tokio::test]
async fn two_admins_that_remove_each_other_at_once_leave_one() -> anyhow::Result<()> {
    let app = App::start().await?;
    let members = format!("{}/members", own(&app));
    for round in 0..20 {
        // What became of the round before is put right by hand, which tokens that were used do not know at once.
        let us = app.client.with_token(Some(&app.db.token("Home", &app.tenant.email, Role::Admin).await?));
        let mail = format!("admin{round}@example.com");
        let other = user(&us, &mail).await?;
        let admin = json!({"role": "admin"});
        us.send(reqwest::Method::PUT, &format!("{members}/{other}"), Some(&admin)).await?.expect(200)?;
        let token = app.db.token("Home", &mail, Role::Admin).await?;
        let them = app.client.with_token(Some(&token));
        let demote = json!({"role": "member"});
        let (me, other) = (format!("{members}/{}", app.tenant.user_id), format!("{members}/{other}"));
        let (ours, theirs) = tokio::join!(
            us.send(reqwest::Method::PUT, &other, Some(&demote)),
            them.send(reqwest::Method::PUT, &me, Some(&demote))
        );
        let (ours, theirs) = (ours?.status.as_u16(), theirs?.status.as_u16());
        let admins: i64 = sqlx::query_scalar("SELECT count(*) FROM project_members WHERE role = 'admin'")
            .fetch_one(&app.db.pool)
            .await?;
        assert_eq!(admins, 1, "round {round}: {ours} and {theirs}");
        sqlx::query("UPDATE project_members SET role = CASE WHEN user_id = $1 THEN 'admin' ELSE 'member' END")
            .bind(app.tenant.user_id)
            .execute(&app.db.pool)
            .await?;
    }
    Ok(())
}
