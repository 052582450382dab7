//! What a worker has in hand: the slots that are taken, by project, and the jobs whose end is not stored yet.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use uuid::Uuid;

/// How long to wait for more slots once one is free: jobs that end together are replaced together.
const LINGER: Duration = Duration::from_millis(5);

/// A job as it was claimed: its id, and which start of it this is. Only both together tell it from a later start.
pub(super) type Start = (String, i32);

#[derive(Debug)]
pub(super) struct Hands {
    slots: usize,
    holding: Mutex<Holding>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Holding {
    running: HashMap<Uuid, usize>,
    taken: usize,
    starts: HashSet<Start>,
}

/// A taken slot. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    hands: Arc<Hands>,
    project_id: Uuid,
}

impl Hands {
    pub(super) fn new(slots: usize) -> Self {
        Self { slots, holding: Mutex::default(), freed: Notify::new() }
    }

    pub(super) const fn slots(&self) -> usize {
        self.slots
    }

    pub(super) fn free(&self) -> usize {
        self.slots.saturating_sub(self.lock().taken)
    }

    /// How many slots each project holds that holds any.
    pub(super) fn running(&self) -> HashMap<Uuid, usize> {
        self.lock().running.clone()
    }

    /// Whether a project may have one more slot: it may while it holds fewer than are free.
    ///
    /// However many jobs one project has, it gets half of the slots, the next one half of what is left, and so on: a
    /// newcomer does not wait for anybody's job to end.
    pub(super) fn has_room_for(&self, project_id: Uuid) -> bool {
        let holding = self.lock();
        holding.running.get(&project_id).copied().unwrap_or(0) < self.slots.saturating_sub(holding.taken)
    }

    /// Takes a claimed job in hand, and a slot for it.
    pub(super) fn take(self: &Arc<Self>, start: Start, project_id: Uuid) -> Slot {
        let mut holding = self.lock();
        *holding.running.entry(project_id).or_default() += 1;
        holding.taken += 1;
        holding.starts.insert(start);
        Slot { hands: Arc::clone(self), project_id }
    }

    /// The jobs in hand: those that run, and those whose end is not stored.
    pub(super) fn starts(&self) -> Vec<Start> {
        self.lock().starts.iter().cloned().collect()
    }

    /// Notes that the ends of these jobs are stored.
    pub(super) fn let_go<'a>(&self, starts: impl IntoIterator<Item = &'a Start>) {
        let mut holding = self.lock();
        for start in starts {
            holding.starts.remove(start);
        }
    }

    /// Waits until a slot is freed, and a moment longer for others, up to a quarter of them.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
        let enough = async {
            while self.free() < self.slots / 4 {
                self.freed.notified().await;
            }
        };
        // Enough or not, what is free is worth a look then.
        let _ = tokio::time::timeout(LINGER, enough).await;
    }

    fn lock(&self) -> MutexGuard<'_, Holding> {
        self.holding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut holding = self.hands.lock();
        holding.taken -= 1;
        if let Some(running) = holding.running.get_mut(&self.project_id) {
            *running -= 1;
            if *running == 0 {
                holding.running.remove(&self.project_id);
            }
        }
        drop(holding);
        self.hands.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many slots each of `projects` gets that comes with jobs without end, one after the other.
    fn shares(slots: usize, projects: u128) -> Vec<usize> {
        let hands = Arc::new(Hands::new(slots));
        let mut taken = Vec::new();
        for project in (0..projects).map(Uuid::from_u128) {
            while hands.has_room_for(project) {
                taken.push(hands.take((format!("{project}-{}", taken.len()), 1), project));
            }
        }
        (0..projects).map(|project| hands.running().get(&Uuid::from_u128(project)).copied().unwrap_or(0)).collect()
    }

    #[test]
    fn a_project_gets_half_of_the_free_slots_and_the_next_one_half_of_the_rest() {
        assert_eq!(shares(16, 6), [8, 4, 2, 1, 1, 0]);
        assert_eq!(shares(10, 5), [5, 3, 1, 1, 0]);
        assert_eq!(shares(4, 4), [2, 1, 1, 0]);
        assert_eq!(shares(2, 3), [1, 1, 0]);
        assert_eq!(shares(1, 2), [1, 0]);
    }

    #[tokio::test]
    async fn a_dropped_slot_is_free_again_and_says_so_while_the_job_stays_in_hand() {
        let hands = Arc::new(Hands::new(1));
        let start = ("job".to_owned(), 1);
        let slot = hands.take(start.clone(), Uuid::nil());
        assert_eq!((hands.free(), hands.running()), (0, HashMap::from([(Uuid::nil(), 1)])));
        drop(slot);
        hands.freed().await;
        assert_eq!((hands.free(), hands.running().len()), (1, 0));
        assert_eq!(hands.starts(), std::slice::from_ref(&start));
        hands.let_go([&start]);
        assert!(hands.starts().is_empty());
    }
}
