//! What the metric of violated invariants says. One test, since a process has one recorder.

use axum::body::{Body, to_bytes};
use axum::http::Request;
use test_support::Database;
use testrun_scheduler::check_invariants;
use testrun_shared::db::invariants::CHECKS;
use testrun_shared::ops::{Readiness, router, start_metrics};
use tower::ServiceExt as _;

/// The lines of the metric, as operators' programs read them, in alphabetical order.
async fn lines() -> anyhow::Result<Vec<String>> {
    let answer = router(Readiness::default()).oneshot(Request::get("/metrics").body(Body::empty())?).await?;
    let text = String::from_utf8(to_bytes(answer.into_body(), 1 << 20).await?.to_vec())?;
    let lines = text.lines().filter(|line| line.starts_with("testrun_invariant_violations{"));
    let mut lines: Vec<String> = lines.map(str::to_owned).collect();
    lines.sort_unstable();
    Ok(lines)
}

/// What the lines should be, if this check found so many.
fn with(check: &str, violations: usize) -> Vec<String> {
    let count = |name| if name == check { violations } else { 0 };
    let line = |name| format!("testrun_invariant_violations{{check=\"{name}\"}} {}", count(name));
    let mut lines: Vec<String> = CHECKS.iter().map(|check| line(check.name)).collect();
    lines.sort_unstable();
    lines
}

#[tokio::test]
async fn the_metric_has_a_line_for_each_check_with_the_number_of_violations_as_of_the_last_time() -> anyhow::Result<()>
{
    start_metrics();
    let database = Database::new().await?;
    let pool = &database.pool;
    check_invariants(pool).await?;
    assert_eq!(lines().await?, with("", 0));

    let tenant = database.tenant("A").await?;
    for number in 1..=2 {
        sqlx::query("INSERT INTO test_runs (run_name, run_number, project_id, created_by) VALUES ('Run', $1, $2, $3)")
            .bind(number)
            .bind(tenant.project_id)
            .bind(tenant.user_id)
            .execute(pool)
            .await?;
    }
    check_invariants(pool).await?;
    assert_eq!(lines().await?, with("run_numbers", 1), "numbers that the project's counter never gave");

    sqlx::query("UPDATE projects SET last_run_number = 2").execute(pool).await?;
    sqlx::query("UPDATE test_runs SET total_tests = 7").execute(pool).await?;
    check_invariants(pool).await?;
    assert_eq!(lines().await?, with("run_counts", 2));

    // While another scheduler looks, it is that one that tells.
    let mut other = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(x'7465737472756e01'::bigint)").execute(&mut *other).await?;
    check_invariants(pool).await?;
    assert_eq!(lines().await?, with("", 0));
    Ok(())
}
