//! The limit: the rows of a result written straight into the database, by one statement that commits by itself.
//!
//! Nothing is read, checked or worked out; whoever writes is told everything. What the server adds to the row of a result,
//! the state of its item and the line of its case's history, is written too, since readers get to see it.

use chrono::Utc;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::bodies::{CHECKPOINTS, DESCRIPTION, LINES, MESSAGE, SELECTOR, SOURCE, STEPS, Shape};
use crate::stage::Work;

/// The rows that every result has. The place for its id is `$1`.
pub(crate) const BARE: &str = "
    result AS (
        INSERT INTO test_run_results (id, test_run_id, test_run_item_id, test_case_id, status, started_at, completed_at,
            duration_ms, total_steps, passed_steps, total_checkpoints, passed_checkpoints, pass_rate, checkpoint_pass_rate)
        VALUES ($1, $2, $3, $4, 'passed', $5, $5, 1234, $6, $6, $7, $7, 100, 100)
    ), item AS (
        UPDATE test_run_items
        SET status = 'passed', started_at = $5, completed_at = $5, duration_ms = 1234, total_steps = $6, passed_steps = $6,
            total_checkpoints = $7, passed_checkpoints = $7, updated_at = now()
        WHERE id = $3
    ), history AS (
        INSERT INTO test_execution_history (id, test_case_id, test_run_id, test_run_result_id, status, executed_at,
            duration_ms, total_steps, passed_steps, pass_rate, run_name)
        VALUES ($8, $4, $2, $1, 'passed', $5, 1234, $6, $6, 100, 'Run')
    )";

const ROWS: &str = ",
    steps AS (
        INSERT INTO test_step_results (id, test_run_result_id, step_number, action, description, status, started_at,
            completed_at, duration_ms, selector)
        SELECT id, $1, number, 'click', description, 'passed', $5, $5, 120, selector
        FROM unnest($9::uuid[], $10::integer[], $11::text[], $12::text[]) AS s (id, number, description, selector)
    ), checkpoints AS (
        INSERT INTO checkpoint_results (id, test_run_result_id, test_step_result_id, checkpoint_name, checkpoint_type,
            status, selector)
        SELECT id, $1, step, name, 'element', 'passed', selector
        FROM unnest($13::uuid[], $14::uuid[], $15::text[], $16::text[]) AS c (id, step, name, selector)
    ), lines AS (
        INSERT INTO console_logs (id, test_run_result_id, log_level, message, source, line_number, step_index, timestamp)
        SELECT id, $1, 'info', message, source, number, number % 10, $5
        FROM unnest($17::uuid[], $18::text[], $19::text[], $20::integer[]) AS l (id, message, source, number)
    )";

/// The statement for results of this shape.
pub(crate) fn statement(shape: Shape) -> String {
    let rows = if shape == Shape::Full { ROWS } else { "" };
    format!("WITH {BARE}{rows} SELECT")
}

/// Writes the result of one test.
pub(crate) async fn write(db: &mut PgConnection, statement: &str, shape: Shape, work: Work) -> sqlx::Result<()> {
    let ids = |count: usize| -> Vec<Uuid> { (0..count).map(|_| Uuid::now_v7()).collect() };
    let numbers = |count: usize| -> Vec<i32> { (1..).take(count).collect() };
    let (steps, checkpoints) = if shape == Shape::Full { (10_i32, 3_i32) } else { (0, 0) };
    let mut query = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(Uuid::now_v7())
        .bind(work.run)
        .bind(work.item)
        .bind(work.case)
        .bind(Utc::now())
        .bind(steps)
        .bind(checkpoints)
        .bind(Uuid::now_v7());
    if shape == Shape::Full {
        let step_ids = ids(STEPS);
        let checked: Vec<Uuid> = step_ids.iter().skip(2).step_by(3).copied().collect();
        query = query
            .bind(step_ids)
            .bind(numbers(STEPS))
            .bind(vec![DESCRIPTION; STEPS])
            .bind(vec![SELECTOR; STEPS])
            .bind(ids(CHECKPOINTS))
            .bind(checked)
            .bind((1..=CHECKPOINTS).map(|number| format!("Basket {number}")).collect::<Vec<_>>())
            .bind(vec![SELECTOR; CHECKPOINTS])
            .bind(ids(LINES))
            .bind(vec![MESSAGE; LINES])
            .bind(vec![SOURCE; LINES])
            .bind(numbers(LINES));
    }
    query.execute(db).await.map(|_| ())
}
