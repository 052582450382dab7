//! Stores how jobs ended, as many at a time as have ended meanwhile.

use std::sync::Arc;

use sqlx::PgExecutor;
use tokio::sync::mpsc;

use super::hands::Start;
use super::worker::Worker;

/// How many ends are stored in one statement.
const BATCH: usize = 1_000;

/// What becomes of a job.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum End {
    Done,
    /// It is given up, for this reason.
    Dead(String),
    /// It failed, for this reason, and is due again after a pause.
    Again {
        reason: String,
        /// In seconds.
        pause: f64,
        /// Whether this start is one of those that a job may have.
        counts: bool,
    },
    /// It was claimed and not begun: somebody else shall have it, and this start does not count.
    NotBegun,
}

/// Where handlers leave what has ended. It holds a slot's worth of them back when far too many are not stored yet.
pub(super) type Ends = mpsc::Sender<(Start, End)>;

/// Stores ends until nobody can leave one any more. While the database is away it keeps trying; nothing is forgotten.
pub(super) async fn store_ends(worker: Arc<Worker>, mut ends: mpsc::Receiver<(Start, End)>) {
    let mut batch = Vec::new();
    while ends.recv_many(&mut batch, BATCH).await > 0 {
        while let Err(error) = finish(&worker.db, &worker.name, &batch).await {
            worker.database_failed("the end of jobs could not be stored", &error).await;
        }
        worker.hands.let_go(batch.iter().map(|(start, _)| start));
        batch.clear();
    }
}

/// Stores the ends of jobs that still are this worker's: what was rescued meanwhile is somebody else's to end.
///
/// `IS NOT DISTINCT FROM` keeps the planner from any index but the primary key: with old statistics it would take all that
/// a worker ever did for a handful of rows.
async fn finish(db: impl PgExecutor<'_>, worker: &str, batch: &[(Start, End)]) -> sqlx::Result<()> {
    let (mut ids, mut starts, mut statuses) = (Vec::new(), Vec::new(), Vec::new());
    let (mut reasons, mut pauses, mut counted) = (Vec::new(), Vec::new(), Vec::new());
    for ((id, start), end) in batch {
        let (status, reason, pause, counts) = match end {
            End::Done => ("Done", None, None, true),
            End::Dead(reason) => ("Killed", Some(storable(reason)), None, true),
            End::Again { reason, pause, counts } => ("Pending", Some(storable(reason)), Some(*pause), *counts),
            End::NotBegun => ("Pending", None, None, false),
        };
        ids.push(id.as_str());
        starts.push(*start);
        statuses.push(status);
        reasons.push(reason);
        pauses.push(pause);
        counted.push(counts);
    }
    sqlx::query(
        "-- jobs.finish
         UPDATE apalis.jobs j
         SET status = e.status,
             attempts = CASE WHEN e.counts THEN j.attempts ELSE j.attempts - 1 END,
             run_at = CASE WHEN e.pause IS NULL THEN j.run_at ELSE now() + make_interval(secs => e.pause) END,
             is_scheduled = e.pause IS NOT NULL,
             last_result = CASE WHEN e.reason IS NOT NULL THEN jsonb_build_object('Err', e.reason)
                 WHEN e.status = 'Done' THEN '{\"Ok\": null}' ELSE j.last_result END,
             done_at = CASE WHEN e.status = 'Pending' THEN NULL ELSE now() END,
             lock_by = CASE WHEN e.status = 'Pending' THEN NULL ELSE j.lock_by END,
             lock_at = CASE WHEN e.status = 'Pending' THEN NULL ELSE j.lock_at END
         FROM unnest($2::text[], $3::int[], $4::text[], $5::text[], $6::float8[], $7::bool[])
             AS e (id, attempts, status, reason, pause, counts)
         WHERE j.id = e.id AND j.attempts = e.attempts
             AND j.status IS NOT DISTINCT FROM 'Running' AND j.lock_by IS NOT DISTINCT FROM $1",
    )
    .bind(worker)
    .bind(ids)
    .bind(starts)
    .bind(statuses)
    .bind(reasons)
    .bind(pauses)
    .bind(counted)
    .execute(db)
    .await
    .map(|_| ())
}

/// PostgreSQL's texts have no NUL. One in a panic's message must not keep others' ends from being stored.
fn storable(reason: &str) -> String {
    reason.replace('\0', "\u{fffd}")
}
