//! Results that arrive together are stored together: while a transaction with a run's results is under way, those that come
//! meanwhile wait, and share the next one. Each is answered for itself, and only after the commit.
//!
//! A commit costs what it costs, however much it stores. Somebody who comes alone never waits for company.

use std::collections::{HashMap, VecDeque};
use std::iter;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use axum::response::Response;
use sqlx::{PgConnection, PgPool};
use testrun_shared::domain::test_run_result::NewTestRunResult;
use testrun_shared::{Error, actions, db};
use tokio::sync::oneshot;
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use crate::app::ApiResult;
use crate::error::{ApiError, is_unavailable};
use crate::idempotency::{self, Write, encode, json};

/// Transactions that write one run's results at once. More would find smaller groups, and one alone would stop all results
/// while it waits for an item or for the disk.
const WRITERS: usize = 2;
/// Groups that a writer stores over one connection before it lets others have it. Each return to the pool is a round trip.
const GROUPS: usize = 32;
/// Results in one transaction at most: their items stay locked until its end.
const RESULTS: usize = 32;
/// Bodies in one transaction at most, in bytes; a larger one is alone.
const BYTES: usize = 256 * 1024;

/// Where results wait for the transaction that stores them.
#[derive(Debug, Clone)]
pub struct GroupCommit {
    db: PgPool,
    runs: Arc<Mutex<HashMap<Run, Queue>>>,
}

/// A run as its caller names it. Whether the project has it is not known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Run {
    project_id: Uuid,
    id: Uuid,
}

/// The results of a run that are not being written yet.
#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Pending>,
    writers: usize,
}

/// A result that waits.
#[derive(Debug)]
struct Pending {
    write: Write,
    body: NewTestRunResult,
    /// The body's, in bytes.
    size: usize,
    answer: oneshot::Sender<ApiResult<Response>>,
    span: Span,
}

impl Pending {
    /// Answers whoever waits. They may have gone meanwhile.
    fn answer(self, answer: ApiResult<Response>) {
        let _: Result<(), _> = self.answer.send(answer);
    }

    /// Whether the two must not be in one transaction: the second is to find what the first one did.
    fn excludes(&self, other: &Self) -> bool {
        self.body.test_run_item_id == other.body.test_run_item_id || self.write.has_key_of(&other.write)
    }
}

impl Queue {
    /// Takes those that are to be written next, in the order in which they came. Those that nobody waits for any more, since
    /// the client has gone, are not written.
    fn take(&mut self) -> Vec<Pending> {
        let (mut group, mut bytes) = (Vec::<Pending>::new(), 0);
        let waiting = std::mem::take(&mut self.waiting);
        for next in waiting.into_iter().filter(|next| !next.answer.is_closed()) {
            let size = next.size;
            let has_room = group.len() < RESULTS && size <= BYTES - bytes;
            if group.is_empty() || has_room && !group.iter().any(|other| other.excludes(&next)) {
                bytes = BYTES.min(bytes.saturating_add(size));
                group.push(next);
            } else {
                self.waiting.push_back(next);
            }
        }
        group
    }
}

impl GroupCommit {
    /// Stores results in this database.
    pub(crate) fn new(db: PgPool) -> Self {
        Self { db, runs: Arc::default() }
    }

    /// Stores a result whose body has so many bytes, alone or with others, and gives its answer.
    ///
    /// # Errors
    /// As [`actions::results::submit_together`] says of a single one, and as [`idempotency::record`] does.
    pub(crate) async fn submit(&self, write: Write, body: NewTestRunResult, size: usize) -> ApiResult<Response> {
        let run = Run { project_id: write.caller.project_id, id: body.test_run_id };
        let (answer, answered) = oneshot::channel();
        self.enter(run, Pending { write, body, size, answer, span: Span::current() });
        answered.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Lets a result wait, and starts a writer if the run may have one more.
    fn enter(&self, run: Run, result: Pending) {
        let mut runs = self.runs();
        let queue = runs.entry(run).or_default();
        queue.waiting.push_back(result);
        if queue.writers < WRITERS {
            queue.writers += 1;
            drop(runs);
            self.go_on(run);
        }
    }

    /// Has those written that wait, by a new writer, or gives its place back if nobody does.
    fn go_on(&self, run: Run) {
        if let Some(group) = self.next(run) {
            let writer = Writer { results: self.clone(), run };
            // Not the request's own task: it ends with its client, and others wait for the same transaction.
            tokio::spawn(writer.write(group));
        }
    }

    fn next(&self, run: Run) -> Option<Vec<Pending>> {
        let mut runs = self.runs();
        let queue = runs.get_mut(&run)?;
        let group = queue.take();
        if !group.is_empty() {
            return Some(group);
        }
        queue.writers -= 1;
        if queue.writers == 0 {
            runs.remove(&run);
        }
        None
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<Run, Queue>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of those that write a run's results. Whoever drops it, if by a panic, has another one go on.
struct Writer {
    results: GroupCommit,
    run: Run,
}

impl Writer {
    /// Stores this group and then what waits, group after group.
    async fn write(self, group: Vec<Pending>) {
        let mut conn = match self.results.db.acquire().await {
            Ok(conn) => conn,
            Err(error) => return refuse(group, &error.into()),
        };
        let further = iter::repeat_with(|| self.results.runs().get_mut(&self.run).map(Queue::take).unwrap_or_default());
        for group in iter::once(group).chain(further).take(GROUPS) {
            if group.is_empty() || !store(&mut conn, self.run, group).await {
                break;
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.results.go_on(self.run);
    }
}

/// Answers that the database is not available.
fn refuse(group: Vec<Pending>, error: &Error) {
    tracing::warn!(error = %error, "the database is not available");
    group.into_iter().for_each(|result| result.answer(Err(ApiError::DatabaseUnavailable)));
}

/// Stores a group and answers each of it. If the database refuses what is in it, each is stored alone, so that nobody is
/// refused for somebody else's result. Returns whether the connection is certainly of use still.
async fn store(conn: &mut PgConnection, run: Run, group: Vec<Pending>) -> bool {
    if let [first, _, ..] = group.as_slice() {
        let bodies = group.iter().map(|result| result.body.clone()).collect();
        let writes: Vec<_> = group.iter().map(|result| &result.write).collect();
        match transaction(conn, run, &writes, bodies).instrument(first.span.clone()).await {
            Ok(answers) => {
                group.into_iter().zip(answers).for_each(|(result, answer)| result.answer(answer));
                return true;
            }
            Err(error) if is_unavailable(&error) => {
                refuse(group, &error);
                return false;
            }
            Err(error) => tracing::debug!(error = %error, "a group of results is stored one by one"),
        }
    }
    let mut is_of_use = true;
    for Pending { write, body, answer, span, .. } in group.into_iter().filter(|result| !result.answer.is_closed()) {
        let stored = transaction(conn, run, &[&write], vec![body]).instrument(span).await;
        is_of_use &= stored.is_ok();
        let answered =
            stored.map_err(ApiError::from).and_then(|mut answers| answers.pop().unwrap_or_else(|| Err(lost())));
        let _: Result<(), _> = answer.send(answered);
    }
    is_of_use
}

/// Stores results, records the answers of those that have an `Idempotency-Key`, and commits. The answers are in the order of
/// the results.
///
/// Keys are not looked under before: nearly all are new, and a result that was stored is refused, or its record is.
async fn transaction(
    conn: &mut PgConnection,
    run: Run,
    writes: &[&Write],
    bodies: Vec<NewTestRunResult>,
) -> Result<Vec<ApiResult<Response>>, Error> {
    let mut tx = db::begin_planned(conn).await?;
    let stored = actions::results::submit_together(&mut tx, run.project_id, run.id, bodies).await?;
    let answers: Vec<_> = stored.into_iter().map(|result| encode(&result?)).collect();
    let done = |(&write, answer)| Some((write, ApiResult::as_deref(answer).ok()?));
    let created: Vec<_> = writes.iter().zip(&answers).filter_map(done).collect();
    idempotency::record(&mut tx, StatusCode::CREATED, &created).await?;
    tx.commit().await?;
    Ok(answers.into_iter().map(|answer| Ok(json(StatusCode::CREATED, answer?))).collect())
}

/// What nobody should see: the answer of a result whose writer panicked.
fn lost() -> ApiError {
    ApiError::internal("a result got no answer")
}
