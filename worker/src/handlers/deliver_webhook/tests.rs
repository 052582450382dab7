//! Real receivers on real sockets: what they get, and what becomes of what they do.

use std::time::Duration;

use serde_json::{Value, json};
use standardwebhooks::Webhook as Verifier;
use tempfile::TempDir;
use test_support::{Database, Tenant, refusing_port};
use testrun_shared::actions::webhooks::{create, rotate_secret, send_test, update};
use testrun_shared::domain::webhook::{
    DeliveryStatus, DisabledReason, Webhook, WebhookDelivery, WebhookDeliveryAttempt, WebhookWithSecret,
};
use testrun_shared::telemetry::trace::{self, TRACEPARENT, TraceParent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use uuid::Uuid;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::*;
use crate::mail::Mailer;
use crate::webhook::WebhookClient;

/// Longer than anything here takes that is meant to end by itself.
const PATIENCE: Duration = Duration::from_secs(15);
const LOOPBACK: &str = "127.0.0.0/8,::1";

/// A tenant, and a worker that sends to the networks in a list.
struct World {
    context: Arc<Context>,
    tenant: Tenant,
    database: Database,
    _mails: TempDir,
}

impl World {
    async fn new(allowed: &str, timeout: Duration) -> anyhow::Result<Self> {
        let database = Database::new().await?;
        let (tenant, mails) = (database.tenant("A").await?, TempDir::new()?);
        let context = Context {
            db: database.pool.clone(),
            mailer: Mailer::to_directory(mails.path())?,
            mail_from: "testrun@example.com".parse()?,
            public_url: None,
            webhooks: WebhookClient::new(allowed.parse().map_err(anyhow::Error::msg)?, timeout)?,
        };
        Ok(Self { context: Arc::new(context), tenant, database, _mails: mails })
    }

    async fn webhook(&self, url: &str) -> anyhow::Result<WebhookWithSecret> {
        let body = serde_json::from_value(json!({"url": url, "event_types": ["webhook.disabled"]}))?;
        Ok(create(&self.database.pool, &self.tenant.caller, body).await?)
    }

    /// A delivery of a test event that waits.
    async fn waiting(&self, webhook_id: Uuid) -> anyhow::Result<WebhookDelivery> {
        Ok(send_test(&self.database.pool, &self.tenant.caller, webhook_id).await?)
    }

    /// Does the job, and tells what became of the delivery and its latest attempt.
    async fn deliver(
        &self,
        delivery: &WebhookDelivery,
    ) -> anyhow::Result<(WebhookDelivery, Option<WebhookDeliveryAttempt>)> {
        assert_eq!(
            run(DeliverWebhook { delivery_id: delivery.id }, Arc::clone(&self.context)).await?,
            JobOutcome::Done
        );
        let db = &self.database.pool;
        let after = db::webhook_deliveries::get(db, delivery.webhook_id, delivery.id).await?;
        let attempt = db::webhook_delivery_attempts::list(db, delivery.id).await?.pop();
        Ok((after.ok_or_else(|| anyhow::anyhow!("the delivery is gone"))?, attempt))
    }

    /// A test event, sent to this address.
    async fn sent_to(&self, url: &str) -> anyhow::Result<(WebhookDelivery, Option<WebhookDeliveryAttempt>)> {
        let webhook = self.webhook(url).await?;
        self.deliver(&self.waiting(webhook.details.id).await?).await
    }

    /// The webhook as it is now.
    async fn stored(&self, id: Uuid) -> anyhow::Result<Webhook> {
        let webhook = db::webhooks::get(&self.database.pool, self.tenant.project_id, id).await?;
        webhook.ok_or_else(|| anyhow::anyhow!("the webhook is gone"))
    }

    async fn execute(&self, sql: &'static str) -> sqlx::Result<()> {
        sqlx::query(sql).execute(&self.database.pool).await.map(drop)
    }

    /// Whether the next attempt of the only delivery comes after so many seconds. The pause begins at some time after the
    /// latest attempt did and before that was noted, and a busy machine may be slow between the two.
    async fn pauses_for(&self, seconds: std::ops::Range<f64>) -> sqlx::Result<Result<(), String>> {
        let sql = "SELECT extract(epoch FROM d.next_attempt_at - max(a.started_at))::float8,
                       extract(epoch FROM d.next_attempt_at - d.rung_at)::float8
                   FROM webhook_deliveries d JOIN webhook_delivery_attempts a ON a.delivery_id = d.id GROUP BY d.id";
        let (from_start, from_end): (f64, f64) = sqlx::query_as(sql).fetch_one(&self.database.pool).await?;
        let is_within = seconds.start <= from_start && from_end < seconds.end;
        Ok(is_within.then_some(()).ok_or_else(|| format!("between {from_end} s and {from_start} s, not {seconds:?}")))
    }
}

async fn receiver(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

async fn received(server: &MockServer) -> Vec<Request> {
    server.received_requests().await.expect("requests are recorded")
}

/// A receiver that does `what` with each connection after it has read the beginning of the request.
async fn raw_receiver<F: Future<Output = ()> + Send + 'static>(
    what: impl Fn(TcpStream) -> F + Send + 'static,
) -> anyhow::Result<(String, JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    let serving = tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = [0; 4096];
            if connection.read(&mut request).await.is_ok() {
                what(connection).await;
            }
        }
    });
    Ok((url, serving))
}

#[tokio::test]
async fn a_delivery_carries_the_trace_that_it_belongs_to() -> anyhow::Result<()> {
    let w = World::new(LOOPBACK, PATIENCE).await?;
    let server = receiver(ResponseTemplate::new(200)).await;
    let trace = TraceParent::begin();
    trace::scope(trace, w.sent_to(&server.uri())).await?;
    w.sent_to(&server.uri()).await?;
    let carried: Vec<_> =
        received(&server).await.iter().map(|request| request.headers.get(TRACEPARENT).cloned()).collect();
    let [Some(header), None] = &carried[..] else { anyhow::bail!("traces of two deliveries: {carried:?}") };
    let parsed: TraceParent = header.to_str()?.parse()?;
    assert_eq!(parsed.trace_id(), trace.trace_id());
    assert_ne!(parsed, trace, "the receiver's parent is the attempt");
    Ok(())
}

fn verifies(secret: &str, request: &Request) -> bool {
    Verifier::new(secret).expect("a secret").verify(&request.body, &request.headers).is_ok()
}

#[tokio::test]
async fn a_receiver_gets_the_event_signed_as_standard_webhooks_says() -> anyhow::Result<()> {
    let w = World::new(LOOPBACK, PATIENCE).await?;
    let server = receiver(ResponseTemplate::new(200).set_body_string("thanks")).await;
    let webhook = w.webhook(&format!("{}/hook?a=b", server.uri())).await?;
    let delivery = w.waiting(webhook.details.id).await?;
    let (after, attempt) = w.deliver(&delivery).await?;
    assert_eq!((after.status, after.response_status, after.last_error), (DeliveryStatus::Delivered, Some(200), None));
    let attempt = attempt.expect("an attempt");
    assert_eq!((attempt.attempt, attempt.response_status, attempt.error), (1, Some(200), None));
    assert_eq!(attempt.response_body.as_deref(), Some("thanks"));

    let requests = received(&server).await;
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!((request.method.as_str(), request.url.path(), request.url.query()), ("POST", "/hook", Some("a=b")));
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.headers["webhook-id"], delivery.id.to_string());
    assert!(verifies(&webhook.secret, request));
    assert!(!verifies("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", request));
    let mut forged = request.clone();
    forged.body.push(b' ');
    assert!(!verifies(&webhook.secret, &forged));
    let body: Value = serde_json::from_slice(&request.body)?;
    let project = w.tenant.project_id.to_string();
    assert_eq!((&body["type"], &body["project_id"]), (&json!("webhook.test"), &json!(project)));
    assert_eq!((&body["id"], &body["data"]["webhook_id"]), (&json!(delivery.event_id), &json!(webhook.details.id)));
    assert!(body["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{body}");

    // The doorbell may ring again.
    w.deliver(&delivery).await?;
    assert_eq!(received(&server).await.len(), 1);
    Ok(())
}

#[tokio::test]
async fn both_secrets_sign_while_receivers_change_over_and_then_the_new_one_alone() -> anyhow::Result<()> {
    let w = World::new(LOOPBACK, PATIENCE).await?;
    let server = receiver(ResponseTemplate::new(204)).await;
    let old = w.webhook(&server.uri()).await?;
    let new = rotate_secret(&w.database.pool, &w.tenant.caller, old.details.id).await?;
    w.deliver(&w.waiting(old.details.id).await?).await?;
    w.execute("UPDATE webhooks SET previous_secret_expires_at = now()").await?;
    w.deliver(&w.waiting(old.details.id).await?).await?;

    let requests = received(&server).await;
    let signed = |request: &Request| {
        let signatures = request.headers["webhook-signature"].to_str().expect("text").split(' ').count();
        (signatures, verifies(&new.secret, request), verifies(&old.secret, request))
    };
    assert_eq!(requests.iter().map(signed).collect::<Vec<_>>(), [(2, true, true), (1, true, false)]);
    Ok(())
}

#[tokio::test]
async fn every_retry_of_a_delivery_has_the_same_id_and_a_signature_of_its_own() -> anyhow::Result<()> {
    let w = World::new(LOOPBACK, PATIENCE).await?;
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(500)).up_to_n_times(2).mount(&server).await;
    Mock::given(any()).respond_with(ResponseTemplate::new(202)).mount(&server).await;
    let webhook = w.webhook(&server.uri()).await?;
    let delivery = w.waiting(webhook.details.id).await?;
    for (status, pause) in [(DeliveryStatus::Pending, 4.0..5.6), (DeliveryStatus::Pending, 269.0..331.0)] {
        let (after, attempt) = w.deliver(&delivery).await?;
        assert_eq!((after.status, after.last_error.as_deref()), (status, Some("the receiver answered 500")));
        assert_eq!(attempt.and_then(|attempt| attempt.response_status), Some(500));
        assert_eq!(w.pauses_for(pause).await?, Ok(()));
        assert!(w.stored(webhook.details.id).await?.failing_since.is_some());
        // It is not due yet.
        w.deliver(&delivery).await?;
        w.execute("UPDATE webhook_deliveries SET next_attempt_at = now()").await?;
    }
    let (after, _) = w.deliver(&delivery).await?;
    assert_eq!((after.status, after.attempt_count), (DeliveryStatus::Delivered, 3));
    assert_eq!(w.stored(webhook.details.id).await?.failing_since, None);
    let requests = received(&server).await;
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert_eq!(request.headers["webhook-id"], delivery.id.to_string());
        assert!(verifies(&webhook.secret, request));
        assert_eq!(request.body, requests[0].body);
    }
    Ok(())
}

#[tokio::test]
async fn a_receiver_that_answers_410_is_left_alone_at_once() -> anyhow::Result<()> {
    let w = World::new(LOOPBACK, PATIENCE).await?;
    let server = receiver(ResponseTemplate::new(410)).await;
    let webhook = w.webhook(&server.uri()).await?;
    let (first, second) = (w.waiting(webhook.details.id).await?, w.waiting(webhook.details.id).await?);
    assert_eq!(w.deliver(&first).await?.0.status, DeliveryStatus::Failed);
    let now = w.stored(webhook.details.id).await?;
    assert_eq!((now.is_enabled, now.disabled_reason), (false, Some(DisabledReason::Gone)));
    // One that was on its way when the webhook was disabled is dropped as well.
    w.execute("UPDATE webhook_deliveries SET status = 'pending' WHERE attempt = 0").await?;
    let (after, attempt) = w.deliver(&second).await?;
    assert_eq!((after.status, after.last_error.as_deref()), (DeliveryStatus::Failed, Some("the webhook was disabled")));
    assert!(attempt.is_none());
    assert_eq!(received(&server).await.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_busy_receiver_is_left_alone_for_as_long_as_it_asks() -> anyhow::Result<()> {
    for (status, retry_after, pause) in [
        (429, "600", 599.0..600.1),
        (503, "7200", 7_199.0..7_200.1),
        (429, "1", 4.0..5.6),
        (503, "Fri, 31 Dec 9999 23:59:59 GMT", 86_399.0..86_400.1),
        (429, "soon", 4.0..5.6),
        (500, "600", 4.0..5.6),
    ] {
        let w = World::new(LOOPBACK, PATIENCE).await?;
        let server = receiver(ResponseTemplate::new(status).insert_header("retry-after", retry_after)).await;
        let (after, _) = w.sent_to(&server.uri()).await?;
        assert_eq!(after.status, DeliveryStatus::Pending);
        assert_eq!(w.pauses_for(pause).await?, Ok(()), "{status} {retry_after}");
    }
    Ok(())
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() -> anyhow::Result<()> {
    let w = World::new(LOOPBACK, PATIENCE).await?;
    let elsewhere = receiver(ResponseTemplate::new(200)).await;
    for status in [301, 302, 303, 307, 308] {
        let server = receiver(ResponseTemplate::new(status).insert_header("location", elsewhere.uri())).await;
        let (after, _) = w.sent_to(&server.uri()).await?;
        let error = format!("the receiver answered {status}; redirects are not followed");
        assert_eq!((after.status, after.last_error), (DeliveryStatus::Pending, Some(error)));
    }
    assert!(received(&elsewhere).await.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_receiver_that_hangs_resets_or_is_not_there_is_tried_again() -> anyhow::Result<()> {
    let (hangs, hanging) = raw_receiver(|connection| async move {
        std::future::pending::<()>().await;
        drop(connection);
    })
    .await?;
    let (closes, closing) = raw_receiver(|connection| async move { drop(connection) }).await?;
    let (babbles, babbling) = raw_receiver(|mut connection| async move {
        let _ = connection.write_all(b"SSH-2.0-OpenSSH_9.9\r\n").await;
    })
    .await?;
    let (_kept, refuses) = refusing_port()?;
    // Only who hangs is to be given up soon: on a busy machine the others, too, take a moment.
    for (url, timeout, error) in [
        (hangs, Duration::from_millis(500), "the receiver did not answer in time"),
        (closes, PATIENCE, "connection closed before message completed"),
        (babbles, PATIENCE, "invalid HTTP version parsed"),
        (format!("http://{refuses}/"), PATIENCE, "Connection refused (os error 111)"),
    ] {
        let w = World::new(LOOPBACK, timeout).await?;
        let (after, attempt) = w.sent_to(&url).await?;
        assert_eq!((after.status, after.response_status), (DeliveryStatus::Pending, None), "{url}");
        let attempt = attempt.expect("an attempt");
        assert_eq!((attempt.error.as_deref(), attempt.response_status), (Some(error), None), "{url}");
    }
    for task in [hanging, closing, babbling] {
        task.abort();
    }
    Ok(())
}

#[tokio::test]
async fn of_an_endless_answer_only_the_beginning_is_read_and_its_status_counts() -> anyhow::Result<()> {
    let w = World::new(LOOPBACK, PATIENCE).await?;
    let (written, mut total) = tokio::sync::mpsc::unbounded_channel();
    let (url, serving) = raw_receiver(move |mut connection| {
        let written = written.clone();
        async move {
            let mut sent = 0;
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while connection.write_all(&[b'x'; 8192]).await.is_ok() {
                sent += 8192;
            }
            let _ = written.send(sent);
        }
    })
    .await?;
    let (after, attempt) = w.sent_to(&url).await?;
    assert_eq!(after.status, DeliveryStatus::Delivered);
    let kept = attempt.and_then(|attempt| attempt.response_body).expect("a body");
    assert_eq!(kept, "x".repeat(1_000));
    // The connection was closed: what was written beyond what was read had room in the sockets' buffers.
    let sent = tokio::time::timeout(PATIENCE, total.recv()).await?.expect("the receiver was cut off");
    assert!(sent >= 64 * 1024, "{sent}");
    serving.abort();
    Ok(())
}

#[tokio::test]
async fn an_answer_that_drags_on_is_cut_and_its_status_counts() -> anyhow::Result<()> {
    // In this time the beginning has to come, on a busy machine, too.
    let w = World::new(LOOPBACK, Duration::from_secs(3)).await?;
    let (url, serving) = raw_receiver(|mut connection| async move {
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nso far").await;
        std::future::pending::<()>().await;
    })
    .await?;
    let (after, attempt) = w.sent_to(&url).await?;
    assert_eq!(after.status, DeliveryStatus::Delivered);
    assert_eq!(attempt.and_then(|attempt| attempt.response_body).as_deref(), Some("so far"));
    serving.abort();
    Ok(())
}

#[tokio::test]
async fn nothing_is_sent_to_this_machine_unless_it_is_listed() -> anyhow::Result<()> {
    let server = receiver(ResponseTemplate::new(200)).await;
    let port = server.address().port();
    let urls = ["127.0.0.1", "127.1", "2130706433", "[::ffff:127.0.0.1]", "localhost", "LOCALHOST"]
        .map(|host| format!("http://{host}:{port}/"));
    let closed = World::new("10.0.0.0/8", PATIENCE).await?;
    for url in &urls {
        let (after, attempt) = closed.sent_to(url).await?;
        let error = "the receiver's address is not a public one; operators can allow it by TESTRUN_WEBHOOK_ALLOW_CIDRS";
        assert_eq!((after.status, after.last_error.as_deref()), (DeliveryStatus::Pending, Some(error)), "{url}");
        assert_eq!(attempt.and_then(|attempt| attempt.response_status), None);
    }
    assert!(received(&server).await.is_empty());

    let open = World::new(LOOPBACK, PATIENCE).await?;
    for url in &urls {
        assert_eq!(open.sent_to(url).await?.0.status, DeliveryStatus::Delivered, "{url}");
    }
    assert_eq!(received(&server).await.len(), urls.len());
    Ok(())
}

#[tokio::test]
async fn a_changed_address_is_where_the_next_attempt_goes() -> anyhow::Result<()> {
    let w = World::new(LOOPBACK, PATIENCE).await?;
    let (old, new) = (receiver(ResponseTemplate::new(500)).await, receiver(ResponseTemplate::new(200)).await);
    let webhook = w.webhook(&old.uri()).await?;
    let delivery = w.waiting(webhook.details.id).await?;
    w.deliver(&delivery).await?;
    let patch = serde_json::from_value(json!({"url": new.uri()}))?;
    update(&w.database.pool, &w.tenant.caller, webhook.details.id, patch).await?;
    w.execute("UPDATE webhook_deliveries SET next_attempt_at = now()").await?;
    assert_eq!(w.deliver(&delivery).await?.0.status, DeliveryStatus::Delivered);
    assert_eq!((received(&old).await.len(), received(&new).await.len()), (1, 1));
    Ok(())
}
