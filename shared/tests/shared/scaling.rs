//! The queries by which the chart in `deploy/helm` scales workers, on the real schema.

use chrono::TimeDelta;
use sqlx::Row as _;
use testrun_shared::db;
use testrun_shared::jobs::{RefreshRun, SendEmail, ring, ring_at};
use uuid::Uuid;

use crate::world::World;

const DEPTH: &str = include_str!("../../../deploy/helm/testrun/files/queue-depth.sql");
const AGE: &str = include_str!("../../../deploy/helm/testrun/files/queue-age.sql");

#[tokio::test]
async fn workers_are_scaled_by_the_jobs_that_are_due_and_by_the_age_of_the_oldest() -> anyhow::Result<()> {
    let w = World::new().await?;
    w.lose_jobs().await?;
    assert_eq!(figures(&w).await?, (0, 0.0));

    let mut conn = w.db.acquire().await?;
    let run_id = Uuid::now_v7();
    for _ in 0..3 {
        ring(&mut conn, &RefreshRun { run_id }).await?;
    }
    let now = db::now(&w.db).await?;
    ring_at(&mut conn, &SendEmail { notification_id: Uuid::now_v7() }, now - TimeDelta::seconds(90)).await?;
    // What is due later waits for no worker.
    ring_at(&mut conn, &SendEmail { notification_id: Uuid::now_v7() }, now + TimeDelta::hours(1)).await?;
    let (depth, age) = figures(&w).await?;
    assert_eq!(depth, 4);
    assert!((90.0..400.0).contains(&age), "{age}");

    // Nor does what a worker has in hand, or had.
    w.execute("UPDATE apalis.jobs SET status = 'Running' WHERE run_at <= now() AND job_type = 'refresh_run'").await?;
    w.execute("UPDATE apalis.jobs SET status = 'Done' WHERE run_at <= now() AND job_type = 'send_email'").await?;
    assert_eq!(figures(&w).await?, (0, 0.0));
    Ok(())
}

/// The queries come every few seconds, and finished jobs are kept for a day.
#[tokio::test]
async fn the_scaling_queries_do_not_read_the_jobs_that_are_finished() -> anyhow::Result<()> {
    let w = World::new().await?;
    w.execute(
        "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, done_at, priority)
         SELECT 'done' || n, 'refresh_run', '\\x7b7d', CASE WHEN n % 1000 = 0 THEN 'Pending' ELSE 'Done' END, 1, 1, now(), now(), 0
         FROM generate_series(1, 20000) AS n",
    )
    .await?;
    w.execute("ANALYZE apalis.jobs").await?;
    for query in [DEPTH, AGE] {
        let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN {query}"))).fetch_all(&w.db).await?;
        let plan: Vec<String> = plan.iter().map(|line| line.get(0)).collect();
        assert!(!plan.iter().any(|line| line.contains("Seq Scan on jobs")), "{plan:#?}");
    }
    Ok(())
}

async fn figures(w: &World) -> anyhow::Result<(i64, f64)> {
    Ok((sqlx::query_scalar(DEPTH).fetch_one(&w.db).await?, sqlx::query_scalar(AGE).fetch_one(&w.db).await?))
}
