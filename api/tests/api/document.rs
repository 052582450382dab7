//! The operations of the OpenAPI document, for tests that hold for each of them.

use serde_json::{Value, json};

use crate::world::World;

/// One method of one path.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    /// In upper case.
    pub(crate) method: String,
    /// With its parameters in braces.
    pub(crate) path: String,
    /// The names in the braces.
    pub(crate) parameters: Vec<String>,
    pub(crate) id: String,
    /// What the document says of it.
    pub(crate) described: Value,
}

impl Operation {
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    pub(crate) fn has_body(&self) -> bool {
        self.described.get("requestBody").is_some()
    }

    pub(crate) fn writes(&self) -> bool {
        self.method != "GET"
    }

    /// The path with each parameter replaced.
    pub(crate) fn path_with(&self, mut value: impl FnMut(&str) -> String) -> String {
        self.parameters.iter().fold(self.path.clone(), |path, name| path.replace(&format!("{{{name}}}"), &value(name)))
    }

    /// The path to what is in this world.
    pub(crate) fn path_in(&self, world: &World) -> String {
        self.path_with(|name| self.parameter(world, name))
    }

    pub(crate) fn parameter(&self, world: &World, name: &str) -> String {
        let value = world.parameter(match self.id.as_str() {
            // Who was deleted cannot be removed from the project as well.
            "delete_user" => "leaver_id",
            "stop_test_run" => "running_id",
            _ => name,
        });
        value.unwrap_or_else(|| panic!("{}: no filler for {{{name}}}; add one to World::parameter", self.name()))
    }

    /// A body that the operation takes, for what is in this world; empty if it takes none.
    pub(crate) fn body_in(&self, world: &World) -> Vec<u8> {
        if !self.has_body() {
            return Vec::new();
        }
        let body = body(&self.id);
        let body =
            body.unwrap_or_else(|| panic!("{}: no body for '{}'; add one to document::body", self.name(), self.id));
        world.fill(&body.to_string()).into_bytes()
    }
}

/// A good body for an operation, with names of a [`World`] in it.
pub(crate) fn body(operation_id: &str) -> Option<Value> {
    let step = json!({"step_number": 7, "action": "click", "status": "passed"});
    let first_step = json!({"step_number": 1, "action": "click", "status": "passed"});
    Some(match operation_id {
        "create_test_run" => json!({"run_name": "Another"}),
        "start_test_run" => json!({"browser_name": "chromium"}),
        "add_test_run_item" => json!({"test_case_id": "$spare_case"}),
        "add_test_run_items" => json!({"test_case_ids": ["$open_case"]}),
        "create_test_run_result" => {
            json!({"test_run_id": "$running", "test_run_item_id": "$open_item", "status": "passed", "steps": [first_step]})
        }
        "add_test_step_results" => json!({"steps": [step]}),
        "add_checkpoint_result" => {
            json!({"checkpoint_name": "Title", "checkpoint_type": "element", "status": "passed"})
        }
        "add_console_logs" => {
            json!({"logs": [{"log_level": "info", "message": "hello", "timestamp": "2026-01-17T10:05:05Z"}]})
        }
        "create_schedule" => json!({
            "schedule_name": "Other", "test_case_ids": ["$spare_case"], "scheduled_datetime": "2999-01-18T02:00:00Z",
        }),
        "create_test_case" => json!({"name": "Other", "external_key": "other"}),
        "update_test_run" => json!({"notes": "changed"}),
        "update_test_run_item" => json!({"results_folder": "elsewhere"}),
        "reorder_test_run_items" => json!({"item_ids": ["$waiting_item"]}),
        "add_test_step_result" => json!({"step_number": 8, "action": "click", "status": "passed"}),
        "add_script_result" => json!({"script_name": "s", "script_type": "on_demand", "status": "passed"}),
        "add_network_logs" => {
            json!({"logs": [{"url": "https://example.com", "method": "GET", "timestamp": "2026-01-17T10:05:05Z"}]})
        }
        "preview_schedule" => json!({"scheduled_datetime": "2999-01-18T02:00:00Z"}),
        "update_schedule" => json!({"schedule_name": "Renamed"}),
        "update_test_case" => json!({"name": "Renamed"}),
        "create_test_script" => json!({"name": "Script", "script_type": "on_demand"}),
        "update_test_script" => json!({"name": "Renamed"}),
        "create_project" => json!({"name": "Fresh"}),
        "update_project" => json!({"description": "changed"}),
        "add_member" => json!({"email": "$stranger_mail", "role": "viewer"}),
        "update_member" => json!({"role": "viewer"}),
        "create_user" => json!({"email": "new@example.com", "display_name": "New"}),
        "update_user" => json!({"display_name": "Renamed"}),
        "create_token" => json!({"name": "CI", "role": "viewer"}),
        "update_token" => json!({"name": "Renamed"}),
        "create_webhook" => json!({"url": "https://example.com/other"}),
        "update_webhook" => json!({"description": "changed"}),
        "pause_queue" => json!({"reason": "The mail server is being moved"}),
        "upsert_test_cases" => json!({"test_cases": [{"name": "Bulk", "external_key": "bulk"}]}),
        _ => return None,
    })
}

/// The whole document as JSON.
pub(crate) fn document() -> Value {
    serde_json::to_value(testrun_api::document()).expect("the document is JSON")
}

/// Whether an operation answers at all: streams do not end, and have tests of their own.
fn ends(described: &Value) -> bool {
    described["responses"].get("101").is_none()
        && described["responses"]["200"]["content"].get("text/event-stream").is_none()
}

/// Whether an operation asks for a token, as the document says of all: the links in mails do not, and have tests of their
/// own (`unsubscribe.rs`).
fn asks_for_token(described: &Value) -> bool {
    described.get("security") != Some(&json!([{}]))
}

/// Every operation under `/api/v1` that asks for a token and ends, in the document's order.
pub(crate) fn operations() -> Vec<Operation> {
    let document = document();
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, described) in methods
            .as_object()
            .expect("methods")
            .iter()
            .filter(|(_, described)| ends(described) && asks_for_token(described))
        {
            let parameters =
                path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).map(str::to_owned).collect();
            operations.push(Operation {
                method: method.to_uppercase(),
                path: path.clone(),
                parameters,
                id: described["operationId"].as_str().unwrap_or_default().to_owned(),
                described: described.clone(),
            });
        }
    }
    assert!(operations.len() > 20, "operations are missing");
    operations
}
