use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;

/// Nobody gives up waiting.
const FOR_EVER: Patience = Patience { ingest: Duration::MAX, others: Duration::MAX };
const NOT_AT_ALL: Patience = Patience { ingest: Duration::ZERO, others: Duration::ZERO };

/// What a future gives without any waiting.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Takes slots of a class until there is none at once.
fn fill(slots: &Slots, class: Class) -> Vec<Slot> {
    std::iter::from_fn(|| now(slots.enter(class)).and_then(Result::ok)).collect()
}

#[tokio::test]
async fn each_class_leaves_the_others_their_share() {
    let slots = Slots::new(8, FOR_EVER);
    let reports = fill(&slots, Class::Report);
    assert_eq!(reports.len(), 2, "a quarter");
    let lists = fill(&slots, Class::List);
    assert_eq!(lists.len(), 4, "with the reports three quarters");
    assert_eq!(fill(&slots, Class::Ingest).len(), 2, "a quarter is kept for ingest");
    drop((reports, lists));
    let ingest = fill(&slots, Class::Ingest);
    assert_eq!(ingest.len(), 7, "an eighth is kept for lists");
    assert_eq!(fill(&slots, Class::List).len(), 1);
}

#[tokio::test]
async fn two_slots_are_enough_for_every_class_to_get_on() {
    let slots = Slots::new(1, FOR_EVER);
    for class in Class::ALL {
        assert!(!fill(&slots, class).is_empty(), "{class:?}");
    }
}

#[tokio::test]
async fn those_who_wait_are_served_by_class_and_then_in_turn() {
    let slots = Slots::new(2, FOR_EVER);
    let mut held = fill(&slots, Class::Ingest);
    assert_eq!(held.len(), 2);
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiting = tokio::task::JoinSet::new();
    for (name, class) in
        [("report", Class::Report), ("list", Class::List), ("first", Class::Ingest), ("second", Class::Ingest)]
    {
        let (slots, order) = (slots.clone(), Arc::clone(&order));
        waiting.spawn(async move {
            let slot = slots.enter(class).await;
            order.lock().unwrap().push(name);
            drop(slot);
        });
        // Each is in its queue before the next comes.
        tokio::task::yield_now().await;
    }
    held.pop();
    waiting.join_all().await;
    assert_eq!(*order.lock().unwrap(), ["first", "second", "list", "report"]);
}

#[tokio::test]
async fn who_finds_too_many_waiting_is_told_at_once() {
    let slots = Slots::new(4, FOR_EVER);
    let held = fill(&slots, Class::Ingest);
    let mut waiting: Vec<_> = (0..8).map(|_| Box::pin(slots.enter(Class::Ingest))).collect();
    assert!(waiting.iter_mut().all(|one| now(one.as_mut()).is_none()), "eight wait for four");
    assert!(slots.is_full(Class::Ingest));
    assert!(matches!(now(slots.enter(Class::Ingest)), Some(Err(Busy))));
    assert!(!slots.is_full(Class::List), "another class has its own queue");
    waiting.pop();
    assert!(!slots.is_full(Class::Ingest), "who left takes nobody's place");
    drop(held);
    let served = waiting.iter_mut().filter_map(|one| now(one.as_mut())).collect::<Result<Vec<_>, _>>();
    assert_eq!(served.map(|slots| slots.len()), Ok(4));
}

#[tokio::test]
async fn who_waits_too_long_is_refused_and_holds_nothing() {
    let slots = Slots::new(4, NOT_AT_ALL);
    let held = fill(&slots, Class::Ingest);
    assert_eq!(held.len(), 4);
    assert!(slots.enter(Class::Ingest).await.is_err());
    drop(held);
    assert_eq!(fill(&slots, Class::Ingest).len(), 4);
}

#[tokio::test]
async fn a_slot_for_somebody_who_left_is_not_lost() {
    let slots = Slots::new(2, FOR_EVER);
    let held = fill(&slots, Class::Ingest);
    {
        let mut gone = Box::pin(slots.enter(Class::Ingest));
        assert!(now(gone.as_mut()).is_none());
        drop(held);
        // It has its slot by now and does not take it.
    }
    assert_eq!(fill(&slots, Class::Ingest).len(), 2);
}
