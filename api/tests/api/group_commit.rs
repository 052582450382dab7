//! Results that arrive at the same time share transactions, and nobody can tell but by the speed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{Postgres, Transaction};
use test_support::until;
use testrun_shared::db;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::app::{App, Raw};
use crate::world::{Run, result_body, running, with};

const RESULTS: &str = "/api/v1/test-run-results";

/// Closes the gate of a run's results, as a refresh does: whatever comes now waits until the transaction ends.
async fn closed_gate(app: &App, run: &Run) -> anyhow::Result<Transaction<'static, Postgres>> {
    let mut tx = app.db.pool.begin().await?;
    db::test_runs::close_gate(&mut *tx, Uuid::parse_str(&run.id)?).await?;
    Ok(tx)
}

/// Sends all of these at once while the gate is closed, each with its key if it has one, and opens the gate once the first
/// wait at it. The answers are in the order of the bodies.
async fn at_once(app: &Arc<App>, run: &Run, bodies: Vec<(Option<String>, Value)>) -> anyhow::Result<Vec<Raw>> {
    let gate = closed_gate(app, run).await?;
    let mut sending = JoinSet::new();
    for (index, (key, body)) in bodies.into_iter().enumerate() {
        let app = Arc::clone(app);
        sending.spawn(async move {
            let authorization = format!("Bearer {}", app.tenant.token);
            let mut headers = vec![("authorization", authorization.as_str()), ("content-type", "application/json")];
            headers.extend(key.as_deref().map(|key| ("idempotency-key", key)));
            let answer = app.server.send("POST", RESULTS, &headers, body.to_string().into_bytes()).await;
            answer.map(|answer| (index, answer))
        });
    }
    until("results to wait at the gate", Duration::from_secs(10), || async {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .fetch_one(&app.db.pool)
        .await?;
        Ok((waiting > 0).then_some(()))
    })
    .await?;
    gate.rollback().await?;
    let mut answers = BTreeMap::new();
    while let Some(answer) = sending.join_next().await {
        let (index, answer) = answer??;
        answers.insert(index, answer);
    }
    Ok(answers.into_values().collect())
}

/// How many results are stored, and in how many transactions.
async fn stored(app: &App) -> anyhow::Result<(i64, i64)> {
    Ok(sqlx::query_as("SELECT count(*), count(DISTINCT xmin::text) FROM test_run_results")
        .fetch_one(&app.db.pool)
        .await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn they_share_transactions_and_each_gets_its_own_answer() -> anyhow::Result<()> {
    let app = Arc::new(App::start().await?);
    let run = running(&app.client, &json!({}), 80).await?;
    let steps = json!([{"step_number": 1, "action": "click", "status": "passed"}]);
    let mut bodies: Vec<_> =
        (0..80).map(|item| (None, result_body(&run, item, &json!({"status": "passed", "steps": steps})))).collect();
    // Each of these is refused, for a reason of its own.
    let twice = json!([{"step_number": 1, "action": "a", "status": "passed"}, {"step_number": 1, "action": "b", "status": "passed"}]);
    let wrong = [
        (json!({"test_run_item_id": Uuid::now_v7()}), 404),
        (json!({"test_case_id": Uuid::now_v7()}), 400),
        (json!({"steps": twice}), 400),
        (json!({"total_steps": 1, "passed_steps": 2}), 400),
        (
            json!({"checkpoints": [{"step_number": 7, "checkpoint_name": "C", "checkpoint_type": "element", "status": "passed"}]}),
            400,
        ),
    ];
    for (place, (fields, _)) in wrong.iter().enumerate() {
        bodies[place * 5].1 = with(bodies[place * 5].1.clone(), fields);
    }
    let answers = at_once(&app, &run, bodies).await?;
    for (index, answer) in answers.iter().enumerate() {
        let expected = if index % 5 == 0 && index / 5 < wrong.len() { wrong[index / 5].1 } else { 201 };
        assert_eq!(answer.status, expected, "{index}: {}", answer.text());
        if expected == 201 {
            let id = answer.json()["id"].clone();
            assert_eq!(answer.json()["test_run_item_id"], *run.items[index]);
            let path = format!("{RESULTS}/{}", id.as_str().unwrap_or_default());
            assert_eq!(app.client.get(&path).await?.expect(200)?, answer.json(), "what was answered is what is stored");
            assert_eq!(app.client.get(&format!("{path}/steps")).await?.expect(200)?["total"], 1);
        }
    }
    let (results, transactions) = stored(&app).await?;
    assert_eq!(results, 75);
    assert!(transactions < results, "{results} results in {transactions} transactions");
    let most: i64 =
        sqlx::query_scalar("SELECT count(*) FROM test_run_results GROUP BY xmin::text ORDER BY 1 DESC LIMIT 1")
            .fetch_one(&app.db.pool)
            .await?;
    assert!(most <= 32, "{most} items were locked at once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_the_database_refuses_is_in_nobody_elses_way() -> anyhow::Result<()> {
    let app = Arc::new(App::start().await?);
    let run = running(&app.client, &json!({}), 20).await?;
    // A rule that only the database knows.
    sqlx::query("ALTER TABLE test_run_results ADD CONSTRAINT odd CHECK (duration_ms <> 13)")
        .execute(&app.db.pool)
        .await?;
    let duration = |item| if item == 11 { 13 } else { 12 };
    let bodies = (0..20)
        .map(|item| (None, result_body(&run, item, &json!({"status": "passed", "duration_ms": duration(item)}))));
    let answers = at_once(&app, &run, bodies.collect()).await?;
    for (index, answer) in answers.iter().enumerate() {
        assert_eq!(answer.status, if index == 11 { 500 } else { 201 }, "{index}: {}", answer.text());
    }
    assert_eq!(stored(&app).await?.0, 19);
    // The run goes on as if nothing had been.
    let again = result_body(&run, 11, &json!({"status": "passed"}));
    app.client.post(RESULTS, &again).await?.expect(201)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn results_for_one_item_come_one_after_the_other() -> anyhow::Result<()> {
    let app = Arc::new(App::start().await?);
    let run = running(&app.client, &json!({"retry_on_failure": true, "retry_count": 9}), 1).await?;
    let bodies = (0..8).map(|_| (None, result_body(&run, 0, &json!({"status": "failed"})))).collect();
    let answers = at_once(&app, &run, bodies).await?;
    let mut attempts: Vec<_> = answers.iter().map(|answer| answer.json()["retry_attempt"].as_i64()).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, (0..8).map(Some).collect::<Vec<_>>(), "{answers:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_key_has_one_effect_and_one_answer() -> anyhow::Result<()> {
    let app = Arc::new(App::start().await?);
    let run = running(&app.client, &json!({}), 10).await?;
    // Each result three times under its key, and one more under the first one's.
    let mut bodies: Vec<_> = (0..30)
        .map(|n| (Some(format!("key-{}", n % 10)), result_body(&run, n % 10, &json!({"status": "passed"}))))
        .collect();
    bodies.push((Some("key-0".to_owned()), result_body(&run, 0, &json!({"status": "failed"}))));
    let answers = at_once(&app, &run, bodies.clone()).await?;
    assert!(answers.iter().all(|answer| [201, 409, 422].contains(&answer.status)), "{answers:?}");
    // Whoever was told that the first one was in flight asks again.
    for (index, (key, body)) in bodies[..30].iter().enumerate() {
        let authorization = format!("Bearer {}", app.tenant.token);
        let key = key.clone().unwrap_or_default();
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
            ("idempotency-key", &key),
        ];
        let again = app.server.send("POST", RESULTS, &headers, body.to_string().into_bytes()).await?;
        let first: Vec<_> = answers.iter().skip(index % 10).step_by(10).take(3).filter(|a| a.status == 201).collect();
        // The odd one may have been the first under its key; then these are refused.
        if index % 10 != 0 || again.status == 201 {
            assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"), "{}", again.text());
            assert!(first.iter().all(|answer| answer.bytes == again.bytes), "{index}");
        }
    }
    assert_eq!(stored(&app).await?.0, 10);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_repetition_that_its_item_would_take_is_stored_once_and_in_nobody_elses_way() -> anyhow::Result<()> {
    let app = Arc::new(App::start().await?);
    let run = running(&app.client, &json!({"retry_on_failure": true, "retry_count": 9}), 20).await?;
    let body = |item| (Some(format!("key-{item}")), result_body(&run, item, &json!({"status": "failed"})));
    let firsts = at_once(&app, &run, (0..10).map(body).collect()).await?;
    assert!(firsts.iter().all(|answer| answer.status == 201), "{firsts:?}");
    // All of these items wait for their next attempt.
    let answers = at_once(&app, &run, (0..20).map(body).collect()).await?;
    for (index, answer) in answers.iter().enumerate() {
        let replayed = if index < 10 { "true" } else { "" };
        assert_eq!(
            (answer.status, answer.header("idempotency-replayed")),
            (201, replayed),
            "{index}: {}",
            answer.text()
        );
        assert!(firsts.get(index).is_none_or(|first| first.bytes == answer.bytes), "{index}");
    }
    assert_eq!(stored(&app).await?.0, 20);
    Ok(())
}
