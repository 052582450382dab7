//! Schedules under fire: processes are killed and PostgreSQL restarted by a seeded plan while due times come; afterwards
//! every occurrence is accounted for.
//!
//! For the command `cargo run -p e2e --example schedule-chaos` and for a short story of the same.

mod plan;
mod verdict;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::json;
use sqlx::PgPool;
use test_support::smtp::SmtpSink;
use test_support::{Fleet, Member, Postgres, Tenant, until};
use testrun_shared::{actions, db};
use uuid::Uuid;

use plan::{Minutely, Plan};
use verdict::Expected;
pub(crate) use verdict::Verdict;

/// After the last fault: for the takeover of a dead worker's jobs, and a few times over.
const PATIENCE: Duration = Duration::from_secs(240);
const CASES: i32 = 2;
const SCHEDULERS: usize = 3;
const WORKERS: usize = 4;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    /// How many due times there are in all.
    pub(crate) occurrences: u32,
    /// How long faults go on.
    pub(crate) duration: Duration,
}

/// Lets it all happen, tells of it by `say`, and judges.
pub(crate) async fn run(options: Options, say: impl Fn(&str)) -> anyhow::Result<Verdict> {
    let mut postgres = Postgres::start().await?;
    let pool = postgres.pool()?;
    db::migrate(&pool).await?;
    let tenant = Tenant::create(&pool, "Chaos").await?;
    let sink = SmtpSink::start().await?;
    let schedulers = (0..SCHEDULERS).map(|number| Member::scheduler(number, postgres.url()));
    let workers = (0..WORKERS).map(|number| Member::worker(number, postgres.url(), &sink.url()));
    let mut fleet = Fleet::start(schedulers.chain(workers).collect()).await?;

    let Options { seed, occurrences, duration } = options;
    say(&format!("seed {seed}: {occurrences} occurrences in {} s", duration.as_secs()));
    let start = db::now(&pool).await?;
    let plan = Plan::draw(seed, occurrences, duration, SCHEDULERS + WORKERS, start)?;
    say(&format!(
        "plan: {} one-time schedules, {} that fire every minute, {}",
        plan.once.len(),
        plan.minutely.len(),
        plan.faults
    ));
    let expected = create(&pool, &tenant, &plan).await?;
    plan.faults.inflict(&mut fleet, &mut postgres, &say).await?;
    settled(&pool).await?;
    let verdict = Verdict::reach(&pool, &expected, start, CASES).await?;
    drop(fleet);
    pool.close().await;
    postgres.stop().await?;
    Ok(verdict)
}

/// Stores the test cases and all schedules, and returns what has to come of them.
async fn create(pool: &PgPool, tenant: &Tenant, plan: &Plan) -> anyhow::Result<Vec<Expected>> {
    let cases = json!({ "test_cases": (0..CASES).map(|n| json!({ "name": "Case", "external_key": n.to_string() })).collect::<Vec<_>>() });
    actions::test_cases::upsert(pool, &tenant.caller, serde_json::from_value(cases)?).await?;
    let mut expected = Vec::new();
    for minutely in &plan.minutely {
        expected.push(create_minutely(pool, tenant, *minutely).await?);
    }
    let once = futures_util::stream::iter(plan.once.iter().copied()).map(async |due: DateTime<Utc>| {
        let schedule = create_schedule(pool, tenant, json!({ "scheduled_datetime": due })).await?;
        anyhow::Ok(Expected { schedule, occurrences: [due].into(), may_miss: false })
    });
    expected.extend(once.buffer_unordered(8).try_collect::<Vec<_>>().await?);
    Ok(expected)
}

/// One whose first due times came while no scheduler was there.
async fn create_minutely(pool: &PgPool, tenant: &Tenant, minutely: Minutely) -> anyhow::Result<Expected> {
    let fields = json!({
        "repeat_type": "custom", "cron_expression": "* * * * *", "is_enabled": false,
        "scheduled_datetime": minutely.first - TimeDelta::minutes(1),
        // Later than the last one, for a start just before the minute is full; put right below.
        "repeat_end_date": minutely.last + TimeDelta::days(1),
    });
    let schedule = create_schedule(pool, tenant, fields).await?;
    sqlx::query("UPDATE schedules SET is_enabled = TRUE, next_execution_at = $2, repeat_end_date = $3 WHERE id = $1")
        .bind(schedule)
        .bind(minutely.first)
        .bind(minutely.last)
        .execute(pool)
        .await?;
    Ok(Expected { schedule, occurrences: minutely.occurrences().collect(), may_miss: true })
}

async fn create_schedule(pool: &PgPool, tenant: &Tenant, mut body: serde_json::Value) -> anyhow::Result<Uuid> {
    body["schedule_name"] = json!("Chaos");
    body["suite_path"] = json!([]);
    Ok(actions::schedules::create(pool, &tenant.caller, serde_json::from_value(body)?).await?.id)
}

/// Waits until every schedule is through and every execution has its run.
async fn settled(pool: &PgPool) -> anyhow::Result<()> {
    let waiting = "SELECT (SELECT count(*) FROM schedules WHERE status = 'active')
         + (SELECT count(*) FROM schedule_executions WHERE status = 'pending')";
    until("all schedules to be through", PATIENCE, || async {
        let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(pool).await?;
        Ok((waiting == 0).then_some(()))
    })
    .await
}
