//! What a reader of mails goes through: a schedule fails, goes on failing and recovers, and one reader has enough of it.

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value, json};
use test_support::smtp::{Reaction, ReceivedMail};
use test_support::until;
use uuid::Uuid;

use crate::scheduled_run::execute;
use crate::world::{PATIENCE, World, id, pick};

/// Runs the schedule once with this result, and gives the mails about it by recipient.
async fn run_once(world: &World, schedule: Uuid, result: &str) -> anyhow::Result<Vec<ReceivedMail>> {
    let before = world.sink.mails().len();
    world.post(&format!("/schedules/{schedule}/run-now"), &json!({}), 201).await?;
    let run = world.queued_run("Nightly").await?;
    execute(world, &run, result).await?;
    world.sent_notifications(run.id).await?;
    let mut mails = world.sink.mails().split_off(before);
    mails.sort_by_key(|mail| mail.recipients.clone());
    Ok(mails)
}

/// Recipient, what the subject begins with, first line.
fn told(mails: &[ReceivedMail]) -> Value {
    let told = mails.iter().map(|mail| {
        let (subject, text) = (mail.subject().unwrap_or_default(), mail.text().unwrap_or_default());
        json!([mail.recipients, subject.split(" #").next(), text.lines().next()])
    });
    told.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_fails_goes_on_failing_and_recovers_and_a_reader_leaves() -> anyhow::Result<()> {
    let world = World::start().await?;
    let _worker = world.worker_with_links().await?;
    world.test_cases(&["ROOT"], &["Login", "Search"]).await?;
    let schedule = json!({
        "schedule_name": "Nightly", "suite_path": ["ROOT"], "scheduled_datetime": "2999-01-18T02:00:00Z",
        "notification_emails": ["lead@example.com", "Team@example.com"],
    });
    let schedule = id(&world.post("/schedules", &schedule, 201).await?["id"])?;

    let first = run_once(&world, schedule, "failed").await?;
    let headline = "2 of 2 tests failed";
    assert_eq!(
        told(&first),
        json!([
            [["Team@example.com"], "FAILED 2/2: Nightly", headline],
            [["lead@example.com"], "FAILED 2/2: Nightly", headline],
        ])
    );
    let link = first[1].header("List-Unsubscribe").context("no List-Unsubscribe")?;
    let link = link.trim_matches(['<', '>']);
    assert_eq!(first[1].header("List-Unsubscribe-Post"), None, "the service is not behind HTTPS here");
    assert!(first[1].text().is_some_and(|text| text.contains(link)), "{link}");
    let path = link.strip_prefix(&world.base_url).with_context(|| format!("{link} leads elsewhere"))?;
    let reader = world.client.with_token(None);
    for (method, status) in [(Method::GET, 200), (Method::POST, 200)] {
        assert_eq!(reader.send(method, path, None).await?.status.as_u16(), status);
    }

    let second = run_once(&world, schedule, "failed").await?;
    let headline = "2 of 2 tests failed, still failing (2nd run)";
    assert_eq!(told(&second), json!([[["Team@example.com"], "FAILED 2/2: Nightly", headline]]));
    let third = run_once(&world, schedule, "passed").await?;
    let headline = "All 2 tests passed, recovered after 2 failed runs";
    assert_eq!(told(&third), json!([[["Team@example.com"], "RECOVERED 2/2: Nightly", headline]]));

    let thread = Some(format!("<schedule.{schedule}@example.com>"));
    for mail in first.iter().chain(&second).chain(&third) {
        assert_eq!((mail.header("References"), mail.header("In-Reply-To")), (thread.clone(), thread.clone()));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_waits_is_not_sent_to_whoever_left_meanwhile() -> anyhow::Result<()> {
    let world = World::start().await?;
    let _worker = world.worker_with_links().await?;
    world.test_cases(&["ROOT"], &["Login"]).await?;
    let schedule = json!({
        "schedule_name": "Nightly", "suite_path": ["ROOT"], "scheduled_datetime": "2999-01-18T02:00:00Z",
        "notification_emails": ["team@example.com"],
    });
    let schedule = id(&world.post("/schedules", &schedule, 201).await?["id"])?;
    run_once(&world, schedule, "passed").await?;

    world.sink.always("team@example.com", Reaction::RefuseForNow);
    world.post(&format!("/schedules/{schedule}/run-now"), &json!({}), 201).await?;
    let run = world.queued_run("Nightly").await?;
    execute(&world, &run, "passed").await?;
    world.sink.wait_for_attempts("team@example.com", 2, PATIENCE).await?;
    let link = world.sink.mails()[0].header("List-Unsubscribe").context("no List-Unsubscribe")?;
    let path = link.trim_matches(['<', '>']).strip_prefix(&world.base_url).context("it leads elsewhere")?.to_owned();
    assert!(world.client.with_token(None).send(Method::POST, &path, None).await?.status.is_success());

    let row = until("the mail to be given up", PATIENCE, || async {
        let rows = world.notifications(run.id).await?;
        Ok(rows.into_iter().find(|row| row["status"] == "failed"))
    })
    .await?;
    assert_eq!(row["last_error"], "the recipient has unsubscribed");
    assert_eq!(world.sink.mails().len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_address_holds_up_nobody_else() -> anyhow::Result<()> {
    let world = World::start().await?;
    let _worker = world.worker_with_links().await?;
    world.test_cases(&["ROOT"], &["Login"]).await?;
    world.sink.always("gone@example.com", Reaction::Refuse);
    world.sink.always("stuck@example.com", Reaction::Hang);
    world.sink.script("busy@example.com", [Reaction::RefuseForNow]);
    let addresses = ["gone@example.com", "stuck@example.com", "busy@example.com", "nobody", "team@example.com"];
    // The API takes no address without an @; one that came otherwise is to do no harm either.
    let schedule = json!({
        "schedule_name": "Nightly", "suite_path": ["ROOT"], "scheduled_datetime": "2999-01-18T02:00:00Z",
        "notification_emails": ["team@example.com"],
    });
    let schedule = id(&world.post("/schedules", &schedule, 201).await?["id"])?;
    sqlx::query("UPDATE schedules SET notification_emails = $2 WHERE id = $1")
        .bind(schedule)
        .bind(addresses)
        .execute(&world.database.pool)
        .await?;
    world.post(&format!("/schedules/{schedule}/run-now"), &json!({}), 201).await?;
    let run = world.queued_run("Nightly").await?;
    execute(&world, &run, "passed").await?;

    let state = |rows: &[Value]| -> Value {
        let told = rows.iter().filter(|row| row["recipient"] != "stuck@example.com");
        told.map(|row| pick(row, ["recipient", "status", "attempt"])).collect()
    };
    let expected = json!([
        ["busy@example.com", "sent", 2],
        ["gone@example.com", "failed", 1],
        ["nobody", "failed", 1],
        ["team@example.com", "sent", 1],
    ]);
    let rows = until("every mail but one to be settled", PATIENCE, || async {
        let rows = world.notifications(run.id).await?;
        Ok((state(&rows) == expected).then_some(rows))
    })
    .await?;
    let of = |recipient: &str| rows.iter().find(|row| row["recipient"] == recipient).cloned().unwrap_or_default();
    assert!(of("gone@example.com")["last_error"].to_string().contains("550"), "{rows:?}");
    assert!(of("nobody")["last_error"].to_string().contains("correct notification_emails"), "{rows:?}");
    assert!(matches!(of("stuck@example.com")["status"].as_str(), Some("sending" | "pending")), "{rows:?}");
    assert_eq!(world.sink.attempts("gone@example.com"), 1);
    Ok(())
}
