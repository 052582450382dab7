//! What a tick does when firing goes wrong: nobody else's schedule suffers, and no due time is lost to an outage.

use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool};
use test_support::{Database, Tenant};
use testrun_scheduler::fire_due;
use testrun_shared::actions;
use testrun_shared::domain::schedule::Schedule;
use uuid::Uuid;

/// A one-time schedule that has been due for long.
async fn due(pool: &PgPool, tenant: &Tenant, name: &str) -> anyhow::Result<Schedule> {
    let body = json!({ "schedule_name": name, "suite_path": [], "scheduled_datetime": "2026-01-18T02:00:00Z" });
    Ok(actions::schedules::create(pool, &tenant.caller, serde_json::from_value(body)?).await?)
}

/// Has PostgreSQL refuse every execution of this schedule with this error code.
async fn refuse(pool: &PgPool, schedule: &Schedule, code: &str) -> anyhow::Result<()> {
    let trigger = format!(
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF NEW.schedule_id = '{}' AND NEW.status = 'pending' THEN
                 RAISE EXCEPTION 'refused' USING ERRCODE = '{code}';
             END IF;
             RETURN NEW;
         END $$;
         CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON schedule_executions FOR EACH ROW EXECUTE FUNCTION refuse();",
        schedule.id
    );
    sqlx::raw_sql(AssertSqlSafe(trigger)).execute(pool).await?;
    Ok(())
}

/// The status of the schedule's only execution, if there is one, and how often in a row it could not be fired.
async fn state(pool: &PgPool, id: Uuid) -> sqlx::Result<(Option<String>, i32)> {
    sqlx::query_as(
        "SELECT e.status, fire_failures FROM schedules s LEFT JOIN schedule_executions e ON e.schedule_id = s.id WHERE s.id = $1",
    )
    .bind(id)
    .fetch_one(pool)
    .await
}

#[tokio::test]
async fn an_outage_costs_no_due_time_however_long() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let pool = &database.pool;
    let tenant = database.tenant("A").await?;
    let hindered = due(pool, &tenant, "Hindered").await?;
    // Disk full.
    refuse(pool, &hindered, "53100").await?;
    for tick in 1..=5 {
        let other = due(pool, &tenant, "Other").await?;
        let error = fire_due(pool).await.expect_err("the tick did not do all its work, and must not look as if it had");
        assert!(error.to_string().contains("refused"), "{error}");
        assert_eq!(state(pool, hindered.id).await?, (None, 0), "tick {tick}: it counts as nobody's failure");
        assert_eq!(state(pool, other.id).await?, (Some("pending".to_owned()), 0), "tick {tick}: the other one fired");
    }
    sqlx::raw_sql("DROP TRIGGER refuse ON schedule_executions").execute(pool).await?;
    fire_due(pool).await?;
    assert_eq!(state(pool, hindered.id).await?, (Some("pending".to_owned()), 0), "late, but not lost");
    Ok(())
}

#[tokio::test]
async fn a_schedule_that_cannot_be_fired_by_a_fault_of_its_own_moves_on() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let pool = &database.pool;
    let tenant = database.tenant("A").await?;
    let faulty = due(pool, &tenant, "Faulty").await?;
    // Division by zero.
    refuse(pool, &faulty, "22012").await?;
    for failures in 1..=2 {
        fire_due(pool).await?;
        assert_eq!(state(pool, faulty.id).await?, (None, failures));
    }
    fire_due(pool).await?;
    assert_eq!(state(pool, faulty.id).await?, (Some("failed".to_owned()), 0));
    Ok(())
}
