//! Takes jobs for the free slots of a worker, in turns between projects.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgExecutor};
use uuid::Uuid;

use super::hands::Start;
use super::rescue::ORPHANED_AFTER;

/// How many scheduled jobs become ready in one statement.
const RIPE_AT_ONCE: i64 = 5_000;

/// A job that this worker took, and nobody else has.
#[derive(Debug, FromRow)]
pub(super) struct Claimed {
    pub(super) id: String,
    pub(super) project_id: Uuid,
    pub(super) payload: Vec<u8>,
    /// How often it was started, this start included.
    pub(super) starts: i32,
    pub(super) traceparent: Option<String>,
    run_at: DateTime<Utc>,
    /// Whether its project may have more that are due: not all that were found were taken, or as many were found as were
    /// looked for.
    pub(super) may_have_more: bool,
    /// Whether some project has more that were found and not taken.
    pub(super) others_wait: bool,
}

impl Claimed {
    pub(super) fn start(&self) -> Start {
        (self.id.clone(), self.starts)
    }
}

/// What there is to claim for.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) queue: &'a str,
    pub(super) worker: &'a str,
    /// The project that had the last turn.
    pub(super) after: Uuid,
    pub(super) slots: usize,
    pub(super) free: usize,
    /// Slots that projects hold.
    pub(super) running: Vec<(Uuid, usize)>,
}

/// Claims the oldest due jobs of the projects whose turn it is, for at most the free slots; oldest first.
///
/// The cost grows with the slots and not with what waits: the index is stepped through from project to project, for at
/// most as many of them as there are slots, from the one that had the last turn. Of each, as many jobs are locked as it
/// may get, and those are taken that leave their project with the fewest slots, as long as it then holds no more than are
/// left free (see [`super::hands::Hands::has_room_for`]). The ids of the jobs go through an array, so that whatever the
/// planner believes of the table, it finds them by primary key; `OFFSET 0` has each step made once.
///
/// A worker that missed its heartbeats claims nothing: others would take it for lost at once. Nor does anybody claim from a
/// queue that operators paused.
pub(super) async fn claim(db: impl PgExecutor<'_>, wanted: Wanted<'_>) -> sqlx::Result<Vec<Claimed>> {
    let (projects, held): (Vec<Uuid>, Vec<i32>) =
        wanted.running.iter().map(|(project, running)| (*project, count(*running))).unzip();
    let mut claimed: Vec<Claimed> = sqlx::query_as(
        "-- jobs.claim
         WITH RECURSIVE lowest AS MATERIALIZED (
             SELECT j.project_id FROM apalis.jobs j
             WHERE j.waits_in = $1 AND NOT j.is_scheduled
             ORDER BY j.project_id LIMIT 1
         ),
         turn (project_id, first, place) AS (
             SELECT begin.project_id, begin.project_id, 1
             FROM (SELECT coalesce(
                 (SELECT j.project_id FROM apalis.jobs j
                  WHERE j.waits_in = $1 AND NOT j.is_scheduled AND j.project_id > $3
                  ORDER BY j.project_id LIMIT 1),
                 (SELECT l.project_id FROM lowest l)) AS project_id OFFSET 0) AS begin
             WHERE begin.project_id IS NOT NULL
                 AND EXISTS (SELECT 1 FROM apalis.workers w WHERE w.id = $2 AND w.last_seen > now() - make_interval(secs => $8))
                 AND NOT EXISTS (SELECT 1 FROM paused_queues p WHERE p.queue = $1)
             UNION ALL
             SELECT next.project_id, t.first, t.place + 1
             FROM turn t CROSS JOIN LATERAL (SELECT coalesce(
                 (SELECT j.project_id FROM apalis.jobs j
                  WHERE j.waits_in = $1 AND NOT j.is_scheduled AND j.project_id > t.project_id
                  ORDER BY j.project_id LIMIT 1),
                 (SELECT l.project_id FROM lowest l)) AS project_id OFFSET 0) AS next
             WHERE t.place < $5 AND next.project_id <> t.first
         ),
         share AS MATERIALIZED (
             SELECT t.project_id, t.place, coalesce(r.running, 0) AS running,
                 least(($4 + count(*) OVER () - 1) / count(*) OVER (), ($4 - coalesce(r.running, 0) + 1) / 2)::int AS quota
             FROM turn t LEFT JOIN unnest($6::uuid[], $7::int[]) AS r (project_id, running) ON r.project_id = t.project_id
             WHERE coalesce(r.running, 0) < $4
             ORDER BY coalesce(r.running, 0), t.place
             LIMIT $4
         ),
         candidate AS MATERIALIZED (
             SELECT oldest.id, s.project_id, s.place, s.quota,
                 s.running + row_number() OVER (PARTITION BY s.project_id ORDER BY oldest.run_at) AS would_hold
             FROM share s CROSS JOIN LATERAL (
                 SELECT j.id, j.run_at FROM apalis.jobs j
                 WHERE j.waits_in = $1 AND NOT j.is_scheduled
                     AND j.project_id = s.project_id AND j.run_at <= now()
                 ORDER BY j.run_at
                 LIMIT s.quota
                 FOR UPDATE SKIP LOCKED
             ) AS oldest
         ),
         claimed AS (
             UPDATE apalis.jobs j
             SET status = 'Running', attempts = j.attempts + 1, lock_by = $2, lock_at = now()
             WHERE j.id = ANY (ARRAY(
                 SELECT c.id
                 FROM (SELECT id, would_hold, row_number() OVER (ORDER BY would_hold, place) AS nth FROM candidate) AS c
                 WHERE c.would_hold <= $4 - c.nth + 1
             ))
             RETURNING j.id, j.project_id, j.job, j.attempts, j.metadata -> 'traceparent' AS traceparent, j.run_at
         )
         SELECT c.id, c.project_id, c.job AS payload, c.attempts AS starts, c.traceparent, c.run_at,
             found.jobs >= found.quota OR found.jobs > count(*) OVER (PARTITION BY c.project_id) AS may_have_more,
             (SELECT count(*) FROM candidate) > count(*) OVER () AS others_wait
         FROM claimed c JOIN (
             SELECT project_id, quota, count(*) AS jobs FROM candidate GROUP BY project_id, quota
         ) AS found ON found.project_id = c.project_id",
    )
    .bind(wanted.queue)
    .bind(wanted.worker)
    .bind(wanted.after)
    .bind(count(wanted.free))
    .bind(count(wanted.slots))
    .bind(projects)
    .bind(held)
    .bind(ORPHANED_AFTER.as_secs_f64())
    .fetch_all(db)
    .await?;
    claimed.sort_unstable_by_key(|job| job.run_at);
    Ok(claimed)
}

/// The project among these jobs that had the last turn, counted from the one that had it before.
pub(super) fn last_turn(claimed: &[Claimed], before: Uuid) -> Uuid {
    // Projects up to the one before come after all the others: the index was gone through once around.
    claimed.iter().map(|job| job.project_id).max_by_key(|project| (*project <= before, *project)).unwrap_or(before)
}

/// What became of the scheduled jobs of a queue.
#[derive(Debug, FromRow)]
pub(super) struct Ripened {
    /// Whether there are more that are due.
    pub(super) is_unfinished: bool,
    /// Seconds until the next one is due.
    pub(super) next_seconds: Option<f64>,
}

/// Puts scheduled jobs that have become due among those that can be claimed.
pub(super) async fn ripen(db: impl PgExecutor<'_>, queue: &str) -> sqlx::Result<Ripened> {
    sqlx::query_as(
        "-- jobs.ripen
         WITH ripe AS (
             UPDATE apalis.jobs SET is_scheduled = FALSE
             WHERE id = ANY (ARRAY(
                 SELECT id FROM apalis.jobs
                 WHERE waits_in = $1 AND is_scheduled AND run_at <= now()
                 ORDER BY run_at
                 LIMIT $2
                 FOR UPDATE SKIP LOCKED
             ))
             RETURNING id
         )
         SELECT (SELECT count(*) FROM ripe) = $2 AS is_unfinished,
             (SELECT extract(epoch FROM min(run_at) - clock_timestamp())::float8 FROM apalis.jobs
              WHERE waits_in = $1 AND is_scheduled AND run_at > now()) AS next_seconds",
    )
    .bind(queue)
    .bind(RIPE_AT_ONCE)
    .fetch_one(db)
    .await
}

/// Slots are few; what does not fit is as good as unlimited.
fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimed(project: u128) -> Claimed {
        Claimed {
            id: String::new(),
            project_id: Uuid::from_u128(project),
            payload: Vec::new(),
            starts: 1,
            traceparent: None,
            run_at: DateTime::UNIX_EPOCH,
            may_have_more: false,
            others_wait: false,
        }
    }

    #[test]
    fn turns_go_around_the_projects() {
        let jobs = [claimed(3), claimed(7), claimed(5)];
        let last = |before| last_turn(&jobs, Uuid::from_u128(before)).as_u128();
        assert_eq!([last(0), last(3), last(5), last(6), last(7), last(9)], [7, 3, 5, 5, 7, 7]);
        assert_eq!(last_turn(&[], Uuid::from_u128(4)).as_u128(), 4);
    }
}
