//! The ways that statuses took, which triggers of the chaos's own write down.

use std::collections::BTreeMap;

use sqlx::PgPool;

/// Every step that `docs/architecture.md`, "States", knows; the first word of a line begins it all, the others follow.
const LEGAL: [(&str, &[(&str, &[&str])]); 6] = [
    (
        "test_runs",
        &[
            ("", &["pending", "queued"]),
            ("pending", &["running", "cancelled"]),
            ("queued", &["running", "cancelled"]),
            ("running", &["completed", "cancelled"]),
        ],
    ),
    (
        "test_run_items",
        &[
            ("", &["pending", "queued"]),
            ("pending", &["running", "passed", "failed", "skipped"]),
            ("queued", &["running", "passed", "failed", "skipped"]),
            ("running", &["passed", "failed", "skipped"]),
        ],
    ),
    ("schedules", &[("", &["active"]), ("active", &["completed"])]),
    ("schedule_executions", &[("", &["pending"]), ("pending", &["running"]), ("running", &["completed"])]),
    ("notifications", &[("", &["pending"]), ("pending", &["sending"]), ("sending", &["sent", "pending"])]),
    ("webhook_deliveries", &[("", &["pending"]), ("pending", &["sending"]), ("sending", &["delivered", "pending"])]),
];

/// Has every change of a status written down from now on.
pub(crate) async fn watch(pool: &PgPool) -> sqlx::Result<()> {
    sqlx::raw_sql(
        "CREATE TABLE status_changes (of TEXT NOT NULL, row_id UUID NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL);
         CREATE FUNCTION note_status() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF TG_OP = 'INSERT' THEN
                 INSERT INTO status_changes VALUES (TG_TABLE_NAME, NEW.id, '', NEW.status);
             ELSIF NEW.status <> OLD.status THEN
                 INSERT INTO status_changes VALUES (TG_TABLE_NAME, NEW.id, OLD.status, NEW.status);
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
    let changes: Vec<(String, String, String, i64)> =
        sqlx::query_as("SELECT of, before, after, count(*) FROM status_changes GROUP BY of, before, after")
            .fetch_all(pool)
            .await?;
    let legal: BTreeMap<_, _> = LEGAL.into_iter().collect();
    let is_legal = |of: &str, before: &str, after: &str| {
        let steps = legal.get(of).copied().unwrap_or_default();
        steps.iter().any(|(from, to)| *from == before && to.contains(&after))
    };
    let all = changes.iter().map(|(.., count)| count).sum();
    let illegal = changes.into_iter().filter(|(of, before, after, _)| !is_legal(of, before, after));
    Ok((
        all,
        illegal.map(|(of, before, after, count)| format!("{of}: {before:?} → {after:?}, {count} times")).collect(),
    ))
}
