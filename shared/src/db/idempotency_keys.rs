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

/// What was found under a key.
#[derive(Debug)]
pub struct Claim {
    /// Whether nobody else has the key until this transaction ends.
    pub is_own: bool,
    /// The answer that it was given in the last 24 hours.
    pub answer: Option<StoredAnswer>,
}

/// Keeps other requests with this key out until the transaction ends, and looks up its answer.
///
/// Whoever had the key until a moment ago may have answered since the look, though not seen: [`insert`] tells.
///
/// # Errors
/// If the database fails.
pub async fn claim(db: impl PgExecutor<'_>, (token_id, key): Place<'_>) -> sqlx::Result<Claim> {
    let row = sqlx::query!(
        r#"-- idempotency_keys.claim
         SELECT pg_try_advisory_xact_lock(hashtextextended($1::uuid || ' ' || $2::text, 0)) AS "is_own!",
             a.request_hash AS "request_hash?", a.response_status AS "response_status?", a.response_body AS "response_body?"
         FROM (VALUES (0)) AS always
         LEFT JOIN idempotency_keys a
             ON a.token_id = $1 AND a.key = $2
             AND a.response_status IS NOT NULL AND a.created_at > now() - interval '24 hours'"#,
        token_id,
        key,
    )
    .fetch_one(db)
    .await?;
    let answer = |hash, status, body| Some(StoredAnswer { request_hash: hash?, status: status?, body: body? });
    Ok(Claim { is_own: row.is_own, answer: answer(row.request_hash, row.response_status, row.response_body) })
}

/// Stores answers and returns how many; one that is older than 24 hours gives way, a younger one stays. No two may have the same
/// key. Waits for whoever is storing one of them, in the order of the keys: it is the last thing that a transaction waits for.
///
/// # Errors
/// If the database fails.
pub async fn insert(db: impl PgExecutor<'_>, status: i16, answers: &[NewAnswer<'_>]) -> sqlx::Result<u64> {
    let (tokens, keys): (Vec<_>, Vec<_>) = answers.iter().map(|answer| answer.key).unzip();
    let (hashes, bodies): (Vec<_>, Vec<_>) = answers.iter().map(|answer| (answer.request_hash, answer.body)).unzip();
    sqlx::query!(
        "-- idempotency_keys.insert
         INSERT INTO idempotency_keys (token_id, key, request_hash, response_status, response_body)
         SELECT token_id, key, request_hash, $5, response_body
         FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::bytea[]) AS a (token_id, key, request_hash, response_body)
         ORDER BY token_id, key
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
    .map(|done| done.rows_affected())
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
