//! Events in a logical copy of a database, whose transaction ids are another server's, and what
//! `deploy/backup/after-logical-restore.sql` does about them.

use anyhow::Context as _;
use serde_json::json;
use test_support::until;
use testrun_shared::db::{self, events};
use testrun_shared::domain::event::EventType;
use uuid::Uuid;

use crate::world::{SOON, World};

const AFTER_LOGICAL_RESTORE: &str = include_str!("../../../deploy/backup/after-logical-restore.sql");

#[tokio::test]
async fn after_a_logical_restore_streams_resume_where_they_were_and_go_on() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (first, second, third) = (event(&w).await?, event(&w).await?, event(&w).await?);
    // Another server's ids, far ahead of ours. The second event was committed before the first.
    for (id, transaction) in [(first, 20), (second, 10), (third, 30)] {
        sqlx::query("UPDATE events SET transaction_id = $2::text::xid8 WHERE id = $1")
            .bind(id)
            .bind((5_000_000_000_i64 + transaction).to_string())
            .execute(&w.db)
            .await?;
    }
    assert!(after(&w, second).await?.is_empty(), "without the script nobody gets them");
    let unseen = event(&w).await?;
    assert!(events::is_settling(&w.db, w.tenant.project_id).await?);
    assert!(!after(&w, second).await?.contains(&unseen), "nor what comes then");
    sqlx::query("DELETE FROM events WHERE id = $1").bind(unseen).execute(&w.db).await?;

    restore(&w).await?;
    assert_eq!(after(&w, second).await?, [first, third]);
    assert!(after(&w, third).await?.is_empty());
    let fourth = event(&w).await?;
    until_after(&w, third, &[fourth]).await?;
    until_after(&w, second, &[first, third, fourth]).await?;

    // A second time changes nothing.
    restore(&w).await?;
    until_after(&w, second, &[first, third, fourth]).await
}

#[tokio::test]
async fn a_server_that_is_younger_than_the_events_is_brought_past_them() -> anyhow::Result<()> {
    let w = World::new().await?;
    // As many transactions as this server has not seen yet.
    sqlx::query(
        "INSERT INTO events (id, transaction_id, project_id, type, data)
         SELECT gen_random_uuid(), (5000000000 + n)::text::xid8, $1, 'run.created', '{}'
         FROM generate_series(1, pg_current_xact_id()::text::bigint + 500) AS n",
    )
    .bind(w.tenant.project_id)
    .execute(&w.db)
    .await?;
    let last: Uuid =
        sqlx::query_scalar("SELECT id FROM events ORDER BY transaction_id DESC LIMIT 1").fetch_one(&w.db).await?;
    restore(&w).await?;
    let next = event(&w).await?;
    until_after(&w, last, &[next]).await
}

async fn restore(w: &World) -> anyhow::Result<()> {
    // By itself, as psql sends it: within a transaction it could not commit.
    sqlx::raw_sql(AFTER_LOGICAL_RESTORE).execute(&w.db).await?;
    Ok(())
}

async fn event(w: &World) -> anyhow::Result<Uuid> {
    Ok(events::insert_one(&w.db, w.tenant.project_id, EventType::RunCreated, &json!({})).await?)
}

/// The ids of the events after this one, as a stream that resumes there gets them.
async fn after(w: &World, id: Uuid) -> anyhow::Result<Vec<Uuid>> {
    let position = events::position(&w.db, w.tenant.project_id, id).await?.context("no such event")?;
    let events = db::events::after(&w.db, w.tenant.project_id, position, 10).await?;
    Ok(events.into_iter().map(|stored| stored.event.id).collect())
}

/// Waits until transactions of other tests no longer hold the newest event back.
async fn until_after(w: &World, id: Uuid, expected: &[Uuid]) -> anyhow::Result<()> {
    until("the events to settle", SOON, || async { Ok((after(w, id).await? == expected).then_some(())) }).await
}
