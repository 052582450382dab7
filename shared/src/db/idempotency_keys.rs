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

/// A token, and one of its keys.
pub type Place<'a> = (Uuid, &'a str);

/// An answer to store.
#[derive(Debug, Clone, Copy)]
pub struct NewAnswer<'a> {
    /// Where it is to be found.
    pub key: Place<'a>,
    /// SHA-256 of the request that it answers.
    pub request_hash: &'a [u8],
    /// Its body.
    pub body: &'a [u8],
}

/// Keeps other requests with these keys out until the transaction ends. Tells of each whether nobody else had it.
///
/// # Errors
/// If the database fails.
pub async fn try_lock(db: impl PgExecutor<'_>, keys: &[Place<'_>]) -> sqlx::Result<Vec<bool>> {
    let (tokens, keys): (Vec<_>, Vec<_>) = keys.iter().copied().unzip();
    sqlx::query_scalar!(
        r#"-- idempotency_keys.try_lock
         SELECT pg_try_advisory_xact_lock(hashtextextended(k.token || ' ' || k.key, 0)) AS "locked!"
         FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS k (token, key, position)
         ORDER BY k.position"#,
        &tokens,
        &keys as _,
    )
    .fetch_all(db)
    .await
}

/// The answers that were given to these keys in the last 24 hours, in the order of the keys.
///
/// # Errors
/// If the database fails.
pub async fn get(db: impl PgExecutor<'_>, keys: &[Place<'_>]) -> sqlx::Result<Vec<Option<StoredAnswer>>> {
    let (tokens, keys): (Vec<_>, Vec<_>) = keys.iter().copied().unzip();
    // LATERAL, so that each is looked up by the index, also by a plan from when the table was small.
    let rows = sqlx::query!(
        r#"-- idempotency_keys.get
         SELECT a.request_hash AS "request_hash?", a.response_status AS "response_status?", a.response_body AS "response_body?"
         FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS k (token_id, key, position)
         LEFT JOIN LATERAL (
             SELECT request_hash, response_status, response_body
             FROM idempotency_keys
             WHERE token_id = k.token_id AND key = k.key
                 AND response_status IS NOT NULL AND created_at > now() - interval '24 hours'
             OFFSET 0
         ) a ON TRUE
         ORDER BY k.position"#,
        &tokens,
        &keys as _,
    )
    .fetch_all(db)
    .await?;
    let answer = |hash, status, body| Some(StoredAnswer { request_hash: hash?, status: status?, body: body? });
    Ok(rows.into_iter().map(|row| answer(row.request_hash, row.response_status, row.response_body)).collect())
}

/// Stores answers; one that is older than 24 hours gives way, a younger one stays. No two may have the same key.
///
/// # Errors
/// If the database fails.
pub async fn insert(db: impl PgExecutor<'_>, status: i16, answers: &[NewAnswer<'_>]) -> sqlx::Result<()> {
    let (tokens, keys): (Vec<_>, Vec<_>) = answers.iter().map(|answer| answer.key).unzip();
    let (hashes, bodies): (Vec<_>, Vec<_>) = answers.iter().map(|answer| (answer.request_hash, answer.body)).unzip();
    sqlx::query!(
        "-- idempotency_keys.insert
         INSERT INTO idempotency_keys (token_id, key, request_hash, response_status, response_body)
         SELECT token_id, key, request_hash, $5, response_body
         FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::bytea[]) AS a (token_id, key, request_hash, response_body)
         ON CONFLICT (token_id, key) DO UPDATE
         SET request_hash = EXCLUDED.request_hash, response_status = EXCLUDED.response_status,
             response_body = EXCLUDED.response_body, created_at = now()
         WHERE idempotency_keys.created_at <= now() - interval '24 hours'",
        &tokens,
        &keys as _,
        &hashes as _,
        &bodies as _,
        status,
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
