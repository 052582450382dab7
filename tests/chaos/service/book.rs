//! What the clients were told: every write that was acknowledged, and what has to come of it.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use uuid::Uuid;

/// Counts that rows which come later change.
const DERIVED: [&str; 9] = [
    "total_steps",
    "passed_steps",
    "failed_steps",
    "skipped_steps",
    "pass_rate",
    "total_checkpoints",
    "passed_checkpoints",
    "failed_checkpoints",
    "checkpoint_pass_rate",
];

#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) runs: HashMap<Uuid, Run>,
    pub(crate) results: HashMap<Uuid, TestResult>,
    /// Test cases and the description that each was given last.
    pub(crate) cases: HashMap<Uuid, String>,
    pub(crate) schedules: HashSet<Uuid>,
    /// Executions that somebody asked for by `run-now`.
    pub(crate) executions: HashSet<Uuid>,
    /// What went wrong for a client.
    pub(crate) trouble: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) number: i64,
    pub(crate) notes: Option<String>,
    /// The status in which it has to end.
    pub(crate) status: &'static str,
    /// The status in which each item has to end.
    pub(crate) items: HashMap<Uuid, &'static str>,
    /// Whether a schedule made it.
    pub(crate) is_scheduled: bool,
}

#[derive(Debug)]
pub(crate) struct TestResult {
    pub(crate) run: Uuid,
    /// The answer, as text: tens of thousands of JSON objects would be large.
    body: String,
    has_later_rows: bool,
    pub(crate) rows: Rows,
}

/// Rows of a result, each told in a line.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) steps: Vec<String>,
    pub(crate) checkpoints: Vec<String>,
    pub(crate) logs: Vec<String>,
}

impl TestResult {
    pub(crate) fn new(run: Uuid, answer: &Value, rows: Rows) -> Self {
        Self { run, body: answer.to_string(), has_later_rows: false, rows }
    }

    pub(crate) fn add_later(&mut self, rows: Rows) {
        self.rows = rows;
        self.has_later_rows = true;
    }

    /// Fields that are not as they were told.
    pub(crate) fn differences(&self, stored: &Value) -> anyhow::Result<Vec<String>> {
        let told: Value = serde_json::from_str(&self.body)?;
        let mut fields: HashSet<&String> = told.as_object().into_iter().flat_map(serde_json::Map::keys).collect();
        fields.extend(stored.as_object().into_iter().flat_map(serde_json::Map::keys));
        Ok(fields
            .into_iter()
            .filter(|field| !(self.has_later_rows && DERIVED.contains(&field.as_str())))
            .filter(|field| told[field.as_str()] != stored[field.as_str()])
            .map(|field| format!("{field}: told {}, stored {}", told[field.as_str()], stored[field.as_str()]))
            .collect())
    }
}
