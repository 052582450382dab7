//! `Idempotency-Key`: whatever is repeated has one effect and one answer.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use test_support::until;
use testrun_shared::domain::identity::Role;
use tokio::task::JoinSet;

use crate::app::{App, Raw, none_wrong};
use crate::document::operations;
use crate::world::{World, case, pending, running};

const RUNS: &str = "/api/v1/test-runs";
/// How many statements wait for a lock.
const WAITING: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// Posts under a key, with the token of `app` or another one.
async fn post_as(app: &App, token: &str, key: &str, path: &str, body: impl Into<Vec<u8>>) -> anyhow::Result<Raw> {
    let authorization = format!("Bearer {token}");
    let headers =
        [("authorization", authorization.as_str()), ("content-type", "application/json"), ("idempotency-key", key)];
    app.server.send("POST", path, &headers, body.into()).await
}

async fn post(app: &App, key: &str, path: &str, body: &Value) -> anyhow::Result<Raw> {
    post_as(app, &app.tenant.token, key, path, body.to_string()).await
}

/// What is wrong with this answer, as the repetition of the other one.
fn not_replayed(first: &Raw, second: &Raw) -> Option<String> {
    let same = first.status == second.status && first.bytes == second.bytes;
    let kind = first.header("content-type") == second.header("content-type");
    let told = (first.header("idempotency-replayed"), second.header("idempotency-replayed"));
    (!same || !kind || told != ("", "true"))
        .then(|| format!("{} {} and then {} {}, {told:?}", first.status, first.text(), second.status, second.text()))
}

#[tokio::test]
async fn every_post_that_stores_something_does_so_once() -> anyhow::Result<()> {
    let app = App::start().await?;
    let mut wrong = Vec::new();
    let mut count = 0;
    for operation in operations() {
        // A preview stores nothing, so repeating it does no harm. Secrets that are shown once have tests of their own.
        let apart = ["preview_schedule", "create_token", "create_webhook", "rotate_webhook_secret"];
        if operation.method != "POST" || apart.contains(&operation.id.as_str()) {
            continue;
        }
        count += 1;
        let world = World::new(&app.client).await?;
        let (path, body) = (operation.path_in(&world), operation.body_in(&world));
        let first = post_as(&app, &app.tenant.token, &operation.id, &path, body.clone()).await?;
        wrong.extend((first.status >= 300).then(|| format!("{}: {}", operation.name(), first.text())));
        let before = app.contents().await?;
        let second = post_as(&app, &app.tenant.token, &operation.id, &path, body).await?;
        wrong.extend(not_replayed(&first, &second).map(|what| format!("{}: {what}", operation.name())));
        wrong.extend((app.contents().await? != before).then(|| format!("{}: two effects", operation.name())));
    }
    none_wrong(&wrong);
    assert!(count > 20, "only {count} operations");
    Ok(())
}

#[tokio::test]
async fn a_key_belongs_to_its_path_and_body() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = post(&app, "k", RUNS, &json!({"run_name": "One"})).await?;
    assert_eq!(run.status, 201, "{}", run.text());
    let before = app.contents().await?;
    let detail = "This Idempotency-Key was used for another request";
    let mut wrong = Vec::new();
    for (path, body) in [
        (RUNS, json!({"run_name": "Two"})),
        (RUNS, json!({"parallel_count": 0})),
        ("/api/v1/test-cases", json!({"run_name": "One"})),
        ("/api/v1/test-cases", json!({"name": "N"})),
    ] {
        let answer = post(&app, "k", path, &body).await?;
        wrong.extend(answer.not_detail(422, detail).map(|what| format!("{path} {body}: {what}")));
        wrong.extend((!answer.header("idempotency-replayed").is_empty()).then(|| format!("{path} {body}: replayed")));
    }
    // Only bytes that are the same are the same body.
    let spaced = post_as(&app, &app.tenant.token, "k", RUNS, r#"{"run_name":  "One"}"#).await?;
    wrong.extend(spaced.not_detail(422, detail));
    assert_eq!(app.contents().await?, before);
    wrong.extend(not_replayed(&run, &post(&app, "k", RUNS, &json!({"run_name": "One"})).await?));
    none_wrong(&wrong);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twenty_at_once_under_one_key_have_one_effect() -> anyhow::Result<()> {
    let app = Arc::new(App::start().await?);
    let body = json!({"run_name": "Once"});
    let mut sending = JoinSet::new();
    for _ in 0..20 {
        let (app, body) = (app.clone(), body.clone());
        sending.spawn(async move { post(&app, "same", RUNS, &body).await });
    }
    let (mut first, mut replays) = (Vec::new(), Vec::new());
    while let Some(answer) = sending.join_next().await {
        let answer = answer??;
        match (answer.status, answer.header("idempotency-replayed")) {
            (201, "") => first.push(answer),
            (201, _) => replays.push(answer),
            _ => {
                let detail = "A request with this Idempotency-Key is in flight; try again";
                assert_eq!(answer.not_detail(409, detail), None);
            }
        }
    }
    assert_eq!(first.len(), 1, "{first:?}");
    replays.push(post(&app, "same", RUNS, &body).await?);
    none_wrong(&replays.iter().filter_map(|replay| not_replayed(&first[0], replay)).collect::<Vec<_>>());
    assert_eq!(app.client.get(RUNS).await?.expect(200)?["total"], 1);
    Ok(())
}

#[tokio::test]
async fn a_first_request_in_flight_is_told_and_its_key_is_free_again_if_it_breaks_off() -> anyhow::Result<()> {
    let app = Arc::new(App::start().await?);
    // The project's counter is what a run's creation waits for.
    let mut holder = app.db.pool.begin().await?;
    sqlx::query("SELECT 1 FROM projects FOR UPDATE").execute(&mut *holder).await?;
    let body = json!({"run_name": "Waits"});
    let mut first = JoinSet::new();
    let (sender, waits) = (app.clone(), body.clone());
    first.spawn(async move { post(&sender, "k", RUNS, &waits).await });
    until("the first request to wait", Duration::from_secs(10), || async {
        let waiting: i64 = sqlx::query_scalar(WAITING).fetch_one(&app.db.pool).await?;
        Ok((waiting > 0).then_some(()))
    })
    .await?;
    let second = post(&app, "k", RUNS, &body).await?;
    let detail = "A request with this Idempotency-Key is in flight; try again";
    assert_eq!(second.not_detail(409, detail), None);
    first.shutdown().await;
    holder.rollback().await?;
    // The client of the first one has gone; whether it came through or not, there will be one run.
    let run = until("the key to be free", Duration::from_secs(10), || async {
        let answer = post(&app, "k", RUNS, &body).await?;
        Ok((answer.status == 201).then_some(answer))
    })
    .await?;
    assert_eq!(run.json()["run_number"], 1, "{}", run.text());
    assert_eq!(app.client.get(RUNS).await?.expect(200)?["total"], 1);
    Ok(())
}

#[tokio::test]
async fn a_request_whose_key_is_answered_while_it_is_under_way_does_nothing() -> anyhow::Result<()> {
    let app = Arc::new(App::start().await?);
    let run = running(&app.client, &json!({}), 1).await?;
    let result = json!({"test_run_id": run.id, "test_run_item_id": run.items[0], "status": "passed"});
    for (path, body, lock) in [
        (RUNS, json!({"run_name": "Twice"}), "SELECT 1 FROM projects FOR UPDATE"),
        ("/api/v1/test-run-results", result, "SELECT 1 FROM test_run_items FOR UPDATE"),
    ] {
        let before = app.contents().await?;
        let mut holder = app.db.pool.begin().await?;
        sqlx::query(lock).execute(&mut *holder).await?;
        let mut sending = JoinSet::new();
        let sender = app.clone();
        sending.spawn(async move { post(&sender, path, path, &body).await });
        until("the request to wait", Duration::from_secs(10), || async {
            let waiting: i64 = sqlx::query_scalar(WAITING).fetch_one(&app.db.pool).await?;
            Ok((waiting > 0).then_some(()))
        })
        .await?;
        // As of another request that committed between the look under the key and the key's lock.
        sqlx::query(
            "INSERT INTO idempotency_keys (token_id, key, request_hash, response_status, response_body)
             SELECT id, $1, '', 201, '' FROM api_tokens",
        )
        .bind(path)
        .execute(&app.db.pool)
        .await?;
        holder.rollback().await?;
        let answer = sending.join_next().await.expect("one")??;
        let detail = "This Idempotency-Key was used for another request";
        assert_eq!(answer.not_detail(422, detail), None, "{path}");
        sqlx::query("DELETE FROM idempotency_keys").execute(&app.db.pool).await?;
        assert_eq!(app.contents().await?, before, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn refusals_that_stay_true_are_replayed_even_when_they_are_true_no_more() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = pending(&app.client, &json!({}), 0).await?;
    let start = format!("{}/start", run.path());
    let nowhere = format!("/api/v1/test-runs/{}/start", uuid::Uuid::new_v4());
    let mut wrong = Vec::new();
    let invalid = json!({"parallel_count": 0});
    for (status, key, path, body) in
        [(400, "a", RUNS, &invalid), (404, "b", nowhere.as_str(), &json!({})), (422, "c", start.as_str(), &json!({}))]
    {
        let first = post(&app, key, path, body).await?;
        wrong.extend((first.status != status).then(|| format!("{path}: {} {}", first.status, first.text())));
        wrong.extend(not_replayed(&first, &post(&app, key, path, body).await?).map(|what| format!("{path}: {what}")));
    }
    let only = case(&app.client, "Only").await?;
    app.client.post(&format!("{}/items", run.path()), &json!({"test_case_id": only})).await?.expect(201)?;
    let kept = post(&app, "c", &start, &json!({})).await?;
    wrong.extend(kept.not_detail(422, "Cannot start test run: it has no test cases"));
    let fresh = post(&app, "d", &start, &json!({})).await?;
    wrong.extend((fresh.status != 200).then(|| fresh.text()));
    none_wrong(&wrong);
    Ok(())
}

#[tokio::test]
async fn a_refused_result_stays_refused_under_its_key() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = pending(&app.client, &json!({}), 1).await?;
    let result = json!({"test_run_id": run.id, "test_run_item_id": run.items[0], "status": "passed"});
    let first = post(&app, "k", "/api/v1/test-run-results", &result).await?;
    assert_eq!(first.not_detail(422, "Cannot submit result: test run status is 'pending'"), None);
    app.client.post(&format!("{}/start", run.path()), &json!({})).await?.expect(200)?;
    let before = app.contents().await?;
    // It would be stored now, if it were not for the key.
    let again = post(&app, "k", "/api/v1/test-run-results", &result).await?;
    assert_eq!(not_replayed(&first, &again), None);
    assert_eq!(app.contents().await?, before);
    assert_eq!(post(&app, "other", "/api/v1/test-run-results", &result).await?.status, 201);
    Ok(())
}

#[tokio::test]
async fn other_refusals_are_not_kept() -> anyhow::Result<()> {
    let app = App::start().await?;
    let taken = json!({"name": "N", "external_key": "taken"});
    let owner = app.client.post("/api/v1/test-cases", &taken).await?.expect(201)?;
    let conflict = post(&app, "k", "/api/v1/test-cases", &taken).await?;
    assert_eq!(conflict.status, 409, "{}", conflict.text());
    app.delete(&format!("/api/v1/test-cases/{}", crate::world::id(&owner["id"])?)).await?.expect(204)?;
    let created = post(&app, "k", "/api/v1/test-cases", &taken).await?;
    assert_eq!((created.status, created.header("idempotency-replayed")), (201, ""), "{}", created.text());

    let authorization = format!("Bearer {}", app.tenant.token);
    let headers = [("authorization", authorization.as_str()), ("idempotency-key", "m"), ("content-type", "text/plain")];
    assert_eq!(app.server.send("POST", RUNS, &headers, b"{}".to_vec()).await?.status, 415);
    assert_eq!(post(&app, "m", RUNS, &json!({})).await?.status, 201);

    let padded = |bytes: usize| format!(r#"{{"padding": "{}"}}"#, "x".repeat(bytes));
    let large = post_as(&app, &app.tenant.token, "n", RUNS, padded(1024 * 1024)).await?;
    assert_eq!(large.not_detail(413, "The body must be at most 1048576 bytes"), None);
    let larger = post_as(&app, &app.tenant.token, "n", "/api/v1/test-run-results", padded(17 * 1024 * 1024)).await?;
    assert_eq!(larger.not_detail(413, "The body must be at most 16777216 bytes"), None);
    assert_eq!(post(&app, "n", RUNS, &json!({})).await?.status, 201);
    Ok(())
}

#[tokio::test]
async fn each_token_has_keys_of_its_own_and_nobody_has_none() -> anyhow::Result<()> {
    let app = App::start().await?;
    let second = app.db.token("Home", &app.tenant.email, Role::Admin).await?;
    let theirs = app.db.tenant("Theirs").await?.token;
    let mut ids = std::collections::BTreeSet::new();
    for token in [&app.tenant.token, &second, &theirs] {
        let run = post_as(&app, token, "k", RUNS, "{}").await?;
        assert_eq!((run.status, run.header("idempotency-replayed")), (201, ""), "{}", run.text());
        ids.insert(run.json()["id"].to_string());
    }
    assert_eq!(ids.len(), 3);
    assert_eq!(post_as(&app, "trn_nobody", "k", RUNS, "{}").await?.status, 401);
    crate::world::user(&app.client, "viewer@example.com").await?;
    let viewer = app.db.token("Home", "viewer@example.com", Role::Viewer).await?;
    let forbidden = post_as(&app, &viewer, "k", RUNS, "{}").await?;
    assert_eq!(forbidden.not_detail(403, "This needs the role 'member'; the token has 'viewer'"), None);
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM idempotency_keys").fetch_one(&app.db.pool).await?;
    assert_eq!(kept, 3);
    Ok(())
}

#[tokio::test]
async fn a_key_is_1_to_255_visible_ascii_characters() -> anyhow::Result<()> {
    let app = App::start().await?;
    let (longest, longer) = ("k".repeat(255), "k".repeat(256));
    let before = app.contents().await?;
    let mut wrong = Vec::new();
    for key in ["", &longer, "é", "two words", "a\tb"] {
        let answer = post(&app, key, RUNS, &json!({})).await?;
        wrong.extend(answer.not_invalid(&["Idempotency-Key"]).map(|what| format!("{key:?}: {what}")));
    }
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    for key in [longest.as_str(), "!", "~", "8e03978e-40d5-43e8-bc93-6894a57f9324", r#""quoted""#] {
        assert_eq!(post(&app, key, RUNS, &json!({})).await?.status, 201, "{key}");
    }
    Ok(())
}

#[tokio::test]
async fn a_tokens_secret_is_shown_once_and_kept_nowhere() -> anyhow::Result<()> {
    let app = App::start().await?;
    let body = json!({"name": "CI", "role": "viewer"});
    let first = post(&app, "k", "/api/v1/tokens", &body).await?;
    let secret = first.json()["token"].as_str().unwrap_or_default().to_owned();
    assert!(secret.starts_with("trn_"), "{}", first.text());
    let again = post(&app, "k", "/api/v1/tokens", &body).await?;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"));
    assert_eq!(again.json()["id"], first.json()["id"]);
    assert!(!again.text().contains(&secret), "{}", again.text());
    let record: Vec<u8> =
        sqlx::query_scalar("SELECT response_body FROM idempotency_keys").fetch_one(&app.db.pool).await?;
    assert!(!String::from_utf8_lossy(&record).contains(&secret));
    let rows: Vec<String> =
        sqlx::query_scalar("SELECT to_jsonb(t)::text FROM api_tokens t").fetch_all(&app.db.pool).await?;
    assert!(rows.len() == 2 && rows.iter().all(|row| !row.contains(&secret)), "{rows:?}");
    app.client.with_token(Some(&secret)).get(RUNS).await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn other_methods_know_no_keys() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = pending(&app.client, &json!({}), 0).await?;
    let authorization = format!("Bearer {}", app.tenant.token);
    let headers =
        [("authorization", authorization.as_str()), ("idempotency-key", "k"), ("content-type", "application/json")];
    let send = async |method: &str, path: &str, body: &str| {
        app.server.send(method, path, &headers, body.as_bytes().to_vec()).await
    };
    assert_eq!(send("GET", RUNS, "").await?.json()["total"], 1);
    assert_eq!(send("PUT", &run.path(), r#"{"notes": "one"}"#).await?.json()["notes"], "one");
    assert_eq!(send("PUT", &run.path(), r#"{"notes": "two"}"#).await?.json()["notes"], "two");
    assert_eq!(send("DELETE", &run.path(), "").await?.status, 204);
    assert_eq!(send("DELETE", &run.path(), "").await?.status, 404);
    let gone = send("GET", RUNS, "").await?;
    assert_eq!((&gone.json()["total"], gone.header("idempotency-replayed")), (&json!(0), ""));
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM idempotency_keys").fetch_one(&app.db.pool).await?;
    assert_eq!(kept, 0);
    Ok(())
}
