//! What mails say of a schedule's earlier runs, and who no longer wants them.

use serde_json::{Value, json};
use testrun_shared::actions::finalise::finalise;
use testrun_shared::actions::test_runs::create;
use testrun_shared::db::{self, schedule_executions, unsubscribe_links};
use testrun_shared::domain::schedule::Schedule;
use testrun_shared::domain::test_run::NewTestRun;
use uuid::Uuid;

use crate::world::{World, utc};

async fn schedule(w: &World, extra: Value) -> anyhow::Result<Schedule> {
    w.schedule(extra, utc("2026-01-17T00:00:00Z")).await
}

/// Writes executions of a schedule down, a day after another: status, passed tests, failed tests. Returns their runs.
async fn executions(w: &World, schedule: &Schedule, rows: &[(&str, i32, i32)]) -> anyhow::Result<Vec<Uuid>> {
    let mut runs = Vec::new();
    for (day, (status, passed, failed)) in (1_i32..).zip(rows) {
        let run = create(&w.db, &w.tenant.caller, &NewTestRun::default()).await?.id;
        sqlx::query(
            "INSERT INTO schedule_executions (schedule_id, test_run_id, scheduled_for, status, total_tests, passed_tests, failed_tests)
             VALUES ($1, $2, timestamptz '2026-01-18T02:00:00Z' + make_interval(days => $3), $4, 9, $5, $6)",
        )
        .bind(schedule.id)
        .bind(run)
        .bind(day)
        .bind(*status)
        .bind(*passed)
        .bind(*failed)
        .execute(&w.db)
        .await?;
        runs.push(run);
    }
    Ok(runs)
}

const GOOD: (&str, i32, i32) = ("completed", 9, 0);
const BAD: (&str, i32, i32) = ("completed", 8, 1);
const BROKEN: (&str, i32, i32) = ("failed", 0, 0);

#[tokio::test]
async fn the_failed_runs_directly_before_a_run_are_counted() -> anyhow::Result<()> {
    let w = World::new().await?;
    for (rows, expected) in [
        (vec![BAD], vec![0]),
        (vec![GOOD, BAD, BAD, BROKEN, BAD, GOOD, GOOD], vec![0, 0, 1, 2, 3, 4, 0]),
        (vec![BROKEN, BROKEN, GOOD, BAD, GOOD], vec![0, 1, 2, 0, 1]),
        // What proves nothing is neither a failure nor the end of one.
        (vec![BAD, ("missed", 0, 0), ("cancelled", 3, 2), ("completed", 0, 0), BAD], vec![0, 1, 1, 1, 1]),
        (vec![GOOD, ("missed", 0, 0), BAD], vec![0, 0, 0]),
        (vec![BAD, ("running", 0, 0), ("pending", 0, 0), GOOD], vec![0, 1, 1, 1]),
    ] {
        let schedule = schedule(&w, json!({})).await?;
        let runs = executions(&w, &schedule, &rows).await?;
        let mut counted = Vec::new();
        for run in runs {
            counted.push(schedule_executions::count_failed_before(&w.db, run).await?);
        }
        assert_eq!(counted, expected, "{rows:?}");
    }
    let by_hand = create(&w.db, &w.tenant.caller, &NewTestRun::default()).await?.id;
    assert_eq!(schedule_executions::count_failed_before(&w.db, by_hand).await?, 0, "no schedule made it");
    Ok(())
}

#[tokio::test]
async fn a_failed_run_counts_when_its_run_is_gone() -> anyhow::Result<()> {
    let w = World::new().await?;
    let schedule = schedule(&w, json!({})).await?;
    let runs = executions(&w, &schedule, &[BAD, BAD]).await?;
    sqlx::query("DELETE FROM test_runs WHERE id = $1").bind(runs[0]).execute(&w.db).await?;
    assert_eq!(schedule_executions::count_failed_before(&w.db, runs[1]).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_recipient_of_a_schedule_has_one_link_whatever_the_spelling() -> anyhow::Result<()> {
    let w = World::new().await?;
    let (nightly, weekly) = (schedule(&w, json!({})).await?, schedule(&w, json!({})).await?);
    let link = async |schedule: &Schedule, address: &str| {
        anyhow::Ok(unsubscribe_links::of_recipient(&w.db, schedule.id, address).await?.token)
    };
    let first = link(&nightly, "Team@Example.com").await?;
    assert_eq!(link(&nightly, "team@example.com").await?, first);
    assert_ne!(link(&nightly, "lead@example.com").await?, first);
    assert_ne!(link(&weekly, "team@example.com").await?, first);
    let found = unsubscribe_links::find(&w.db, first).await?;
    let found = found.map(|found| (found.recipient, found.schedule_name, found.unsubscribed_at));
    assert_eq!(found, Some(("team@example.com".to_owned(), "Nightly".to_owned(), None)));
    assert!(unsubscribe_links::find(&w.db, Uuid::new_v4()).await?.is_none());
    assert!(unsubscribe_links::unsubscribe(&w.db, Uuid::new_v4()).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn whoever_unsubscribed_gets_no_row_and_the_others_do() -> anyhow::Result<()> {
    let w = World::new().await?;
    let recipients = json!({"notification_emails": ["Team@example.com", "lead@example.com"]});
    let (left, kept) = (schedule(&w, recipients.clone()).await?, schedule(&w, recipients).await?);
    let link = unsubscribe_links::of_recipient(&w.db, left.id, "team@example.com").await?;
    let first = unsubscribe_links::unsubscribe(&w.db, link.token).await?.and_then(|gone| gone.unsubscribed_at);
    let second = unsubscribe_links::unsubscribe(&w.db, link.token).await?.and_then(|gone| gone.unsubscribed_at);
    assert!(first.is_some() && first == second, "the first time counts: {first:?}, {second:?}");
    let again = unsubscribe_links::of_recipient(&w.db, left.id, "team@example.com").await?;
    assert_eq!((again.token, again.unsubscribed_at), (link.token, first));

    for (schedule, expected) in
        [(&left, vec!["lead@example.com"]), (&kept, vec!["Team@example.com", "lead@example.com"])]
    {
        let run = executions(&w, schedule, &[("running", 0, 0)]).await?[0];
        sqlx::query("UPDATE test_runs SET status = 'failed', failure_reason = 'x', completed_at = now() WHERE id = $1")
            .bind(run)
            .execute(&w.db)
            .await?;
        finalise(&w.db, run).await?;
        let told: Vec<String> = sqlx::query_scalar(
            r#"SELECT recipient FROM notifications WHERE test_run_id = $1 ORDER BY recipient COLLATE "C""#,
        )
        .bind(run)
        .fetch_all(&w.db)
        .await?;
        assert_eq!(told, expected);
    }
    let shown = db::schedules::find(&w.db, left.id).await?.and_then(|schedule| schedule.notification_emails);
    assert_eq!(shown.map(|addresses| addresses.len()), Some(2), "the schedule stays as its owner wrote it");
    Ok(())
}
