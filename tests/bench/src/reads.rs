//! What people look at, in a database that is full.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use rand::RngExt as _;
use sqlx::PgPool;
use test_support::smtp::SmtpSink;
use uuid::Uuid;

use crate::http::Connection;
use crate::stage::{Postgres, ServerArguments, Stage, own_programs};
use crate::table;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Results in the database: runs of 100 test cases, out of 1,000 that there are, and one run of all
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(i64).range(10_000..=100_000_000))]
    results: i64,

    /// How often each request is sent
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    requests: u32,

    /// Folder with the programs of another build to measure instead of ours
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,

    #[command(flatten)]
    server: ServerArguments,
}

const CASES: i64 = 1_000;
const CASES_OF_RUN: i64 = 100;
/// Tables that grow with the results: no request may read one of them from end to end.
const LARGE: [&str; 4] = ["test_run_results", "test_run_items", "test_execution_history", "test_step_results"];

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let postgres = Postgres::start(&arguments.server).await?;
    let smtp = SmtpSink::start().await?;
    let programs = arguments.programs.clone().map_or_else(own_programs, Ok)?;
    let stage = Stage::new(&postgres, "ours", &programs).await?;
    let begun = Instant::now();
    fill(&stage, arguments.results).await?;
    eprintln!("filled in {:?}", begun.elapsed());
    let programs = stage.start(&smtp).await?;
    let before = sequential_scans(&stage.db).await?;

    let world = World::of(&stage).await?;
    let mut connection = Connection::open(programs.address, &stage.tenant.token).await?;
    let mut rows = Vec::new();
    for (name, path) in KINDS {
        let mut took = Vec::new();
        for number in 0..arguments.requests + 10 {
            let path = path(&world);
            let begun = Instant::now();
            connection.get(&path).await.with_context(|| path.clone())?;
            // The first few fill caches and plans.
            if number >= 10 {
                took.push(table::ms(begun.elapsed()));
            }
        }
        let [p50, p99] = [50, 99].map(|percent| format!("{:.1}", table::percentile(&took, percent)));
        eprintln!("{name}: {p50} {p99}");
        rows.push(vec![name.to_owned(), p50, p99]);
    }
    programs.stop().await?;
    let scans = new_scans(&before, &sequential_scans(&stage.db).await?);
    let title = format!("{} results, {} runs, one connection, milliseconds", arguments.results, world.runs.len());
    table::print(&title, &["Request", "p50", "p99"], &rows);
    postgres.stop().await?;
    anyhow::ensure!(scans.is_empty(), "these tables were read from end to end: {scans:?}");
    println!("\nNo request read a large table from end to end ({}).", LARGE.join(", "));
    Ok(())
}

/// What to ask for.
struct World {
    /// Runs of 100 cases.
    runs: Vec<Uuid>,
    /// The run of all cases.
    whole: Uuid,
    cases: Vec<Uuid>,
    results: Vec<Uuid>,
    items: Vec<Uuid>,
    user: Uuid,
}

type Path = fn(&World) -> String;

const KINDS: [(&str, Path); 16] = [
    ("runs, first page", |_| "/test-runs".to_owned()),
    ("runs, page 50", |_| "/test-runs?limit=20&offset=980".to_owned()),
    ("runs by status", |_| "/test-runs?status=completed".to_owned()),
    ("runs by a rare status", |_| "/test-runs?status=cancelled".to_owned()),
    ("runs by suite", |_| "/test-runs?suite_path=Bench,Suite%207".to_owned()),
    ("runs by tag", |_| "/test-runs?tags=tag7".to_owned()),
    ("runs by name", |_| "/test-runs?search=Run%20777".to_owned()),
    ("runs by author, lowest pass rate first", |world| {
        format!("/test-runs?created_by={}&sort_by=pass_rate&sort_order=asc", world.user)
    }),
    ("run", |world| format!("/test-runs/{}", any(&world.runs))),
    ("summary, 100 cases", |world| format!("/test-runs/{}/summary", any(&world.runs))),
    ("summary, 1,000 cases", |world| format!("/test-runs/{}/summary", world.whole)),
    ("items of a run", |world| format!("/test-runs/{}/items?limit=100", any(&world.runs))),
    ("results of a run", |world| format!("/test-runs/{}/results?limit=100", any(&world.runs))),
    ("results of an item", |world| format!("/test-run-items/{}/results", any(&world.items))),
    ("steps of a result", |world| format!("/test-run-results/{}/steps", any(&world.results))),
    ("history of a case", |world| format!("/test-cases/{}/history", any(&world.cases))),
];

fn any(ids: &[Uuid]) -> Uuid {
    ids[rand::rng().random_range(0..ids.len())]
}

impl World {
    async fn of(stage: &Stage) -> anyhow::Result<Self> {
        let ids = async |sql: &'static str| sqlx::query_scalar::<_, Uuid>(sql).fetch_all(&stage.db).await;
        Ok(Self {
            runs: ids("SELECT id FROM test_runs WHERE total_tests = 100").await?,
            whole: ids("SELECT id FROM test_runs WHERE total_tests = 1000").await?.pop().context("no large run")?,
            cases: ids("SELECT id FROM test_cases").await?,
            results: ids("SELECT id FROM test_run_results TABLESAMPLE SYSTEM (1) LIMIT 1000").await?,
            items: ids("SELECT id FROM test_run_items TABLESAMPLE SYSTEM (1) LIMIT 1000").await?,
            user: stage.tenant.user_id,
        })
    }
}

/// Fills the database with ended runs as they would have been left there, the older ones first.
async fn fill(stage: &Stage, results: i64) -> anyhow::Result<()> {
    stage.cases(CASES).await?;
    let runs = results / CASES_OF_RUN;
    sqlx::query(
        "INSERT INTO test_runs (run_name, run_number, project_id, created_by, suite_path, status, started_at, completed_at,
             finalised_at, refreshed_at, created_at, total_tests, passed_tests, failed_tests, pass_rate, tags)
         SELECT 'Run ' || n, n, $1, $2, ARRAY['Bench', 'Suite ' || n % 50],
             CASE WHEN n % 200 = 0 THEN 'cancelled' ELSE 'completed' END, t, t + interval '1 h', t + interval '1 h',
             t + interval '1 h', t, $4, $4 - n % 10, n % 10, round(100.0 * ($4 - n % 10) / $4, 2), ARRAY['tag' || n % 100]
         FROM generate_series(1, $3) n, LATERAL (SELECT now() - ($3 - n + 2) * interval '10 min' AS t) AS at",
    )
    .bind(stage.tenant.project_id)
    .bind(stage.tenant.user_id)
    .bind(i32::try_from(runs)?)
    .bind(i32::try_from(CASES_OF_RUN)?)
    .execute(&stage.db)
    .await?;
    sqlx::query("UPDATE test_runs SET total_tests = 1000, passed_tests = 1000, failed_tests = 0 WHERE run_number = $1")
        .bind(i32::try_from(runs)?)
        .execute(&stage.db)
        .await?;
    for statement in FILL {
        sqlx::query("SET LOCAL synchronous_commit = off").execute(&stage.db).await?;
        let mut tx = stage.db.begin().await?;
        // Longer than a program's statements may take.
        sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut *tx).await?;
        let filled = sqlx::query(statement).execute(&mut *tx).await?.rows_affected();
        tx.commit().await?;
        eprintln!("{filled} rows");
    }
    for table in ["test_runs", "test_run_items", "test_run_results", "test_step_results", "test_execution_history"] {
        let mut conn = stage.db.acquire().await?;
        sqlx::query("SET statement_timeout = 0").execute(&mut *conn).await?;
        sqlx::query(sqlx::AssertSqlSafe(format!("VACUUM ANALYZE {table}"))).execute(&mut *conn).await?;
        conn.close().await?;
    }
    Ok(())
}

const FILL: [&str; 4] = [
    "WITH numbered AS (SELECT id, row_number() OVER (ORDER BY external_key::integer) - 1 AS place FROM test_cases)
     INSERT INTO test_run_items (test_run_id, test_case_id, execution_order, status, started_at, completed_at, duration_ms,
         total_steps, passed_steps, is_announced)
     SELECT r.id, c.id, n + 1, CASE WHEN n < r.failed_tests THEN 'failed' ELSE 'passed' END, r.started_at,
         r.completed_at, 1234, 1, 1, TRUE
     FROM test_runs r CROSS JOIN LATERAL generate_series(0, r.total_tests - 1) n
     JOIN numbered c ON c.place = (r.run_number * 100 + n) % 1000
     ORDER BY r.run_number, n",
    "INSERT INTO test_run_results (test_run_id, test_run_item_id, test_case_id, status, started_at, completed_at,
         duration_ms, total_steps, passed_steps, created_at, error_message)
     SELECT test_run_id, id, test_case_id, status, started_at, completed_at, duration_ms, 1, 1, completed_at,
         CASE WHEN status = 'failed' THEN 'expected 3 products, found 2' END
     FROM test_run_items",
    "INSERT INTO test_step_results (test_run_result_id, step_number, action, description, status)
     SELECT id, 1, 'test', 'tests/test_shop.py', status FROM test_run_results",
    "INSERT INTO test_execution_history (test_case_id, test_run_id, test_run_result_id, status, executed_at, duration_ms,
         total_steps, passed_steps, pass_rate, run_name, error_message)
     SELECT t.test_case_id, t.test_run_id, t.id, t.status, t.started_at, t.duration_ms, 1, 1, 100, r.run_name, t.error_message
     FROM test_run_results t JOIN test_runs r ON r.id = t.test_run_id",
];

/// How often each large table was read from end to end, as the programs that have ended told.
async fn sequential_scans(db: &PgPool) -> anyhow::Result<BTreeMap<String, i64>> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT relname::text, seq_scan FROM pg_stat_user_tables WHERE relname = ANY($1)")
            .bind(LARGE)
            .fetch_all(db)
            .await?;
    Ok(rows.into_iter().collect())
}

fn new_scans(before: &BTreeMap<String, i64>, after: &BTreeMap<String, i64>) -> BTreeMap<String, i64> {
    let more =
        after.iter().map(|(table, scans)| (table.clone(), scans - before.get(table).copied().unwrap_or_default()));
    more.filter(|(_, scans)| *scans > 0).collect()
}
