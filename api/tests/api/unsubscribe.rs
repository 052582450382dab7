//! The links in mails: the one thing that is done without a token.

use serde_json::json;
use testrun_shared::db::unsubscribe_links;
use uuid::Uuid;

use crate::app::{App, Raw, none_wrong};
use crate::document::document;
use crate::world::id;

/// What mail programs send.
const ONE_CLICK: &[u8] = b"List-Unsubscribe=One-Click";
const FORM: [(&str, &str); 1] = [("content-type", "application/x-www-form-urlencoded")];

/// Makes the link of an address that a schedule of this name writes to.
async fn link(app: &App, schedule_name: &str, address: &str) -> anyhow::Result<(String, Uuid)> {
    let schedule = json!({
        "schedule_name": schedule_name, "suite_path": ["ROOT"], "scheduled_datetime": "2999-01-18T02:00:00Z",
        "notification_emails": [address],
    });
    let schedule = app.client.post("/api/v1/schedules", &schedule).await?.expect(201)?;
    let schedule: Uuid = id(&schedule["id"])?.parse()?;
    let link = unsubscribe_links::of_recipient(&app.db.pool, schedule, address).await?;
    Ok((format!("/api/v1/unsubscribe/{}", link.token), schedule))
}

async fn is_told(app: &App, schedule: Uuid, address: &str) -> anyhow::Result<bool> {
    let told = [address.to_owned()];
    Ok(unsubscribe_links::without_unsubscribed(&app.db.pool, schedule, &told).await? == told)
}

/// What is wrong with an answer as one of the pages.
fn not_page(answer: &Raw) -> Option<String> {
    let headers = ["content-type", "x-content-type-options", "cache-control", "referrer-policy"];
    let headers = headers.map(|name| answer.header(name));
    let good = answer.status == 200
        && headers == ["text/html; charset=utf-8", "nosniff", "no-store", "no-referrer"]
        && answer.header("content-security-policy").contains("frame-ancestors 'none'");
    (!good).then(|| format!("{} {headers:?} {}", answer.status, answer.text()))
}

#[tokio::test]
async fn the_page_asks_and_the_post_does_it() -> anyhow::Result<()> {
    let app = App::start().await?;
    let (path, schedule) = link(&app, "Nightly", "Team@example.com").await?;
    let before = app.contents().await?;
    for method in ["GET", "HEAD", "GET"] {
        let page = app.server.send(method, &path, &[], Vec::new()).await?;
        assert_eq!(not_page(&page), None, "{method}");
        let asks = page.text().contains(r#"<form method="post"><button>Unsubscribe</button></form>"#);
        assert_eq!(asks, method == "GET");
    }
    assert_eq!(app.contents().await?, before, "scanners follow links: looking changes nothing");
    assert!(is_told(&app, schedule, "team@example.com").await?);

    let done = app.server.send("POST", &path, &FORM, ONE_CLICK.to_vec()).await?;
    assert_eq!(not_page(&done), None);
    assert!(done.text().contains("<h1>Unsubscribed</h1>") && done.text().contains("team@example.com"));
    assert!(!is_told(&app, schedule, "TEAM@example.com").await?);
    assert!(is_told(&app, schedule, "lead@example.com").await?, "one address only");

    let after = app.contents().await?;
    let again = app.server.send("POST", &path, &[], Vec::new()).await?;
    assert_eq!((again.status, again.text()), (200, done.text()), "the body does not matter");
    let page = app.server.send("GET", &path, &[], Vec::new()).await?;
    assert_eq!(page.text(), done.text(), "there is nothing left to press");
    assert_eq!(app.contents().await?, after);
    Ok(())
}

#[tokio::test]
async fn names_on_the_page_are_text() -> anyhow::Result<()> {
    let app = App::start().await?;
    let (path, _) = link(&app, "<script>alert(1)</script>", "team@example.com").await?;
    let page = app.server.send("GET", &path, &[], Vec::new()).await?;
    assert!(!page.text().contains("<script"), "{}", page.text());
    assert!(page.text().contains("&#60;script&#62;alert(1)"), "{}", page.text());
    Ok(())
}

#[tokio::test]
async fn a_link_that_no_mail_has_is_refused_and_changes_nothing() -> anyhow::Result<()> {
    let app = App::start().await?;
    link(&app, "Nightly", "team@example.com").await?;
    let before = app.contents().await?;
    let nowhere = Uuid::new_v4();
    let mut wrong = Vec::new();
    for method in ["GET", "POST"] {
        let send = async |token: &str| {
            app.server.send(method, &format!("/api/v1/unsubscribe/{token}"), &FORM, ONE_CLICK.to_vec()).await
        };
        wrong.extend(
            send(&nowhere.to_string()).await?.not_detail(404, &format!("Unsubscribe link not found: {nowhere}")),
        );
        for bad in ["x", "%00", "%ff", "00000000-0000-0000-0000-00000000000"] {
            wrong.extend(send(bad).await?.not_invalid(&["unsubscribe_token"]).map(|what| format!("{bad}: {what}")));
        }
    }
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    Ok(())
}

#[test]
fn nothing_else_is_done_without_a_token() {
    let document = document();
    let mut open = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, described) in methods.as_object().expect("methods") {
            if let Some(security) = described.get("security") {
                assert_eq!(security, &json!([{}]), "{method} {path}");
                open.push(format!("{method} {path}"));
            }
        }
    }
    open.sort();
    assert_eq!(open, ["get", "post"].map(|method| format!("{method} /api/v1/unsubscribe/{{unsubscribe_token}}")));
}
