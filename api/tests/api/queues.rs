//! Operators and queues: who is one, and what pausing shows.

use serde_json::json;

use crate::app::{App, has};
use crate::document::operations;
use crate::world::World;

const QUEUES: &str = "/api/v1/admin/queues";

#[tokio::test]
async fn whoever_is_no_operator_gets_nothing_of_it_whatever_the_role() -> anyhow::Result<()> {
    let app = App::start().await?;
    let world = World::new(&app.client).await?;
    let token = app.db.token("Home", &app.tenant.email, testrun_shared::domain::identity::Role::Admin).await?;
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let before = app.contents().await?;
    let mut count = 0;
    for operation in operations().iter().filter(|operation| operation.path.starts_with("/api/v1/admin/")) {
        count += 1;
        let (path, body) = (operation.path_in(&world), operation.body_in(&world));
        let answer = app.server.send(&operation.method, &path, &headers, body).await?;
        let detail = "This needs an operator's token, which is made by: testrun admin create-token --operator";
        assert_eq!(answer.not_detail(403, detail), None, "{}", operation.name());
    }
    assert!(count >= 6, "only {count} operations");
    assert_eq!(app.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn a_list_of_tokens_shows_which_are_operators_and_no_request_makes_one() -> anyhow::Result<()> {
    let app = App::start().await?;
    let made = json!({"name": "CI", "role": "admin", "is_operator": true});
    let made = app.client.post("/api/v1/tokens", &made).await?.expect(201)?;
    assert_eq!(made["is_operator"], false);
    let list = app.client.get("/api/v1/tokens").await?.expect(200)?;
    let shown = crate::app::column(&list, "is_operator");
    assert_eq!(shown, [&json!(false), &json!(true)]);
    Ok(())
}

#[tokio::test]
async fn a_paused_queue_says_so_with_the_reason_until_it_is_resumed() -> anyhow::Result<()> {
    let app = App::start().await?;
    let queue = format!("{QUEUES}/send_email");
    let idle = json!({"queue": "send_email", "available": 0, "scheduled": 0, "running": 0, "dead": 0, "oldest_seconds": 0.0,
        "is_paused": false, "paused_at": null, "paused_by": null, "paused_reason": null});
    let list = app.client.get(QUEUES).await?.expect(200)?;
    let mail = list["items"].as_array().into_iter().flatten().find(|queue| queue["queue"] == "send_email");
    assert_eq!(mail, Some(&idle));

    let paused = app.client.post(&format!("{queue}/pause"), &json!({"reason": "The server is being moved"})).await?;
    let paused = paused.expect(200)?;
    let user = app.tenant.user_id;
    has(&paused, &json!({"is_paused": true, "paused_by": user, "paused_reason": "The server is being moved"}));
    let again = app.send("POST", &format!("{queue}/pause"), "").await?;
    assert_eq!((again.status, again.json()), (200, paused.clone()), "without a body, and a second time");
    let list = app.client.get(QUEUES).await?.expect(200)?;
    assert!(list["items"].as_array().is_some_and(|queues| queues.contains(&paused)), "{list}");
    for _ in 0..2 {
        let resumed = app.send("POST", &format!("{queue}/resume"), "").await?;
        assert_eq!((resumed.status, resumed.json()), (200, idle.clone()));
    }
    Ok(())
}

#[tokio::test]
async fn a_dead_job_is_shown_retried_and_discarded() -> anyhow::Result<()> {
    let app = App::start().await?;
    let list = app.client.get("/api/v1/admin/jobs?status=dead").await?.expect(200)?;
    assert_eq!(list["total"], 5);
    let job = &list["items"][0];
    has(job, &json!({"queue": "bygone", "status": "dead", "payload": "{}", "attempts": 3, "reason": "worn out"}));
    let path = format!("/api/v1/admin/jobs/{}", crate::world::id(&job["id"])?);
    let retried = app.send("POST", &format!("{path}/retry"), "").await?.json();
    has(&retried, &json!({"id": job["id"], "status": "available", "attempts": 0, "reason": null, "ended_at": null}));
    app.delete(&path).await?.expect(422)?;
    let other = format!("/api/v1/admin/jobs/{}", crate::world::id(&list["items"][1]["id"])?);
    app.delete(&other).await?.expect(204)?;
    app.delete(&other).await?.expect(404)?;
    let left = app.client.get("/api/v1/admin/jobs?status=dead").await?.expect(200)?;
    assert_eq!(left["total"], 3);
    Ok(())
}
