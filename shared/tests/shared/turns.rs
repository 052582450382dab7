//! Projects take turns: however much one of them has, another's job is started next, and the look for it stays cheap.

use anyhow::Context as _;
use serde_json::Value;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use testrun_shared::jobs::ring;
use uuid::Uuid;

use crate::workers::{Does, Runner, Task, held_back, next, reporting, task, until_jobs_are};
use crate::world::{SOON, World};

const CROWD: Uuid = Uuid::from_u128(7);

/// Has jobs of one project wait, numbered 0.
async fn crowd(w: &World, jobs: i32) -> anyhow::Result<()> {
    sqlx::query(
        r#"INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority, project_id)
         SELECT 'crowd-' || n, 'task', '{"number": 0}', 'Pending', 0, 1, now() - interval '1 h' + n * interval '1 ms', 0, $2
         FROM generate_series(1, $1) n"#,
    )
    .bind(jobs)
    .bind(CROWD)
    .execute(&w.db)
    .await?;
    Ok(())
}

async fn ring_for(w: &World, project: u128, number: u32) -> anyhow::Result<()> {
    let task = Task { project: Uuid::from_u128(project), ..task(number, Does::Work) };
    Ok(ring(&mut *w.db.acquire().await?, &task).await?)
}

#[tokio::test]
async fn a_job_does_not_wait_behind_a_hundred_thousand_of_another_project() -> anyhow::Result<()> {
    let w = World::new().await?;
    crowd(&w, 100_000).await?;
    // One before and one after the crowd's project, in the order of ids.
    ring_for(&w, 1, 1).await?;
    ring_for(&w, 9, 9).await?;
    let (queue, mut begun, _permits) = held_back();
    let runner = Runner::start(&w.db, queue.with_concurrency(6));
    let mut numbers = Vec::new();
    for _ in 0..5 {
        numbers.push(next(&mut begun).await?);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 0, 0, 1, 9], "the crowd has half of the slots, the others have theirs");
    runner.ended.abort();
    Ok(())
}

#[tokio::test]
async fn a_newcomer_finds_a_slot_although_no_job_of_a_crowd_ever_ends() -> anyhow::Result<()> {
    let w = World::new().await?;
    crowd(&w, 1_000).await?;
    let (queue, mut begun, _permits) = held_back();
    let runner = Runner::start(&w.db, queue.with_concurrency(8));
    for expected in [0, 0, 0, 0] {
        assert_eq!(next(&mut begun).await?, expected);
    }
    for newcomer in [1, 2] {
        ring_for(&w, newcomer.into(), newcomer).await?;
        assert_eq!(next(&mut begun).await?, newcomer);
    }
    until_jobs_are(&w, "Running", 6).await?;
    runner.ended.abort();
    Ok(())
}

#[tokio::test]
async fn projects_take_turns_at_a_single_slot() -> anyhow::Result<()> {
    let w = World::new().await?;
    crowd(&w, 1_000).await?;
    for number in [1, 2, 3] {
        ring_for(&w, 1, number).await?;
        ring_for(&w, 9, number + 10).await?;
    }
    let (queue, mut answered) = reporting();
    let runner = Runner::start(&w.db, queue.with_concurrency(1));
    let mut numbers = Vec::new();
    for _ in 0..11 {
        numbers.push(next(&mut answered).await?);
    }
    assert_eq!(numbers, [1, 0, 11, 2, 0, 12, 3, 0, 13, 0, 0]);
    runner.stop().await
}

#[tokio::test]
async fn one_project_alone_is_answered_to_the_end() -> anyhow::Result<()> {
    let w = World::new().await?;
    crowd(&w, 500).await?;
    let (queue, _answered) = reporting();
    let runner = Runner::start(&w.db, queue.with_concurrency(8));
    until_jobs_are(&w, "Done", 500).await?;
    runner.stop().await
}

/// Each of the three is due less than its part of the slots, as some are kept free for a newcomer: no sign that it has no more.
#[tokio::test]
async fn projects_with_many_jobs_each_are_answered_without_a_pause() -> anyhow::Result<()> {
    let w = World::new().await?;
    sqlx::query(
        r#"INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority, project_id)
         SELECT 'job-' || n, 'task', '{"number": 0}', 'Pending', 0, 1, now(), 0, lpad((n % 3 + 1)::text, 32, '0')::uuid
         FROM generate_series(1, 600) n"#,
    )
    .execute(&w.db)
    .await?;
    let (queue, _answered) = reporting();
    let runner = Runner::start(&w.db, queue.with_concurrency(10));
    // With a look every second, and no other reason to look, it would take more than twice as long as this waits.
    until_jobs_are(&w, "Done", 600).await?;
    runner.stop().await
}

/// What claims six jobs on this connection, as the worker prepared it there. The reader counts as alive for a day: however
/// long it takes to fill the table, it may claim.
async fn plan_of_claim(conn: &mut PgConnection) -> anyhow::Result<Value> {
    let name: String =
        sqlx::query_scalar("SELECT name FROM pg_prepared_statements WHERE statement LIKE '-- jobs.claim%'")
            .fetch_one(&mut *conn)
            .await
            .context("the statement is not prepared under this name")?;
    let explain = format!(
        "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON)
         EXECUTE \"{name}\"('task', 'reader', '{}', 6, 8, '{{{CROWD}}}', '{{2}}', 86400)",
        Uuid::nil()
    );
    let mut tx = conn.begin().await?;
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(explain)).persistent(false).fetch_one(&mut *tx).await?;
    tx.rollback().await?;
    Ok(plan[0]["Plan"].clone())
}

/// Every node of a plan.
fn nodes(plan: &Value) -> Vec<&Value> {
    let inner = plan["Plans"].as_array().into_iter().flatten().flat_map(nodes);
    [plan].into_iter().chain(inner).collect()
}

/// A connection on which a worker has claimed, and which nobody uses any more.
async fn worker_connection(w: &World) -> anyhow::Result<PgPool> {
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(SOON).connect(&w.database.url).await?;
    let (queue, mut answered) = reporting();
    let runner = Runner::start(&pool, queue);
    ring_for(w, 1, 1).await?;
    next(&mut answered).await?;
    runner.stop().await?;
    Ok(pool)
}

#[tokio::test]
async fn a_claim_reads_a_few_pages_whatever_waits_and_whatever_was_done() -> anyhow::Result<()> {
    let w = World::new().await?;
    let pool = worker_connection(&w).await?;
    let mut conn = pool.acquire().await?;
    w.execute("INSERT INTO apalis.workers (id, worker_type, storage_name) VALUES ('reader', 'task', 'test')").await?;
    for (what, sql) in [
        (
            "a crowd waits",
            "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority, project_id)
             SELECT 'crowd-' || n, 'task', '{}', 'Pending', 0, 1, now() - interval '1 h', 0, '00000000-0000-0000-0000-000000000007'
             FROM generate_series(1, 100000) n",
        ),
        (
            "many are done",
            "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority, done_at, lock_by)
             SELECT 'done-' || n, 'task', '{}', 'Done', 1, 1, now() - interval '1 h', 0, now(), 'reader'
             FROM generate_series(1, 200000) n",
        ),
        (
            "many projects wait for a later time",
            "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority, project_id, is_scheduled)
             SELECT 'later-' || n, 'task', '{}', 'Pending', 1, 1, now() + interval '1 h', 0, gen_random_uuid(), TRUE
             FROM generate_series(1, 10000) n",
        ),
        (
            "many projects wait",
            "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority, project_id)
             SELECT 'each-' || n, 'task', '{}', 'Pending', 0, 1, now(), 0, gen_random_uuid() FROM generate_series(1, 10000) n",
        ),
    ] {
        w.execute(sql).await?;
        // Before and after the planner knows of it; as planned for these values, and as planned once for all.
        for statistics in ["", "ANALYZE apalis.jobs"] {
            w.execute(statistics).await?;
            for mode in ["force_custom_plan", "force_generic_plan"] {
                sqlx::query("SELECT set_config('plan_cache_mode', $1, FALSE)").bind(mode).execute(&mut *conn).await?;
                let plan = plan_of_claim(&mut conn).await?;
                let told = format!("{what}, {mode}, {statistics}: {plan:#}");
                // Two of six: the crowd holds two slots already, and may hold half of eight.
                let claimed = if what == "many projects wait" { 6.0 } else { 2.0 };
                assert_eq!(plan["Actual Rows"].as_f64(), Some(claimed), "{told}");
                let read: Vec<_> = nodes(&plan).into_iter().filter(|node| node["Relation Name"] == "jobs").collect();
                assert!(read.iter().all(|node| node["Node Type"] != "Seq Scan"), "{told}");
                assert!(read.iter().any(|node| node["Index Name"] == "idx_apalis_jobs_turn"), "{told}");
                let pages = ["Shared Hit Blocks", "Shared Read Blocks"].map(|key| plan[key].as_u64().unwrap_or_default());
                assert!(pages.iter().sum::<u64>() < 1_000, "it reads {pages:?} pages: {told}");
            }
        }
    }
    Ok(())
}
