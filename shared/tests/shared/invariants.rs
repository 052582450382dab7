//! What must always be so is found broken where it is, and nowhere else.

use serde_json::json;
use test_support::until;
use testrun_shared::actions::{finalise, refresh, schedules, test_runs};
use testrun_shared::db;
use testrun_shared::db::invariants::{self, CHECKS, Finding};
use testrun_shared::domain::notification::NotificationKind;

use crate::world::{SOON, Started, World, utc};

/// A check, and how to break what it looks at.
type Damage = (&'static str, &'static [&'static str]);

/// Each leaves traces of a recent change, as whoever breaks something by a fault of the service would.
const DAMAGES: &[Damage] = &[
    (
        "run_counts",
        &["UPDATE test_runs SET passed_tests = passed_tests - 1, updated_at = now() WHERE passed_tests > 0"],
    ),
    ("run_counts", &["UPDATE test_runs SET pass_rate = pass_rate - 1, updated_at = now() WHERE pass_rate > 1"]),
    (
        "item_status",
        &[
            "UPDATE test_run_items SET status = 'failed', updated_at = now() WHERE status = 'passed' AND NOT is_data_driven",
            "UPDATE test_runs SET passed_tests = 0, failed_tests = 1, pass_rate = 0, updated_at = now() WHERE run_name = 'Plain'",
        ],
    ),
    (
        "item_status",
        &[
            "DELETE FROM test_run_results r USING test_run_items i WHERE i.id = r.test_run_item_id AND NOT i.is_data_driven",
            "UPDATE test_run_items SET updated_at = now() WHERE NOT is_data_driven",
            "UPDATE test_runs SET updated_at = now()",
        ],
    ),
    (
        "item_counts",
        &["UPDATE test_run_items SET total_steps = total_steps + 1, updated_at = now() WHERE total_steps > 0"],
    ),
    ("item_counts", &["UPDATE test_run_items SET passed_iterations = 1, updated_at = now() WHERE is_data_driven"]),
    (
        "unfinished_items",
        &[
            "DELETE FROM test_run_results r USING test_run_items i
             WHERE i.id = r.test_run_item_id AND i.status = 'passed' AND NOT i.is_data_driven",
            "UPDATE test_run_items SET status = 'pending', completed_at = NULL, updated_at = now()
             WHERE status = 'passed' AND NOT is_data_driven",
            "UPDATE test_runs SET passed_tests = 0, pass_rate = 0, updated_at = now() WHERE run_name = 'Plain'",
        ],
    ),
    (
        "completed_at",
        &[
            "UPDATE test_run_items SET completed_at = NULL, updated_at = now() WHERE status = 'passed' AND is_data_driven",
        ],
    ),
    (
        "completed_at",
        &[
            "ALTER TABLE test_runs DROP CONSTRAINT test_runs_lifecycle_check",
            "UPDATE test_runs SET completed_at = now(), finalised_at = now(), updated_at = now() WHERE status = 'pending'",
        ],
    ),
    ("occurrences", &["UPDATE test_runs SET scheduled_at = now(), updated_at = now() WHERE run_name = 'Plain'"]),
    (
        "occurrences",
        &[
            "UPDATE schedule_executions SET scheduled_for = scheduled_for + interval '1 h' WHERE test_run_id IS NOT NULL",
            "UPDATE test_runs SET updated_at = now() WHERE scheduled_at IS NOT NULL",
        ],
    ),
    ("executions", &["UPDATE schedule_executions SET status = 'completed' WHERE test_run_id IS NOT NULL"]),
    (
        "executions",
        &[
            "INSERT INTO schedule_executions (schedule_id, scheduled_for, status) SELECT id, now(), 'running' FROM schedules",
        ],
    ),
    ("run_numbers", &["UPDATE projects SET last_run_number = last_run_number + 1"]),
    ("run_numbers", &["UPDATE test_runs SET run_number = 1000 WHERE run_name = 'Plain'"]),
    (
        "notifications",
        &["INSERT INTO notifications (id, test_run_id, kind, recipient)
           SELECT gen_random_uuid(), test_run_id, 'completion', recipient FROM notifications"],
    ),
    (
        "unfinalised_runs",
        &[
            "UPDATE test_runs SET finalised_at = NULL, completed_at = now() - interval '11 minutes' WHERE run_name = 'Plain'",
        ],
    ),
    (
        "unrefreshed_runs",
        &["INSERT INTO run_refreshes SELECT id, now() - interval '11 minutes' FROM test_runs WHERE run_name = 'Plain'"],
    ),
    (
        "orphaned_jobs",
        &["INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, lock_at, priority)
           VALUES ('lost', 'send_email', '{}', 'Running', 1, 1, now(), now() - interval '2 minutes', 0)"],
    ),
];

/// Some of everything, and all as it should be.
async fn sound() -> anyhow::Result<World> {
    let w = World::new().await?;
    let plain = w.started_with(1, json!({"run_name": "Plain"})).await?;
    let steps = json!([{"step_number": 1, "action": "click", "status": "passed"}]);
    w.submit(&plain.items[0], json!({"steps": steps})).await?;
    let driven = w.started_with(1, json!({"run_name": "Driven", "retry_on_failure": true, "retry_count": 1})).await?;
    for (iteration, status) in [(1, "failed"), (1, "passed"), (2, "passed"), (3, "passed")] {
        let row = json!({"iteration_number": iteration, "total_iterations": 3, "status": status});
        w.submit(&driven.items[0], row).await?;
    }
    let stopped = w.started_with(2, json!({"run_name": "Stopped"})).await?;
    test_runs::stop(&w.db, &w.tenant.caller, stopped.id).await?;
    w.pending(2, json!({"run_name": "Waiting"})).await?;
    let due = utc("2026-01-18T02:00:00Z");
    let schedule = w.schedule(json!({}), due).await?;
    schedules::fire(&w.db, schedule.id, due).await?;
    let execution = sqlx::query_scalar("SELECT id FROM schedule_executions").fetch_one(&w.db).await?;
    schedules::create_run(&w.db, execution).await?;
    let recipients = ["a@example.com".to_owned(), "b@example.com".to_owned()];
    db::notifications::insert(&w.db, stopped.id, NotificationKind::Failure, &recipients).await?;
    settle(&w, &[plain, driven, stopped]).await?;
    Ok(w)
}

/// What workers would do.
async fn settle(w: &World, ended: &[Started]) -> anyhow::Result<()> {
    let noted: Vec<uuid::Uuid> = sqlx::query_scalar("SELECT run_id FROM run_refreshes").fetch_all(&w.db).await?;
    for run in noted {
        refresh::refresh(&w.db, run).await?;
    }
    for run in ended {
        finalise::finalise(&w.db, run.id).await?;
    }
    w.lose_jobs().await?;
    Ok(())
}

async fn violated(w: &World, window: Option<f64>) -> anyhow::Result<Vec<(&'static str, i64)>> {
    let findings: Vec<Finding> = match window {
        None => invariants::check(&w.db, None).await?,
        Some(seconds) => {
            let findings = invariants::check_alone(&w.db, seconds).await?;
            findings.into_iter().flatten().map(|(_, finding)| finding).collect::<Result<_, _>>()?
        }
    };
    assert_eq!(findings.len(), CHECKS.len());
    for finding in &findings {
        let shown = usize::try_from(finding.violations.min(5))?;
        assert_eq!(finding.examples.len(), shown, "{finding:?}");
    }
    let violated = findings.into_iter().filter(|finding| finding.violations > 0);
    Ok(violated.map(|finding| (finding.check, finding.violations)).collect())
}

#[tokio::test]
async fn each_check_finds_the_damage_that_it_is_for_and_no_other_does() -> anyhow::Result<()> {
    for (check, damage) in DAMAGES {
        let w = sound().await?;
        assert_eq!(violated(&w, None).await?, [], "before the damage");
        for statement in *damage {
            assert!(w.execute(statement).await? > 0 || statement.starts_with("ALTER"), "{statement}");
        }
        for window in [None, Some(300.0)] {
            let violated = violated(&w, window).await?;
            let names: Vec<&str> = violated.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, [*check], "{damage:?} in a window of {window:?} seconds");
        }
    }
    let tried: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
    let untried: Vec<_> = tried.iter().filter(|name| !DAMAGES.iter().any(|(check, _)| check == *name)).collect();
    assert!(untried.is_empty(), "nothing damages what these look at: {untried:?}");
    Ok(())
}

#[tokio::test]
async fn what_is_late_because_its_queue_is_paused_or_long_is_no_violation() -> anyhow::Result<()> {
    let w = sound().await?;
    let runs = w
        .execute("UPDATE test_runs SET finalised_at = NULL, completed_at = now() - interval '11 minutes' WHERE run_name = 'Plain'")
        .await?;
    assert_eq!((runs, violated(&w, None).await?), (1, vec![("unfinalised_runs", 1)]));
    w.execute("INSERT INTO paused_queues (queue) VALUES ('finalise_run')").await?;
    assert_eq!(violated(&w, None).await?, []);
    w.execute("DELETE FROM paused_queues").await?;
    w.execute(
        "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority)
         VALUES ('first', 'finalise_run', '{}', 'Pending', 0, 1, now() - interval '11 minutes', 0)",
    )
    .await?;
    assert_eq!(violated(&w, None).await?, []);
    Ok(())
}

#[tokio::test]
async fn a_window_leaves_out_what_did_not_change_in_it() -> anyhow::Result<()> {
    let w = sound().await?;
    w.execute("UPDATE test_runs SET passed_tests = 0, updated_at = now() - interval '1 h' WHERE run_name = 'Plain'")
        .await?;
    w.execute("UPDATE test_run_results SET created_at = created_at - interval '1 h'").await?;
    assert_eq!(violated(&w, Some(300.0)).await?, []);
    assert_eq!(violated(&w, None).await?, [("run_counts", 1)]);
    Ok(())
}

#[tokio::test]
async fn one_process_checks_at_a_time() -> anyhow::Result<()> {
    let w = sound().await?;
    let mut other = w.db.begin().await?;
    let lock = "SELECT pg_advisory_xact_lock(x'7465737472756e01'::bigint)";
    sqlx::query(lock).execute(&mut *other).await?;
    assert!(invariants::check_alone(&w.db, 300.0).await?.is_none());
    other.rollback().await?;
    until("the lock to be free", SOON, || async { Ok(invariants::check_alone(&w.db, 300.0).await?.map(|_| ())) }).await
}

#[tokio::test]
async fn a_check_that_fails_does_not_keep_the_others_from_being_done() -> anyhow::Result<()> {
    let w = sound().await?;
    w.execute("ALTER TABLE apalis.workers RENAME TO elsewhere").await?;
    w.execute("UPDATE projects SET last_run_number = 1000").await?;
    let findings = invariants::check_alone(&w.db, 300.0).await?.unwrap_or_default();
    let failed: Vec<&str> = findings.iter().filter(|(_, found)| found.is_err()).map(|(name, _)| *name).collect();
    assert_eq!(failed, ["orphaned_jobs"]);
    let found = findings.iter().filter_map(|(_, found)| found.as_ref().ok()).filter(|found| found.violations > 0);
    assert_eq!(found.map(|found| found.check).collect::<Vec<_>>(), ["run_numbers"]);
    Ok(())
}
