//! The limit of a bare result once more, as PostgreSQL's own load generator finds it.

use std::path::Path;

use anyhow::Context as _;
use sqlx::PgPool;
use tokio::process::Command;
use uuid::Uuid;

use crate::direct;
use crate::stage::Work;

/// Writes the results of all this work with `clients` connections and returns how many a second.
pub(crate) async fn run(program: &Path, url: &str, db: &PgPool, work: &[Work], clients: usize) -> anyhow::Result<f64> {
    let each = work.len() / clients;
    let prefix = number(db, work).await?;
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("result.sql");
    tokio::fs::write(&script, script_of(&prefix, each)).await?;
    let output = Command::new(program)
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2", &format!("--client={clients}")])
        .args([&format!("--transactions={each}"), "--define=i=0", "--file"])
        .args([script.as_os_str(), url.as_ref()])
        .output()
        .await?;
    let text = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(output.status.success(), "pgbench failed: {}", String::from_utf8_lossy(&output.stderr));
    let rate = text.lines().find_map(|line| line.strip_prefix("tps = "));
    let rate = rate.and_then(|rest| rest.split_whitespace().next()).context("pgbench told no rate")?;
    Ok(rate.parse()?)
}

/// pgbench knows numbers only, so the items of its run get ids that a number can be made into: by what is returned before it.
async fn number(db: &PgPool, work: &[Work]) -> anyhow::Result<String> {
    let prefix = Uuid::now_v7().to_string()[..24].to_owned();
    let run = work.first().context("no work")?.run;
    sqlx::query(
        "UPDATE test_run_items
         SET id = ($2 || lpad(to_hex(execution_order), 12, '0'))::uuid
         WHERE test_run_id = $1",
    )
    .bind(run)
    .bind(&prefix)
    .execute(db)
    .await?;
    Ok(prefix)
}

/// The statement of [`direct`], with the values that pgbench can make for itself.
fn script_of(prefix: &str, each: usize) -> String {
    let item = &format!("('{prefix}' || lpad(to_hex(:n::bigint), 12, '0'))::uuid");
    let mut statement = direct::statement(crate::bodies::Shape::Bare);
    for (place, value) in [
        ("$8", "gen_random_uuid()"),
        ("$7", "0"),
        ("$6", "0"),
        ("$5", "now()"),
        ("$4", "(SELECT test_case_id FROM item_of_n)"),
        ("$3", item),
        ("$2", "(SELECT test_run_id FROM item_of_n)"),
        ("$1", "(SELECT id FROM item_of_n)"),
    ] {
        statement = statement.replace(place, value);
    }
    let known = format!(
        "WITH item_of_n AS MATERIALIZED (
             SELECT gen_random_uuid() AS id, test_run_id, test_case_id FROM test_run_items WHERE id = {item}
         ),"
    );
    let statement = statement.replacen("WITH", &known, 1);
    format!("\\set i :i + 1\n\\set n :client_id * {each} + :i\n{statement};\n")
}
