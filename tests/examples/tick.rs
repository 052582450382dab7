//! Measures what a scheduler's tick takes with many schedules, on a PostgreSQL of its own.

use std::time::{Duration, Instant};

use clap::Parser;
use sqlx::PgPool;
use test_support::Database;
use testrun_scheduler::fire_due;

#[derive(Parser)]
#[command(name = "tick", about = ABOUT)]
struct Arguments {
    /// How many active schedules there are
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(i64).range(1_000..=10_000_000))]
    schedules: i64,

    /// How many ticks are measured of each kind
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    ticks: u32,
}

const ABOUT: &str = "\
Fills a database with active schedules and prints the median and the 99th percentile of a tick with nothing due and of one \
with 100 due, which fires them. Build it with --release.";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { schedules, ticks } = Arguments::parse();
    let database = Database::new().await?;
    let pool = &database.pool;
    fill(&database, schedules).await?;
    for due in [0, 100] {
        let mut took = Vec::new();
        // The first few fill caches and plans.
        for number in 0..ticks + 5 {
            make_due(pool, due).await?;
            let begun = Instant::now();
            fire_due(pool).await?;
            if number >= 5 {
                took.push(begun.elapsed());
            }
        }
        took.sort_unstable();
        let [median, p99] = [50, 99].map(|percent| milliseconds(took[(took.len() - 1) * percent / 100]));
        println!("{schedules} active schedules, {due:3} due: median {median:8.2} ms, p99 {p99:8.2} ms");
    }
    let fired: i64 = sqlx::query_scalar("SELECT count(*) FROM schedule_executions").fetch_one(pool).await?;
    anyhow::ensure!(fired == i64::from(ticks + 5) * 100, "{fired} occurrences fired");
    Ok(())
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Daily schedules, none of which is due for an hour.
async fn fill(database: &Database, schedules: i64) -> anyhow::Result<()> {
    let tenant = database.tenant("Benchmark").await?;
    sqlx::query(
        "INSERT INTO schedules (project_id, created_by, schedule_name, suite_path, scheduled_datetime, timezone, repeat_type,
             next_execution_at)
         SELECT $1, $2, 'Schedule ' || n, '{}', '2026-01-01T02:00:00Z', 'America/New_York', 'daily',
             clock_timestamp() + interval '1 h' + n * interval '0.5 s'
         FROM generate_series(1, $3) n",
    )
    .bind(tenant.project_id)
    .bind(tenant.user_id)
    .bind(schedules)
    .execute(&database.pool)
    .await?;
    sqlx::query("ANALYZE schedules").execute(&database.pool).await?;
    Ok(())
}

/// Makes schedules due that have not fired yet. What was due an instant ago leaves no due time to be missed.
async fn make_due(pool: &PgPool, due: i64) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE schedules SET next_execution_at = clock_timestamp()
         WHERE id IN (SELECT id FROM schedules WHERE last_executed_at IS NULL ORDER BY next_execution_at DESC LIMIT $1)",
    )
    .bind(due)
    .execute(pool)
    .await
    .map(|_| ())
}
