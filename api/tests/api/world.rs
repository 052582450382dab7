//! One of everything in a project, and the requests that make it.

use reqwest::Method;
use serde_json::{Value, json};
use test_support::Client;
use ulid::Ulid;
use uuid::Uuid;

/// The one whose id is not a UUID.
const JOB: &str = "$job";

/// A run in which test cases were put.
pub(crate) struct Run {
    pub(crate) id: String,
    /// The items' ids, in execution order.
    pub(crate) items: Vec<String>,
    /// The items' test cases.
    pub(crate) cases: Vec<String>,
}

impl Run {
    pub(crate) fn path(&self) -> String {
        format!("/api/v1/test-runs/{}", self.id)
    }
}

/// Creates a test case and returns its id.
pub(crate) async fn case(client: &Client, name: &str) -> anyhow::Result<String> {
    let case = client.post("/api/v1/test-cases", &json!({"name": name})).await?.expect(201)?;
    id(&case["id"])
}

/// Creates a user and returns the id.
pub(crate) async fn user(client: &Client, email: &str) -> anyhow::Result<String> {
    let user =
        client.post("/api/v1/users", &json!({"email": email, "display_name": "Colleague"})).await?.expect(201)?;
    id(&user["id"])
}

/// Creates a run of this body with so many new test cases.
pub(crate) async fn pending(client: &Client, body: &Value, cases: usize) -> anyhow::Result<Run> {
    let run = client.post("/api/v1/test-runs", body).await?.expect(201)?;
    let mut run = Run { id: id(&run["id"])?, items: Vec::new(), cases: Vec::new() };
    for number in 1..=cases {
        run.cases.push(case(client, &format!("Case {number}")).await?);
    }
    if cases > 0 {
        let body = json!({"test_case_ids": run.cases});
        let added = client.post(&format!("{}/items/bulk", run.path()), &body).await?.expect(201)?;
        run.items =
            added["items"].as_array().into_iter().flatten().map(|item| id(&item["id"])).collect::<Result<_, _>>()?;
    }
    Ok(run)
}

/// The same, started.
pub(crate) async fn running(client: &Client, body: &Value, cases: usize) -> anyhow::Result<Run> {
    let run = pending(client, body, cases).await?;
    client.post(&format!("{}/start", run.path()), &json!({})).await?.expect(200)?;
    Ok(run)
}

/// Submits a result for an item of a run: these fields, and its ids.
pub(crate) async fn submit(client: &Client, run: &Run, item: usize, fields: &Value) -> anyhow::Result<Value> {
    client.post("/api/v1/test-run-results", &result_body(run, item, fields)).await?.expect(201)
}

/// The body of a result for an item of a run.
pub(crate) fn result_body(run: &Run, item: usize, fields: &Value) -> Value {
    with(json!({"test_run_id": run.id, "test_run_item_id": run.items[item]}), fields)
}

/// An object with more fields, or with other values in them.
pub(crate) fn with(mut object: Value, fields: &Value) -> Value {
    for (name, value) in fields.as_object().into_iter().flatten() {
        object[name] = value.clone();
    }
    object
}

pub(crate) fn id(value: &Value) -> anyhow::Result<String> {
    value.as_str().map(str::to_owned).ok_or_else(|| anyhow::anyhow!("no id: {value}"))
}

/// The ids of one of everything.
pub(crate) struct World {
    names: Vec<(&'static str, String)>,
}

impl World {
    /// Makes one of everything.
    pub(crate) async fn new(client: &Client) -> anyhow::Result<Self> {
        let waiting = pending(client, &json!({"run_name": "Waiting"}), 1).await?;
        let running = running(client, &json!({"run_name": "Running"}), 2).await?;
        let steps = json!([{"step_number": 1, "action": "click", "status": "passed"}]);
        let result = submit(client, &running, 0, &json!({"status": "passed", "steps": steps})).await?;
        let schedule =
            json!({"schedule_name": "Nightly", "suite_path": ["ROOT"], "scheduled_datetime": "2999-01-18T02:00:00Z"});
        let schedule = client.post("/api/v1/schedules", &schedule).await?.expect(201)?;
        let script = json!({"name": "Script", "script_type": "on_demand"});
        let script = client.post("/api/v1/test-scripts", &script).await?.expect(201)?;
        let mail = format!("{}@example.com", Uuid::new_v4().simple());
        let colleague = user(client, &mail).await?;
        let leaver = user(client, &format!("leaving.{mail}")).await?;
        let token = client.post("/api/v1/tokens", &json!({"name": "CI", "role": "viewer"})).await?.expect(201)?;
        let hook = json!({"url": "https://example.com/hook", "event_types": ["webhook.disabled"]});
        let hook = client.post("/api/v1/webhooks", &hook).await?.expect(201)?;
        let hook_path = format!("/api/v1/webhooks/{}", id(&hook["id"])?);
        let delivery = client.post(&format!("{hook_path}/test"), &json!({})).await?.expect(201)?;
        let projects = client.get("/api/v1/projects").await?.expect(200)?;
        // Only operators see jobs.
        let jobs = client.get("/api/v1/admin/jobs?status=dead&limit=1").await?;
        let job = jobs.body["items"][0]["id"].as_str().map_or_else(|| Ulid::generate().to_string(), str::to_owned);
        // Somebody who is known but no member.
        let stranger_mail = format!("stranger.{mail}");
        let stranger = user(client, &stranger_mail).await?;
        let membership = format!("/api/v1/projects/{}/members/{stranger}", id(&projects["items"][0]["id"])?);
        client.send(Method::DELETE, &membership, None).await?.expect(204)?;
        let names = vec![
            ("$script", id(&script["id"])?),
            ("$stranger_mail", stranger_mail),
            ("$colleague_mail", mail),
            ("$colleague", colleague),
            ("$leaver", leaver),
            ("$token", id(&token["id"])?),
            ("$project", id(&projects["items"][0]["id"])?),
            ("$waiting_item", waiting.items[0].clone()),
            ("$waiting_case", waiting.cases[0].clone()),
            ("$waiting", waiting.id),
            ("$running", running.id),
            ("$done_item", running.items[0].clone()),
            ("$done_case", running.cases[0].clone()),
            ("$open_item", running.items[1].clone()),
            ("$open_case", running.cases[1].clone()),
            ("$result", id(&result["id"])?),
            ("$spare_case", case(client, "Spare").await?),
            ("$schedule", id(&schedule["id"])?),
            ("$webhook", id(&hook["id"])?),
            ("$delivery", id(&delivery["id"])?),
            (JOB, job),
        ];
        Ok(Self { names })
    }

    /// Nothing at all: ids that do not exist.
    pub(crate) fn absent(&self) -> Self {
        let id = |name| if name == JOB { Ulid::generate().to_string() } else { Uuid::new_v4().to_string() };
        Self { names: self.names.iter().map(|(name, _)| (*name, id(*name))).collect() }
    }

    /// The text with its names, such as `$running`, replaced by ids.
    pub(crate) fn fill(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, id)| text.replace(name, id))
    }

    /// What to put into a path for one of its parameters.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let stands_for = match name {
            "run_id" => "$waiting",
            "item_id" => "$waiting_item",
            "result_id" => "$result",
            "step_number" => return Some("1".to_owned()),
            "test_case_id" => "$spare_case",
            "schedule_id" => "$schedule",
            "test_script_id" => "$script",
            "user_id" => "$colleague",
            "leaver_id" => "$leaver",
            "running_id" => "$running",
            "token_id" => "$token",
            "webhook_id" => "$webhook",
            "delivery_id" => "$delivery",
            "project_id" => "$project",
            "job_id" => JOB,
            "queue" => return Some("send_email".to_owned()),
            _ => return None,
        };
        Some(self.fill(stands_for))
    }
}
