//! What an item is, computed from all its results (decisions, Items and results).

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::FromRow;
use uuid::Uuid;

use super::ItemStatus;
use crate::domain::test_run_result::{ResultStatus, TestRunResult};

/// When a failed item is tried again: the run's setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct RetryPolicy {
    /// Whether failed items are tried again at all.
    pub retry_on_failure: bool,
    /// How often.
    pub retry_count: i32,
}

impl RetryPolicy {
    /// Whether this attempt's outcome is the last word.
    #[must_use]
    pub fn decides(self, status: ResultStatus, attempt: i32) -> bool {
        status != ResultStatus::Failed || !self.retry_on_failure || attempt >= self.retry_count
    }
}

/// What an item needs to know of one of its results.
#[derive(Debug, Clone, FromRow)]
pub struct Outcome {
    /// The result's id.
    pub id: Uuid,
    /// None for a result that is not data-driven.
    pub iteration_number: Option<i32>,
    /// 0 is the first try.
    pub retry_attempt: i32,
    /// How it ended.
    pub status: ResultStatus,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
    /// Milliseconds.
    pub duration_ms: i64,
    /// Steps.
    pub total_steps: i32,
    /// Steps that passed.
    pub passed_steps: i32,
    /// Steps that failed.
    pub failed_steps: i32,
    /// Steps that were skipped.
    pub skipped_steps: i32,
    /// Checkpoints.
    pub total_checkpoints: i32,
    /// Checkpoints that passed.
    pub passed_checkpoints: i32,
    /// Checkpoints that failed.
    pub failed_checkpoints: i32,
    /// What went wrong.
    pub error_message: Option<String>,
    /// A label.
    pub error_screenshot_path: Option<String>,
    /// A label.
    pub results_folder: Option<String>,
    /// When the server got it.
    pub created_at: DateTime<Utc>,
}

impl From<&TestRunResult> for Outcome {
    fn from(result: &TestRunResult) -> Self {
        Self {
            id: result.id,
            iteration_number: result.iteration_number,
            retry_attempt: result.retry_attempt,
            status: result.status,
            started_at: result.started_at,
            completed_at: result.completed_at,
            duration_ms: result.duration_ms,
            total_steps: result.total_steps,
            passed_steps: result.passed_steps,
            failed_steps: result.failed_steps,
            skipped_steps: result.skipped_steps,
            total_checkpoints: result.total_checkpoints,
            passed_checkpoints: result.passed_checkpoints,
            failed_checkpoints: result.failed_checkpoints,
            error_message: result.error_message.clone(),
            error_screenshot_path: result.error_screenshot_path.clone(),
            results_folder: result.results_folder.clone(),
            created_at: result.created_at,
        }
    }
}

/// The columns of an item that follow from its results, by their names.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Derived {
    /// Running until the results decide.
    pub status: ItemStatus,
    /// The earliest start, or arrival where none was told.
    pub started_at: Option<DateTime<Utc>>,
    /// The latest end, once the item is final.
    pub completed_at: Option<DateTime<Utc>>,
    /// Milliseconds of the deciding attempts.
    pub duration_ms: i64,
    /// Steps of the deciding attempts.
    pub total_steps: i32,
    /// Those that passed.
    pub passed_steps: i32,
    /// Those that failed.
    pub failed_steps: i32,
    /// Those that were skipped.
    pub skipped_steps: i32,
    /// Checkpoints of the deciding attempts.
    pub total_checkpoints: i32,
    /// Those that passed.
    pub passed_checkpoints: i32,
    /// Those that failed.
    pub failed_checkpoints: i32,
    /// Whether any result has an iteration number.
    pub is_data_driven: bool,
    /// Final iterations that passed.
    pub passed_iterations: i32,
    /// Final iterations that failed.
    pub failed_iterations: i32,
    /// The attempt that decided the item.
    pub retry_attempt: i32,
    /// Failed with retries on and none left.
    pub max_retries_exhausted: bool,
    /// The first failing iteration's, or the deciding attempt's.
    pub error_message: Option<String>,
    /// Likewise.
    pub error_screenshot_path: Option<String>,
    /// Of the last attempt.
    pub results_folder: Option<String>,
    /// The result that speaks for the item in the case's history. No column.
    #[serde(skip)]
    pub decided_by: Uuid,
}

/// Recomputes an item from all its results; `None` where there are none.
///
/// `total_iterations` is what the client told, 0 if nothing. Pure, so an item never depends on the order in which its
/// results came (decisions, Items and results).
#[must_use]
pub fn derive(outcomes: &[Outcome], retry: RetryPolicy, total_iterations: i32) -> Option<Derived> {
    let deciding = deciding_attempts(outcomes);
    let last = deciding.last()?;
    let is_data_driven = outcomes.iter().any(|outcome| outcome.iteration_number.is_some());
    let decided: Vec<&Outcome> =
        deciding.iter().copied().filter(|outcome| retry.decides(outcome.status, outcome.retry_attempt)).collect();
    let count = |status| decided.iter().filter(|outcome| outcome.status == status).count();
    let (passed, failed) = (count(ResultStatus::Passed), count(ResultStatus::Failed));

    let is_final = if is_data_driven {
        total_iterations > 0 && decided.len() >= usize::try_from(total_iterations).unwrap_or(usize::MAX)
    } else {
        !decided.is_empty()
    };
    let status = match is_final {
        false => ItemStatus::Running,
        true if failed > 0 => ItemStatus::Failed,
        true if passed > 0 => ItemStatus::Passed,
        true => ItemStatus::Skipped,
    };
    let speaker = decided.iter().copied().find(|outcome| outcome.status == ResultStatus::Failed).unwrap_or(last);

    let [total_steps, passed_steps, failed_steps, skipped_steps] =
        sums(&deciding, [|o| o.total_steps, |o| o.passed_steps, |o| o.failed_steps, |o| o.skipped_steps]);
    let [total_checkpoints, passed_checkpoints, failed_checkpoints] =
        sums(&deciding, [|o| o.total_checkpoints, |o| o.passed_checkpoints, |o| o.failed_checkpoints]);

    Some(Derived {
        status,
        started_at: outcomes.iter().map(|outcome| outcome.started_at.unwrap_or(outcome.created_at)).min(),
        completed_at: is_final
            .then(|| deciding.iter().map(|outcome| outcome.completed_at.unwrap_or(outcome.created_at)).max())
            .flatten(),
        duration_ms: deciding.iter().map(|outcome| outcome.duration_ms).fold(0, i64::saturating_add),
        total_steps,
        passed_steps,
        failed_steps,
        skipped_steps,
        total_checkpoints,
        passed_checkpoints,
        failed_checkpoints,
        is_data_driven,
        passed_iterations: if is_data_driven { saturate(passed) } else { 0 },
        failed_iterations: if is_data_driven { saturate(failed) } else { 0 },
        retry_attempt: speaker.retry_attempt,
        max_retries_exhausted: status == ItemStatus::Failed && retry.retry_on_failure && retry.retry_count > 0,
        error_message: speaker.error_message.clone(),
        error_screenshot_path: speaker.error_screenshot_path.clone(),
        results_folder: last.results_folder.clone(),
        decided_by: speaker.id,
    })
}

/// The highest attempt of each iteration, in the order of the iterations.
fn deciding_attempts(outcomes: &[Outcome]) -> Vec<&Outcome> {
    let mut ordered: Vec<&Outcome> = outcomes.iter().collect();
    ordered.sort_by_key(|outcome| (outcome.iteration_number, std::cmp::Reverse(outcome.retry_attempt)));
    ordered.dedup_by_key(|outcome| outcome.iteration_number);
    ordered
}

/// A total and its parts, summed up. What no column can hold is cut off, and the parts still fit into the total.
fn sums<const N: usize>(deciding: &[&Outcome], columns: [fn(&Outcome) -> i32; N]) -> [i32; N] {
    let mut room: Option<i32> = None;
    columns.map(|column| {
        let sum: i64 = deciding.iter().map(|outcome| i64::from(column(outcome))).sum();
        let sum = i32::try_from(sum).unwrap_or(i32::MAX).min(room.unwrap_or(i32::MAX));
        room = Some(room.map_or(sum, |room| room - sum));
        sum
    })
}

fn saturate(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_RETRY: RetryPolicy = RetryPolicy { retry_on_failure: false, retry_count: 0 };
    const TWO_RETRIES: RetryPolicy = RetryPolicy { retry_on_failure: true, retry_count: 2 };

    fn outcome(iteration: Option<i32>, attempt: i32, status: ResultStatus) -> Outcome {
        Outcome {
            id: Uuid::now_v7(),
            iteration_number: iteration,
            retry_attempt: attempt,
            status,
            started_at: None,
            completed_at: None,
            duration_ms: 10,
            total_steps: 2,
            passed_steps: 1,
            failed_steps: 1,
            skipped_steps: 0,
            total_checkpoints: 1,
            passed_checkpoints: 1,
            failed_checkpoints: 0,
            error_message: (status == ResultStatus::Failed).then(|| format!("attempt {attempt} failed")),
            error_screenshot_path: None,
            results_folder: None,
            created_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_single_result_decides_without_retries() {
        for status in [ResultStatus::Passed, ResultStatus::Failed, ResultStatus::Skipped] {
            let derived = derive(&[outcome(None, 0, status)], NO_RETRY, 0).expect("one result");
            assert_eq!(derived.status, ItemStatus::from(status));
            assert!(!derived.max_retries_exhausted);
            assert!(derived.completed_at.is_some());
        }
    }

    #[test]
    fn a_failed_attempt_waits_for_its_retry_and_the_last_one_exhausts_them() {
        let mut outcomes = vec![outcome(None, 0, ResultStatus::Failed)];
        assert_eq!(derive(&outcomes, TWO_RETRIES, 0).expect("a result").status, ItemStatus::Running);
        outcomes.push(outcome(None, 1, ResultStatus::Failed));
        assert_eq!(derive(&outcomes, TWO_RETRIES, 0).expect("a result").status, ItemStatus::Running);
        outcomes.push(outcome(None, 2, ResultStatus::Failed));
        let derived = derive(&outcomes, TWO_RETRIES, 0).expect("a result");
        assert_eq!((derived.status, derived.retry_attempt), (ItemStatus::Failed, 2));
        assert!(derived.max_retries_exhausted);
        assert_eq!(derived.error_message.as_deref(), Some("attempt 2 failed"));
    }

    #[test]
    fn a_passing_retry_decides_and_only_its_counts_stand() {
        let outcomes = [outcome(None, 1, ResultStatus::Passed), outcome(None, 0, ResultStatus::Failed)];
        let derived = derive(&outcomes, TWO_RETRIES, 0).expect("results");
        assert_eq!((derived.status, derived.retry_attempt), (ItemStatus::Passed, 1));
        assert_eq!((derived.total_steps, derived.duration_ms), (2, 10));
        assert_eq!(derived.error_message, None);
    }

    #[test]
    fn iterations_are_final_together_and_one_failure_fails_them_all() {
        let outcomes = [
            outcome(Some(3), 0, ResultStatus::Passed),
            outcome(Some(1), 0, ResultStatus::Passed),
            outcome(Some(2), 0, ResultStatus::Failed),
        ];
        assert_eq!(derive(&outcomes, NO_RETRY, 0).expect("results").status, ItemStatus::Running, "no total told yet");
        assert_eq!(derive(&outcomes[..2], NO_RETRY, 3).expect("results").status, ItemStatus::Running);
        let derived = derive(&outcomes, NO_RETRY, 3).expect("results");
        assert_eq!(derived.status, ItemStatus::Failed);
        assert_eq!((derived.passed_iterations, derived.failed_iterations), (2, 1));
        let steps = [derived.total_steps, derived.passed_steps, derived.failed_steps, derived.skipped_steps];
        assert_eq!(steps, [6, 3, 3, 0], "sums over iterations");
    }

    #[test]
    fn the_order_of_arrival_does_not_matter() {
        let mut outcomes = vec![
            outcome(Some(1), 0, ResultStatus::Failed),
            outcome(Some(1), 1, ResultStatus::Passed),
            outcome(Some(2), 0, ResultStatus::Passed),
        ];
        let forward = derive(&outcomes, TWO_RETRIES, 2);
        outcomes.reverse();
        assert_eq!(forward, derive(&outcomes, TWO_RETRIES, 2));
        assert_eq!(forward.map(|derived| derived.status), Some(ItemStatus::Passed));
    }
}
