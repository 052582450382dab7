//! The rows of a report: failures with their details, and the table of all items.

use askama::Template;

use crate::db::test_run_reports::{FailureRow, ItemRow};
use crate::domain::test_run_item::ItemStatus;
use crate::text::{Excerpt, duration, excerpt, instant, one_line};

/// Most characters of a message; the rest is cut, and said to be.
pub(super) const TEXT_LIMIT: i32 = 4_000;
/// Most lines of a message.
const MESSAGE_LINES: usize = 80;
/// Most lines of a step's message where the item has one of its own.
const STEP_MESSAGE_LINES: usize = 20;
/// Most characters of a name; as many as a test case's name may have.
const NAME_LIMIT: usize = 255;
/// Most characters of a suite's path, or of what a step is about.
const LINE_LIMIT: usize = 300;
/// Most characters of a screenshot's path; as many as it may have.
const PATH_LIMIT: usize = 500;

/// A page of failures.
#[derive(Template)]
#[template(path = "report/failures.html")]
pub(super) struct FailurePage {
    failures: Vec<Failure>,
}

struct Failure {
    order: i32,
    name: String,
    suite: String,
    facts: Vec<String>,
    step: Option<Step>,
    screenshot: Option<String>,
    result: Option<String>,
    message: Option<Message>,
}

struct Step {
    number: Option<i32>,
    action: Option<String>,
    description: Option<String>,
    duration: Option<String>,
    message: Option<Message>,
}

struct Message {
    text: String,
    /// How long the whole message is, in characters, if this is only its beginning.
    cut_from: Option<i32>,
}

impl FailurePage {
    pub(super) fn of(rows: &[FailureRow]) -> Self {
        Self { failures: rows.iter().map(Failure::of).collect() }
    }
}

impl Failure {
    fn of(row: &FailureRow) -> Self {
        Self {
            order: row.execution_order,
            name: one_line(&row.test_case_name, NAME_LIMIT),
            suite: one_line(&row.suite, LINE_LIMIT),
            facts: facts(row),
            step: Step::of(row),
            screenshot: row
                .screenshot_path
                .as_deref()
                .map(|path| one_line(path, PATH_LIMIT))
                .filter(|path| !path.is_empty()),
            result: row.result_id.map(|id| id.to_string()),
            message: Message::of(row.message.as_deref(), row.message_length, MESSAGE_LINES),
        }
    }
}

/// When, how long, which attempt and which iteration.
fn facts(row: &FailureRow) -> Vec<String> {
    let mut facts = vec![format!("took {}", duration(row.duration_ms))];
    facts.extend(row.started_at.map(|at| format!("started {}", instant(at))));
    if row.is_data_driven {
        facts.push(format!("{} of {} iterations passed", row.passed_iterations, row.total_iterations));
    }
    facts.extend(row.iteration_number.map(|number| format!("iteration {number} failed first")));
    if row.retry_attempt > 0 {
        facts.push(format!("attempt {}", row.retry_attempt.saturating_add(1)));
    }
    facts
}

impl Step {
    fn of(row: &FailureRow) -> Option<Self> {
        let is_known = row.step_number.is_some() || row.step_action.is_some();
        // Clients often repeat the step's message as the item's; once is enough.
        let own =
            row.step_message.as_deref().filter(|own| row.message.as_deref().is_none_or(|whole| !whole.contains(own)));
        let lines = if row.message.is_some() { STEP_MESSAGE_LINES } else { MESSAGE_LINES };
        is_known.then(|| Self {
            number: row.step_number,
            action: row.step_action.as_deref().map(|action| one_line(action, LINE_LIMIT)),
            description: row.step_description.as_deref().map(|text| one_line(text, LINE_LIMIT)),
            duration: row.step_duration_ms.map(duration),
            message: Message::of(own, row.step_message_length, lines),
        })
    }
}

impl Message {
    fn of(text: Option<&str>, length: Option<i32>, lines: usize) -> Option<Self> {
        let Excerpt { text, is_cut } = excerpt(text?, lines);
        let cut_from = length.filter(|length| is_cut || *length > TEXT_LIMIT);
        (!text.is_empty()).then_some(Self { text, cut_from })
    }
}

/// A page of the table of all items.
#[derive(Template)]
#[template(path = "report/items.html")]
pub(super) struct ItemPage {
    items: Vec<Item>,
}

struct Item {
    order: i32,
    name: String,
    suite: String,
    class: &'static str,
    status: String,
    is_failed: bool,
    duration: String,
    steps: String,
    checkpoints: String,
}

impl ItemPage {
    pub(super) fn of(rows: &[ItemRow]) -> Self {
        Self { items: rows.iter().map(Item::of).collect() }
    }
}

impl Item {
    fn of(row: &ItemRow) -> Self {
        let (class, word) = match row.status {
            ItemStatus::Passed => ("passed", "Passed"),
            ItemStatus::Failed => ("failed", "Failed"),
            ItemStatus::Skipped => ("skipped", "Skipped"),
            ItemStatus::NoRun => ("no-run", "Not run"),
            ItemStatus::Pending => ("open", "Pending"),
            ItemStatus::Queued => ("open", "Queued"),
            ItemStatus::Running => ("open", "Running"),
        };
        let mut status = word.to_owned();
        if row.is_data_driven {
            status += &format!(" ({}/{})", row.passed_iterations, row.total_iterations);
        }
        if row.retry_attempt > 0 {
            status += &format!(", attempt {}", row.retry_attempt.saturating_add(1));
        }
        Self {
            order: row.execution_order,
            name: one_line(&row.test_case_name, NAME_LIMIT),
            suite: one_line(&row.suite, LINE_LIMIT),
            class,
            status,
            is_failed: row.status == ItemStatus::Failed,
            duration: if row.duration_ms > 0 { duration(row.duration_ms) } else { "–".to_owned() },
            steps: of_total(row.passed_steps, row.total_steps),
            checkpoints: of_total(row.passed_checkpoints, row.total_checkpoints),
        }
    }
}

fn of_total(passed: i32, total: i32) -> String {
    if total > 0 { format!("{passed}/{total}") } else { "–".to_owned() }
}
