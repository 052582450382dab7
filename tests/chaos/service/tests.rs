//! The verdict finds what it is there to find.

use super::*;

/// What is spoilt, and the checks that have to find more than before.
const SPOILT: [(&str, &[&str]); 12] = [
    (
        "DELETE FROM test_run_results WHERE id = (SELECT min(id::text)::uuid FROM test_run_results)",
        &["results are as told"],
    ),
    (
        "UPDATE test_run_results SET duration_ms = duration_ms + 1
         WHERE id = (SELECT max(id::text)::uuid FROM test_run_results)",
        &["results are as told"],
    ),
    (
        "DELETE FROM test_step_results WHERE id = (SELECT min(id::text)::uuid FROM test_step_results)",
        &["steps, checkpoints and log lines"],
    ),
    (
        "UPDATE test_run_items SET status = 'skipped'
         WHERE id = (SELECT min(id::text)::uuid FROM test_run_items WHERE status = 'passed')",
        &["items have the outcome", "changes of a status", "run_counts"],
    ),
    (
        "UPDATE test_runs SET run_number = run_number + 100 WHERE run_number = 1",
        &["run numbers have no gap", "runs are as told"],
    ),
    (
        "DELETE FROM idempotency_keys WHERE key = (SELECT min(key) FROM idempotency_keys WHERE response_status < 300)",
        &["keys of successful POSTs"],
    ),
    (
        "UPDATE test_cases SET description = 'another' WHERE external_key = 'Nightly 1'",
        &["test cases are as told"],
    ),
    ("DELETE FROM notifications WHERE recipient = 'qa@example.com'", &["one mail for each recipient"]),
    ("DELETE FROM webhook_deliveries", &["one delivery each"]),
    ("DELETE FROM schedule_executions", &["one run each"]),
    (
        "INSERT INTO events (id, project_id, type, test_run_id, data)
         SELECT gen_random_uuid(), project_id, type, test_run_id, data FROM events WHERE type = 'run.created' LIMIT 1",
        &["one event of each kind"],
    ),
    (
        "INSERT INTO events (id, project_id, type, test_run_id, data)
         SELECT gen_random_uuid(), project_id, type, test_run_id, data FROM events WHERE type = 'item.finished' LIMIT 1",
        &["told to be finished once"],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_doubled_or_wrong_is_found() -> anyhow::Result<()> {
    let duration = Duration::from_secs(2);
    let options = Options { seed: 1, duration, results: 60, kills: 0, clients: 2, schedules: 2 };
    let mut stage = Stage::set(1).await?;
    let plan = Plan::draw(1, duration, 0, MEMBERS);
    assert_eq!(plan.0, []);
    let (load, unsettled) = perform(&mut stage, options, &plan, |_| {}).await?;
    assert_eq!(unsettled, Vec::<String>::new());
    let mut before = Verdict::reach(&mut stage, &load, &RECIPIENTS).await?.violations();
    assert_eq!(before, Vec::<String>::new());
    for (sql, checks) in SPOILT {
        sqlx::raw_sql(sql).execute(&stage.pool).await?;
        let after = Verdict::reach(&mut stage, &load, &RECIPIENTS).await?.violations();
        for check in checks {
            let count = |found: &[String]| found.iter().filter(|violation| violation.contains(check)).count();
            assert!(count(&after) > count(&before), "{check} after {sql}: {after:#?}");
        }
        before = after;
    }
    stage.clear().await
}
