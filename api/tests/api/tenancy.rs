//! What belongs to another project does not exist, on any operation (decisions, Tenancy and identity).

use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::{App, Raw, none_wrong};
use crate::document::{Operation, operations};
use crate::world::World;

/// Two projects with one of everything each.
struct Neighbours {
    app: App,
    ours: World,
    theirs: World,
    /// The other project's token.
    their_token: String,
}

impl Neighbours {
    async fn new() -> anyhow::Result<Self> {
        let app = App::start().await?;
        let their_token = app.db.tenant("Theirs").await?.token;
        let ours = World::new(&app.client).await?;
        let theirs = World::new(&app.client.with_token(Some(&their_token))).await?;
        Ok(Self { app, ours, theirs, their_token })
    }

    async fn send_as_them(&self, operation: &Operation, path: &str, body: Vec<u8>) -> anyhow::Result<Raw> {
        let authorization = format!("Bearer {}", self.their_token);
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        self.app.server.send(&operation.method, path, &headers, body).await
    }

    /// The same request about a thing of ours and about one that does not exist: what tells the two answers apart.
    async fn tell_apart(&self, operation: &Operation, parameter: &str) -> anyhow::Result<Option<String>> {
        let absent = self.theirs.absent();
        let path = |world: &World| {
            operation.path_with(|name| operation.parameter(if name == parameter { world } else { &self.theirs }, name))
        };
        let body = operation.body_in(&self.theirs);
        let foreign = self.send_as_them(operation, &path(&self.ours), body.clone()).await?;
        let missing = self.send_as_them(operation, &path(&absent), body).await?;
        let (our_id, no_id) = (operation.parameter(&self.ours, parameter), operation.parameter(&absent, parameter));
        if our_id == no_id {
            // Not an id, such as a step's number.
            return Ok(None);
        }
        let told = foreign.text().replace(&our_id, &no_id);
        if foreign.status != 404 || missing.status != 404 || told != missing.text() {
            return Ok(Some(format!(
                "{} with our {parameter}: {} {}; with none: {} {}",
                operation.name(),
                foreign.status,
                foreign.text(),
                missing.status,
                missing.text()
            )));
        }
        let names = |raw: &Raw| raw.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
        Ok((names(&foreign) != names(&missing)).then(|| format!("{}: the headers differ", operation.name())))
    }
}

#[tokio::test]
async fn things_of_another_project_are_not_found_word_for_word_like_things_that_are_not_there() -> anyhow::Result<()> {
    let neighbours = Neighbours::new().await?;
    let app = &neighbours.app;
    let before = app.contents().await?;
    let mut wrong = Vec::new();
    let mut compared = 0;
    // Queues and jobs are no project's.
    for operation in operations().into_iter().filter(|operation| !operation.path.contains("/admin/")) {
        for parameter in &operation.parameters {
            compared += 1;
            wrong.extend(neighbours.tell_apart(&operation, parameter).await?);
        }
    }
    none_wrong(&wrong);
    assert!(compared > 12, "only {compared}");
    assert_eq!(app.contents().await?, before);

    // Our own token finds them, so the paths were right. What is deleted goes last, the innermost first.
    let mut own: Vec<_> = operations().into_iter().filter(|operation| !operation.parameters.is_empty()).collect();
    own.sort_by_key(|operation| (operation.method == "DELETE", std::cmp::Reverse(operation.parameters.len())));
    own.sort_by_key(|operation| operation.id == "delete_project");
    for operation in &own {
        let path = operation.path_in(&neighbours.ours);
        let answer = app.send(&operation.method, &path, operation.body_in(&neighbours.ours)).await?;
        assert_ne!(answer.status, 404, "{}: {}", operation.name(), answer.text());
    }
    Ok(())
}

/// The step of our result.
async fn our_step(neighbours: &Neighbours) -> anyhow::Result<String> {
    let step: Uuid = sqlx::query_scalar("SELECT id FROM test_step_results WHERE test_run_result_id = $1")
        .bind(Uuid::parse_str(&neighbours.ours.fill("$result"))?)
        .fetch_one(&neighbours.app.db.pool)
        .await?;
    Ok(step.to_string())
}

/// A script of ours.
async fn our_script(neighbours: &Neighbours) -> anyhow::Result<String> {
    let script: Uuid = sqlx::query_scalar(
        "INSERT INTO test_scripts (project_id, name, script_type, script_language, body)
         VALUES ($1, 'ours', 'pre_execution', 'python', 'pass') RETURNING id",
    )
    .bind(neighbours.app.tenant.project_id)
    .fetch_one(&neighbours.app.db.pool)
    .await?;
    Ok(script.to_string())
}

#[tokio::test]
async fn bodies_cannot_refer_to_things_of_another_project() -> anyhow::Result<()> {
    let neighbours = Neighbours::new().await?;
    let (app, ours, theirs) = (&neighbours.app, &neighbours.ours, &neighbours.theirs);
    let at = "2050-01-18T02:00:00Z";
    let checkpoint = json!({"checkpoint_name": "C", "checkpoint_type": "element", "status": "passed"});
    let (step, script) = (our_step(&neighbours).await?, our_script(&neighbours).await?);
    // Theirs goes into the path, OURS is the id of a thing of ours, in the place where it must not be.
    let requests: Vec<(&str, Value, String)> = vec![
        ("/api/v1/test-runs/$waiting/items", json!({"test_case_id": "OURS"}), ours.fill("$spare_case")),
        (
            "/api/v1/test-runs/$waiting/items/bulk",
            json!({"test_case_ids": ["$spare_case", "OURS"]}),
            ours.fill("$spare_case"),
        ),
        (
            "/api/v1/test-run-results",
            json!({"test_run_id": "$running", "test_run_item_id": "OURS", "status": "passed"}),
            ours.fill("$open_item"),
        ),
        (
            "/api/v1/test-run-results",
            json!({"test_run_id": "OURS", "test_run_item_id": "$open_item", "status": "passed"}),
            ours.fill("$running"),
        ),
        (
            "/api/v1/test-run-results",
            json!({"test_run_id": "$running", "test_run_item_id": "$open_item", "status": "passed",
            "test_case_id": "OURS"}),
            ours.fill("$open_case"),
        ),
        (
            "/api/v1/test-run-results",
            json!({"test_run_id": "$running", "test_run_item_id": "$open_item", "status": "passed",
            "scripts": [{"script_name": "s", "script_type": "on_demand", "status": "passed", "test_script_id": "OURS"}]}),
            script,
        ),
        (
            "/api/v1/test-run-results/$result/checkpoints",
            crate::world::with(checkpoint, &json!({"test_step_result_id": "OURS"})),
            step,
        ),
        (
            "/api/v1/schedules",
            json!({"schedule_name": "S", "scheduled_datetime": at, "test_case_ids": ["OURS"]}),
            ours.fill("$spare_case"),
        ),
    ];
    let before = app.contents().await?;
    let mut wrong = Vec::new();
    for (path, body, our_id) in requests {
        let no_id = Uuid::new_v4().to_string();
        let authorization = format!("Bearer {}", neighbours.their_token);
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let path = theirs.fill(path);
        let send = async |id: &str| {
            let body = theirs.fill(&body.to_string()).replace("OURS", id).into_bytes();
            app.server.send("POST", &path, &headers, body).await
        };
        let (foreign, missing) = (send(&our_id).await?, send(&no_id).await?);
        let same = foreign.text().replace(&our_id, &no_id) == missing.text();
        if ![400, 404].contains(&foreign.status) || foreign.status != missing.status || !same {
            wrong.push(format!(
                "{path} {body}: {} {}; {} {}",
                foreign.status,
                foreign.text(),
                missing.status,
                missing.text()
            ));
        }
    }
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn lists_show_nothing_of_another_project_whatever_the_filter() -> anyhow::Result<()> {
    let app = App::start().await?;
    World::new(&app.client).await?;
    let their_token = app.db.tenant("Theirs").await?.token;
    let them = app.client.with_token(Some(&their_token));
    let user = app.tenant.user_id;
    for path in [
        "/api/v1/test-runs".to_owned(),
        format!("/api/v1/test-runs?created_by={user}"),
        format!("/api/v1/test-runs?project_id={}", app.tenant.project_id),
        "/api/v1/test-runs?status=running".to_owned(),
        "/api/v1/test-cases".to_owned(),
        "/api/v1/test-cases?search=Case".to_owned(),
        "/api/v1/schedules".to_owned(),
        "/api/v1/webhooks".to_owned(),
    ] {
        let list = them.get(&path).await?.expect(200)?;
        assert_eq!((&list["total"], &list["items"]), (&json!(0), &json!([])), "{path}");
        let own = app.client.get(&path).await?.expect(200)?;
        assert_ne!(own["total"], 0, "{path} shows us nothing either");
    }
    Ok(())
}

#[tokio::test]
async fn a_project_in_the_body_changes_nothing_about_whose_the_thing_is() -> anyhow::Result<()> {
    let app = App::start().await?;
    let them = app.db.tenant("Theirs").await?;
    let theirs = json!({"project_id": them.project_id, "created_by": them.user_id, "name": "N", "run_name": "R"});
    for path in ["/api/v1/test-runs", "/api/v1/test-cases"] {
        let made = app.client.post(path, &theirs).await?.expect(201)?;
        assert_eq!(made["project_id"], app.tenant.project_id.to_string(), "{path}");
    }
    Ok(())
}
