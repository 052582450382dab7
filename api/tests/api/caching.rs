//! `ETag` and `If-None-Match`: who has a resource already is told so, until it changes.

use serde_json::json;

use crate::app::{App, Raw, none_wrong};
use crate::document::operations;
use crate::world::{World, pending};

async fn get(app: &App, path: &str, headers: &[(&str, &str)]) -> anyhow::Result<Raw> {
    let authorization = format!("Bearer {}", app.tenant.token);
    let headers = [&[("authorization", authorization.as_str())], headers].concat();
    app.server.send("GET", path, &headers, Vec::new()).await
}

#[tokio::test]
async fn every_get_that_answers_json_has_a_weak_tag_and_honours_it() -> anyhow::Result<()> {
    let app = App::start().await?;
    let world = World::new(&app.client).await?;
    // When the token was used last is in its row; it is written once for this test, here.
    get(&app, "/api/v1/tokens", &[]).await?;
    let mut wrong = Vec::new();
    let mut count = 0;
    for operation in operations().iter().filter(|operation| operation.method == "GET") {
        let path = operation.path_in(&world);
        let full = get(&app, &path, &[]).await?;
        // How long a job has waited changes with time.
        if full.header("content-type") != "application/json" || operation.id == "list_queues" {
            continue;
        }
        count += 1;
        let tag = full.header("etag").to_owned();
        if !(tag.starts_with("W/\"") && tag.ends_with('"') && tag.len() > 10) {
            wrong.push(format!("{}: the tag is {tag:?}", operation.name()));
        }
        let known = get(&app, &path, &[("if-none-match", &tag)]).await?;
        let told = (known.status, known.bytes.len(), known.header("etag"));
        if told != (304, 0, tag.as_str()) {
            wrong.push(format!("{}: {told:?} for its own tag", operation.name()));
        }
        for answer in [&full, &known] {
            if answer.header("cache-control") != "private, no-cache" || answer.header("x-request-id").is_empty() {
                wrong.push(format!("{}: {} with {:?}", operation.name(), answer.status, answer.headers));
            }
        }
    }
    none_wrong(&wrong);
    assert!(count > 25, "only {count} operations");
    Ok(())
}

#[tokio::test]
async fn tags_are_compared_weakly_in_lists_and_by_a_star() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = pending(&app.client, &json!({}), 0).await?;
    let full = get(&app, &run.path(), &[]).await?;
    let tag = full.header("etag");
    let (strong, listed) = (tag.trim_start_matches("W/").to_owned(), format!("\"x\" ,  {tag},W/\"y\""));
    let bare = strong.trim_matches('"').to_owned();
    let mut wrong = Vec::new();
    for (known, status) in
        [(tag, 304), (&strong, 304), (&listed, 304), ("*", 304), ("W/\"x\"", 200), ("", 200), (&bare, 200)]
    {
        let answer = get(&app, &run.path(), &[("if-none-match", known)]).await?;
        wrong.extend((answer.status != status).then(|| format!("{known:?}: {} instead of {status}", answer.status)));
        wrong.extend((status == 200 && answer.bytes != full.bytes).then(|| format!("{known:?}: {}", answer.text())));
    }
    none_wrong(&wrong);
    Ok(())
}

#[tokio::test]
async fn a_tag_is_good_until_what_it_stands_for_changes() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = pending(&app.client, &json!({}), 1).await?;
    let paths = [run.path(), format!("{}/items", run.path()), "/api/v1/test-runs?limit=5".to_owned()];
    let mut tags = Vec::new();
    for path in &paths {
        tags.push(get(&app, path, &[]).await?.header("etag").to_owned());
    }
    assert!(tags[0] != tags[1] && tags[1] != tags[2], "{tags:?}");
    let still = async |index: usize| {
        anyhow::Ok(get(&app, &paths[index], &[("if-none-match", &tags[index])]).await?.status == 304)
    };
    app.put(&run.path(), &json!({"notes": "changed"})).await?.expect(200)?;
    assert!(!still(0).await?, "the run");
    assert!(still(1).await?, "its items are the same");
    assert!(!still(2).await?, "the list shows the run");
    let path = format!("{}/items/{}", run.path(), run.items[0]);
    app.put(&path, &json!({"error_message": "changed"})).await?.expect(200)?;
    assert!(!still(1).await?, "its items");
    Ok(())
}

#[tokio::test]
async fn refusals_and_other_methods_have_no_tag() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = pending(&app.client, &json!({}), 0).await?;
    let authorization = format!("Bearer {}", app.tenant.token);
    let headers =
        [("authorization", authorization.as_str()), ("content-type", "application/json"), ("if-none-match", "*")];
    for (method, path, status) in [
        ("GET", "/api/v1/test-runs/x", 400),
        ("GET", "/api/v1/test-runs/00000000-0000-0000-0000-000000000000", 404),
        ("POST", "/api/v1/test-runs", 201),
        ("PUT", &run.path(), 200),
        ("DELETE", &run.path(), 204),
    ] {
        let answer = app.server.send(method, path, &headers, b"{}".to_vec()).await?;
        assert_eq!((answer.status, answer.header("etag")), (status, ""), "{method} {path}");
    }
    Ok(())
}
