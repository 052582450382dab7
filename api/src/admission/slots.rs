//! Slots for requests: so many at once, some kept for each class, and those who wait are served by class and then in turn.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

/// Who comes first when there is too much: a result that is refused may be lost, a list is asked for again, and a report
/// costs the most and can wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Whatever changes something.
    Ingest,
    /// Whatever reads rows.
    List,
    /// Whatever reads a run as a whole.
    Report,
}

impl Class {
    const ALL: [Self; 3] = [Self::Ingest, Self::List, Self::Report];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::List => "list",
            Self::Report => "report",
        }
    }
}

/// How long a request may wait for its slot. The queues are so short that this is not used up by mere load: it is the bound
/// for when what is under way has come to a stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) ingest: Duration,
    pub(super) others: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { ingest: Duration::from_millis(500), others: Duration::from_millis(250) }
    }
}

/// No slot is free, or will be soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Busy;

/// Hands slots out.
#[derive(Debug, Clone)]
pub(super) struct Slots(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// All slots.
    total: usize,
    patience: Patience,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By class.
    running: [usize; 3],
    /// By class; who gave up waiting is still in it until somebody looks.
    waiting: [VecDeque<oneshot::Sender<Slot>>; 3],
}

/// A request's place. It is free again with this value's end, and goes to whoever waits.
#[derive(Debug)]
pub(crate) struct Slot {
    inner: Arc<Inner>,
    class: Class,
}

impl Slots {
    /// So many slots.
    pub(super) fn new(total: usize, patience: Patience) -> Self {
        for class in Class::ALL.map(Class::as_str) {
            // There from the beginning, so that the first refusal is seen as a change.
            metrics::counter!("testrun_http_rejected_total", "class" => class).increment(0);
            metrics::gauge!("testrun_http_slots_in_use", "class" => class).set(0);
            metrics::gauge!("testrun_http_waiting", "class" => class).set(0);
        }
        Self(Arc::new(Inner { total: total.max(2), patience, state: Mutex::default() }))
    }

    /// Whether it is certain already that a request of this class gets none.
    pub(super) fn is_full(&self, class: Class) -> bool {
        let mut state = self.0.lock();
        !self.0.may_run(&state, class) && !self.0.may_wait(&mut state, class)
    }

    /// Takes a slot, or waits for one: not long, and only where few do.
    ///
    /// # Errors
    /// [`Busy`] if too many wait, or none was free in time.
    pub(super) async fn enter(&self, class: Class) -> Result<Slot, Busy> {
        let receiver = {
            let mut state = self.0.lock();
            if self.0.may_run(&state, class) {
                return Ok(self.0.begin(&mut state, class));
            }
            if !self.0.may_wait(&mut state, class) {
                return Err(Busy);
            }
            let (sender, receiver) = oneshot::channel();
            state.waiting[class as usize].push_back(sender);
            receiver
        };
        let _waiting = Waiting::new(class);
        let patience = if class == Class::Ingest { self.0.patience.ingest } else { self.0.patience.others };
        // A slot that arrives in the instant in which we give up is freed with the receiver.
        match timeout(patience, receiver).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) | Err(_) => Err(Busy),
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many slots a class never gives up to the others below it.
    const fn kept_for_ingest(&self) -> usize {
        self.total.div_ceil(4)
    }

    /// Ingest comes first, but who looks at what is going on is not shut out by it for good.
    const fn kept_for_lists(&self) -> usize {
        self.total / 8
    }

    const fn most_reports(&self) -> usize {
        self.total.div_ceil(4)
    }

    fn may_run(&self, state: &State, class: Class) -> bool {
        let [ingest, lists, reports] = state.running;
        ingest + lists + reports < self.total
            && match class {
                Class::Ingest => ingest < self.total - self.kept_for_lists(),
                Class::List => lists + reports < self.total - self.kept_for_ingest(),
                Class::Report => reports < self.most_reports() && lists + reports < self.total - self.kept_for_ingest(),
            }
    }

    /// A queue is as long as what may run, twice for ingest: whoever waits in it is served within a few answers' time, and
    /// whoever finds it full is told at once.
    fn may_wait(&self, state: &mut State, class: Class) -> bool {
        let most = match class {
            Class::Ingest => self.total * 2,
            Class::List => self.total,
            Class::Report => self.most_reports(),
        };
        let queue = &mut state.waiting[class as usize];
        if queue.len() >= most {
            queue.retain(|waiting| !waiting.is_closed());
        }
        queue.len() < most
    }

    fn begin(self: &Arc<Self>, state: &mut State, class: Class) -> Slot {
        state.running[class as usize] += 1;
        metrics::gauge!("testrun_http_slots_in_use", "class" => class.as_str()).increment(1);
        Slot { inner: Arc::clone(self), class }
    }

    fn end(self: &Arc<Self>, class: Class) {
        metrics::gauge!("testrun_http_slots_in_use", "class" => class.as_str()).decrement(1);
        // Slots for those who left in this very instant. They are freed once the lock is.
        let mut undelivered = Vec::new();
        let mut state = self.lock();
        state.running[class as usize] -= 1;
        for class in Class::ALL {
            while self.may_run(&state, class) {
                let Some(waiting) = state.waiting[class as usize].pop_front() else { break };
                if !waiting.is_closed() {
                    undelivered.extend(waiting.send(self.begin(&mut state, class)).err());
                }
            }
        }
        drop(state);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.inner.end(self.class);
    }
}

/// Measures a wait.
struct Waiting(Class, Instant);

impl Waiting {
    fn new(class: Class) -> Self {
        metrics::gauge!("testrun_http_waiting", "class" => class.as_str()).increment(1);
        Self(class, Instant::now())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        metrics::gauge!("testrun_http_waiting", "class" => self.0.as_str()).decrement(1);
        metrics::histogram!("testrun_http_wait_seconds", "class" => self.0.as_str()).record(self.1.elapsed());
    }
}

#[cfg(test)]
mod tests;
