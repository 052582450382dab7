//! Who is told of what, and what goes wrong on the way: all of it drawn from the seed before anything starts.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use test_support::receiver::{ReceivedRequest, Reply};
use test_support::smtp::Reaction;

use super::super::faults::Faults;
use super::Options;

/// The first schedule is due so long after the start: all are stored by then.
const HEAD_START_MS: u64 = 3_000;
/// Recipients of a run's mails.
const RECIPIENTS: usize = 3;
/// What a busy receiver asks for, in seconds: more than the plan's first pause, or nobody would see that it is heeded.
pub(super) const RETRY_AFTER: u32 = 8;
/// The path of the receiver that is gone after a while.
pub(super) const GONE_PATH: &str = "/gone";
/// How many requests it accepts before.
pub(super) const ACCEPTED_BEFORE_GONE: usize = 2;

/// What is to happen.
pub(crate) struct Plan {
    pub(super) runs: Vec<PlannedRun>,
    /// Webhooks of each project, beside the one that goes away.
    pub(super) webhooks: usize,
    pub(super) faults: Faults,
}

/// A schedule that is due once, and its run.
pub(super) struct PlannedRun {
    /// The number of its project.
    pub(super) project: usize,
    /// How long after the start it is due.
    pub(super) due: Duration,
    pub(super) mailboxes: Vec<Mailbox>,
}

/// A recipient and what the mail server does when it is named.
#[derive(Debug, Clone)]
pub(super) struct Mailbox {
    pub(super) address: String,
    /// To the first attempts; then the mail is accepted.
    pub(super) reactions: Vec<Reaction>,
    /// Or it never is.
    pub(super) is_refused: bool,
}

impl Plan {
    pub(super) fn draw(options: Options, projects: usize, processes: usize) -> Self {
        let Options { seed, mails, deliveries, duration, .. } = options;
        let mut rng = StdRng::seed_from_u64(seed);
        let to = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(HEAD_START_MS + 1);
        let mut left = mails;
        let mut runs = Vec::new();
        while left > 0 {
            let number = runs.len();
            let mut mailboxes: Vec<_> = (0..RECIPIENTS.min(left))
                .map(|seat| Mailbox {
                    address: format!("seat{seat}.run{number}@example.com"),
                    reactions: Vec::new(),
                    is_refused: false,
                })
                .collect();
            left -= mailboxes.len();
            // Every trouble comes once at least, however short the plan.
            let trouble = if number < 6 { number } else { rng.random_range(0..12) };
            mailboxes.shuffle(&mut rng);
            trouble_with(trouble, &mut mailboxes, &mut rng);
            let due = Duration::from_millis(rng.random_range(HEAD_START_MS..to));
            runs.push(PlannedRun { project: number % 4 % projects, due, mailboxes });
        }
        let webhooks = deliveries.div_ceil(runs.len().max(1));
        Self { runs, webhooks, faults: Faults::draw(seed, duration, processes) }
    }

    /// Every mailbox of the plan.
    pub(super) fn mailboxes(&self) -> impl Iterator<Item = &Mailbox> {
        self.runs.iter().flat_map(|run| &run.mailboxes)
    }
}

/// What is the matter with a run's recipients; nothing, for numbers that stand for nothing.
fn trouble_with(trouble: usize, mailboxes: &mut [Mailbox], rng: &mut StdRng) {
    let once = match trouble {
        0 | 1 => Reaction::RefuseForNow,
        2 => Reaction::Hang,
        3 => Reaction::LoseAfterData,
        4 => Reaction::KeepAfterData,
        5 => Reaction::HangAfterData,
        _ => return,
    };
    mailboxes[0].reactions.push(once);
    // One of three for good, another for a while.
    if let (0 | 1, Some(second)) = (trouble, mailboxes.get_mut(1)) {
        second.is_refused = true;
        if rng.random_bool(0.5) {
            mailboxes[0].reactions.push(once);
        }
    }
}

/// What the receiver does with a request: the same for the same seed, path and number.
pub(super) fn reply(options: Options, request: &ReceivedRequest) -> Reply {
    if request.path == GONE_PATH {
        return if request.number < ACCEPTED_BEFORE_GONE { Reply::Accept } else { Reply::Status(410) };
    }
    if request.attempt > options.faulty_attempts {
        return Reply::Accept;
    }
    let mut hasher = DefaultHasher::new();
    (options.seed, &request.path, request.number).hash(&mut hasher);
    match StdRng::seed_from_u64(hasher.finish()).random_range(0..100) {
        0..15 => Reply::Status(500),
        15..25 => Reply::Busy { seconds: RETRY_AFTER },
        25..33 => Reply::Hang,
        33..45 => Reply::Reset,
        _ => Reply::Accept,
    }
}
