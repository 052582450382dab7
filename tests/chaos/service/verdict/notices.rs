//! What follows from runs and due times: one run per occurrence, one mail per run and recipient, one delivery per event.

use std::collections::{BTreeSet, HashMap};

use sqlx::PgPool;
use uuid::Uuid;

use super::super::book::Book;
use super::super::stage::Stage;
use super::Verdict;

/// What a run can be said to have gone through.
const STORIES: [&str; 4] =
    ["created started completed", "created started cancelled", "created cancelled", "created queued started completed"];

pub(super) async fn judge(
    verdict: &mut Verdict,
    stage: &Stage,
    book: &Book,
    recipients: &[&str],
) -> anyhow::Result<()> {
    occurrences(verdict, &stage.pool, book).await?;
    stories(verdict, &stage.pool, book).await?;
    mails(verdict, stage, book, recipients).await?;
    deliveries(verdict, stage, book).await?;
    Ok(())
}

#[derive(Debug, sqlx::FromRow)]
struct Execution {
    id: Uuid,
    schedule_id: Uuid,
    status: String,
    test_run_id: Option<Uuid>,
}

async fn occurrences(verdict: &mut Verdict, pool: &PgPool, book: &Book) -> anyhow::Result<()> {
    let executions: Vec<Execution> =
        sqlx::query_as("SELECT id, schedule_id, status, test_run_id FROM schedule_executions").fetch_all(pool).await?;
    let mut wrong = Vec::new();
    let mut due: HashMap<Uuid, u32> = book.schedules.iter().map(|schedule| (*schedule, 0)).collect();
    let mut asked = book.executions.clone();
    let mut runs = BTreeSet::new();
    for execution in &executions {
        if !asked.remove(&execution.id) {
            *due.entry(execution.schedule_id).or_default() += 1;
        }
        let is_sound = execution.status == "completed" && execution.test_run_id.is_some_and(|run| runs.insert(run));
        if !is_sound {
            wrong.push(format!("{execution:?}"));
        }
    }
    wrong.extend(asked.iter().map(|execution| format!("execution {execution} is lost")));
    let not_once = due.iter().filter(|(_, times)| **times != 1);
    wrong.extend(not_once.map(|(schedule, times)| format!("schedule {schedule} fired {times} times")));
    let scheduled: BTreeSet<_> = book.runs.iter().filter(|(_, run)| run.is_scheduled).map(|(id, _)| *id).collect();
    wrong.extend(scheduled.symmetric_difference(&runs).map(|run| format!("run {run} has not exactly one occurrence")));
    verdict.check("occurrences have one run each", executions.len(), wrong);
    Ok(())
}

/// The events of each run tell a possible story, each fact once.
async fn stories(verdict: &mut Verdict, pool: &PgPool, book: &Book) -> anyhow::Result<()> {
    let sql =
        "SELECT test_run_id, string_agg(replace(type, 'run.', ''), ' ' ORDER BY transaction_id, sequence) FROM events
               WHERE type LIKE 'run.%' AND type <> 'run.progress' GROUP BY test_run_id";
    let told: HashMap<Uuid, String> =
        sqlx::query_as::<_, (Uuid, String)>(sql).fetch_all(pool).await?.into_iter().collect();
    let is_sound = |run: &Uuid| told.get(run).is_some_and(|story| STORIES.contains(&story.as_str()));
    let wrong = book.runs.keys().filter(|run| !is_sound(run));
    let mut wrong: Vec<_> = wrong.map(|run| format!("run {run}: {:?}", told.get(run))).collect();
    if told.len() != book.runs.len() {
        wrong.push(format!("events of {} runs, there are {}", told.len(), book.runs.len()));
    }
    verdict.check("runs have one event of each kind, in order", told.len(), wrong);
    let sql =
        "SELECT data ->> 'test_run_item_id' FROM events WHERE type = 'item.finished' GROUP BY 1 HAVING count(*) > 1";
    let twice: Vec<Option<String>> = sqlx::query_scalar(sql).fetch_all(pool).await?;
    let twice = twice.into_iter().map(|item| format!("item {item:?} was told twice")).collect();
    verdict.check("items are told to be finished once", book.runs.values().map(|run| run.items.len()).sum(), twice);
    Ok(())
}

#[derive(Debug, sqlx::FromRow)]
struct Attempted {
    id: Uuid,
    about: Uuid,
    recipient: String,
    status: String,
    attempt: i32,
}

impl Attempted {
    /// Whether it arrived, and not more often than it was sent.
    fn arrived(&self, times: usize, as_status: &str) -> bool {
        let attempts = usize::try_from(self.attempt).unwrap_or_default();
        self.status == as_status && (1..=attempts).contains(&times)
    }
}

async fn mails(verdict: &mut Verdict, stage: &Stage, book: &Book, recipients: &[&str]) -> anyhow::Result<()> {
    let sql = "SELECT id, test_run_id AS about, recipient, status, attempt FROM notifications";
    let rows: Vec<Attempted> = sqlx::query_as(sql).fetch_all(&stage.pool).await?;
    let mut wanted: BTreeSet<_> = book
        .runs
        .iter()
        .filter(|(_, run)| run.is_scheduled)
        .flat_map(|(id, _)| recipients.iter().map(|recipient| (*id, (*recipient).to_owned())))
        .collect();
    let mut arrived: HashMap<String, usize> = HashMap::new();
    for mail in stage.mails.mails() {
        *arrived.entry(mail.message_id().unwrap_or_default()).or_default() += 1;
    }
    let (mut wrong, mut doubled) = (Vec::new(), 0);
    for row in &rows {
        let times = arrived.remove(&format!("<{}@example.com>", row.id)).unwrap_or_default();
        if !wanted.remove(&(row.about, row.recipient.clone())) || !row.arrived(times, "sent") {
            wrong.push(format!("{row:?} arrived {times} times"));
        }
        doubled += times.saturating_sub(1);
    }
    wrong.extend(wanted.iter().map(|(run, recipient)| format!("no mail about run {run} for {recipient}")));
    wrong.extend(arrived.keys().map(|id| format!("a mail of nobody's: {id}")));
    verdict.tell(doubled, "mails came again with the same Message-ID: their worker died before it noted the first");
    verdict.check("runs of schedules have one mail for each recipient", rows.len(), wrong);
    Ok(())
}

async fn deliveries(verdict: &mut Verdict, stage: &Stage, book: &Book) -> anyhow::Result<()> {
    let sql = "SELECT d.id, e.test_run_id AS about, '' AS recipient, d.status, d.attempt
               FROM webhook_deliveries d JOIN events e ON e.id = d.event_id WHERE e.test_run_id IS NOT NULL AND e.type <> 'schedule.fired'";
    let rows: Vec<Attempted> = sqlx::query_as(sql).fetch_all(&stage.pool).await?;
    let mut wanted: BTreeSet<_> = book.runs.keys().copied().collect();
    let mut arrived: HashMap<String, usize> = HashMap::new();
    for request in stage.webhooks.requests() {
        *arrived.entry(request.webhook_id().to_owned()).or_default() += 1;
    }
    let (mut wrong, mut doubled) = (Vec::new(), 0);
    for row in &rows {
        let times = arrived.get(&row.id.to_string()).copied().unwrap_or_default();
        if !wanted.remove(&row.about) || !row.arrived(times, "delivered") {
            wrong.push(format!("{row:?} arrived {times} times"));
        }
        doubled += times.saturating_sub(1);
    }
    wrong.extend(wanted.iter().map(|run| format!("no delivery about the end of run {run}")));
    verdict.tell(doubled, "deliveries came again with the same webhook-id");
    verdict.check("ends of runs have one delivery each", rows.len(), wrong);
    Ok(())
}
