//! `Idempotency-Key`: a POST that is repeated is answered as the first time and does nothing twice (decisions, Every endpoint).
//!
//! The record commits in the transaction of what it records: after a crash there are both or neither. Refusals change
//! nothing and are stored afterwards.

use std::ops::{Deref, DerefMut};

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use sqlx::pool::PoolConnection;
use sqlx::{Acquire, PgConnection, PgExecutor, PgPool, Postgres, Transaction};
use testrun_shared::db::idempotency_keys::{NewAnswer, StoredAnswer};
use testrun_shared::{Error, auth, db};
use uuid::Uuid;

use crate::app::{ApiResult, AppState, MAX_BULK_BODY};
use crate::error::ApiError;
use crate::extract::Caller;

const HEADER: &str = "idempotency-key";
/// Longest key, in characters.
pub(crate) const MAX_KEY: usize = 255;

/// What a request with a key has to be compared by.
#[derive(Debug, Clone)]
struct Key {
    token_id: Uuid,
    key: String,
    request_hash: [u8; 32],
}

/// Reads the body of a POST with a key, so that the handler finds its hash beside the request; and stores a refusal.
pub(crate) async fn layer(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let Some(value) = request.headers().get(HEADER).filter(|_| request.method() == Method::POST) else {
        return next.run(request).await;
    };
    let key = match value.to_str() {
        Ok(key) if (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) => {
            key.to_owned()
        }
        _ => {
            return ApiError::from(Error::invalid(
                "Idempotency-Key",
                format!("Must be 1 to {MAX_KEY} visible characters"),
            ))
            .into_response();
        }
    };
    let (mut parts, body) = request.into_parts();
    // Before anything is read: whoever is nobody, or sends too much, is not worth the memory.
    let caller = match Caller::from_request_parts(&mut parts, &app).await {
        Ok(Caller(caller)) => caller,
        Err(refusal) => return refusal.into_response(),
    };
    let Ok(bytes) = to_bytes(body, MAX_BULK_BODY).await else {
        return ApiError::TooLarge(MAX_BULK_BODY).into_response();
    };
    let mut hash = Sha256::new();
    hash.update(parts.uri.path().as_bytes());
    hash.update([0]);
    hash.update(&bytes);
    let key = Key { token_id: caller.token_id, key, request_hash: hash.finalize().into() };
    parts.extensions.insert(key.clone());
    let response = next.run(Request::from_parts(parts, Body::from(bytes))).await;
    if !response.status().is_client_error() || response.extensions().get::<FromStore>().is_some() {
        return response;
    }
    // What was refused before anybody looked under the key's lock, for a rule that its body breaks, may have its answer.
    match look_up(&app.db, &key).await {
        Ok((_, Some(answer))) => answer,
        Ok((_, None)) => remember_refusal(&app.db, &key, response).await,
        Err(error) => ApiError::from(error).into_response(),
    }
}

/// Stores an answer that changed nothing. If that fails, a repetition is merely refused once more.
async fn remember_refusal(db: &PgPool, key: &Key, response: Response) -> Response {
    if !matches!(response.status(), StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY)
    {
        return response;
    }
    let (parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, MAX_BULK_BODY).await else {
        return ApiError::internal("an answer could not be read").into_response();
    };
    if let Err(error) = store(db, parts.status, &[(key, &bytes)]).await {
        tracing::warn!(error = %error, "a refusal could not be stored under its Idempotency-Key");
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// Stores answers under their keys, and returns how many had none.
async fn store(db: impl PgExecutor<'_>, status: StatusCode, answers: &[(&Key, &[u8])]) -> sqlx::Result<usize> {
    let status = i16::try_from(status.as_u16()).unwrap_or(i16::MAX);
    let answers: Vec<_> = answers
        .iter()
        .map(|&(key, body)| NewAnswer { key: key.place(), request_hash: &key.request_hash, body })
        .collect();
    Ok(usize::try_from(db::idempotency_keys::insert(db, status, &answers).await?).unwrap_or(usize::MAX))
}

/// Marks answers that this module gave.
#[derive(Debug, Clone, Copy)]
struct FromStore;

/// The caller of a POST, before its transaction.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) caller: auth::Caller,
    db: PgPool,
    key: Option<Key>,
}

impl FromRequestParts<AppState> for Write {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let Caller(caller) = Caller::from_request_parts(parts, app).await?;
        Ok(Self { caller, db: app.db.clone(), key: parts.extensions.get::<Key>().cloned() })
    }
}

impl Write {
    /// Begins. A request whose key has its answer ends here with that answer, as an "error".
    ///
    /// # Errors
    /// If the database fails; the key's answer; 409 while another request with the key is in flight; 422 if the key was used
    /// for another request.
    pub(crate) async fn begin(self) -> ApiResult<Unit> {
        let Some(key) = &self.key else {
            return Ok(Unit { caller: self.caller, work: Work::Plain(self.db) });
        };
        let mut tx = self.db.begin().await?;
        match look_up(&mut *tx, key).await? {
            (_, Some(answer)) => Err(ApiError::Stored(Box::new(answer))),
            (false, None) => Err(in_flight().into()),
            (true, None) => Ok(Unit { caller: self.caller, work: Work::Recorded(tx, Box::new(self)) }),
        }
    }

    /// Whether the two have the same key.
    pub(crate) fn has_key_of(&self, other: &Self) -> bool {
        self.key.as_ref().zip(other.key.as_ref()).is_some_and(|(own, other)| own.place() == other.place())
    }
}

fn in_flight() -> Error {
    Error::Conflict("A request with this Idempotency-Key is in flight; try again".to_owned())
}

/// Records the answers of requests that were done, under the keys of those that have one.
///
/// # Errors
/// If the database fails, and 409 if a key has an answer already, for which [`layer`] looks then. Nothing may be committed.
pub(crate) async fn record(
    conn: &mut PgConnection,
    status: StatusCode,
    answers: &[(&Write, &[u8])],
) -> Result<(), Error> {
    let keyed: Vec<_> = answers.iter().filter_map(|&(write, body)| Some((write.key.as_ref()?, body))).collect();
    if keyed.is_empty() || store(conn, status, &keyed).await? == keyed.len() {
        return Ok(());
    }
    Err(in_flight())
}

/// Whether a key is free, and the answer that it has: that of the first request, or a 422 for a request that is another one.
async fn look_up(db: impl PgExecutor<'_>, key: &Key) -> sqlx::Result<(bool, Option<Response>)> {
    let claim = db::idempotency_keys::claim(db, key.place()).await?;
    Ok((claim.is_own, claim.answer.map(|answer| replay(key, answer))))
}

fn replay(key: &Key, stored: StoredAnswer) -> Response {
    let mut response = if stored.request_hash == key.request_hash {
        let status = u16::try_from(stored.status).ok().and_then(|status| StatusCode::from_u16(status).ok());
        let mut replay = json(status.unwrap_or(StatusCode::OK), stored.body);
        replay.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
        replay
    } else {
        let detail = "This Idempotency-Key was used for another request";
        ApiError::from(Error::InvalidState(detail.to_owned())).into_response()
    };
    response.extensions_mut().insert(FromStore);
    response
}

/// A POST under way: who does it, and where its writes go.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) caller: auth::Caller,
    work: Work,
}

#[derive(Debug)]
enum Work {
    /// Without a key an action commits by itself.
    Plain(PgPool),
    /// With a key it commits together with the record.
    Recorded(Transaction<'static, Postgres>, Box<Write>),
}

impl Key {
    /// What no two requests in flight share: a key is its token's own.
    fn place(&self) -> (Uuid, &str) {
        (self.token_id, &self.key)
    }
}

impl Unit {
    /// Where an action's writes go.
    pub(crate) fn db(&mut self) -> UnitSource<'_> {
        UnitSource(&mut self.work)
    }

    /// Records the answer, commits, and gives the answer.
    ///
    /// # Errors
    /// If the database fails; nothing has changed then.
    pub(crate) async fn answer<T: Serialize>(self, status: StatusCode, body: &T) -> ApiResult<Response> {
        self.answer_once(status, body, body).await
    }

    /// Like [`Self::answer`], with another body for repetitions: for a secret that is shown once.
    ///
    /// # Errors
    /// As [`Self::answer`].
    pub(crate) async fn answer_once<T: Serialize>(
        self,
        status: StatusCode,
        body: &T,
        recorded: &T,
    ) -> ApiResult<Response> {
        if let Work::Recorded(mut tx, write) = self.work {
            record(&mut tx, status, &[(&*write, &encode(recorded)?)]).await?;
            tx.commit().await?;
        }
        Ok(json(status, encode(body)?))
    }
}

pub(crate) fn encode<T: Serialize>(body: &T) -> ApiResult<Vec<u8>> {
    serde_json::to_vec(body).map_err(|error| ApiError::internal(error.to_string()))
}

pub(crate) fn json(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// See [`Unit::db`].
#[derive(Debug)]
pub(crate) struct UnitSource<'c>(&'c mut Work);

/// A connection for one action.
#[derive(Debug)]
pub(crate) enum UnitConnection<'c> {
    Pooled(PoolConnection<Postgres>),
    Borrowed(&'c mut PgConnection),
}

impl Deref for UnitConnection<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match self {
            Self::Pooled(conn) => conn,
            Self::Borrowed(conn) => conn,
        }
    }
}

impl DerefMut for UnitConnection<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match self {
            Self::Pooled(conn) => conn,
            Self::Borrowed(conn) => conn,
        }
    }
}

impl<'c> Acquire<'c> for UnitSource<'c> {
    type Database = Postgres;
    type Connection = UnitConnection<'c>;

    fn acquire(self) -> futures_util::future::BoxFuture<'c, sqlx::Result<UnitConnection<'c>>> {
        match self.0 {
            Work::Plain(pool) => Box::pin(async { Ok(UnitConnection::Pooled(pool.acquire().await?)) }),
            Work::Recorded(tx, _) => Box::pin(async { Ok(UnitConnection::Borrowed(tx)) }),
        }
    }

    fn begin(self) -> futures_util::future::BoxFuture<'c, sqlx::Result<Transaction<'c, Postgres>>> {
        match self.0 {
            Work::Plain(pool) => Box::pin(async { pool.begin().await }),
            Work::Recorded(tx, _) => (&mut **tx).begin(),
        }
    }
}
