//! `testrun admin queues` and `testrun admin jobs`

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use sqlx::PgPool;
use testrun_shared::actions::queues;
use testrun_shared::domain::page::Page;
use testrun_shared::domain::queue::{JobFilter, JobStatus, QueueName, QueueState, QueuedJob};
use testrun_shared::jobs::operate;

use super::print;

#[derive(Debug, Args)]
pub(super) struct Queues {
    #[command(subcommand)]
    command: Option<QueuesCommand>,

    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum QueuesCommand {
    /// Show how every queue stands; what `queues` does without a command
    List,
    /// Start no job of a queue until it is resumed
    Pause {
        /// The queue's name
        #[arg(value_parser = queue_name)]
        queue: QueueName,
        /// Why, for whoever looks at the queue
        #[arg(long)]
        reason: Option<String>,
    },
    /// Start the jobs of a queue again
    Resume {
        /// The queue's name
        #[arg(value_parser = queue_name)]
        queue: QueueName,
    },
}

#[derive(Debug, Args)]
pub(super) struct Jobs {
    #[command(subcommand)]
    command: JobsCommand,

    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum JobsCommand {
    /// Show jobs, those first that ended or are due last
    List {
        /// Only jobs with this status
        #[arg(long, value_enum, default_value_t)]
        status: Status,
        /// Only jobs of this queue
        #[arg(long, value_parser = queue_name)]
        queue: Option<QueueName>,
        /// How many at most
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
        /// How many to pass over
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
        offset: i64,
    },
    /// Start dead jobs again
    Retry(Dead),
    /// Forget dead jobs; the mails, deliveries and due times that wait for them are given up
    Discard(Dead),
}

/// Which dead jobs.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Dead {
    /// Their ids
    ids: Vec<String>,
    /// All of this queue
    #[arg(long, value_parser = queue_name)]
    queue: Option<QueueName>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Status {
    /// Due, and waiting for a worker
    Available,
    /// Due later
    Scheduled,
    /// In a worker's hands
    Running,
    /// Done
    Done,
    /// Given up
    #[default]
    Dead,
}

impl From<Status> for JobStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Available => Self::Available,
            Status::Scheduled => Self::Scheduled,
            Status::Running => Self::Running,
            Status::Done => Self::Done,
            Status::Dead => Self::Dead,
        }
    }
}

fn queue_name(text: &str) -> Result<QueueName, String> {
    let names = || QueueName::ALL.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    let name = QueueName::ALL.iter().copied().find(|name| name.as_str() == text);
    name.ok_or_else(|| format!("there is no such queue; there are {}", names()))
}

pub(super) async fn run_queues(pool: &PgPool, Queues { command, json }: Queues) -> anyhow::Result<()> {
    let states = match command {
        None | Some(QueuesCommand::List) => queues::states(pool).await?,
        Some(QueuesCommand::Pause { queue, reason }) => {
            anyhow::ensure!(
                reason.as_ref().is_none_or(|reason| reason.chars().count() <= 1000),
                "--reason is too long"
            );
            vec![queues::pause(pool, queue, reason.as_deref(), None).await?]
        }
        Some(QueuesCommand::Resume { queue }) => vec![queues::resume(pool, queue).await?],
    };
    if json {
        return print::json(&states);
    }
    let header = ["QUEUE", "AVAILABLE", "SCHEDULED", "RUNNING", "DEAD", "OLDEST", "PAUSED"];
    print::table(&header, states.iter().map(queue_row));
    Ok(())
}

fn queue_row(state: &QueueState) -> Vec<String> {
    let paused = match (state.paused_at, &state.paused_reason) {
        (None, _) => "no".to_owned(),
        (Some(at), None) => format!("since {}", print::instant(at)),
        (Some(at), Some(reason)) => format!("since {}: {reason}", print::instant(at)),
    };
    vec![
        state.queue.clone(),
        state.available.to_string(),
        state.scheduled.to_string(),
        state.running.to_string(),
        state.dead.to_string(),
        format!("{:.0}s", state.oldest_seconds),
        paused,
    ]
}

pub(super) async fn run_jobs(pool: &PgPool, Jobs { command, json }: Jobs) -> anyhow::Result<()> {
    match command {
        JobsCommand::List { status, queue, limit, offset } => {
            let filter = filter(status.into(), queue);
            show(&operate::list(pool, &filter, Page { limit, offset }).await?, json)
        }
        JobsCommand::Retry(dead) => {
            let mut retried = Vec::new();
            let outcome = each(pool, dead, async |id| {
                retried.push(queues::retry(pool, id).await?);
                Ok(())
            })
            .await;
            show(&retried, json)?;
            outcome
        }
        JobsCommand::Discard(dead) => {
            let mut discarded = Vec::new();
            let outcome = each(pool, dead, async |id| {
                queues::discard(pool, id).await?;
                discarded.push(id.to_owned());
                Ok(())
            })
            .await;
            if json {
                print::json(&discarded)?;
            } else {
                print::table(&["DISCARDED"], discarded.into_iter().map(|id| vec![id]));
            }
            outcome
        }
    }
}

fn filter(status: JobStatus, queue: Option<QueueName>) -> JobFilter {
    JobFilter { status: Some(status), queue: queue.map(|queue| queue.as_str().to_owned()) }
}

/// Does something with each of these jobs. One that refuses keeps no other from being done.
async fn each(
    pool: &PgPool,
    dead: Dead,
    mut work: impl AsyncFnMut(&str) -> testrun_shared::Result<()>,
) -> anyhow::Result<()> {
    let ids = match dead.queue {
        None => dead.ids,
        Some(queue) => {
            let page = Page { limit: i64::MAX, offset: 0 };
            let jobs = operate::list(pool, &filter(JobStatus::Dead, Some(queue)), page).await?;
            jobs.into_iter().map(|job| job.id).collect()
        }
    };
    let mut refused = Vec::new();
    for id in &ids {
        if let Err(error) = work(id).await {
            refused.push(format!("{id}: {error}"));
        }
    }
    anyhow::ensure!(refused.is_empty(), "{} of {} jobs:\n{}", refused.len(), ids.len(), refused.join("\n"));
    Ok(())
}

fn show(jobs: &[QueuedJob], json: bool) -> anyhow::Result<()> {
    if json {
        return print::json(&jobs).context("jobs");
    }
    let header = ["ID", "QUEUE", "STATUS", "ATTEMPTS", "DUE", "ENDED", "PAYLOAD", "REASON"];
    print::table(&header, jobs.iter().map(job_row));
    Ok(())
}

fn job_row(job: &QueuedJob) -> Vec<String> {
    vec![
        job.id.clone(),
        job.queue.clone(),
        job.status.to_string(),
        job.attempts.to_string(),
        print::instant(job.run_at),
        job.ended_at.map(print::instant).unwrap_or_default(),
        job.payload.clone(),
        job.reason.clone().unwrap_or_default(),
    ]
}
