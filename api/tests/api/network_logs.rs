//! `/test-run-results/{result_id}/network-logs`

use serde_json::{Value, json};

use crate::app::{App, column, has};
use crate::world::{id, running, submit};

async fn logs(app: &App) -> anyhow::Result<String> {
    let run = running(&app.client, &json!({}), 1).await?;
    let result = submit(&app.client, &run, 0, &json!({"status": "passed"})).await?;
    Ok(format!("/api/v1/test-run-results/{}/network-logs", id(&result["id"])?))
}

#[tokio::test]
async fn requests_read_as_they_were_sent_by_time_and_without_their_secrets() -> anyhow::Result<()> {
    let app = App::start().await?;
    let path = logs(&app).await?;
    let full = json!({
        "url": "https://example.com/login?x=1", "method": "POST", "status_code": 401, "status_text": "Unauthorized",
        "request_body_preview": "{}", "response_body_preview": "no", "content_type": "application/json",
        "content_length": 9_007_199_254_740_993_i64, "resource_type": "fetch", "timestamp": "2026-01-17T10:05:06.500Z",
        "duration_ms": 120, "ttfb_ms": 80, "error_message": "refused", "step_index": 3,
    });
    let headers = json!({"Authorization": "Bearer s3cret", "COOKIE": "s3cret", "accept": "*/*"});
    let listed = json!([{"name": "Set-Cookie", "value": "s3cret"}, {"name": "x-api-key", "value": "s3cret"}]);
    let request = crate::world::with(full.clone(), &json!({"request_headers": headers, "response_headers": listed}));
    let earlier = json!({"url": "https://example.com", "method": "GET", "timestamp": "2026-01-17T10:05:05+00:00"});
    let added = app.client.post(&format!("{path}/bulk"), &json!({"logs": [request, earlier]})).await?.expect(201)?;
    assert_eq!(added, json!({"total_added": 2}));

    let list = app.client.get(&path).await?.expect(200)?;
    assert_eq!(column(&list, "method"), ["GET", "POST"], "by time");
    has(&list["items"][1], &full);
    let masked = json!({"Authorization": "********", "COOKIE": "********", "accept": "*/*"});
    assert_eq!(list["items"][1]["request_headers"], masked);
    assert_eq!(column(&json!({"items": list["items"][1]["response_headers"]}), "value"), ["********", "********"]);
    let stored: Vec<String> =
        sqlx::query_scalar("SELECT to_jsonb(l)::text FROM network_logs l").fetch_all(&app.db.pool).await?;
    assert!(stored.len() == 2 && !stored.concat().contains("s3cret"), "{stored:?}");
    Ok(())
}

#[tokio::test]
async fn filters_take_numbers_only() -> anyhow::Result<()> {
    let app = App::start().await?;
    let path = logs(&app).await?;
    for (query, fields) in [
        ("status_code=x", &["status_code"][..]),
        ("status_code=99999999999", &["status_code"]),
        ("status_code=404.5&step_index=one", &["status_code", "step_index"]),
    ] {
        let answer = app.send("GET", &format!("{path}?{query}"), "").await?;
        assert_eq!(answer.not_invalid(fields), None, "{query}");
    }
    Ok(())
}

#[tokio::test]
async fn one_wrong_request_keeps_all_of_them_out() -> anyhow::Result<()> {
    let app = App::start().await?;
    let path = format!("{}/bulk", logs(&app).await?);
    let line = |fields: Value| {
        crate::world::with(json!({"url": "u", "method": "GET", "timestamp": "2026-01-17T10:05:05Z"}), &fields)
    };
    let before = app.contents().await?;
    for (fields, named) in [
        (json!({"url": ""}), "url"),
        (json!({"url": "x".repeat(2001)}), "url"),
        (json!({"status_code": -1}), "status_code"),
        (json!({"content_length": -1}), "content_length"),
        (json!({"timestamp": "2026-01-17"}), "timestamp"),
        (json!({"request_headers": {"a": "\u{0}"}}), "request_headers.a"),
        (json!({"ttfb_ms": "80"}), "ttfb_ms"),
    ] {
        let answer = app.send("POST", &path, json!({"logs": [line(json!({})), line(fields)]}).to_string()).await?;
        assert_eq!(answer.not_invalid(&[&format!("logs[1].{named}")]), None);
    }
    assert_eq!(app.contents().await?, before);
    Ok(())
}
