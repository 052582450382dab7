//! Table `network_logs`.

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::domain::network_log::NetworkLog;
use crate::domain::page::Page;

macro_rules! columns {
    () => {
        "id, test_run_result_id, url, method, status_code, status_text, request_headers, response_headers, \
         request_body_preview, response_body_preview, content_type, content_length, resource_type, timestamp, duration_ms, \
         ttfb_ms, error_message, step_index, created_at"
    };
}

/// Inserts requests in one statement.
///
/// # Errors
/// If the database fails.
pub async fn insert(db: impl PgExecutor<'_>, rows: &[NetworkLog]) -> sqlx::Result<()> {
    sqlx::query!(
        "-- network_logs.insert
         INSERT INTO network_logs ( id, test_run_result_id, url, method, status_code, status_text, request_headers,
             response_headers, request_body_preview, response_body_preview, content_type, content_length, resource_type,
             timestamp, duration_ms, ttfb_ms, error_message, step_index, created_at)
         SELECT * FROM unnest( $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::integer[], $6::text[], $7::jsonb[],
             $8::jsonb[], $9::text[], $10::text[], $11::text[], $12::bigint[], $13::text[], $14::timestamptz[],
             $15::bigint[], $16::bigint[], $17::text[], $18::integer[], $19::timestamptz[])",
        column!(rows.id) as _,
        column!(rows.test_run_result_id) as _,
        column!(rows.url) as _,
        column!(rows.method) as _,
        column!(rows.status_code) as _,
        column!(rows.status_text) as _,
        column!(rows.request_headers) as _,
        column!(rows.response_headers) as _,
        column!(rows.request_body_preview) as _,
        column!(rows.response_body_preview) as _,
        column!(rows.content_type) as _,
        column!(rows.content_length) as _,
        column!(rows.resource_type) as _,
        column!(rows.timestamp) as _,
        column!(rows.duration_ms) as _,
        column!(rows.ttfb_ms) as _,
        column!(rows.error_message) as _,
        column!(rows.step_index) as _,
        column!(rows.created_at) as _,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// A page of a result's requests, narrowed by what is given.
///
/// # Errors
/// If the database fails.
pub async fn list(
    db: impl PgExecutor<'_>,
    result_id: Uuid,
    status_code: Option<i32>,
    step_index: Option<i32>,
    page: Page,
) -> sqlx::Result<Vec<NetworkLog>> {
    sqlx::query_as(concat!(
        "-- network_logs.list\nSELECT ",
        columns!(),
        " FROM network_logs WHERE test_run_result_id = $1 AND ($2 IS NULL OR status_code = $2) AND ($3 IS NULL OR step_index = $3) \
          ORDER BY timestamp, id LIMIT $4 OFFSET $5"
    ))
    .bind(result_id)
    .bind(status_code)
    .bind(step_index)
    .bind(page.limit)
    .bind(page.offset)
    .fetch_all(db)
    .await
}

/// How many there are.
///
/// # Errors
/// If the database fails.
pub async fn count(
    db: impl PgExecutor<'_>,
    result_id: Uuid,
    status_code: Option<i32>,
    step_index: Option<i32>,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- network_logs.count
         SELECT count(*) AS "count!" FROM network_logs
         WHERE test_run_result_id = $1 AND ($2::integer IS NULL OR status_code = $2) AND ($3::integer IS NULL OR step_index = $3)"#,
        result_id,
        status_code,
        step_index,
    )
    .fetch_one(db)
    .await
}

/// Deletes requests that came in more than `age_seconds` ago, at most `limit`, and returns how many.
///
/// # Errors
/// If the database fails.
pub async fn prune(db: impl PgExecutor<'_>, age_seconds: f64, limit: i64) -> sqlx::Result<u64> {
    sqlx::query!(
        "-- network_logs.prune
         DELETE FROM network_logs
         WHERE id IN (
             SELECT id FROM network_logs
             WHERE created_at < now() - make_interval(secs => $1)
             LIMIT $2
             FOR UPDATE SKIP LOCKED
         )",
        age_seconds,
        limit,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected())
}
