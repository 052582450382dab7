//! Requests about one run at once: whoever wins, the run ends once, legally, with counts that add up.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::app::{App, column, none_wrong};
use crate::world::{Run, case, pending, result_body};

const SEEDS: u64 = 200;
/// Runs that are fought over at the same time.
const AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_run_that_is_started_fifty_times_at_once_starts_once() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = pending(&app.client, &json!({}), 1).await?;
    let mut starting = JoinSet::new();
    for _ in 0..50 {
        let (client, path) = (app.client.clone(), format!("{}/start", run.path()));
        starting.spawn(async move { client.post(&path, &json!({})).await });
    }
    let mut statuses = BTreeMap::new();
    while let Some(answer) = starting.join_next().await {
        let answer = answer??;
        if answer.status != 200 {
            assert_eq!(answer.body, json!({"detail": "Cannot start test run: status is 'running'"}));
        }
        *statuses.entry(answer.status.as_u16()).or_insert(0) += 1;
    }
    assert_eq!(statuses, BTreeMap::from([(200, 1), (422, 49)]));
    assert_eq!(
        events(&app, &run.id).await?,
        BTreeMap::from([("run.created".to_owned(), 1), ("run.started".to_owned(), 1)])
    );
    Ok(())
}

/// How often each fact about a run was written down.
async fn events(app: &App, run: &str) -> anyhow::Result<BTreeMap<String, i64>> {
    let events: Vec<(String, i64)> =
        sqlx::query_as("SELECT type, count(*) FROM events WHERE test_run_id = $1::uuid GROUP BY type")
            .bind(run)
            .fetch_all(&app.db.pool)
            .await?;
    Ok(events.into_iter().collect())
}

/// What is done to a run of two items, and what each is answered.
const MOVES: [&str; 6] = ["start", "stop", "cancel", "first", "last", "work"];

/// Does one of the moves; its status, or 0 for what is no request.
async fn act(app: &App, run: &Run, action: &str) -> anyhow::Result<u16> {
    let answer = match action {
        // A worker that comes in between.
        "work" => {
            app.settle().await?;
            return Ok(0);
        }
        "first" | "last" => {
            let body = result_body(run, usize::from(action == "last"), &json!({"status": "passed"}));
            app.client.post("/api/v1/test-run-results", &body).await?
        }
        verb => app.client.post(&format!("{}/{verb}", run.path()), &json!({})).await?,
    };
    let status = answer.status.as_u16();
    anyhow::ensure!([200, 201, 422].contains(&status), "{action}: {status} {}", answer.body);
    Ok(status)
}

/// A small generator: seeds give the same order again.
fn shuffled(seed: u64) -> Vec<&'static str> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut moves = MOVES.to_vec();
    for last in (1..moves.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let other = usize::try_from(state % (u64::try_from(last).unwrap_or(0) + 1)).unwrap_or(0);
        moves.swap(last, other);
    }
    moves
}

/// Lets all moves loose on a run, and tells what is wrong with what becomes of it. Every fourth run's moves come one after
/// another in their order: on any machine, some of those runs get to their end before somebody ends them.
async fn fight(app: Arc<App>, cases: [String; 2], seed: u64) -> anyhow::Result<Vec<String>> {
    let mut run = pending(&app.client, &json!({"run_name": format!("Seed {seed}")}), 0).await?;
    let items = app.client.post(&format!("{}/items/bulk", run.path()), &json!({"test_case_ids": cases})).await?;
    run.items = column(&items.expect(201)?, "id").into_iter().filter_map(|id| id.as_str().map(str::to_owned)).collect();
    // Half of the runs are under way already.
    if seed.is_multiple_of(2) {
        app.client.post(&format!("{}/start", run.path()), &json!({})).await?.expect(200)?;
    }
    let run = Arc::new(run);
    let (mut acting, mut told) = (JoinSet::new(), BTreeMap::new());
    for action in shuffled(seed) {
        let (app, run) = (app.clone(), run.clone());
        let moving = async move { anyhow::Ok((action, act(&app, &run, action).await?)) };
        if seed.is_multiple_of(4) {
            let (action, status) = moving.await?;
            told.insert(action, status);
        } else {
            acting.spawn(moving);
        }
    }
    while let Some(done) = acting.join_next().await {
        let (action, status) = done??;
        told.insert(action, status);
    }
    // Every second run may end by itself first; whoever is still running is stopped.
    if seed.is_multiple_of(2) {
        app.settle().await?;
    }
    let stopped = app.client.post(&format!("{}/stop", run.path()), &Value::Null).await?;
    if stopped.status != 200 {
        app.client.post(&format!("{}/cancel", run.path()), &Value::Null).await?;
    }
    app.settle().await?;
    let wrong = illegal(&app, &run, &told).await?;
    Ok(wrong.into_iter().map(|what| format!("seed {seed}, {:?}, {told:?}: {what}", shuffled(seed))).collect())
}

async fn illegal(app: &App, run: &Run, told: &BTreeMap<&str, u16>) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    let read = app.client.get(&run.path()).await?.expect(200)?;
    let items = app.client.get(&format!("{}/items", run.path())).await?.expect(200)?;
    let results = app.client.get(&format!("{}/results", run.path())).await?.expect(200)?;
    let items = column(&items, "status");
    let accepted = ["first", "last"].iter().filter(|action| told[**action] == 201).count();
    let passed = items.iter().filter(|status| **status == "passed").count();
    let counts = ["passed_tests", "failed_tests", "skipped_tests", "no_run_tests"].map(|name| read[name].as_i64());
    if results["total"] != json!(accepted) || passed != accepted {
        wrong.push(format!("{accepted} results were accepted, {} are there, items are {items:?}", results["total"]));
    }
    if read["total_tests"] != 2
        || counts != [i64::try_from(passed).ok(), Some(0), i64::try_from(2 - passed).ok(), Some(0)]
    {
        wrong.push(format!("the counts {counts:?} are not those of {items:?}"));
    }
    if !items.iter().all(|status| **status == "passed" || **status == "skipped") {
        wrong.push(format!("the items ended as {items:?}"));
    }
    match read["status"].as_str() {
        Some("completed") if passed == 2 => {}
        Some("cancelled") => {}
        other => wrong.push(format!("ended as {other:?} with {items:?}")),
    }
    if told["stop"] == 200 && told["cancel"] == 200 {
        wrong.push("was both stopped and cancelled".to_owned());
    }
    if read["completed_at"].is_null() || (read["started_at"].is_null() && accepted > 0) {
        wrong.push(format!("its times are {} to {}", read["started_at"], read["completed_at"]));
    }
    let events = events(app, &run.id).await?;
    let ends: i64 = ["run.completed", "run.cancelled", "run.failed"].iter().filter_map(|name| events.get(*name)).sum();
    let begun = i64::from(!read["started_at"].is_null());
    if ends != 1 || events.get("run.started").copied().unwrap_or(0) != begun {
        wrong.push(format!("its events are {events:?}"));
    }
    Ok(wrong)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn start_stop_cancel_and_the_last_results_race_to_one_legal_end() -> anyhow::Result<()> {
    let app = Arc::new(App::start().await?);
    let cases = [case(&app.client, "One").await?, case(&app.client, "Two").await?];
    let (mut fights, mut wrong) = (JoinSet::new(), Vec::new());
    for seed in 0..SEEDS {
        if fights.len() >= AT_ONCE
            && let Some(ended) = fights.join_next().await
        {
            wrong.extend(ended??);
        }
        fights.spawn(fight(app.clone(), cases.clone(), seed));
    }
    while let Some(ended) = fights.join_next().await {
        wrong.extend(ended??);
    }
    none_wrong(&wrong);
    let ends: Vec<(String, i64)> =
        sqlx::query_as("SELECT status, count(*) FROM test_runs GROUP BY status").fetch_all(&app.db.pool).await?;
    assert!(ends.iter().any(|(status, _)| status == "completed"), "nobody ever got to the end: {ends:?}");
    assert!(ends.iter().any(|(status, _)| status == "cancelled"), "nobody was ever too late: {ends:?}");
    Ok(())
}
