//! The ways that statuses took, which triggers of the chaos's own write down.

use sqlx::PgPool;

/// Tables with the steps that `docs/architecture.md`, "States", knows, as far as the load takes them.
const LEGAL: [(&str, &[&str]); 6] = [
    (
        "test_runs",
        &[
            "new → pending",
            "new → queued",
            "pending → running",
            "pending → cancelled",
            "queued → running",
            "running → completed",
            "running → cancelled",
        ],
    ),
    (
        "test_run_items",
        &[
            "new → pending",
            "new → queued",
            "pending → running",
            "pending → passed",
            "pending → failed",
            "pending → skipped",
            "queued → running",
            "queued → passed",
            "queued → failed",
            "queued → skipped",
            "running → passed",
            "running → failed",
            "running → skipped",
        ],
    ),
    ("schedules", &["new → active", "active → completed"]),
    ("schedule_executions", &["new → pending", "pending → running", "running → completed"]),
    ("notifications", &["new → pending", "pending → sending", "sending → pending", "sending → sent"]),
    ("webhook_deliveries", &["new → pending", "pending → sending", "sending → pending", "sending → delivered"]),
];

/// Has every change of a status written down from now on.
pub(crate) async fn watch(pool: &PgPool) -> sqlx::Result<()> {
    sqlx::raw_sql(
        "CREATE TABLE status_changes (of TEXT NOT NULL, row_id UUID NOT NULL, step TEXT NOT NULL);
         CREATE FUNCTION note_status() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF TG_OP = 'INSERT' THEN
                 INSERT INTO status_changes VALUES (TG_TABLE_NAME, NEW.id, 'new → ' || NEW.status);
             ELSIF NEW.status <> OLD.status THEN
                 INSERT INTO status_changes VALUES (TG_TABLE_NAME, NEW.id, OLD.status || ' → ' || NEW.status);
             END IF;
             RETURN NULL;
         END $$",
    )
    .execute(pool)
    .await?;
    for (table, _) in LEGAL {
        let sql = format!(
            "CREATE TRIGGER note_status AFTER INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION note_status()"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(pool).await?;
    }
    Ok(())
}

/// How many changes there were, and those that are not legal.
pub(super) async fn illegal(pool: &PgPool) -> sqlx::Result<(i64, Vec<String>)> {
    let sql = "SELECT of, step, count(*), min(row_id::text) FROM status_changes GROUP BY of, step";
    let steps: Vec<(String, String, i64, String)> = sqlx::query_as(sql).fetch_all(pool).await?;
    let is_legal = |of: &str, step: &str| LEGAL.iter().any(|(table, legal)| *table == of && legal.contains(&step));
    let all = steps.iter().map(|(_, _, count, _)| count).sum();
    let illegal = steps.iter().filter(|(of, step, ..)| !is_legal(of, step));
    let told = illegal.map(|(of, step, count, row)| format!("{of}: {step}, {count} times, for example {row}"));
    Ok((all, told.collect()))
}
