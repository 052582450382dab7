//! What a client waits for costs what it shows, not what there is: no statement of the hot paths reads a large table from
//! end to end, planned for its values or once for all. `bench reads` measures the same with a million results.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection};
use testrun_shared::db;
use testrun_shared::db::test_run_items::DerivedRow;
use testrun_shared::db::test_run_results::Changes;
use testrun_shared::domain::page::Page;
use testrun_shared::domain::test_run::TestRunFilter;
use testrun_shared::domain::test_run_item::{Outcome, RetryPolicy, derive};
use testrun_shared::domain::test_run_result::ResultStatus;
use uuid::Uuid;

use crate::world::World;

/// Runs of 20 out of 400 test cases each.
const RUNS: i32 = 1_000;
/// Most pages that any of the statements may read. The smallest of the large tables has several times as many.
const MOST_PAGES: u64 = 150;

const FILL: [&str; 5] = [
    "INSERT INTO test_cases (project_id, name) SELECT id, 'Case ' || n FROM projects, generate_series(1, 400) n",
    "INSERT INTO test_runs (run_name, run_number, project_id, created_by, status, started_at, completed_at, created_at,
         finalised_at, total_tests)
     SELECT 'Run ' || n, n, p.id, u.id, 'completed', t, t, t, t, 20
     FROM projects p, users u, generate_series(1, 1000) n, LATERAL (SELECT now() - n * interval '1 min' AS t) at",
    "WITH cases AS (SELECT id, row_number() OVER () AS n FROM test_cases)
     INSERT INTO test_run_items (test_run_id, test_case_id, execution_order, status, is_announced)
     SELECT r.id, c.id, o, 'passed', TRUE
     FROM test_runs r, generate_series(1, 20) o, cases c WHERE c.n = (r.run_number + o) % 400 + 1",
    "INSERT INTO test_run_results (test_run_id, test_run_item_id, test_case_id, status)
     SELECT test_run_id, id, test_case_id, status FROM test_run_items",
    "INSERT INTO test_execution_history (test_case_id, test_run_id, test_run_result_id, status, executed_at, run_name)
     SELECT test_case_id, test_run_id, id, status, now() - random() * interval '30 days', 'Run' FROM test_run_results",
];

/// One of each kind, as SQL writes it.
struct Ids {
    project: Uuid,
    run: Uuid,
    case: Uuid,
    item: Uuid,
    result: Uuid,
}

async fn filled(w: &World) -> anyhow::Result<Ids> {
    for statement in FILL {
        w.execute(statement).await?;
    }
    w.execute(
        "INSERT INTO test_step_results (test_run_result_id, step_number, action, status)
               SELECT id, 1, 'test', status FROM test_run_results",
    )
    .await?;
    for table in ["test_runs", "test_run_items", "test_run_results", "test_step_results", "test_execution_history"] {
        sqlx::query(AssertSqlSafe(format!("VACUUM ANALYZE {table}"))).execute(&w.db).await?;
    }
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM test_execution_history").fetch_one(&w.db).await?;
    assert_eq!(rows, i64::from(RUNS) * 20);
    ids(w).await
}

/// Those of the first result.
async fn ids(w: &World) -> anyhow::Result<Ids> {
    let (run, case, item, result) = sqlx::query_as(
        "SELECT test_run_id, test_case_id, test_run_item_id, id FROM test_run_results ORDER BY id LIMIT 1",
    )
    .fetch_one(&w.db)
    .await?;
    Ok(Ids { project: w.tenant.project_id, run, case, item, result })
}

/// Runs each statement once, as its function does, so that it is prepared.
async fn prepare(conn: &mut PgConnection, ids: &Ids) -> anyhow::Result<()> {
    let page = Page { limit: 20, offset: 0 };
    db::test_runs::list(&mut *conn, ids.project, &TestRunFilter::default(), page).await?;
    db::test_runs::get(&mut *conn, ids.project, ids.run).await?;
    db::test_runs::guard(&mut *conn, ids.run).await?;
    db::test_run_items::lock_behind_gate(&mut *conn, ids.project, ids.run, &[ids.item]).await?;
    db::test_run_items::get(&mut *conn, ids.project, ids.run, ids.item).await?;
    db::test_run_items::lock(&mut *conn, ids.project, ids.run, ids.item).await?;
    db::test_run_items::list(&mut *conn, ids.run, page).await?;
    db::test_run_items::count(&mut *conn, ids.run).await?;
    db::test_run_items::figures(&mut *conn, ids.run).await?;
    db::test_run_items::item_figures(&mut *conn, ids.run).await?;
    db::test_run_items::first_failures(&mut *conn, ids.run, 20).await?;
    db::test_run_items::announce_finished(&mut *conn, ids.run).await?;
    db::test_run_results::get(&mut *conn, ids.project, ids.result).await?;
    db::test_run_results::list_of_run(&mut *conn, ids.run, page).await?;
    db::test_run_results::count_of_run(&mut *conn, ids.run).await?;
    db::test_run_results::list_of_item(&mut *conn, ids.item, page).await?;
    db::test_run_results::outcomes(&mut *conn, &[ids.item]).await?;
    let passed = passed(ids)?;
    db::test_run_results::save(&mut *conn, ids.run, &Changes { items: vec![&passed], ..Changes::default() }).await?;
    db::test_step_results::list(&mut *conn, ids.result, None, page).await?;
    db::execution_history::list(&mut *conn, ids.case, page).await?;
    db::execution_history::statistics(&mut *conn, ids.case).await?;
    Ok(())
}

/// What a passed result makes of the item.
fn passed(ids: &Ids) -> anyhow::Result<DerivedRow> {
    let outcome = Outcome {
        id: ids.result,
        iteration_number: None,
        retry_attempt: 0,
        status: ResultStatus::Passed,
        started_at: None,
        completed_at: None,
        duration_ms: 1,
        total_steps: 0,
        passed_steps: 0,
        failed_steps: 0,
        skipped_steps: 0,
        total_checkpoints: 0,
        passed_checkpoints: 0,
        failed_checkpoints: 0,
        error_message: None,
        error_screenshot_path: None,
        results_folder: None,
        created_at: DateTime::<Utc>::UNIX_EPOCH,
    };
    let retry = RetryPolicy { retry_on_failure: false, retry_count: 0 };
    let derived = derive(&[outcome], retry, 0).context("a result")?;
    Ok(DerivedRow { id: ids.item, test_run_id: ids.run, derived, total_iterations: 0, is_announced: true })
}

/// The statements by name, and what to execute them with.
fn statements(ids: &Ids) -> anyhow::Result<Vec<(&'static str, String)>> {
    let Ids { project, run, case, item, result } = ids;
    let derived = serde_json::to_string(&passed(ids)?)?;
    Ok(vec![
        ("test_runs.list", format!("'{project}', 20, 0")),
        ("test_runs.get", format!("'{project}', '{run}'")),
        ("test_runs.guard", format!("'{run}'")),
        ("test_run_items.lock_behind_gate", format!(r#"'{project}', '{run}', '["{item}"]', 'item.finished'"#)),
        ("test_run_items.get", format!("'{project}', '{run}', '{item}'")),
        ("test_run_items.lock", format!("'{project}', '{run}', '{item}'")),
        ("test_run_items.list", format!("'{run}', 20, 0")),
        ("test_run_items.count", format!("'{run}'")),
        ("test_run_items.figures", format!("'{run}'")),
        ("test_run_items.item_figures", format!("'{run}'")),
        ("test_run_items.first_failures", format!("'{run}', 20")),
        ("test_run_items.announce_finished", format!("'{run}', 1000")),
        ("test_run_results.get", format!("'{project}', '{result}'")),
        ("test_run_results.list_of_run", format!("'{run}', 20, 0")),
        ("test_run_results.count_of_run", format!("'{run}'")),
        ("test_run_results.list_of_item", format!("'{item}', 20, 0")),
        ("test_run_results.outcomes", format!(r#"'["{item}"]'"#)),
        ("test_run_results.save", format!("'{run}', '[]', '[]', '[{derived}]', '[]'")),
        ("test_step_results.list", format!("'{result}', NULL, 20, 0")),
        ("test_execution_history.list", format!("'{case}', 20, 0")),
        ("test_execution_history.statistics", format!("'{case}'")),
    ])
}

/// The plan of a statement that is prepared on this connection.
async fn plan(conn: &mut PgConnection, name: &str, values: &str) -> anyhow::Result<Value> {
    let prepared: String = sqlx::query_scalar("SELECT name FROM pg_prepared_statements WHERE statement LIKE $1")
        .bind(format!("-- {name}\n%"))
        .fetch_one(&mut *conn)
        .await
        .with_context(|| format!("{name} is not prepared under this name"))?;
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE \"{prepared}\"({values})");
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(explain)).persistent(false).fetch_one(conn).await?;
    Ok(plan[0]["Plan"].clone())
}

async fn assert_reads_little(conn: &mut PgConnection, name: &str, values: &str) -> anyhow::Result<()> {
    let plan = plan(conn, name, values).await?;
    let pages = ["Shared Hit Blocks", "Shared Read Blocks"].map(|key| plan[key].as_u64().unwrap_or_default());
    anyhow::ensure!(pages.iter().sum::<u64>() < MOST_PAGES, "{name} reads {pages:?} pages: {plan:#}");
    Ok(())
}

#[tokio::test]
async fn the_hot_statements_read_what_they_show() -> anyhow::Result<()> {
    let w = World::new().await?;
    let ids = filled(&w).await?;
    let smallest: i32 = sqlx::query_scalar("SELECT min(relpages) FROM pg_class WHERE relname = ANY($1)")
        .bind(["test_run_items", "test_run_results", "test_step_results", "test_execution_history"].as_slice())
        .fetch_one(&w.db)
        .await?;
    assert!(u64::try_from(smallest)? > MOST_PAGES, "{smallest} pages are too few to tell a scan by");
    for mode in ["force_custom_plan", "force_generic_plan"] {
        let mut conn = w.db.acquire().await?.detach();
        sqlx::query("SELECT set_config('plan_cache_mode', $1, FALSE)").bind(mode).execute(&mut conn).await?;
        prepare(&mut conn, &ids).await?;
        for (name, values) in statements(&ids)? {
            assert_reads_little(&mut conn, name, &values).await.context(mode)?;
        }
    }
    Ok(())
}

/// A service that starts with an empty database plans its statements then, and may keep the plans for long.
#[tokio::test]
async fn what_was_planned_for_an_empty_database_finds_one_item_among_many() -> anyhow::Result<()> {
    let w = World::new().await?;
    for statement in FILL {
        let one_of_each = [("(1, 400)", "(1, 1)"), ("(1, 1000)", "(1, 1)"), ("(1, 20)", "(1, 1)"), ("% 400", "% 1")];
        let few = one_of_each.iter().fold(statement.to_owned(), |sql, (many, one)| sql.replace(many, one));
        sqlx::query(AssertSqlSafe(few)).execute(&w.db).await?;
    }
    let ids = ids(&w).await?;
    let mut conn = w.db.acquire().await?.detach();
    sqlx::query("SET plan_cache_mode = force_generic_plan").execute(&mut conn).await?;
    prepare(&mut conn, &ids).await?;
    for statement in [
        "INSERT INTO test_cases (project_id, name) SELECT id, 'More ' || n FROM projects, generate_series(1, 20000) n",
        "INSERT INTO test_run_items (test_run_id, test_case_id, execution_order, status, is_announced)
         SELECT r.id, c.id, 1 + row_number() OVER (), 'passed', TRUE FROM test_runs r, test_cases c WHERE c.name LIKE 'More %'",
        "INSERT INTO test_run_results (test_run_id, test_run_item_id, test_case_id, status)
         SELECT test_run_id, id, test_case_id, status FROM test_run_items WHERE execution_order > 1",
    ] {
        w.execute(statement).await?;
    }
    let of_one = ["get", "guard", "lock", "lock_behind_gate", "list_of_item", "outcomes", "save"];
    for (name, values) in statements(&ids)? {
        if name.split_once('.').is_some_and(|(_, what)| of_one.contains(&what)) {
            assert_reads_little(&mut conn, name, &values).await?;
        }
    }
    Ok(())
}
