//! The event stream: every event of the project once, in order, whatever happens meanwhile.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgPool;
use test_support::until;
use tokio::time::timeout;
use uuid::Uuid;

use crate::app::App;
use crate::world::{id, running, submit};

/// Long enough for a machine that does much else.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// One server-sent event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    id: String,
    event: String,
    data: Value,
}

/// A client's end of a stream.
struct Stream {
    response: reqwest::Response,
    text: String,
}

impl Stream {
    async fn open(app: &App, query: &str, last_event_id: Option<&str>) -> anyhow::Result<Self> {
        Self::with_token(app, &app.tenant.token, query, last_event_id).await
    }

    async fn with_token(app: &App, token: &str, query: &str, last_event_id: Option<&str>) -> anyhow::Result<Self> {
        let authorization = format!("Bearer {token}");
        let mut headers = vec![("authorization", authorization.as_str())];
        headers.extend(last_event_id.map(|id| ("last-event-id", id)));
        let response = app.server.open("GET", &format!("/api/v1/events{query}"), &headers, Vec::new()).await?;
        anyhow::ensure!(response.status() == 200, "{}: {}", response.status(), response.text().await?);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Ok(Self { response, text: String::new() })
    }

    /// The next event; none once the server ended the stream.
    async fn next(&mut self) -> anyhow::Result<Option<Line>> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let line = parse(block)?;
                self.text = rest.to_owned();
                if let Some(line) = line {
                    return Ok(Some(line));
                }
                continue;
            }
            match timeout(LIMIT, self.response.chunk()).await?? {
                Some(chunk) => self.text.push_str(std::str::from_utf8(&chunk)?),
                None => return Ok(None),
            }
        }
    }

    async fn take(&mut self, count: usize) -> anyhow::Result<Vec<Line>> {
        let mut lines = Vec::new();
        while lines.len() < count {
            lines.push(self.next().await?.ok_or_else(|| anyhow::anyhow!("the stream ended after {lines:?}"))?);
        }
        Ok(lines)
    }
}

/// What a block says; nothing if it is a comment.
fn parse(block: &str) -> anyhow::Result<Option<Line>> {
    let field = |name: &str| {
        block
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(|value| value.trim_start().to_owned())
            .unwrap_or_default()
    };
    if block.lines().all(|line| line.starts_with(':')) {
        return Ok(None);
    }
    Ok(Some(Line { id: field("id:"), event: field("event:"), data: serde_json::from_str(&field("data:"))? }))
}

fn types(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(|line| line.event.as_str()).collect()
}

async fn create(app: &App, name: &str) -> anyhow::Result<String> {
    id(&app.client.post("/api/v1/test-runs", &json!({"run_name": name})).await?.expect(201)?["id"])
}

fn names(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(|line| line.data["data"]["run_name"].as_str().unwrap_or_default()).collect()
}

/// Writes an event as a transaction that is under way would.
async fn write(conn: &mut sqlx::PgConnection, app: &App, name: &str) -> anyhow::Result<()> {
    let data = [json!({"run_name": name})];
    let created = testrun_shared::domain::event::EventType::RunCreated;
    testrun_shared::db::events::insert(conn, app.tenant.project_id, created, None, &data).await?;
    Ok(())
}

#[tokio::test]
async fn a_run_is_told_of_from_its_creation_to_its_end() -> anyhow::Result<()> {
    let app = App::start().await?;
    let mut stream = Stream::open(&app, "", None).await?;
    let run = running(&app.client, &json!({"run_name": "Told"}), 2).await?;
    submit(&app.client, &run, 0, &json!({"status": "passed"})).await?;
    app.settle().await?;
    submit(&app.client, &run, 1, &json!({"status": "failed", "error_message": "no"})).await?;
    app.settle().await?;
    let lines = stream.take(6).await?;
    let expected = ["run.created", "run.started", "item.finished", "run.progress", "item.finished", "run.completed"];
    assert_eq!(types(&lines), expected);
    for line in &lines {
        assert_eq!((&line.data["id"], &line.data["type"]), (&json!(line.id), &json!(line.event)));
        assert_eq!(line.data["project_id"], json!(app.tenant.project_id));
        assert_eq!(line.data["data"]["test_run_id"], json!(run.id));
        assert!(line.data["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{line:?}");
    }
    assert_eq!(lines[3].data["data"]["passed_tests"], 1);
    let failed = &lines[4].data["data"];
    assert_eq!((&failed["test_run_item_id"], &failed["error_message"]), (&json!(run.items[1]), &json!("no")));
    assert_eq!(lines[5].data["data"]["failed_tests"], 1);
    Ok(())
}

#[tokio::test]
async fn a_stream_shows_what_was_asked_for_and_nothing_of_another_project() -> anyhow::Result<()> {
    let app = App::start().await?;
    let wanted = create(&app, "Wanted").await?;
    let mut of_run = Stream::open(&app, &format!("?run_id={wanted}"), None).await?;
    let mut of_type = Stream::open(&app, "?type=run.cancelled,run.failed", None).await?;
    let neighbour = app.db.tenant("Next door").await?;
    let mut next_door = Stream::with_token(&app, &neighbour.token, "", None).await?;
    for run in [create(&app, "Other").await?, wanted] {
        app.client.post(&format!("/api/v1/test-runs/{run}/cancel"), &json!({})).await?.expect(200)?;
    }
    assert_eq!(names(&of_run.take(1).await?), ["Wanted"]);
    assert_eq!(names(&of_type.take(2).await?), ["Other", "Wanted"]);
    let client = app.server.client(Some(&neighbour.token))?;
    client.post("/api/v1/test-runs", &json!({"run_name": "Theirs"})).await?.expect(201)?;
    assert_eq!(names(&next_door.take(1).await?), ["Theirs"], "nothing of ours came before it");
    Ok(())
}

#[tokio::test]
async fn a_client_that_comes_back_misses_nothing() -> anyhow::Result<()> {
    let app = App::start().await?;
    let mut stream = Stream::open(&app, "", None).await?;
    create(&app, "Seen").await?;
    let seen = stream.take(1).await?.remove(0).id;
    drop(stream);
    for name in ["A", "B", "C"] {
        create(&app, name).await?;
    }
    let mut stream = Stream::open(&app, "", Some(&seen)).await?;
    create(&app, "D").await?;
    assert_eq!(names(&stream.take(4).await?), ["A", "B", "C", "D"]);

    sqlx::query("DELETE FROM events").execute(&app.db.pool).await?;
    let mut stream = Stream::open(&app, "", Some(&seen)).await?;
    create(&app, "E").await?;
    let lines = stream.take(2).await?;
    assert_eq!(types(&lines), ["reset", "run.created"]);
    assert_eq!(lines[0].id, "");
    Ok(())
}

#[tokio::test]
async fn an_event_that_commits_late_is_not_passed_over() -> anyhow::Result<()> {
    let app = App::start().await?;
    let mut stream = Stream::open(&app, "", None).await?;
    let mut late = app.db.pool.begin().await?;
    write(&mut late, &app, "Late").await?;
    create(&app, "Early").await?;
    let mut other = Stream::open(&app, "", None).await?;
    late.commit().await?;
    assert_eq!(names(&stream.take(2).await?), ["Late", "Early"]);
    assert_eq!(names(&other.take(2).await?), ["Late", "Early"], "for one who came in between, too");
    Ok(())
}

#[tokio::test]
async fn a_client_that_falls_behind_gets_every_event_all_the_same() -> anyhow::Result<()> {
    let app = App::start().await?;
    let mut stream = Stream::open(&app, "", None).await?;
    create(&app, "First").await?;
    stream.take(1).await?;
    for block in 0..6 {
        let data: Vec<Value> =
            (0..500).map(|number| json!({"run_name": format!("{}", block * 500 + number)})).collect();
        let created = testrun_shared::domain::event::EventType::RunCreated;
        testrun_shared::db::events::insert(&app.db.pool, app.tenant.project_id, created, None, &data).await?;
    }
    let lines = stream.take(3_000).await?;
    let expected: Vec<String> = (0..3_000).map(|number| number.to_string()).collect();
    assert_eq!(names(&lines), expected);
    Ok(())
}

/// Ends the connections that listen.
async fn cut(db: &PgPool) -> anyhow::Result<i64> {
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE 'LISTEN%'";
    Ok(sqlx::query_scalar(cut).fetch_one(db).await?)
}

#[tokio::test]
async fn a_broken_connection_to_the_database_leaves_no_gap() -> anyhow::Result<()> {
    let app = App::start().await?;
    let mut stream = Stream::open(&app, "", None).await?;
    until("the listening connection to be cut", LIMIT, || async { Ok((cut(&app.db.pool).await? > 0).then_some(())) })
        .await?;
    for number in 0..20 {
        create(&app, &format!("{number}")).await?;
        cut(&app.db.pool).await?;
    }
    let expected: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    assert_eq!(names(&stream.take(20).await?), expected);
    Ok(())
}

#[tokio::test]
async fn a_revoked_token_ends_its_streams() -> anyhow::Result<()> {
    let app = App::start().await?;
    let token = app.client.post("/api/v1/tokens", &json!({"name": "Watcher", "role": "viewer"})).await?.expect(201)?;
    let mut stream = Stream::with_token(&app, token["token"].as_str().unwrap_or_default(), "", None).await?;
    create(&app, "Seen").await?;
    stream.take(1).await?;
    let path = format!("/api/v1/tokens/{}", id(&token["id"])?);
    assert_eq!(app.send("DELETE", &path, Vec::new()).await?.status, 204);
    assert_eq!(stream.next().await?, None);
    Ok(())
}

#[tokio::test]
async fn a_revoked_token_ends_its_streams_however_much_happens() -> anyhow::Result<()> {
    let app = App::start().await?;
    let token = app.client.post("/api/v1/tokens", &json!({"name": "Watcher", "role": "viewer"})).await?.expect(201)?;
    let mut stream = Stream::with_token(&app, token["token"].as_str().unwrap_or_default(), "", None).await?;
    let path = format!("/api/v1/tokens/{}", id(&token["id"])?);
    assert_eq!(app.send("DELETE", &path, Vec::new()).await?.status, 204);
    // Each event is waited for, so there is always another one on its way.
    let ended = timeout(LIMIT, async {
        loop {
            create(&app, "Seen").await?;
            if stream.next().await?.is_none() {
                return anyhow::Ok(());
            }
        }
    });
    ended.await?
}

#[tokio::test]
async fn what_cannot_be_followed_is_refused() -> anyhow::Result<()> {
    let app = App::start().await?;
    let authorization = format!("Bearer {}", app.tenant.token);
    let headers = |id: &'static str| vec![("authorization", authorization.as_str()), ("last-event-id", id)];
    for (query, id, field) in [
        ("?type=run.bogus", "", "Last-Event-ID"),
        ("?run_id=x", "01a20454-442d-70a0-89ba-7ae4d958001d", "run_id"),
        ("?type=run.created,bogus", "01a20454-442d-70a0-89ba-7ae4d958001d", "type"),
        ("", "yesterday", "Last-Event-ID"),
    ] {
        let answer = app.server.send("GET", &format!("/api/v1/events{query}"), &headers(id), Vec::new()).await?;
        assert_eq!(answer.not_invalid(&[field]), None, "{query} {id}");
    }
    assert_eq!(app.server.send("GET", "/api/v1/events", &[], Vec::new()).await?.status, 401);
    let unknown = Uuid::new_v4().to_string();
    assert_eq!(types(&Stream::open(&app, "", Some(&unknown)).await?.take(1).await?), ["reset"]);
    Ok(())
}
