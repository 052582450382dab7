//! What must be in the database in the end, computed from the plan alone, and what is there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;
use uuid::Uuid;

/// The reason that the scheduler gives for due times that came while none was running.
const NOBODY_THERE: &str = "No scheduler was running at the due time";

/// A schedule and all its due times.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) schedule: Uuid,
    pub(crate) occurrences: BTreeSet<DateTime<Utc>>,
    /// Whether some of them may have been missed, because no scheduler was running for a minute or more. The last never.
    pub(crate) may_miss: bool,
}

#[derive(Debug, sqlx::FromRow)]
struct Execution {
    schedule_id: Uuid,
    scheduled_for: DateTime<Utc>,
    status: String,
    test_run_id: Option<Uuid>,
    error_message: Option<String>,
    created_at: DateTime<Utc>,
}

#[derive(Debug, sqlx::FromRow)]
struct Run {
    id: Uuid,
    run_number: i32,
    scheduled_at: Option<DateTime<Utc>>,
    total_tests: i32,
}

#[derive(Debug, sqlx::FromRow)]
struct Plan {
    id: Uuid,
    status: String,
    execution_count: i32,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) occurrences: usize,
    pub(crate) fired: usize,
    pub(crate) missed: usize,
    pub(crate) runs: usize,
    start: DateTime<Utc>,
    /// From the due time, or the start if that is later, to the start of the transaction that fired it, faults included;
    /// sorted.
    lateness: Vec<TimeDelta>,
    /// Nothing, if all went well.
    pub(crate) violations: Vec<String>,
}

impl Verdict {
    /// Compares the database with what is expected. Every test run has `cases` test cases.
    pub(crate) async fn reach(
        pool: &PgPool,
        expected: &[Expected],
        start: DateTime<Utc>,
        cases: i32,
    ) -> anyhow::Result<Self> {
        let executions: Vec<Execution> = sqlx::query_as("SELECT * FROM schedule_executions").fetch_all(pool).await?;
        let runs: Vec<Run> = sqlx::query_as("SELECT * FROM test_runs ORDER BY run_number").fetch_all(pool).await?;
        let plans: Vec<Plan> = sqlx::query_as("SELECT * FROM schedules").fetch_all(pool).await?;
        let told: Vec<(String, i64)> =
            sqlx::query_as("SELECT type, count(*) FROM events GROUP BY type").fetch_all(pool).await?;

        let mut verdict = Self { start, ..Self::default() };
        verdict.judge_rows(expected, &executions);
        verdict.judge_runs(&executions, &runs, cases);
        verdict.judge_schedules(expected, &executions, &plans);
        verdict.judge_events(&told.into_iter().collect());
        verdict.lateness.sort_unstable();
        Ok(verdict)
    }

    /// Every occurrence has its one row, and there is no other.
    fn judge_rows(&mut self, expected: &[Expected], executions: &[Execution]) {
        let mut rows: HashMap<Uuid, Vec<&Execution>> = HashMap::new();
        for execution in executions {
            rows.entry(execution.schedule_id).or_default().push(execution);
        }
        for Expected { schedule, occurrences, may_miss } in expected {
            self.occurrences += occurrences.len();
            let rows = rows.remove(schedule).unwrap_or_default();
            let mut found: BTreeMap<DateTime<Utc>, usize> = BTreeMap::new();
            for row in &rows {
                *found.entry(row.scheduled_for).or_default() += 1;
            }
            for lost in occurrences.iter().filter(|at| !found.contains_key(*at)) {
                self.violations.push(format!("schedule {schedule}: {lost} has no row"));
            }
            for (at, times) in found {
                if times > 1 || !occurrences.contains(&at) {
                    self.violations.push(format!("schedule {schedule}: {times} rows for {at}"));
                }
            }
            for row in rows {
                let is_last = occurrences.last() == Some(&row.scheduled_for);
                self.judge_row(row, *may_miss && !is_last);
            }
        }
        for (schedule, rows) in rows {
            self.violations.push(format!("{} rows of schedule {schedule}, which is not ours", rows.len()));
        }
    }

    fn judge_row(&mut self, row: &Execution, may_be_missed: bool) {
        match row.status.as_str() {
            "running" if row.test_run_id.is_some() => {
                self.fired += 1;
                self.lateness.push(row.created_at - row.scheduled_for.max(self.start));
                if row.created_at < row.scheduled_for {
                    self.violations.push(format!("fired before its time: {row:?}"));
                }
            }
            "missed"
                if may_be_missed && row.test_run_id.is_none() && row.error_message.as_deref() == Some(NOBODY_THERE) =>
            {
                self.missed += 1;
            }
            _ => self.violations.push(format!("a row that should not be as it is: {row:?}")),
        }
    }

    /// One run per fired occurrence, none without one, and their numbers without a gap.
    fn judge_runs(&mut self, executions: &[Execution], runs: &[Run], cases: i32) {
        self.runs = runs.len();
        let mut due_times: HashMap<Uuid, Vec<DateTime<Utc>>> = HashMap::new();
        for execution in executions {
            if let Some(run) = execution.test_run_id {
                due_times.entry(run).or_default().push(execution.scheduled_for);
            }
        }
        for (index, run) in runs.iter().enumerate() {
            let due = due_times.remove(&run.id).unwrap_or_default();
            if due.len() != 1 || due.first().copied() != run.scheduled_at {
                self.violations.push(format!("{run:?} belongs to the occurrences {due:?}"));
            }
            if usize::try_from(run.run_number).ok() != Some(index + 1) {
                self.violations.push(format!("run number {} where {} was due", run.run_number, index + 1));
            }
            if run.total_tests != cases {
                self.violations.push(format!("{run:?} should have {cases} tests"));
            }
        }
        self.violations.extend(due_times.keys().map(|run| format!("run {run} of an execution is gone")));
        if self.fired != self.runs {
            self.violations.push(format!("{} occurrences fired, there are {} runs", self.fired, self.runs));
        }
    }

    /// Every schedule is through, and has counted its runs right.
    fn judge_schedules(&mut self, expected: &[Expected], executions: &[Execution], plans: &[Plan]) {
        let mut fired: HashMap<Uuid, i32> = HashMap::new();
        for execution in executions.iter().filter(|execution| execution.test_run_id.is_some()) {
            *fired.entry(execution.schedule_id).or_default() += 1;
        }
        for plan in plans {
            let runs = fired.get(&plan.id).copied().unwrap_or_default();
            if plan.status != "completed" || plan.execution_count != runs {
                self.violations.push(format!("{plan:?}, which made {runs} runs"));
            }
        }
        if plans.len() != expected.len() {
            self.violations.push(format!("{} schedules where {} were created", plans.len(), expected.len()));
        }
    }

    /// What was told is what happened.
    fn judge_events(&mut self, told: &HashMap<String, i64>) {
        for kind in ["schedule.fired", "run.created", "run.queued"] {
            let times = told.get(kind).copied().unwrap_or_default();
            if usize::try_from(times).ok() != Some(self.fired) {
                self.violations.push(format!("{times} events {kind} for {} fired occurrences", self.fired));
            }
        }
    }

    fn lateness(&self, percent: usize) -> f64 {
        let at = (self.lateness.len().saturating_sub(1) * percent).div_ceil(100);
        self.lateness.get(at).map_or(0.0, |late| late.as_seconds_f64())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { occurrences, fired, missed, runs, .. } = self;
        writeln!(f, "{occurrences} occurrences: {fired} fired, {missed} missed; {runs} runs")?;
        let [median, p99, most] = [50, 99, 100].map(|percent| self.lateness(percent));
        writeln!(f, "fired after the due time: median {median:.2} s, p99 {p99:.2} s, at most {most:.2} s")?;
        for violation in self.violations.iter().take(50) {
            writeln!(f, "VIOLATION {violation}")?;
        }
        write!(f, "verdict: {} violations", self.violations.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What may be in the database after one schedule fired twice, and missed its first due time.
    struct Books {
        expected: Vec<Expected>,
        executions: Vec<Execution>,
        runs: Vec<Run>,
    }

    fn minute(number: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(number)
    }

    fn sound() -> Books {
        let schedule = Uuid::from_u128(1);
        let run = |number: i32| Run {
            id: Uuid::from_u128(10 + u128::from(number.unsigned_abs())),
            run_number: number,
            scheduled_at: Some(minute(number.into())),
            total_tests: 2,
        };
        let runs = vec![run(1), run(2)];
        let execution = |at, run: Option<&Run>| Execution {
            schedule_id: schedule,
            scheduled_for: minute(at),
            status: if run.is_some() { "running" } else { "missed" }.to_owned(),
            test_run_id: run.map(|run| run.id),
            error_message: run.is_none().then(|| NOBODY_THERE.to_owned()),
            created_at: minute(at) + TimeDelta::seconds(1),
        };
        let executions = vec![execution(0, None), execution(1, runs.first()), execution(2, runs.last())];
        let occurrences = (0..3).map(minute).collect();
        Books { expected: vec![Expected { schedule, occurrences, may_miss: true }], executions, runs }
    }

    fn violations(spoil: impl FnOnce(&mut Books)) -> usize {
        let mut books = sound();
        spoil(&mut books);
        let mut verdict = Verdict::default();
        verdict.judge_rows(&books.expected, &books.executions);
        verdict.judge_runs(&books.executions, &books.runs, 2);
        verdict.violations.len()
    }

    #[test]
    fn every_kind_of_loss_and_doubling_is_found() {
        assert_eq!(violations(|_| {}), 0);
        assert!(violations(|books| drop(books.executions.remove(0))) > 0, "a lost row");
        assert!(violations(|books| books.executions[0].scheduled_for = minute(1)) > 0, "two rows for one due time");
        assert!(violations(|books| books.executions[0].schedule_id = Uuid::from_u128(2)) > 0, "a stranger's row");
        assert!(violations(|books| books.executions[2].created_at = minute(1)) > 0, "fired before its time");
        assert!(violations(|books| books.executions[1].status = "pending".to_owned()) > 0, "no run was made");
        assert!(violations(|books| books.executions[0].status = "failed".to_owned()) > 0, "given up");
        assert!(violations(|books| books.expected[0].may_miss = false) > 0, "missed by a one-time schedule");
        assert!(violations(|books| books.executions[2].test_run_id = Some(books.runs[0].id)) > 0, "a run of two");
        assert!(violations(|books| books.runs.truncate(1)) > 0, "a lost run");
        assert!(violations(|books| books.runs[1].run_number = 3) > 0, "a gap");
        assert!(violations(|books| books.runs[1].total_tests = 1) > 0, "half a run");
        assert!(violations(|books| books.runs[1].scheduled_at = Some(minute(1))) > 0, "another due time's run");
    }

    #[test]
    fn schedules_and_events_are_counted() {
        let count = |status: &str, runs, fired| {
            let books = sound();
            let plan = Plan { id: books.expected[0].schedule, status: status.to_owned(), execution_count: runs };
            let mut verdict = Verdict { fired: 2, ..Verdict::default() };
            verdict.judge_schedules(&books.expected, &books.executions, &[plan]);
            let told = ["schedule.fired", "run.created", "run.queued"].map(|kind| (kind.to_owned(), fired));
            verdict.judge_events(&told.into());
            verdict.violations.len()
        };
        assert_eq!(count("completed", 2, 2), 0);
        assert_eq!(count("active", 2, 2), 1);
        assert_eq!(count("completed", 3, 2), 1);
        assert_eq!(count("completed", 2, 3), 3);
    }
}
