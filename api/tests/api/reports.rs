//! `/test-runs/{run_id}/report`

use serde_json::json;
use testrun_shared::actions::finalise::write_report;
use testrun_shared::report::POLICY;
use uuid::Uuid;

use crate::app::{App, Raw};
use crate::world::{Run, running, submit};

const HOSTILE: &str = "<script>alert(1)</script><img src=x onerror=alert(2)>\" onload=\"alert(3)";

async fn ended(app: &App) -> anyhow::Result<Run> {
    let run = running(&app.client, &json!({"run_name": HOSTILE, "notes": HOSTILE, "tags": ["<b>"]}), 2).await?;
    submit(&app.client, &run, 0, &json!({"status": "passed"})).await?;
    submit(&app.client, &run, 1, &json!({"status": "failed", "error_message": HOSTILE})).await?;
    app.settle().await?;
    Ok(run)
}

async fn report(app: &App, run: &Run) -> anyhow::Result<Raw> {
    app.send("GET", &format!("{}/report", run.path()), "").await
}

/// Fails unless it is a page that does nothing but show.
fn is_inert(page: &Raw) {
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"), "{}", page.text());
    assert_eq!(page.header("content-security-policy"), POLICY);
    assert!(POLICY.contains("default-src 'none'") && !POLICY.contains("script-src"), "{POLICY}");
    assert_eq!((page.header("x-content-type-options"), page.header("cache-control")), ("nosniff", "private, no-cache"));
    assert_eq!(page.header("content-disposition"), "inline; filename=\"test-run-1.html\"");
    let html = page.text();
    assert!(html.to_lowercase().starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"), "{html:.200}");
    assert!(html.contains("alert(1)"), "what the client wrote is not there");
    for active in ["<script", "<img src=x", "\" onload", "<b>", "<iframe", "<link", "http-equiv=\"refresh"] {
        assert!(!html.contains(active), "{active} is in the page");
    }
}

#[tokio::test]
async fn before_the_end_it_is_rendered_for_the_request_and_kept_nowhere() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = running(&app.client, &json!({"run_name": HOSTILE}), 1).await?;
    let before = app.contents().await?;
    let page = report(&app, &run).await?;
    is_inert(&page);
    assert!(page.text().contains("Case 1"));
    assert_eq!(page.header("content-length"), "", "its length is not known before it is sent");
    assert_eq!(app.contents().await?, before);
    assert_eq!(app.client.get(&run.path()).await?.expect(200)?["report_path"], json!(null));
    Ok(())
}

#[tokio::test]
async fn after_the_end_the_stored_page_is_served_and_shows_later_changes_too() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = ended(&app).await?;
    // As a worker does when a run has ended.
    write_report(&app.db.pool, Uuid::parse_str(&run.id)?).await?;
    let read = app.client.get(&run.path()).await?.expect(200)?;
    assert_eq!(
        (&read["status"], &read["report_path"]),
        (&json!("completed"), &json!(format!("{}/report", run.path())))
    );
    let page = report(&app, &run).await?;
    is_inert(&page);
    assert_eq!(page.header("content-length"), page.bytes.len().to_string(), "it is stored");
    assert_eq!(report(&app, &run).await?.bytes, page.bytes);

    app.put(&run.path(), &json!({"run_name": format!("Renamed {HOSTILE}")})).await?.expect(200)?;
    let renamed = report(&app, &run).await?;
    is_inert(&renamed);
    assert!(renamed.text().contains("Renamed") && !page.text().contains("Renamed"));
    Ok(())
}

#[tokio::test]
async fn head_tells_the_same_without_the_page() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = ended(&app).await?;
    write_report(&app.db.pool, Uuid::parse_str(&run.id)?).await?;
    let page = report(&app, &run).await?;
    let head = app.send("HEAD", &format!("{}/report", run.path()), "").await?;
    assert_eq!((head.status, head.bytes.len()), (200, 0));
    for name in ["content-type", "content-length", "content-security-policy", "content-disposition"] {
        assert_eq!(head.header(name), page.header(name), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn there_is_none_of_a_run_that_is_not_there_deleted_or_anothers() -> anyhow::Result<()> {
    let app = App::start().await?;
    let (run, deleted) = (ended(&app).await?, running(&app.client, &json!({}), 1).await?);
    app.delete(&deleted.path()).await?.expect(204)?;
    for id in [deleted.id, Uuid::new_v4().to_string()] {
        let answer = app.send("GET", &format!("/api/v1/test-runs/{id}/report"), "").await?;
        assert_eq!(answer.not_detail(404, &format!("Test run not found: {id}")), None);
    }
    let theirs = app.db.tenant("Theirs").await?.token;
    let authorization = format!("Bearer {theirs}");
    let path = format!("{}/report", run.path());
    let answer = app.server.send("GET", &path, &[("authorization", &authorization)], Vec::new()).await?;
    assert_eq!(answer.not_detail(404, &format!("Test run not found: {}", run.id)), None);
    Ok(())
}
