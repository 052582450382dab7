//! The queue's table: rings, depth, dead jobs, pruning.

use std::time::Duration;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::json;
use testrun_shared::db;
use testrun_shared::jobs::sweep::sweep;
use testrun_shared::jobs::{self, Job, QueueDepth, prune, ring, ring_at};
use uuid::Uuid;

use crate::sweep::{one_of_each, six_seconds_later};
use crate::world::World;

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    number: u32,
}

impl Job for Note {
    const QUEUE: &'static str = "note";
    const CONCURRENCY: usize = 1;
    const TIMEOUT: Duration = Duration::from_secs(1);
    const PROJECT_OF_ROW: &'static str = "SELECT $1::uuid";

    fn row_id(&self) -> Uuid {
        Uuid::nil()
    }
}

async fn depth(w: &World) -> anyhow::Result<QueueDepth> {
    let mut depths = jobs::depth(&w.db).await?;
    anyhow::ensure!(depths.len() == 1, "{depths:?}");
    Ok(depths.remove(0))
}

#[tokio::test]
async fn nobody_hears_a_ring_whose_transaction_rolls_back() -> anyhow::Result<()> {
    let w = World::new().await?;
    let mut tx = w.db.begin().await?;
    ring(&mut tx, &Note { number: 1 }).await?;
    let now = db::now(&mut *tx).await?;
    ring_at(&mut tx, &Note { number: 2 }, now).await?;
    tx.rollback().await?;
    assert!(w.jobs("note").await?.is_empty());

    let mut tx = w.db.begin().await?;
    ring(&mut tx, &Note { number: 3 }).await?;
    assert!(w.jobs("note").await?.is_empty(), "nor before it commits");
    tx.commit().await?;
    assert_eq!(w.jobs("note").await?, [json!({"number": 3})]);
    Ok(())
}

#[tokio::test]
async fn each_kind_of_job_carries_the_project_of_its_row() -> anyhow::Result<()> {
    let w = World::new().await?;
    let queues = one_of_each(&w).await?.len();
    w.lose_jobs().await?;
    six_seconds_later(&w).await?;
    assert_eq!(sweep(&w.db).await?, queues);
    let rung: Vec<(String, Uuid)> =
        sqlx::query_as("SELECT DISTINCT job_type, project_id FROM apalis.jobs").fetch_all(&w.db).await?;
    assert_eq!(rung.len(), queues, "{rung:?}");
    assert!(rung.iter().all(|(_, project_id)| *project_id == w.tenant.project_id), "{rung:?}");
    Ok(())
}

#[tokio::test]
async fn a_ring_at_a_later_time_keeps_that_time_to_the_microsecond() -> anyhow::Result<()> {
    let w = World::new().await?;
    let at = db::now(&w.db).await? + TimeDelta::hours(5);
    ring_at(&mut *w.db.acquire().await?, &Note { number: 1 }, at).await?;
    let stored: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar("SELECT run_at FROM apalis.jobs").fetch_one(&w.db).await?;
    assert_eq!(stored, at);
    Ok(())
}

#[tokio::test]
async fn the_depth_tells_jobs_by_what_they_wait_for() -> anyhow::Result<()> {
    let w = World::new().await?;
    assert!(jobs::depth(&w.db).await?.is_empty());
    let mut conn = w.db.acquire().await?;
    for number in 0..10 {
        ring(&mut conn, &Note { number }).await?;
    }
    let empty = depth(&w).await?;
    assert_eq!((empty.available, empty.scheduled, empty.running, empty.dead), (10, 0, 0, 0));
    for (statement, rows) in [
        (
            "UPDATE apalis.jobs SET run_at = now() + interval '1 h' WHERE convert_from(job, 'UTF8')::jsonb ->> 'number' < '2'",
            2,
        ),
        ("UPDATE apalis.jobs SET status = 'Running' WHERE convert_from(job, 'UTF8')::jsonb ->> 'number' = '2'", 1),
        ("UPDATE apalis.jobs SET status = 'Queued' WHERE convert_from(job, 'UTF8')::jsonb ->> 'number' = '3'", 1),
        ("UPDATE apalis.jobs SET status = 'Failed' WHERE convert_from(job, 'UTF8')::jsonb ->> 'number' = '4'", 1),
        ("UPDATE apalis.jobs SET status = 'Killed' WHERE convert_from(job, 'UTF8')::jsonb ->> 'number' = '5'", 1),
        ("UPDATE apalis.jobs SET status = 'Done' WHERE convert_from(job, 'UTF8')::jsonb ->> 'number' = '6'", 1),
        (
            "UPDATE apalis.jobs SET run_at = now() - interval '90 s' WHERE convert_from(job, 'UTF8')::jsonb ->> 'number' = '7'",
            1,
        ),
    ] {
        assert_eq!(w.execute(statement).await?, rows, "{statement}");
    }
    let depth = depth(&w).await?;
    assert_eq!(depth.queue, "note");
    assert_eq!((depth.available, depth.scheduled, depth.running, depth.dead), (3, 2, 2, 2));
    assert!((90.0..400.0).contains(&depth.oldest_seconds), "{depth:?}");
    Ok(())
}

#[tokio::test]
async fn jobs_that_ended_long_ago_and_workers_that_are_gone_are_deleted_a_batch_at_a_time() -> anyhow::Result<()> {
    let w = World::new().await?;
    w.execute(
        "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, done_at, priority)
         SELECT kept::text || status || hours, 'note', '\\x7b7d', status, 1, 1, now(), now() - make_interval(hours => hours), 0
         FROM (VALUES ('Done', 23, TRUE), ('Done', 25, FALSE), ('Done', 26, FALSE), ('Failed', 335, TRUE), ('Failed', 337, FALSE),
             ('Killed', 335, TRUE), ('Killed', 337, FALSE)) AS finished (status, hours, kept)",
    )
    .await?;
    w.execute(
        "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority)
         VALUES ('true-old', 'note', '\\x7b7d', 'Pending', 0, 1, now() - interval '1 year', 0)",
    )
    .await?;
    w.execute(
        "INSERT INTO apalis.workers (id, worker_type, storage_name, last_seen)
         VALUES ('gone', 'note', 's', now() - interval '2 h'), ('holds-a-job', 'note', 's', now() - interval '2 h'),
             ('alive', 'note', 's', now())",
    )
    .await?;
    w.execute("UPDATE apalis.jobs SET lock_by = 'holds-a-job' WHERE id = 'trueDone23'").await?;

    let (day, fortnight) = (86_400.0, 14.0 * 86_400.0);
    assert_eq!(prune::done(&w.db, day, 1).await?, 1);
    let oldest: Option<String> =
        sqlx::query_scalar("SELECT id FROM apalis.jobs WHERE id = 'falseDone26'").fetch_optional(&w.db).await?;
    assert_eq!(oldest, None, "the oldest goes first");
    assert_eq!(prune::done(&w.db, day, 10).await?, 1);
    assert_eq!(prune::dead(&w.db, fortnight, 10).await?, 2);
    assert_eq!(prune::workers(&w.db, 10).await?, 1);
    let kept: Vec<String> = sqlx::query_scalar("SELECT id FROM apalis.jobs ORDER BY id").fetch_all(&w.db).await?;
    assert_eq!(kept, ["true-old", "trueDone23", "trueFailed335", "trueKilled335"]);
    let workers: Vec<String> = sqlx::query_scalar("SELECT id FROM apalis.workers ORDER BY id").fetch_all(&w.db).await?;
    assert_eq!(workers, ["alive", "holds-a-job"]);
    for rest in
        [prune::done(&w.db, day, 10).await?, prune::dead(&w.db, fortnight, 10).await?, prune::workers(&w.db, 10).await?]
    {
        assert_eq!(rest, 0);
    }
    Ok(())
}

#[tokio::test]
async fn the_newest_dead_jobs_come_first_with_payload_and_reason() -> anyhow::Result<()> {
    let w = World::new().await?;
    w.execute(
        r#"INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, done_at, priority, last_result)
         VALUES ('a', 'note', '{"number":1}', 'Killed', 3, 1, now(), now() - interval '2 h', 0, '{"Err": "AbortError: worn out"}'),
             ('b', 'note', '\xff00', 'Failed', 1, 1, now(), now() - interval '1 h', 0, NULL),
             ('c', 'note', '{"number":3}', 'Done', 1, 1, now(), now(), 0, '{"Ok": null}')"#,
    )
    .await?;
    let dead = jobs::dead(&w.db, 10).await?;
    assert_eq!(dead.iter().map(|job| job.id.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!((dead[1].payload.as_str(), dead[1].attempts), (r#"{"number":1}"#, 3));
    assert_eq!(dead[1].reason.as_deref(), Some("worn out"));
    assert_eq!(dead[0].reason, None);
    assert_eq!(jobs::dead(&w.db, 1).await?.len(), 1);
    Ok(())
}
