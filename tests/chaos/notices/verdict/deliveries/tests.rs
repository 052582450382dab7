use std::time::SystemTime;

use standardwebhooks::Webhook;

use super::*;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const PROJECT: Uuid = Uuid::from_u128(1);

/// The books of two webhooks, one of which is gone, and three events.
struct World {
    hooks: [Hook; 2],
    books: Books,
    requests: Vec<ReceivedRequest>,
    happened: Vec<(SystemTime, SystemTime)>,
}

fn second(number: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(number)
}

fn request(row: &Row, path: &str, reply: Reply, at: u64) -> ReceivedRequest {
    let body = format!(r#"{{"id":"{}"}}"#, row.event_id).into_bytes();
    let (id, timestamp) = (row.id.to_string(), i64::try_from(at).expect("a timestamp"));
    let signature = Webhook::new(SECRET).and_then(|key| key.sign(&id, timestamp, &body)).expect("a signature");
    let headers = [("webhook-id", id), ("webhook-timestamp", at.to_string()), ("webhook-signature", signature)];
    ReceivedRequest {
        number: 0,
        attempt: 1,
        arrived_at: second(at),
        path: path.to_owned(),
        headers: headers
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
            .into_iter()
            .collect(),
        body,
        reply,
    }
}

fn sound() -> World {
    let hook = |id, path: &str| Hook { id: Uuid::from_u128(id), path: path.to_owned(), secret: SECRET.to_owned() };
    let hooks = [hook(10, "/hook"), hook(11, GONE_PATH)];
    let row = |id: u128, hook: &Hook, event, status: &str| Row {
        id: Uuid::from_u128(100 + id),
        webhook_id: hook.id,
        event_id: Uuid::from_u128(event),
        status: status.to_owned(),
        attempt: 2,
        last_error: (status == "failed").then(|| "the receiver answered 410".to_owned()),
    };
    let deliveries = vec![
        row(0, &hooks[0], 1_000, "delivered"),
        row(1, &hooks[0], 1_001, "delivered"),
        row(2, &hooks[1], 1_000, "failed"),
    ];
    let requests = vec![
        request(&deliveries[0], "/hook", Reply::Busy { seconds: RETRY_AFTER }, 100),
        request(&deliveries[0], "/hook", Reply::Accept, 110),
        request(&deliveries[1], "/hook", Reply::Accept, 100),
        request(&deliveries[2], GONE_PATH, Reply::Status(410), 100),
    ];
    let events = [1_000, 1_001].map(|event| (Uuid::from_u128(event), PROJECT)).into();
    let webhooks = [(hooks[0].id, None), (hooks[1].id, Some("gone".to_owned()))].into();
    let books = Books { deliveries, events, webhooks, told_disabled: 1 };
    World { hooks, books, requests, happened: vec![(second(50), second(51))] }
}

fn violations(spoil: impl FnOnce(&mut World)) -> usize {
    let mut world = sound();
    spoil(&mut world);
    let mut deliveries = Deliveries::default();
    let hooks: Vec<_> = world.hooks.iter().map(|hook| (PROJECT, hook)).collect();
    deliveries.judge(&hooks, &world.books, &world.requests, &world.happened);
    deliveries.violations.len()
}

#[test]
fn every_kind_of_loss_and_doubling_is_found() {
    assert_eq!(violations(|_| {}), 0);
    assert_eq!(violations(|w| drop(w.requests.remove(2))), 1, "delivered, and never came");
    assert_eq!(violations(|w| drop(w.books.deliveries.remove(1))), 2, "a lost row, and a request of nobody's");
    assert_eq!(violations(|w| w.books.deliveries[1].status = "pending".to_owned()), 1);
    assert_eq!(violations(|w| w.books.deliveries[1].status = "failed".to_owned()), 1, "given up");
    assert_eq!(violations(|w| w.books.deliveries[1].event_id = Uuid::from_u128(1_000)), 3, "one event twice");
    assert_eq!(violations(|w| w.books.events.push((Uuid::from_u128(1_002), PROJECT))), 1, "an event for nobody");
    assert_eq!(violations(|w| w.books.deliveries[0].attempt = 1), 1, "more requests than attempts");
    assert_eq!(violations(|w| w.books.deliveries[2].last_error = None), 1, "given up for no reason");
}

#[test]
fn one_receiver_that_is_gone_is_told_of_and_harms_no_other() {
    assert_eq!(violations(|w| w.books.told_disabled = 0), 1);
    assert_eq!(violations(|w| w.books.told_disabled = 2), 1);
    assert_eq!(violations(|w| drop(w.books.webhooks.insert(Uuid::from_u128(11), None))), 1, "still enabled");
    assert_eq!(violations(|w| drop(w.books.webhooks.insert(Uuid::from_u128(10), Some("failing".to_owned())))), 1);
}

#[test]
fn requests_are_signed_in_time_and_say_the_same() {
    assert_eq!(violations(|w| w.requests[2].body.push(b' ')), 1, "another body than was signed");
    assert_eq!(violations(|w| w.requests[2].arrived_at = second(1_000)), 1, "a stale signature");
    assert_eq!(violations(|w| w.requests[2].path = "/other".to_owned()), 1);
    assert_eq!(violations(|w| w.hooks[0].secret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned()), 3);
}

#[test]
fn a_request_comes_again_only_where_its_sender_could_not_know_and_never_too_soon() {
    let again = |at, from, to| {
        violations(|w| {
            w.requests.push(request(&w.books.deliveries[1], "/hook", Reply::Accept, at));
            w.happened.push((second(from), second(to)));
        })
    };
    assert_eq!(again(130, 101, 101), 0);
    assert_eq!(again(130, 90, 91), 1);
    assert_eq!(again(150, 140, 141), 1);
    assert_eq!(violations(|w| w.requests[1] = request(&w.books.deliveries[0], "/hook", Reply::Accept, 105)), 1);
}
