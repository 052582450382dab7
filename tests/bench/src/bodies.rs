//! What clients send: a result alone, and one as a recorder of browser tests sends it.

use chrono::{DateTime, Utc};
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::stage::Work;

/// How much comes with a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shape {
    /// Nothing.
    Bare,
    /// 10 steps, 3 checkpoints and 20 console lines.
    Full,
}

pub(crate) const STEPS: usize = 10;
pub(crate) const CHECKPOINTS: usize = 3;
pub(crate) const LINES: usize = 20;

/// The texts of the rows, of a usual length.
pub(crate) const DESCRIPTION: &str = "Click the button 'Add to basket' of the third product in the list";
pub(crate) const SELECTOR: &str = "main section.products > article:nth-of-type(3) button[data-testid='add']";
pub(crate) const MESSAGE: &str =
    "GET https://shop.example.com/api/basket?session=8f14e45f 200 in 41 ms, 3 products, 2 of them on offer";
pub(crate) const SOURCE: &str = "https://shop.example.com/static/js/main.3f2a91.js";

/// The body of a result.
pub(crate) fn body(shape: Shape, work: Work, now: DateTime<Utc>) -> String {
    let mut body = json!({
        "test_run_id": work.run,
        "test_run_item_id": work.item,
        "test_case_id": work.case,
        "status": "passed",
        "started_at": now,
        "completed_at": now,
        "duration_ms": 1234,
    });
    if shape == Shape::Full {
        body["steps"] = (1..=STEPS).map(|number| step(number, now)).collect();
        body["checkpoints"] = (1..=CHECKPOINTS).map(checkpoint).collect();
        body["console_logs"] = (1..=LINES).map(|number| line(number, now)).collect();
    }
    body.to_string()
}

fn step(number: usize, now: DateTime<Utc>) -> Value {
    json!({
        "step_number": number, "action": "click", "description": DESCRIPTION, "status": "passed", "started_at": now,
        "completed_at": now, "duration_ms": 120, "selector": SELECTOR,
    })
}

fn checkpoint(number: usize) -> Value {
    json!({
        "step_number": number * 3, "checkpoint_name": format!("Basket {number}"), "checkpoint_type": "element",
        "status": "passed", "selector": SELECTOR,
    })
}

fn line(number: usize, now: DateTime<Utc>) -> Value {
    json!({
        "log_level": "info", "message": MESSAGE, "source": SOURCE, "line_number": number, "step_index": number % STEPS,
        "timestamp": now,
    })
}
