//! Bodies that are no good JSON, or none at all, or too much of it.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::app::{App, none_wrong};
use crate::document::operations;
use crate::world::{World, running};

#[tokio::test]
async fn a_body_that_is_not_one_json_object_is_refused_everywhere() -> anyhow::Result<()> {
    let app = App::start().await?;
    let world = World::new(&app.client).await?;
    let before = app.contents().await?;
    let mut wrong = Vec::new();
    for operation in operations().iter().filter(|operation| operation.has_body()) {
        let good = operation.body_in(&world);
        let all_but_the_last = &good[..good.len() - 1];
        let (doubled, misspelt) = ([&good[..], b" {}"].concat(), [all_but_the_last, b", \"x\": \"\xff\"}"].concat());
        let bodies: [&[u8]; 11] = [
            b" ",
            b"{",
            all_but_the_last,
            b"null",
            b"5",
            b"\"text\"",
            b"[]",
            b"[[]]",
            &doubled,
            &misspelt,
            b"\xef\xbb\xbf{}",
        ];
        for body in bodies {
            let answer = app.send(&operation.method, &operation.path_in(&world), body).await?;
            let shown = String::from_utf8_lossy(body);
            wrong.extend(answer.not_invalid(&["body"]).map(|what| format!("{} {shown:.60}: {what}", operation.name())));
            if answer.text().contains("struct ") {
                wrong.push(format!("{} {shown:.60}: names a type of ours: {}", operation.name(), answer.text()));
            }
        }
    }
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn a_list_in_place_of_an_object_is_refused_even_if_it_has_the_right_elements() -> anyhow::Result<()> {
    let app = App::start().await?;
    let before = app.contents().await?;
    let name = json!(["By position", null, null, null, null, null, null, null, null, null]);
    let case = json!(["By position", null, null, null, null, null]);
    let mut wrong = Vec::new();
    for (path, body, field) in [
        ("/api/v1/test-runs", name, "body"),
        ("/api/v1/test-cases", case, "body"),
        ("/api/v1/test-cases/bulk", json!([[{"name": "N", "external_key": "k"}]]), "body"),
    ] {
        let answer = app.send("POST", path, body.to_string()).await?;
        wrong.extend(answer.not_invalid(&[field]).map(|what| format!("{path} {body}: {what}")));
    }
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn a_body_of_another_content_type_is_refused_everywhere() -> anyhow::Result<()> {
    let app = App::start().await?;
    let world = World::new(&app.client).await?;
    let authorization = format!("Bearer {}", app.tenant.token);
    let before = app.contents().await?;
    let mut wrong = Vec::new();
    for operation in operations().iter().filter(|operation| operation.has_body()) {
        for content_type in
            ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application/xml", ""]
        {
            let headers = [("authorization", authorization.as_str()), ("content-type", content_type)];
            let (path, body) = (operation.path_in(&world), operation.body_in(&world));
            let answer = app.server.send(&operation.method, &path, &headers, body).await?;
            let detail = "The body must be sent with Content-Type: application/json";
            wrong.extend(
                answer.not_detail(415, detail).map(|what| format!("{} {content_type}: {what}", operation.name())),
            );
        }
    }
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn a_body_beyond_the_routes_bound_is_refused_everywhere() -> anyhow::Result<()> {
    let app = App::start().await?;
    let world = World::new(&app.client).await?;
    let before = app.contents().await?;
    let mut wrong = Vec::new();
    let mut bulk = Vec::new();
    for operation in operations().iter().filter(|operation| operation.has_body()) {
        let takes_many = ["/bulk", "/reorder"].iter().any(|end| operation.path.ends_with(end))
            || operation.path == "/api/v1/test-run-results";
        let bound = if takes_many { 16 * 1024 * 1024 } else { 1024 * 1024 };
        bulk.extend(takes_many.then(|| operation.name()));
        let path = operation.path_in(&world);
        let answer = app.send(&operation.method, &path, padded(bound + 1)).await?;
        let detail = format!("The body must be at most {bound} bytes");
        wrong.extend(answer.not_detail(413, &detail).map(|what| format!("{}: {what}", operation.name())));
    }
    assert_eq!(bulk.len(), 7, "{bulk:?}");
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);

    let fits = app.send("POST", "/api/v1/test-runs", padded(1024 * 1024)).await?;
    assert_eq!(fits.status, 201, "{}", fits.text());
    Ok(())
}

/// An object of so many bytes whose only field nobody knows.
fn padded(bytes: usize) -> Vec<u8> {
    let frame = r#"{"padding": ""}"#.len();
    format!(r#"{{"padding": "{}"}}"#, "x".repeat(bytes - frame)).into_bytes()
}

#[tokio::test]
async fn seventeen_megabytes_are_refused_without_being_kept() -> anyhow::Result<()> {
    let app = App::start().await?;
    let answer = app.send("POST", "/api/v1/test-run-results", padded(17 * 1024 * 1024)).await?;
    assert_eq!(answer.not_detail(413, "The body must be at most 16777216 bytes"), None);
    Ok(())
}

#[tokio::test]
async fn a_body_of_unknown_length_has_the_same_bound_and_one_that_breaks_off_changes_nothing() -> anyhow::Result<()> {
    let app = App::start().await?;
    let before = app.contents().await?;
    let head = format!(
        "POST /api/v1/test-runs HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n",
        app.tenant.token
    );
    let mut endless = TcpStream::connect(app.server.authority()).await?;
    endless.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).await?;
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x1_0000));
    for _ in 0..17 {
        // The service may have answered and hung up before the last one.
        if endless.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    let mut answer = vec![0; 12];
    endless.read_exact(&mut answer).await?;
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 413");

    let mut broken = TcpStream::connect(app.server.authority()).await?;
    broken.write_all(format!("{head}content-length: 100\r\n\r\n{{\"run_name\": \"Half\"}}").as_bytes()).await?;
    broken.shutdown().await?;
    // The service hangs up, with or without an answer.
    let mut answer = Vec::new();
    broken.read_to_end(&mut answer).await?;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(app.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn json_that_is_nested_without_end_is_answered_and_the_service_lives_on() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = running(&app.client, &json!({}), 1).await?;
    let before = app.contents().await?;
    let mut wrong = Vec::new();
    for depth in [127, 1_000, 100_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let kept = format!(
                r#"{{"test_run_id": "{}", "test_run_item_id": "{}", "status": "passed", "data_row_values": {deep}}}"#,
                run.id, run.items[0]
            );
            let name = format!(r#"{{"run_name": {deep}}}"#);
            let beside_nul = format!(r#"{{"run_name": "\u0000", "unknown": {deep}}}"#);
            for (path, body, place) in [
                ("/api/v1/test-run-results", kept, "data_row_values"),
                ("/api/v1/test-runs", name, "run_name"),
                ("/api/v1/test-runs", beside_nul, "unknown"),
            ] {
                let answer = app.send("POST", path, body).await?;
                let named = answer.json()["errors"][0]["field"].as_str().unwrap_or_default().to_owned();
                if answer.status != 400 || !named.starts_with(place) || named.len() > 2_000 {
                    wrong.push(format!("{depth} times {open} in {place}: {} naming {named:.60}", answer.status));
                }
            }
        }
        let bare = app.send("POST", "/api/v1/test-runs", "[".repeat(depth)).await?;
        wrong.extend(bare.not_invalid(&["body"]).map(|what| format!("{depth} times [: {what}")));
    }
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    let ignored = format!(r#"{{"unknown": {}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(app.send("POST", "/api/v1/test-runs", ignored).await?.status, 201, "unknown fields are ignored");
    Ok(())
}

#[tokio::test]
async fn a_million_wrong_values_do_not_make_a_million_errors() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = running(&app.client, &json!({}), 1).await?;
    let nuls = "\"\\u0000\",".repeat(1_000_000);
    let body = format!(
        r#"{{"test_run_id": "{}", "test_run_item_id": "{}", "status": "passed", "data_row_values": [{nuls} 1]}}"#,
        run.id, run.items[0]
    );
    let began = Instant::now();
    let answer = app.send("POST", "/api/v1/test-run-results", body).await?;
    assert_eq!(answer.status, 400);
    assert!(answer.bytes.len() < 1_000_000, "{} bytes of errors", answer.bytes.len());
    // Generous, for a debug build on a busy machine; what takes time with each error for each other one would take hours.
    assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
    Ok(())
}
