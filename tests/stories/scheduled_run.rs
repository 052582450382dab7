//! The specification's second workflow: a schedule makes a run, a client executes it, people are told.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use test_support::smtp::ReceivedMail;
use uuid::Uuid;

use crate::world::{Run, World, id, instant, pick};

/// Five and a half hours ahead of UTC, all year.
const ZONE: &str = "Asia/Kolkata";

#[tokio::test(flavor = "multi_thread")]
async fn a_one_time_schedule_makes_a_run_that_a_client_executes_and_people_are_told_of() -> anyhow::Result<()> {
    let world = World::start().await?;
    let (_worker, scheduler) = tokio::try_join!(world.worker(), world.scheduler())?;
    world.test_cases(&["ROOT", "Regression", "Smoke"], &["Login", "Search"]).await?;
    world.test_cases(&["ROOT", "Regression"], &["Checkout"]).await?;
    world.test_cases(&["ROOT", "Other"], &["Not in the suite"]).await?;

    let wall = world.wall_clock(ZONE, 2).await?;
    let schedule = json!({
        "schedule_name": "Nightly Regression", "suite_path": ["ROOT", "Regression"], "suite_name": "Regression",
        "scheduled_datetime": wall, "timezone": ZONE, "retry_on_failure": true, "retry_count": 1,
        "notification_emails": ["team@example.com", "lead@example.com"],
    });
    let created = world.post("/schedules", &schedule, 201).await?;
    let due = format!("{wall}Z").parse::<DateTime<Utc>>()? - TimeDelta::minutes(330);
    assert_eq!(pick(&created, ["status", "scheduled_datetime"]), json!(["active", format!("{wall}Z")]));
    assert_eq!(instant(&created["next_execution_at"])?, due);
    let schedule = id(&created["id"])?;

    let run = queued(&world, schedule, due, &wall).await?;
    world.post(&format!("/test-runs/{}/start", run.id), &json!({}), 200).await?;
    world.submit(&run.result(0, "passed")).await?;
    for _attempt in 0..2 {
        let body = json!({ "error_message": "no results\nfor 'shoes'", "duration_ms": 40 });
        world.submit(&run.result_with(1, "failed", body)?).await?;
    }
    world.submit(&run.result(2, "passed")).await?;
    world.completed(run.id).await?;

    let execution = world.ended_execution(schedule).await?;
    let figures = ["status", "test_run_id", "total_tests", "passed_tests", "failed_tests", "error_message"];
    assert_eq!(pick(&execution, figures), json!(["completed", run.id, 3, 2, 1, null]));
    let ended = world.get(&format!("/test-runs/{}", run.id)).await?;
    assert_eq!(execution["duration_ms"], ended["duration_ms"]);
    let schedule = world.get(&format!("/schedules/{schedule}")).await?;
    let state = ["status", "execution_count", "last_execution_status", "next_execution_at"];
    assert_eq!(pick(&schedule, state), json!(["completed", 1, "completed", null]));
    assert_eq!(instant(&schedule["last_executed_at"])?, due);
    one_mail_each(&world, run.id).await?;
    assert!(scheduler.stop().await?, "a scheduler that is told to stop ends well");
    Ok(())
}

/// The run as the worker made it from the suite.
async fn queued(world: &World, schedule: Uuid, due: DateTime<Utc>, wall: &str) -> anyhow::Result<Run> {
    let run = world.queued_run("Nightly Regression").await?;
    let shown = world.get(&format!("/test-runs/{}", run.id)).await?;
    let minute = wall[..16].replace('T', " ");
    assert_eq!(
        pick(&shown, ["status", "run_name", "suite_path", "retry_on_failure", "retry_count", "started_at"]),
        json!(["queued", format!("Nightly Regression {minute}"), ["ROOT", "Regression"], true, 1, null])
    );
    assert_eq!(instant(&shown["scheduled_at"])?, due);
    let summary = world.get(&format!("/test-runs/{}/summary", run.id)).await?;
    let mut names: Vec<_> = summary["items"].as_array().into_iter().flatten().collect();
    names.sort_by_key(|item| item["test_case_name"].to_string());
    let names: Value = names.into_iter().map(|item| pick(item, ["test_case_name", "status"])).collect();
    assert_eq!(names, json!([["Checkout", "queued"], ["Login", "queued"], ["Search", "queued"]]));

    let executions = world.executions(schedule).await?;
    assert_eq!(executions.len(), 1);
    assert_eq!(pick(&executions[0], ["status", "test_run_id"]), json!(["running", run.id]));
    assert_eq!(instant(&executions[0]["scheduled_for"])?, due);
    let schedule = world.get(&format!("/schedules/{schedule}")).await?;
    assert_eq!(pick(&schedule, ["last_execution_status", "execution_count"]), json!(["running", 1]));
    Ok(run)
}

async fn one_mail_each(world: &World, run: Uuid) -> anyhow::Result<()> {
    let sent = world.sent_notifications(run).await?;
    let told: Value = sent.iter().map(|mail| pick(mail, ["recipient", "kind", "attempt"])).collect();
    assert_eq!(told, json!([["lead@example.com", "failure", 1], ["team@example.com", "failure", 1]]));
    let mut mails = world.sink.mails();
    mails.sort_by_key(|mail| mail.recipients.clone());
    assert_eq!(mails.len(), 2);
    for (mail, row) in mails.iter().zip(sent) {
        assert_eq!(json!(mail.recipients), json!([row["recipient"]]));
        assert_eq!(mail.sender, "testrun@example.com");
        assert_eq!(mail.message_id(), Some(format!("<{}@example.com>", id(&row["id"])?)));
        let subject = mail.subject().unwrap_or_default();
        assert!(subject.starts_with("FAILED 1/3: Nightly Regression"), "{subject}");
        for part in [mail.text(), mail.html()] {
            let part = part.unwrap_or_default();
            for word in ["Nightly Regression", "Web shop", &run.to_string(), "66.67", "no results"] {
                assert!(part.contains(word), "no '{word}' in {part}");
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daily_schedule_fires_and_moves_on_to_the_same_time_tomorrow() -> anyhow::Result<()> {
    let world = World::start().await?;
    let (_worker, _scheduler, _other) = tokio::try_join!(world.worker(), world.scheduler(), world.scheduler())?;
    let cases = world.test_cases(&["ROOT"], &["Login", "Search"]).await?;
    // Far enough ahead for a busy machine: the first fire is strictly after the creation.
    let wall = world.wall_clock(ZONE, 15).await?;
    let schedule = json!({
        "schedule_name": "Every day", "test_case_ids": [cases[0]], "repeat_type": "daily",
        "scheduled_datetime": wall, "timezone": ZONE, "notification_emails": ["team@example.com"],
    });
    let created = world.post("/schedules", &schedule, 201).await?;
    let schedule = id(&created["id"])?;
    let due = instant(&created["next_execution_at"])?;

    let run = world.queued_run("Every day").await?;
    assert_eq!(run.items.iter().map(|(_, case)| *case).collect::<Vec<_>>(), cases[..1]);
    let path = format!("/schedules/{schedule}");
    let fired = world.get(&path).await?;
    assert_eq!(pick(&fired, ["status", "execution_count"]), json!(["active", 1]));
    assert_eq!(instant(&fired["last_executed_at"])?, due);
    assert_eq!(instant(&fired["next_execution_at"])?, due + TimeDelta::days(1));

    execute(&world, &run, "passed").await?;
    assert_eq!(world.ended_execution(schedule).await?["status"], "completed");
    assert_eq!(pick(&world.get(&path).await?, ["status", "last_execution_status"]), json!(["active", "completed"]));
    world.sent_notifications(run.id).await?;
    let subjects: Vec<_> = world.sink.mails().iter().filter_map(ReceivedMail::subject).collect();
    assert_eq!(subjects.len(), 1);
    assert!(subjects[0].starts_with("PASSED 1/1: Every day"), "{subjects:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_sent_as_the_flags_say() -> anyhow::Result<()> {
    let world = World::start().await?;
    let (_worker, _scheduler) = tokio::try_join!(world.worker(), world.scheduler())?;
    world.test_cases(&["ROOT"], &["Login"]).await?;
    // The last one is a marker: when its mail is there, those before it would be, too.
    for (name, result, on_completion, on_failure, is_told) in [
        ("passed, failures only", "passed", false, true, false),
        ("failed, nothing", "failed", false, false, false),
        ("failed, completion only", "failed", true, false, true),
        ("failed, failures only", "failed", false, true, true),
        ("passed, completion only", "passed", true, false, true),
    ] {
        let flags = json!({
            "suite_path": ["ROOT"], "notify_on_completion": on_completion, "notify_on_failure": on_failure,
            "notification_emails": ["team@example.com"],
        });
        let schedule = world.due_now(name, flags).await?;
        let run = world.queued_run(name).await?;
        execute(&world, &run, result).await?;
        world.ended_execution(schedule).await?;
        assert_eq!(world.notifications(run.id).await?.len(), usize::from(is_told), "{name}");
        if is_told {
            world.sent_notifications(run.id).await?;
        }
    }
    let subjects: Vec<_> = world.sink.mails().iter().filter_map(ReceivedMail::subject).collect();
    assert_eq!(subjects.len(), 3, "{subjects:?}");
    for (subject, wanted) in subjects.iter().zip([
        "FAILED 1/1: failed, completion only",
        "FAILED 1/1: failed, failures only",
        "PASSED 1/1: passed, completion only",
    ]) {
        assert!(subject.starts_with(wanted), "{subject}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_selects_nothing_fails_and_says_so() -> anyhow::Result<()> {
    let world = World::start().await?;
    let (_worker, _scheduler) = tokio::try_join!(world.worker(), world.scheduler())?;
    let suite = json!({ "suite_path": ["ROOT", "Empty"], "notification_emails": ["team@example.com"] });
    let schedule = world.due_now("Nothing", suite).await?;
    let execution = world.ended_execution(schedule).await?;
    let reason = "The schedule selects no test cases";
    assert_eq!(pick(&execution, ["status", "error_message", "total_tests"]), json!(["failed", reason, 0]));
    let run = world.run_of("Nothing", "failed").await?;
    assert_eq!(run["failure_reason"], reason);
    world.sent_notifications(id(&run["id"])?).await?;
    let mails = world.sink.mails();
    assert_eq!(mails.len(), 1);
    assert!(mails[0].subject().is_some_and(|subject| subject.starts_with("RUN FAILED: Nothing")));
    assert!(mails[0].text().is_some_and(|text| text.contains(reason)));
    Ok(())
}

/// Executes a queued run, all of it with this result.
pub(crate) async fn execute(world: &World, run: &Run, result: &str) -> anyhow::Result<()> {
    world.post(&format!("/test-runs/{}/start", run.id), &json!({}), 200).await?;
    for number in 0..run.items.len() {
        world.submit(&run.result(number, result)).await?;
    }
    world.completed(run.id).await?;
    Ok(())
}
