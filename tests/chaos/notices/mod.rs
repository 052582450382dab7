//! Mails, webhooks and live streams under fire: mail server and receiver misbehave, workers and API processes are killed and
//! PostgreSQL is restarted by a seeded plan while scheduled runs end; afterwards every mail, every delivery and every event
//! on every stream is accounted for.
//!
//! Time-outs, leases and pauses are those of production. Only a pause that has lasted for [`SHORT`] seconds is cut: the
//! command moves `next_attempt_at` to the past, by SQL, as if the time had gone by.
//!
//! For the command `cargo run -p e2e --example notice-chaos` and for a short story of the same.

mod agent;
mod doors;
mod plan;
mod streams;
mod verdict;

use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt as _;
use serde_json::json;
use sqlx::PgPool;
use test_support::receiver::WebhookReceiver;
use test_support::smtp::SmtpSink;
use test_support::{Fleet, Member, Postgres, Process, Tenant};
use testrun_shared::domain::event::EventType;
use testrun_shared::{actions, db};
use uuid::Uuid;

use doors::Doors;
use plan::{GONE_PATH, Plan};
use streams::Streams;
pub(crate) use verdict::Verdict;

/// After the last fault: for hanging servers, leases, the takeover of a dead worker's jobs, and a few times over.
const PATIENCE: Duration = Duration::from_secs(300);
/// Pauses up to this many seconds are waited for. More than a busy receiver asks for: that is not to be cut.
const SHORT: f64 = 10.0;
const APIS: usize = 2;
const WORKERS: usize = 3;
const PROJECTS: usize = 2;
const CASES: usize = 2;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) mails: usize,
    /// About so many webhook deliveries; each ended run is told to as many webhooks as that takes.
    pub(crate) deliveries: usize,
    pub(crate) streams: usize,
    /// So many attempts of a delivery may meet a fault of the receiver; the next one is accepted.
    pub(crate) faulty_attempts: usize,
    /// How long faults go on.
    pub(crate) duration: Duration,
}

/// A project and its webhooks.
struct Project {
    tenant: Tenant,
    webhooks: Vec<Hook>,
}

/// A webhook and the secret that it is signed with.
pub(crate) struct Hook {
    id: Uuid,
    path: String,
    secret: String,
}

/// From when to when each fault lasted.
type Happened = [(SystemTime, SystemTime)];

/// Lets it all happen, tells of it by `say`, and judges.
pub(crate) async fn run(options: Options, say: impl Fn(&str)) -> anyhow::Result<Verdict> {
    let Options { seed, mails, deliveries, streams, duration, .. } = options;
    let plan = Plan::draw(options, PROJECTS, APIS + WORKERS);
    say(&format!(
        "seed {seed}: {mails} mails about {} runs, {deliveries} deliveries, {streams} streams, {} s with {}",
        plan.runs.len(),
        duration.as_secs(),
        plan.faults
    ));
    let mut postgres = Postgres::start().await?;
    let pool = postgres.pool()?;
    db::migrate(&pool).await?;
    let sink = SmtpSink::start().await?;
    let receiver = WebhookReceiver::start_with(move |request| plan::reply(options, request)).await?;
    let projects = create_projects(&pool, &receiver, plan.webhooks).await?;
    let mut fleet = Fleet::start(members(postgres.url(), &sink.url())).await?;
    let doors = Doors(fleet.addresses());
    // Not killed here: that is for `schedule-chaos`.
    let _scheduler = Process::scheduler(postgres.url()).await?;

    let tokens: Vec<_> = projects.iter().map(|project| project.tenant.token.clone()).collect();
    let streams = Streams::open(seed, streams, &tokens, &doors);
    say("everything runs; streams open");
    all_watch(&pool, &streams, &projects).await?;
    create_schedules(&pool, &plan, &projects, &sink).await?;
    say("schedules are stored");

    let story = async {
        let happened = plan.faults.inflict(&mut fleet, &mut postgres, &say).await?;
        settled(&pool, plan.runs.len(), &say).await?;
        let expected = events(&pool, &projects).await?;
        let caught_up = |seen: &streams::Seen| seen.events.len() >= expected[seen.project].len();
        if let Err(late) = streams.wait_for("all events to be seen", PATIENCE, caught_up).await {
            say(&format!("{late:#}"));
        }
        anyhow::Ok((happened, expected))
    };
    let (happened, expected) = tokio::select! {
        told = story => told?,
        failed = agent::execute_all(&pool, &doors, &projects) => anyhow::bail!("the agent ended: {failed:?}"),
        never = cut_pauses(&pool) => match never {},
    };
    let mut verdict = Verdict::default();
    // The first project has the webhook whose receiver goes away.
    let maker = &projects[0].tenant.email;
    verdict.mails.judge(&plan, maker, &verdict::mails::rows(&pool).await?, &sink.mails(), &happened);
    let books = verdict::deliveries::Books::read(&pool).await?;
    let hooks =
        projects.iter().flat_map(|project| project.webhooks.iter().map(|hook| (project.tenant.project_id, hook)));
    verdict.deliveries.judge(&hooks.collect::<Vec<_>>(), &books, &receiver.requests(), &happened);
    verdict.streams.judge(&expected, &streams.seen());
    verdict.faults = happened.len();
    drop((fleet, streams));
    pool.close().await;
    postgres.stop().await?;
    Ok(verdict)
}

/// Workers that may send webhooks to this machine, and the REST service.
fn members(database_url: &str, smtp_url: &str) -> Vec<Member> {
    let worker =
        |number| Member::worker(number, database_url, smtp_url).with("TESTRUN_WEBHOOK_ALLOW_CIDRS", "127.0.0.0/8");
    let api = |number| Member::api(number, database_url);
    (0..WORKERS).map(worker).chain((0..APIS).map(api)).collect()
}

/// Projects with test cases and webhooks that want to hear of ended runs. One of them, of the first project, goes away.
async fn create_projects(pool: &PgPool, receiver: &WebhookReceiver, webhooks: usize) -> anyhow::Result<Vec<Project>> {
    let mut projects = Vec::new();
    for number in 0..PROJECTS {
        let tenant = Tenant::create(pool, &format!("Chaos {number}")).await?;
        let cases: Vec<_> = (0..CASES).map(|n| json!({ "name": "Case", "external_key": n.to_string() })).collect();
        let cases = serde_json::from_value(json!({ "test_cases": cases }))?;
        actions::test_cases::upsert(pool, &tenant.caller, cases).await?;
        let mut paths: Vec<_> = (0..webhooks).map(|hook| format!("/project{number}/hook{hook}")).collect();
        if number == 0 {
            paths.push(GONE_PATH.to_owned());
        }
        let mut hooks = Vec::new();
        for path in paths {
            let body = json!({ "url": receiver.url(&path), "event_types": ["run.completed", "webhook.disabled"] });
            let made = actions::webhooks::create(pool, &tenant.caller, serde_json::from_value(body)?).await?;
            hooks.push(Hook { id: made.details.id, path, secret: made.secret });
        }
        projects.push(Project { tenant, webhooks: hooks });
    }
    Ok(projects)
}

/// Waits until every stream is open and has seen a first event: from then on each of them knows where to go on.
async fn all_watch(pool: &PgPool, streams: &Streams, projects: &[Project]) -> anyhow::Result<()> {
    streams.wait_for("all streams to be open", PATIENCE, |seen| seen.connections > 0).await?;
    for project in projects {
        let facts = json!({ "message": "it begins" });
        db::events::insert_one(pool, project.tenant.project_id, EventType::WebhookTest, &facts).await?;
    }
    streams.wait_for("a first event to be seen", PATIENCE, |seen| !seen.events.is_empty()).await
}

/// Stores the schedules that are due one by one, and tells the mail server how to treat their recipients.
async fn create_schedules(pool: &PgPool, plan: &Plan, projects: &[Project], sink: &SmtpSink) -> anyhow::Result<()> {
    for mailbox in plan.mailboxes() {
        if mailbox.is_refused {
            sink.always(&mailbox.address, test_support::smtp::Reaction::Refuse);
        } else {
            sink.script(&mailbox.address, mailbox.reactions.clone());
        }
    }
    let start = db::now(pool).await?;
    let schedules = plan.runs.iter().map(|run| anyhow::Ok((run, start + run.due)));
    futures_util::stream::iter(schedules)
        .try_for_each_concurrent(8, async |(run, due)| {
            let addresses: Vec<_> = run.mailboxes.iter().map(|mailbox| &mailbox.address).collect();
            let body = json!({
                "schedule_name": "Chaos", "suite_path": [], "scheduled_datetime": due, "notification_emails": addresses,
                "notify_on_completion": true, "notify_on_failure": true,
            });
            let caller = &projects[run.project].tenant.caller;
            actions::schedules::create(pool, caller, serde_json::from_value(body)?).await?;
            Ok(())
        })
        .await
}

/// Makes what would be tried again much later due, for ever: since it failed, which is when it was rung for. It is the sweep
/// that rings again.
async fn cut_pauses(pool: &PgPool) -> std::convert::Infallible {
    loop {
        for sql in [
            "UPDATE notifications SET next_attempt_at = rung_at
             WHERE status = 'pending' AND next_attempt_at > now() AND rung_at < now() - make_interval(secs => $1)",
            "UPDATE webhook_deliveries SET next_attempt_at = rung_at
             WHERE status = 'pending' AND next_attempt_at > now() AND rung_at < now() - make_interval(secs => $1)",
        ] {
            // While the database is away there is nothing to be cut.
            drop(sqlx::query(sql).bind(SHORT).execute(pool).await);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Waits until every run has ended and nothing waits to be sent. What still does when patience ends is the verdict's.
async fn settled(pool: &PgPool, runs: usize, say: impl Fn(&str)) -> anyhow::Result<()> {
    let waiting = "SELECT $1 - (SELECT count(*) FROM test_runs WHERE finalised_at IS NOT NULL),
         (SELECT count(*) FROM notifications WHERE status IN ('pending', 'sending')),
         (SELECT count(*) FROM webhook_deliveries WHERE status IN ('pending', 'sending'))";
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let left: (i64, i64, i64) = sqlx::query_as(waiting).bind(i64::try_from(runs)?).fetch_one(pool).await?;
        if left == (0, 0, 0) || tokio::time::Instant::now() > deadline {
            say(&format!("runs, mails and deliveries that are not through: {left:?}"));
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The ids of each project's events in their order.
async fn events(pool: &PgPool, projects: &[Project]) -> anyhow::Result<Vec<Vec<String>>> {
    let mut all = Vec::new();
    for project in projects {
        let ids =
            sqlx::query_scalar("SELECT id::text FROM events WHERE project_id = $1 ORDER BY transaction_id, sequence")
                .bind(project.tenant.project_id)
                .fetch_all(pool)
                .await?;
        all.push(ids);
    }
    Ok(all)
}
