//! Decides when a worker looks for jobs, and hands over what it claims.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::claim::{Claimed, Wanted, claim, last_turn, ripen};
use super::hands::Slot;
use super::worker::Worker;

/// How often a queue is looked at when no bell rings: bells can be missed, and scheduled or rescued jobs have none.
const POLL: Duration = Duration::from_secs(1);

/// A claimed job and the slot that it was claimed for.
#[derive(Debug)]
pub(super) struct InHand {
    pub(super) job: Claimed,
    pub(super) slot: Slot,
}

/// Looks for jobs until `stop`, and sends each to `started`. A claim that is under way is waited for, since the database may
/// have made it.
pub(super) async fn take_in(worker: Arc<Worker>, started: mpsc::UnboundedSender<InHand>, stop: CancellationToken) {
    let mut intake = Intake { worker, started, last_turn: Uuid::nil(), next_tick: Instant::now(), more: More::Unknown };
    while !stop.is_cancelled() {
        intake.tick().await;
        intake.look().await;
        intake.wait(&stop).await;
    }
}

struct Intake {
    worker: Arc<Worker>,
    started: mpsc::UnboundedSender<InHand>,
    last_turn: Uuid,
    next_tick: Instant,
    more: More,
}

/// What is known of jobs that could be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum More {
    /// Nobody has looked since the bell rang.
    Unknown,
    /// Some may wait for a slot to be freed.
    NeedsSlot,
    /// There is none.
    Nothing,
}

impl Intake {
    /// At its time: lets scheduled jobs become ready, and learns when the next one is due.
    async fn tick(&mut self) {
        if Instant::now() < self.next_tick {
            return;
        }
        self.more = More::Unknown;
        let pause = match ripen(&self.worker.db, self.worker.queue).await {
            Ok(ripened) if ripened.is_unfinished => Duration::ZERO,
            Ok(ripened) => {
                let next = ripened.next_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                next.map_or(POLL, |next| next.min(POLL))
            }
            Err(error) => {
                tracing::warn!(queue = self.worker.queue, %error, "scheduled jobs could not be looked at");
                POLL
            }
        };
        self.next_tick = Instant::now() + pause;
    }

    /// Claims what there are slots for, as long as there is something to claim.
    async fn look(&mut self) {
        while self.more == More::Unknown {
            let (free, running) = (self.worker.hands.free(), self.worker.hands.running());
            // A project that holds as many slots as are free got no more, whatever it has.
            let is_held_back = running.values().any(|running| *running >= free);
            if free == 0 {
                self.more = More::NeedsSlot;
                return;
            }
            let wanted = Wanted {
                queue: self.worker.queue,
                worker: &self.worker.name,
                after: self.last_turn,
                slots: self.worker.hands.slots(),
                free,
                running: running.into_iter().collect(),
            };
            match claim(&self.worker.db, wanted).await {
                Ok(claimed) => {
                    self.worker.is_claim_failing.store(false, Ordering::Relaxed);
                    self.more = self.hand_over(claimed, is_held_back);
                }
                Err(error) => {
                    self.worker.is_claim_failing.store(true, Ordering::Relaxed);
                    self.worker.database_failed("jobs could not be claimed", &error).await;
                    return;
                }
            }
        }
    }

    fn hand_over(&mut self, claimed: Vec<Claimed>, is_held_back: bool) -> More {
        self.last_turn = last_turn(&claimed, self.last_turn);
        let have_more: HashSet<Uuid> =
            claimed.iter().filter(|job| job.may_have_more).map(|job| job.project_id).collect();
        let others_wait = claimed.iter().any(|job| job.others_wait);
        for job in claimed {
            let slot = self.worker.hands.take(job.start(), job.project_id);
            // Its receiver ends after us.
            drop(self.started.send(InHand { job, slot }));
        }
        if have_more.iter().any(|project| self.worker.hands.has_room_for(*project)) {
            More::Unknown
        } else if is_held_back || others_wait || !have_more.is_empty() {
            More::NeedsSlot
        } else {
            More::Nothing
        }
    }

    /// Waits for a reason to look again.
    async fn wait(&mut self, stop: &CancellationToken) {
        if self.more == More::Unknown {
            return;
        }
        tokio::select! {
            () = self.worker.bell.notified() => self.more = More::Unknown,
            () = self.worker.hands.freed(), if self.more == More::NeedsSlot => self.more = More::Unknown,
            () = tokio::time::sleep_until(self.next_tick) => {}
            () = stop.cancelled() => {}
        }
    }
}
