//! Webhooks as admins manage them and others see them.

use serde_json::{Value, json};
use testrun_shared::actions::deliveries::{delivery_accepted, delivery_failed};
use testrun_shared::db::webhook_deliveries::{self, ClaimedDelivery};
use testrun_shared::domain::identity::Role;
use testrun_shared::domain::webhook::WebhookDeliveryAttempt;
use uuid::Uuid;

use crate::app::{App, has, none_wrong};
use crate::world::id;

const PATH: &str = "/api/v1/webhooks";

async fn created(app: &App, body: &Value) -> anyhow::Result<Value> {
    app.client.post(PATH, body).await?.expect(201)
}

/// A new webhook's path.
async fn hook(app: &App) -> anyhow::Result<String> {
    Ok(format!("{PATH}/{}", id(&created(app, &json!({"url": "https://example.com/hook"})).await?["id"])?))
}

/// A test delivery's path.
async fn test(app: &App, hook: &str) -> anyhow::Result<String> {
    let delivery = app.client.post(&format!("{hook}/test"), &json!({})).await?.expect(201)?;
    Ok(format!("{hook}/deliveries/{}", id(&delivery["id"])?))
}

async fn put(app: &App, path: &str, body: &Value) -> anyhow::Result<Value> {
    let answer = app.send("PUT", path, body.to_string()).await?;
    anyhow::ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
    Ok(answer.json())
}

/// Claims a delivery as a worker would.
async fn claim(app: &App, path: &str) -> anyhow::Result<ClaimedDelivery> {
    let id: Uuid = path.rsplit('/').next().unwrap_or_default().parse()?;
    let claimed = webhook_deliveries::claim(&app.db.pool, id, 20.0).await?;
    claimed.ok_or_else(|| anyhow::anyhow!("the delivery is not due"))
}

fn attempt(claimed: &ClaimedDelivery, status: Option<i32>, error: Option<&str>) -> WebhookDeliveryAttempt {
    WebhookDeliveryAttempt {
        attempt: claimed.attempt,
        started_at: claimed.started_at,
        duration_ms: 34,
        response_status: status,
        response_body: status.map(|_| "said the receiver".to_owned()),
        error: error.map(str::to_owned),
    }
}

#[tokio::test]
async fn a_webhook_is_made_read_changed_and_deleted() -> anyhow::Result<()> {
    let app = App::start().await?;
    let body = json!({
        "url": "https://example.com/hook?a=b", "description": "CI",
        "event_types": ["run.failed", "run.completed", "run.failed"],
    });
    let made = created(&app, &body).await?;
    has(
        &made,
        &json!({
            "project_id": app.tenant.project_id, "url": "https://example.com/hook?a=b", "description": "CI",
            "event_types": ["run.failed", "run.completed"], "is_enabled": true, "disabled_at": null,
            "disabled_reason": null, "failing_since": null, "previous_secret_expires_at": null,
            "created_by": app.tenant.user_id,
        }),
    );
    let path = format!("{PATH}/{}", id(&made["id"])?);
    let read = app.client.get(&path).await?.expect(200)?;
    let mut shown = made.clone();
    let secret = shown.as_object_mut().and_then(|fields| fields.remove("secret")).expect("a secret");
    assert!(secret.as_str().is_some_and(|secret| secret.starts_with("whsec_") && secret.len() == 50), "{secret}");
    assert_eq!(read, shown, "all but the secret");
    let second = created(&app, &json!({"url": "http://example.com", "is_enabled": false})).await?;
    has(&second, &json!({"event_types": [], "is_enabled": false, "disabled_reason": "manual", "description": null}));
    assert_ne!(second["secret"], made["secret"]);
    let list = app.client.get(PATH).await?.expect(200)?;
    assert_eq!((&list["total"], &list["items"][0]["id"], &list["items"][1]), (&json!(2), &second["id"], &read));
    assert!(!list.to_string().contains("secret\":\"whsec"), "{list}");

    let changed = put(&app, &path, &json!({"url": "http://new.example.com", "event_types": []})).await?;
    has(
        &changed,
        &json!({"url": "http://new.example.com", "event_types": [], "description": "CI", "is_enabled": true}),
    );
    let changed = put(&app, &path, &json!({"description": null, "is_enabled": false})).await?;
    has(&changed, &json!({"description": null, "is_enabled": false, "disabled_reason": "manual", "event_types": []}));
    assert!(changed["disabled_at"].is_string(), "{changed}");
    let changed = put(&app, &path, &json!({"is_enabled": true, "secret": "mine", "created_by": Uuid::nil()})).await?;
    has(
        &changed,
        &json!({"is_enabled": true, "disabled_at": null, "disabled_reason": null, "created_by": app.tenant.user_id}),
    );
    assert_eq!(app.client.get(&path).await?.expect(200)?, changed);

    test(&app, &path).await?;
    assert_eq!(app.send("DELETE", &path, "").await?.status, 204);
    assert_eq!(app.send("DELETE", &path, "").await?.status, 404);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM webhook_deliveries").fetch_one(&app.db.pool).await?;
    assert_eq!(left, 0, "its deliveries went with it");
    Ok(())
}

#[tokio::test]
async fn what_a_webhook_cannot_be_is_refused_by_field() -> anyhow::Result<()> {
    let app = App::start().await?;
    let path = hook(&app).await?;
    let before = app.contents().await?;
    let good = "https://example.com";
    let mut wrong = Vec::new();
    for (body, field) in [
        (json!({"url": "example.com"}), "url"),
        (json!({"url": "ftp://example.com"}), "url"),
        (json!({"url": "https://user:word@example.com"}), "url"),
        (json!({"url": "https://example.com/a b"}), "url"),
        (json!({"url": null}), "url"),
        (json!({"url": good, "event_types": ["run.exploded"]}), "event_types[0]"),
        (json!({"url": good, "event_types": ["run.created", null]}), "event_types[1]"),
        (json!({"url": good, "event_types": "run.created"}), "event_types"),
        (json!({"url": good, "is_enabled": "yes"}), "is_enabled"),
    ] {
        for (method, path) in [("POST", PATH), ("PUT", path.as_str())] {
            let answer = app.send(method, path, body.to_string()).await?;
            wrong.extend(answer.not_invalid(&[field]).map(|what| format!("{method} {body}: {what}")));
        }
    }
    let answer = app.send("POST", PATH, "{}").await?;
    wrong.extend(answer.not_invalid(&["url"]));
    for field in ["event_types", "is_enabled"] {
        let answer = app.send("PUT", &path, json!({field: null}).to_string()).await?;
        wrong.extend(answer.not_invalid(&[field]).map(|what| format!("PUT {field}: {what}")));
    }
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn members_see_webhooks_without_secrets_and_only_admins_manage_them() -> anyhow::Result<()> {
    let app = App::start().await?;
    let path = hook(&app).await?;
    let delivery = test(&app, &path).await?;
    testrun_shared::actions::identity::create_user(&app.db.pool, "member@example.com", "Member").await?;
    let member = app.db.token("Home", "member@example.com", Role::Member).await?;
    let authorization = format!("Bearer {member}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let before = app.contents().await?;
    let mut wrong = Vec::new();
    let url = json!({"url": "https://example.com"}).to_string();
    for (method, path, body) in [
        ("POST", PATH.to_owned(), url.clone()),
        ("PUT", path.clone(), url),
        ("DELETE", path.clone(), String::new()),
        ("POST", format!("{path}/rotate-secret"), String::new()),
        ("POST", format!("{path}/test"), String::new()),
        ("POST", format!("{delivery}/redeliver"), String::new()),
    ] {
        let answer = app.server.send(method, &path, &headers, body.into_bytes()).await?;
        let refusal = answer.not_detail(403, "This needs the role 'admin'; the token has 'member'");
        wrong.extend(refusal.map(|what| format!("{method} {path}: {what}")));
    }
    for path in [PATH, &path, &format!("{path}/deliveries"), &delivery] {
        let answer = app.server.send("GET", path, &headers, Vec::new()).await?;
        if answer.status != 200 || answer.text().contains("whsec_") {
            wrong.push(format!("{path}: {} {}", answer.status, answer.text()));
        }
    }
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn a_secret_is_shown_once_and_kept_nowhere_else() -> anyhow::Result<()> {
    let app = App::start().await?;
    let authorization = format!("Bearer {}", app.tenant.token);
    let send = async |path: &str, key: &str, body: &str| {
        let headers =
            [("authorization", authorization.as_str()), ("content-type", "application/json"), ("idempotency-key", key)];
        app.server.send("POST", path, &headers, body.as_bytes().to_vec()).await
    };
    let body = json!({"url": "https://example.com"}).to_string();
    let first = send(PATH, "make", &body).await?;
    let made = first.json();
    let secret = made["secret"].as_str().unwrap_or_default().to_owned();
    assert!(first.status == 201 && secret.starts_with("whsec_"), "{}", first.text());
    let again = send(PATH, "make", &body).await?;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"));
    has(&again.json(), &json!({"secret": "(shown once)", "id": made["id"]}));

    let rotate = format!("{PATH}/{}/rotate-secret", id(&made["id"])?);
    let rotated = send(&rotate, "rotate", "").await?;
    let new = rotated.json()["secret"].as_str().unwrap_or_default().to_owned();
    assert!(rotated.status == 200 && new.starts_with("whsec_") && new != secret, "{}", rotated.text());
    assert!(rotated.json()["previous_secret_expires_at"].is_string(), "{}", rotated.text());
    let again = send(&rotate, "rotate", "").await?;
    assert_eq!((again.status, &again.json()["secret"]), (200, &json!("(shown once)")));

    let stored: Vec<String> = sqlx::query_scalar("SELECT convert_from(response_body, 'UTF8') FROM idempotency_keys")
        .fetch_all(&app.db.pool)
        .await?;
    assert_eq!(stored.len(), 2);
    assert!(!stored.iter().any(|body| body.contains("whsec_")), "{stored:?}");
    // The second "rotation" was none: what signs is what was shown.
    let path = format!("{PATH}/{}", id(&made["id"])?);
    let claimed = claim(&app, &test(&app, &path).await?).await?;
    assert_eq!(claimed.secret.reveal(), new);
    assert_eq!(claimed.previous_secret.map(|key| key.reveal()), Some(secret));
    Ok(())
}

#[tokio::test]
async fn deliveries_are_listed_with_their_attempts_and_replies() -> anyhow::Result<()> {
    let app = App::start().await?;
    let path = hook(&app).await?;
    let (accepted, failed, waiting) = (test(&app, &path).await?, test(&app, &path).await?, test(&app, &path).await?);
    let claimed = claim(&app, &accepted).await?;
    delivery_accepted(&app.db.pool, &claimed, &attempt(&claimed, Some(202), None)).await?;
    let claimed = claim(&app, &failed).await?;
    let error = "the receiver answered 500";
    delivery_failed(&app.db.pool, &claimed, &attempt(&claimed, Some(500), Some(error)), None).await?;

    let list = app.client.get(&format!("{path}/deliveries")).await?.expect(200)?;
    assert_eq!(list["total"], 3);
    let ids: Vec<_> = list["items"].as_array().into_iter().flatten().filter_map(|item| item["id"].as_str()).collect();
    for delivery in [&accepted, &failed, &waiting] {
        assert!(ids.iter().any(|id| delivery.ends_with(id)), "{delivery} is not listed");
    }
    for (status, total) in [("pending", 2), ("delivered", 1), ("sending", 0), ("failed", 0)] {
        let list = app.client.get(&format!("{path}/deliveries?status={status}&limit=1")).await?.expect(200)?;
        assert_eq!(list["total"], total, "{status}");
        assert!(list["items"].as_array().into_iter().flatten().all(|item| item["status"] == status), "{list}");
    }
    let answer = app.send("GET", &format!("{path}/deliveries?status=lost"), "").await?;
    assert_eq!(answer.not_invalid(&["status"]), None);

    let shown = app.client.get(&accepted).await?.expect(200)?;
    has(
        &shown,
        &json!({"status": "delivered", "event_type": "webhook.test", "attempt_count": 1, "response_status": 202,
            "last_error": null, "next_attempt_at": null, "test_run_id": null}),
    );
    assert!(shown["delivered_at"].is_string(), "{shown}");
    let attempts = shown["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.len(), 1);
    has(
        &attempts[0],
        &json!({"attempt": 1, "duration_ms": 34, "response_status": 202, "response_body": "said the receiver", "error": null}),
    );
    let shown = app.client.get(&failed).await?.expect(200)?;
    has(&shown, &json!({"status": "pending", "last_error": error, "delivered_at": null, "attempt_count": 1}));
    assert!(shown["next_attempt_at"].is_string(), "{shown}");
    assert_eq!(shown["attempts"][0]["error"], error);
    let shown = app.client.get(&waiting).await?.expect(200)?;
    assert_eq!((&shown["attempts"], &shown["attempt_count"]), (&json!([]), &json!(0)));

    // A run's events are delivered, too, and a delivery belongs to one webhook.
    app.client.post("/api/v1/test-runs", &json!({})).await?.expect(201)?;
    let list = app.client.get(&format!("{path}/deliveries?limit=1")).await?.expect(200)?;
    has(&list["items"][0], &json!({"event_type": "run.created", "status": "pending"}));
    assert!(list["items"][0]["test_run_id"].is_string(), "{list}");
    let other = accepted.replace(&path, &hook(&app).await?);
    let delivery = accepted.rsplit('/').next().unwrap_or_default();
    let answer = app.send("GET", &other, "").await?;
    assert_eq!(answer.not_detail(404, &format!("Webhook delivery not found: {delivery}")), None);
    Ok(())
}

#[tokio::test]
async fn a_delivery_is_repeated_unless_it_is_being_sent_or_nothing_is() -> anyhow::Result<()> {
    let app = App::start().await?;
    let path = hook(&app).await?;
    let delivery = test(&app, &path).await?;
    let claimed = claim(&app, &delivery).await?;
    let redeliver = format!("{delivery}/redeliver");
    let before = app.contents().await?;
    let answer = app.send("POST", &redeliver, "").await?;
    assert_eq!(answer.not_detail(422, "Cannot redeliver: an attempt is under way"), None);
    assert_eq!(app.contents().await?, before);

    delivery_accepted(&app.db.pool, &claimed, &attempt(&claimed, Some(200), None)).await?;
    let again = app.client.post(&redeliver, &json!({})).await?.expect(200)?;
    has(&again, &json!({"id": claimed.id, "status": "pending", "delivered_at": null, "attempt_count": 1}));
    assert_eq!(claim(&app, &delivery).await?.attempt, 2);
    let claimed = ClaimedDelivery { attempt: 2, ..claimed };
    delivery_failed(&app.db.pool, &claimed, &attempt(&claimed, None, Some("refused")), None).await?;
    let shown = app.client.get(&delivery).await?.expect(200)?;
    assert_eq!(shown["attempts"].as_array().map(Vec::len), Some(2), "{shown}");

    put(&app, &path, &json!({"is_enabled": false})).await?;
    assert_eq!(app.client.get(&delivery).await?.expect(200)?["status"], "failed", "what waits is given up");
    let before = app.contents().await?;
    let answer = app.send("POST", &redeliver, "").await?;
    assert_eq!(answer.not_detail(422, "Cannot redeliver: the webhook is disabled; enable it first"), None);
    let answer = app.send("POST", &format!("{path}/test"), "").await?;
    assert_eq!(answer.not_detail(422, "Cannot test webhook: the webhook is disabled; enable it first"), None);
    assert_eq!(app.contents().await?, before);
    Ok(())
}
