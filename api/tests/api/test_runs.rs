//! `/test-runs`

use serde_json::{Value, json};

use crate::app::{App, has, none_wrong};
use crate::world::{self, id, pending, running};

const RUNS: &str = "/api/v1/test-runs";

#[tokio::test]
async fn runs_are_numbered_from_one_in_each_project_and_named_after_their_number() -> anyhow::Result<()> {
    let app = App::start().await?;
    let other = app.db.tenant("Other").await?;
    let first = app.client.post(RUNS, &json!({})).await?.expect(201)?;
    let second = app.client.post(RUNS, &json!({"run_name": null, "tags": null})).await?.expect(201)?;
    let theirs = app.client.with_token(Some(&other.token)).post(RUNS, &json!({})).await?.expect(201)?;
    let told = |run: &Value| (run["run_number"].as_i64(), run["run_name"].as_str().map(str::to_owned));
    assert_eq!(told(&first), (Some(1), Some("Run_001".to_owned())));
    assert_eq!(told(&second), (Some(2), Some("Run_002".to_owned())));
    assert_eq!(told(&theirs), (Some(1), Some("Run_001".to_owned())));
    Ok(())
}

#[tokio::test]
async fn a_run_has_the_specifications_defaults_and_reads_as_it_was_answered() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = app.client.post(RUNS, &json!({})).await?.expect(201)?;
    let expected = json!({
        "status": "pending", "suite_path": null, "duration_ms": 0, "total_tests": 0, "pass_rate": 0.0,
        "parallel_enabled": false, "parallel_count": 1, "retry_count": 0, "retry_on_failure": false, "tags": null,
        "scheduled_at": null, "started_at": null, "completed_at": null, "failure_reason": null,
    });
    has(&run, &expected);
    assert_eq!(app.client.get(&format!("{RUNS}/{}", id(&run["id"])?)).await?.expect(200)?, run);
    Ok(())
}

#[tokio::test]
async fn fields_that_the_server_owns_or_does_not_know_are_ignored() -> anyhow::Result<()> {
    let app = App::start().await?;
    let foreign = "00000000-0000-0000-0000-000000000001";
    let body = json!({
        "id": foreign, "project_id": foreign, "created_by": foreign, "run_number": 77, "status": "completed",
        "passed_tests": 5, "deleted_at": "2026-01-01T00:00:00Z", "no such field": {"a": [1, 2, 3]},
    });
    let run = app.client.post(RUNS, &body).await?.expect(201)?;
    assert_ne!(run["id"], foreign);
    assert_eq!(run["project_id"], app.tenant.project_id.to_string());
    assert_eq!(run["created_by"], app.tenant.user_id.to_string());
    assert_eq!((&run["run_number"], &run["status"], &run["passed_tests"]), (&json!(1), &json!("pending"), &json!(0)));
    Ok(())
}

#[tokio::test]
async fn text_of_every_script_and_length_survives() -> anyhow::Result<()> {
    let app = App::start().await?;
    let name = "é😀𝄞".repeat(85);
    assert_eq!(name.chars().count(), 255);
    let body = json!({"run_name": name, "notes": "zero\u{200b}width, \u{202e}turned\u{202c}, \\u0000 spelt out\r\n", "tags": ["日本"]});
    let run = app.client.post(RUNS, &body).await?.expect(201)?;
    let read = app.client.get(&format!("{RUNS}/{}", id(&run["id"])?)).await?.expect(200)?;
    has(&read, &body);
    Ok(())
}

#[tokio::test]
async fn starting_needs_test_cases_and_happens_once() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = pending(&app.client, &json!({}), 0).await?;
    let start = format!("{}/start", run.path());
    let mut wrong = Vec::new();
    let before = app.contents().await?;
    let empty = app.send("POST", &start, "{}").await?;
    wrong.extend(empty.not_detail(422, "Cannot start test run: it has no test cases"));
    assert_eq!(app.contents().await?, before);

    let case = world::case(&app.client, "Only").await?;
    app.client.post(&format!("{}/items", run.path()), &json!({"test_case_id": case})).await?.expect(201)?;
    let started =
        app.client.post(&start, &json!({"browser_name": "webkit", "viewport_width": 800})).await?.expect(200)?;
    assert_eq!(started["message"], "Test run started with 1 test case");
    let read = app.client.get(&run.path()).await?.expect(200)?;
    assert_eq!((&read["status"], &read["browser_name"]), (&json!("running"), &json!("webkit")));
    assert_eq!((&read["started_at"], &read["viewport_width"]), (&started["started_at"], &json!(800)));

    let before = app.contents().await?;
    let again = app.send("POST", &start, "{}").await?;
    wrong.extend(again.not_detail(422, "Cannot start test run: status is 'running'"));
    assert_eq!(app.contents().await?, before);
    none_wrong(&wrong);
    Ok(())
}

#[tokio::test]
async fn starting_takes_no_body_and_no_content_type_too() -> anyhow::Result<()> {
    let app = App::start().await?;
    let authorization = format!("Bearer {}", app.tenant.token);
    let authorization = ("authorization", authorization.as_str());
    for headers in [vec![authorization], vec![authorization, ("content-type", "application/json; charset=utf-8")]] {
        let run = pending(&app.client, &json!({}), 1).await?;
        let started = app.server.send("POST", &format!("{}/start", run.path()), &headers, Vec::new()).await?;
        assert_eq!(started.status, 200, "{}", started.text());
    }
    Ok(())
}

#[tokio::test]
async fn a_case_without_a_recording_is_no_run_once_its_run_starts() -> anyhow::Result<()> {
    let app = App::start().await?;
    let case = json!({"name": "Unrecorded", "has_recording": false});
    let case = app.client.post("/api/v1/test-cases", &case).await?.expect(201)?;
    let run = pending(&app.client, &json!({}), 1).await?;
    app.client.post(&format!("{}/items", run.path()), &json!({"test_case_id": case["id"]})).await?.expect(201)?;
    app.client.post(&format!("{}/start", run.path()), &json!({})).await?.expect(200)?;
    app.settle().await?;
    let read = app.client.get(&run.path()).await?.expect(200)?;
    assert_eq!(
        (&read["status"], &read["total_tests"], &read["no_run_tests"]),
        (&json!("running"), &json!(2), &json!(1))
    );
    Ok(())
}

#[tokio::test]
async fn stopping_ends_a_running_run_and_skips_what_is_unfinished() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = running(&app.client, &json!({}), 3).await?;
    world::submit(&app.client, &run, 1, &json!({"status": "passed"})).await?;
    let stopped = app.client.post(&format!("{}/stop", run.path()), &Value::Null).await?.expect(200)?;
    let expected =
        json!({"status": "cancelled", "total_tests": 3, "passed_tests": 1, "skipped_tests": 2, "pass_rate": 33.33});
    has(&stopped, &expected);
    assert!(stopped["completed_at"].is_string());
    app.settle().await?;

    let late = world::result_body(&run, 0, &json!({"status": "passed"})).to_string();
    let before = app.contents().await?;
    let mut wrong = Vec::new();
    let answer = app.send("POST", "/api/v1/test-run-results", late).await?;
    wrong.extend(answer.not_detail(422, "Cannot submit result: test run status is 'cancelled'"));
    for (verb, sentence) in [
        ("start", "Cannot start test run: status is 'cancelled'"),
        ("stop", "Cannot stop test run: status is 'cancelled'"),
        ("cancel", "Cannot cancel test run: status is 'cancelled'"),
    ] {
        wrong.extend(app.send("POST", &format!("{}/{verb}", run.path()), "").await?.not_detail(422, sentence));
    }
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn cancelling_ends_a_run_that_has_not_begun_and_no_other() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = pending(&app.client, &json!({}), 2).await?;
    let mut wrong = Vec::new();
    let stop = app.send("POST", &format!("{}/stop", run.path()), "").await?;
    wrong.extend(stop.not_detail(422, "Cannot stop test run: status is 'pending'"));
    let cancelled = app.client.post(&format!("{}/cancel", run.path()), &Value::Null).await?.expect(200)?;
    assert_eq!((&cancelled["status"], &cancelled["skipped_tests"]), (&json!("cancelled"), &json!(2)));

    let run = running(&app.client, &json!({}), 1).await?;
    let cancel = app.send("POST", &format!("{}/cancel", run.path()), "").await?;
    wrong.extend(cancel.not_detail(422, "Cannot cancel test run: status is 'running'"));
    none_wrong(&wrong);
    Ok(())
}

#[tokio::test]
async fn a_run_completes_with_its_last_item_whatever_passed() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = running(&app.client, &json!({}), 2).await?;
    world::submit(&app.client, &run, 0, &json!({"status": "failed"})).await?;
    app.settle().await?;
    assert_eq!(app.client.get(&run.path()).await?.expect(200)?["status"], "running");
    world::submit(&app.client, &run, 1, &json!({"status": "failed"})).await?;
    app.settle().await?;
    let read = app.client.get(&run.path()).await?.expect(200)?;
    assert_eq!(
        (&read["status"], &read["failed_tests"], &read["pass_rate"]),
        (&json!("completed"), &json!(2), &json!(0.0))
    );
    let start = app.send("POST", &format!("{}/start", run.path()), "").await?;
    none_wrong(&Vec::from_iter(start.not_detail(422, "Cannot start test run: status is 'completed'")));
    Ok(())
}

#[tokio::test]
async fn a_summary_counts_items_at_once() -> anyhow::Result<()> {
    let app = App::start().await?;
    let run = running(&app.client, &json!({}), 3).await?;
    world::submit(&app.client, &run, 0, &json!({"status": "passed", "total_steps": 3, "passed_steps": 2})).await?;
    let summary = app.client.get(&format!("{}/summary", run.path())).await?.expect(200)?;
    assert_eq!((&summary["summary"]["total_tests"], &summary["summary"]["passed_tests"]), (&json!(3), &json!(1)));
    assert_eq!((&summary["summary"]["pass_rate"], &summary["items"][0]["pass_rate"]), (&json!(33.33), &json!(66.67)));
    let names: Vec<_> = summary["items"].as_array().into_iter().flatten().map(|item| &item["test_case_name"]).collect();
    assert_eq!(names, ["Case 1", "Case 2", "Case 3"]);
    Ok(())
}

/// Four runs that differ in everything a list can be narrowed to.
async fn runs_to_list() -> anyhow::Result<App> {
    let app = App::start().await?;
    let create = async |body: Value| app.client.post(RUNS, &body).await?.expect(201);
    create(json!({"run_name": "100% green", "suite_path": ["ROOT", "Regression", "Smoke"], "tags": ["a", "b"]}))
        .await?;
    create(json!({"run_name": "100 green", "suite_path": ["ROOT", "Regression"], "tags": ["a"]})).await?;
    create(json!({"run_name": "Under_score", "suite_path": ["ROOT", "RegressionTwo"], "tags": ["b", "c"]})).await?;
    let run = running(&app.client, &json!({"run_name": "Underscore \\ É"}), 2).await?;
    world::submit(&app.client, &run, 0, &json!({"status": "passed"})).await?;
    app.settle().await?;
    // The runs' days are told apart by hand: the server alone sets them.
    let days = "UPDATE test_runs SET created_at = make_timestamptz(2026, 1, 10 + run_number, 23, 59, 59.999999, 'UTC')";
    sqlx::query(days).execute(&app.db.pool).await?;
    Ok(app)
}

#[tokio::test]
async fn a_list_is_narrowed_by_each_filter_and_by_all_together() -> anyhow::Result<()> {
    let app = runs_to_list().await?;
    let user = app.tenant.user_id;
    let by_user = format!("created_by={user}");
    let stranger = format!("created_by={}", uuid::Uuid::new_v4());
    let filters: &[(&str, &[i64])] = &[
        ("", &[4, 3, 2, 1]),
        ("status=running", &[4]),
        ("status=failed", &[]),
        ("search=", &[4, 3, 2, 1]),
        ("suite_path=ROOT", &[3, 2, 1]),
        ("suite_path=ROOT,Regression", &[2, 1]),
        ("suite_path=ROOT,%20Regression,Smoke", &[1]),
        ("suite_path=Regression", &[]),
        ("tags=a", &[2, 1]),
        ("tags=b,a", &[1]),
        ("search=GREEN", &[2, 1]),
        ("search=100%25", &[1]),
        ("search=under_s", &[3]),
        ("search=%5C", &[4]),
        ("search=%C3%A9", &[4]),
        ("search='%3B--", &[]),
        ("from_date=2026-01-12&to_date=2026-01-13", &[3, 2]),
        ("from_date=2026-01-13T23:59:59.999999Z", &[4, 3]),
        ("to_date=2026-01-12T23:59:59.999999Z", &[2, 1]),
        ("to_date=2026-01-13T01:59:59.999998%2B02:00", &[1]),
        (&by_user, &[4, 3, 2, 1]),
        (&stranger, &[]),
        ("sort_order=asc", &[1, 2, 3, 4]),
        ("sort_by=pass_rate&search=under", &[4, 3]),
        ("sort_by=pass_rate&sort_order=asc&search=under", &[3, 4]),
        ("sort_by=started_at&limit=1", &[4]),
        ("tags=a&suite_path=ROOT,Regression,Smoke&status=pending&search=green&from_date=2026-01-11", &[1]),
        ("no_such_filter=1", &[4, 3, 2, 1]),
    ];
    let mut wrong = Vec::new();
    for (query, expected) in filters {
        let list = app.client.get(&format!("{RUNS}?{query}")).await?.expect(200)?;
        let numbers: Vec<_> =
            list["items"].as_array().into_iter().flatten().filter_map(|run| run["run_number"].as_i64()).collect();
        if numbers != *expected || (list["total"] != json!(expected.len()) && !query.contains("limit")) {
            wrong.push(format!("{query}: {numbers:?} of {} instead of {expected:?}", list["total"]));
        }
    }
    none_wrong(&wrong);
    Ok(())
}

#[tokio::test]
async fn pages_cover_a_list_once_even_where_the_order_is_a_tie() -> anyhow::Result<()> {
    let app = App::start().await?;
    for _ in 0..7 {
        app.client.post(RUNS, &json!({})).await?.expect(201)?;
    }
    sqlx::query("UPDATE test_runs SET created_at = '2026-01-01T00:00:00Z'").execute(&app.db.pool).await?;
    for sort in ["created_at", "started_at", "pass_rate"] {
        let mut seen = std::collections::BTreeSet::new();
        for offset in [0, 3, 6] {
            let page = app.client.get(&format!("{RUNS}?sort_by={sort}&limit=3&offset={offset}")).await?.expect(200)?;
            assert_eq!((&page["total"], &page["limit"], &page["offset"]), (&json!(7), &json!(3), &json!(offset)));
            seen.extend(page["items"].as_array().into_iter().flatten().filter_map(|run| run["run_number"].as_i64()));
        }
        assert_eq!(seen.len(), 7, "{sort}: {seen:?}");
    }
    let beyond = app.client.get(&format!("{RUNS}?offset=9223372036854775807")).await?.expect(200)?;
    assert_eq!((&beyond["items"], &beyond["total"]), (&json!([]), &json!(7)));
    Ok(())
}

#[tokio::test]
async fn runs_made_at_once_get_numbers_without_gaps() -> anyhow::Result<()> {
    let app = App::start().await?;
    let mut creating = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let client = app.client.clone();
        creating.spawn(async move {
            loop {
                let answer = client.post(RUNS, &json!({})).await?;
                // On a busy machine some wait too long for a connection, and are told to try again.
                if answer.status != 503 {
                    return answer.expect(201);
                }
            }
        });
    }
    let mut numbers = Vec::new();
    while let Some(run) = creating.join_next().await {
        numbers.push(run??["run_number"].as_i64().unwrap_or_default());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=100).collect::<Vec<_>>());
    Ok(())
}
