//! Table `idempotency_keys`: the first answer to a POST with an `Idempotency-Key`, kept for 24 hours (decisions).

use sqlx::PgExecutor;
use uuid::Uuid;

/// A stored answer.
#[derive(Debug, Clone)]
pub struct StoredAnswer {
    /// SHA-256 of the request that it answered.
    pub request_hash: Vec<u8>,
    /// Its HTTP status.
    pub status: i16,
    /// Its body.
    pub body: Vec<u8>,
}

/// Keeps other requests with this key out until the transaction ends. Returns whether nobody else had it.
///
/// # Errors
/// If the database fails.
pub async fn try_lock(db: impl PgExecutor<'_>, token_id: Uuid, key: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"-- idempotency_keys.try_lock
         SELECT pg_try_advisory_xact_lock(hashtextextended($1 || ' ' || $2, 0)) AS "locked!""#,
        token_id.to_string(),
        key,
    )
    .fetch_one(db)
    .await
}

/// The answer that was given to this key in the last 24 hours.
///
/// # Errors
/// If the database fails.
pub async fn get(db: impl PgExecutor<'_>, token_id: Uuid, key: &str) -> sqlx::Result<Option<StoredAnswer>> {
    sqlx::query_as!(
        StoredAnswer,
        r#"-- idempotency_keys.get
         SELECT request_hash, response_status AS "status!", response_body AS "body!"
         FROM idempotency_keys
         WHERE token_id = $1 AND key = $2 AND response_status IS NOT NULL AND created_at > now() - interval '24 hours'"#,
        token_id,
        key,
    )
    .fetch_optional(db)
    .await
}

/// Stores an answer; one that is older than 24 hours gives way, a younger one stays.
///
/// # Errors
/// If the database fails.
pub async fn insert(
    db: impl PgExecutor<'_>,
    token_id: Uuid,
    key: &str,
    request_hash: &[u8],
    status: i16,
    body: &[u8],
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- idempotency_keys.insert
         INSERT INTO idempotency_keys (token_id, key, request_hash, response_status, response_body)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (token_id, key) DO UPDATE
         SET request_hash = EXCLUDED.request_hash, response_status = EXCLUDED.response_status,
             response_body = EXCLUDED.response_body, created_at = now()
         WHERE idempotency_keys.created_at <= now() - interval '24 hours'",
        token_id,
        key,
        request_hash,
        status,
        body,
    )
    .execute(db)
    .await
    .map(|_| ())
}

/// Deletes answers that are older than `age_seconds`, at most `limit`, and returns how many.
///
/// # Errors
/// If the database fails.
pub async fn prune(db: impl PgExecutor<'_>, age_seconds: f64, limit: i64) -> sqlx::Result<u64> {
    sqlx::query!(
        "-- idempotency_keys.prune
         DELETE FROM idempotency_keys
         WHERE (token_id, key) IN (
             SELECT token_id, key FROM idempotency_keys
             WHERE created_at <= now() - make_interval(secs => $1)
             ORDER BY created_at
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
