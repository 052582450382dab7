//! What clients send: results in several shapes.

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use uuid::Uuid;

use super::book::Rows;

/// How an item is reported.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    Plain(&'static str),
    /// With steps, a checkpoint and log lines in the same request.
    Nested(&'static str),
    /// With steps, a checkpoint and log lines in later requests.
    Later(&'static str),
    /// Data-driven.
    Iterations([&'static str; 3]),
    /// A failure, and what its repetition gave.
    Retried(&'static str),
}

impl Way {
    /// Draws one. Where failures are repeated, none but [`Way::Retried`] has one.
    pub(crate) fn draw(random: &mut StdRng, retries: bool) -> Self {
        let mut status = || match random.random_range(0..10) {
            0 | 1 if !retries => "failed",
            2 => "skipped",
            _ => "passed",
        };
        let drawn = status();
        let failable = |failed: bool| if failed && !retries { "failed" } else { "passed" };
        match random.random_range(0..20) {
            0..10 => Self::Plain(drawn),
            10..15 => Self::Nested(drawn),
            15..18 => Self::Later(drawn),
            18 => Self::Iterations([false, random.random_bool(0.3), random.random_bool(0.3)].map(failable)),
            _ if retries => Self::Retried(if random.random_bool(0.5) { "passed" } else { "failed" }),
            _ => Self::Plain(drawn),
        }
    }

    /// What becomes of the item.
    pub(crate) fn outcome(self) -> &'static str {
        match self {
            Self::Plain(status) | Self::Nested(status) | Self::Later(status) | Self::Retried(status) => status,
            Self::Iterations(statuses) if statuses.contains(&"failed") => "failed",
            Self::Iterations(_) => "passed",
        }
    }
}

pub(crate) fn result(random: &mut StdRng, run: Uuid, item: Uuid, status: &str) -> Value {
    let mut body = json!({
        "test_run_id": run,
        "test_run_item_id": item,
        "status": status,
        "duration_ms": random.random_range(1..100_000),
        "initial_url": format!("https://shop.example.com/{}", random.random::<u32>()),
        "environment_info": { "browser_name": "chromium", "build": random.random_range(1..1_000) },
    });
    if status == "failed" {
        body["error_message"] = json!(format!("»{}« was not found – tried {} times", random.random::<u64>(), 3));
    }
    body
}

/// Rows as requests have them, and as the book tells them.
pub(crate) struct NewRows {
    pub(crate) steps: Value,
    pub(crate) checkpoint: Value,
    pub(crate) logs: Value,
    pub(crate) told: Rows,
}

pub(crate) fn rows(random: &mut StdRng) -> NewRows {
    let mut told = Rows::default();
    let steps: Value = (1..=random.random_range(1..=4))
        .map(|number| {
            let (action, status) = (format!("click {}", random.random::<u32>()), "passed");
            told.steps.push(format!("{number} {action} {status}"));
            json!({ "step_number": number, "action": action, "status": status })
        })
        .collect();
    let name = format!("Total is {}", random.random::<u32>());
    told.checkpoints.push(format!("{name} passed"));
    let checkpoint =
        json!({ "checkpoint_name": name, "checkpoint_type": "element", "status": "passed", "step_number": 1 });
    let logs: Value = (0..2)
        .map(|second| {
            let message = format!("GET /cart/{} took long", random.random::<u32>());
            told.logs.push(message.clone());
            json!({ "log_level": "warn", "message": message, "timestamp": format!("2026-01-17T10:08:0{second}Z") })
        })
        .collect();
    NewRows { steps, checkpoint, logs, told }
}
