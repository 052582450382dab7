//! Who wins where several move a run at once, and what is told of it.

use futures_util::future::join_all;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use serde_json::json;
use testrun_shared::actions::test_runs::{cancel, start, stop};
use testrun_shared::domain::test_run::{RunStatus, StartTestRun};
use testrun_shared::domain::test_run_item::ItemStatus;
use testrun_shared::error::{Error, Result};
use testrun_shared::{actions, db};

use crate::world::{Started, World, backend, until_blocked_by};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Submit,
    Start,
    Stop,
    Cancel,
    Refresh,
}

async fn take(w: &World, run: &Started, step: Step) -> (Step, Result<()>) {
    let caller = &w.tenant.caller;
    let answer = match step {
        Step::Submit => w.submit(run.items.last().expect("an item"), json!({})).await.map(|_| ()),
        Step::Start => start(&w.db, caller, run.id, &StartTestRun::default()).await.map(|_| ()),
        Step::Stop => stop(&w.db, caller, run.id).await.map(|_| ()),
        Step::Cancel => cancel(&w.db, caller, run.id).await.map(|_| ()),
        Step::Refresh => actions::refresh::refresh(&w.db, run.id).await,
    };
    (step, answer)
}

/// Takes all steps at once, in the seed's order, then whatever refresh was asked for. Returns which steps were done.
async fn race(w: &World, run: &Started, steps: &mut [Step], seed: u64) -> anyhow::Result<Vec<Step>> {
    steps.shuffle(&mut StdRng::seed_from_u64(seed));
    let mut done = Vec::new();
    for (step, answer) in join_all(steps.iter().map(|step| take(w, run, *step))).await {
        match answer {
            Ok(()) => done.push(step),
            Err(Error::InvalidState(_)) => {}
            Err(error) => anyhow::bail!("{step:?} with seed {seed}: {error}"),
        }
    }
    if !w.jobs("refresh_run").await?.is_empty() {
        actions::refresh::refresh(&w.db, run.id).await?;
    }
    Ok(done)
}

#[tokio::test]
async fn whoever_ends_a_run_first_the_books_agree() -> anyhow::Result<()> {
    let w = World::new().await?;
    let mut ends = Vec::new();
    for seed in 0..24 {
        let run = w.started(3).await?;
        w.submit(&run.items[0], json!({"status": "failed"})).await?;
        w.submit(&run.items[1], json!({"status": "skipped"})).await?;
        let mut steps = [Step::Submit, Step::Stop, Step::Stop, Step::Refresh, Step::Refresh, Step::Cancel, Step::Start];
        let done = race(&w, &run, &mut steps, seed).await?;

        let end = w.run(run.id).await?;
        let stopped = done.iter().filter(|step| **step == Step::Stop).count();
        assert_eq!(stopped, usize::from(end.status == RunStatus::Cancelled), "seed {seed}: {done:?} {end:?}");
        assert!(matches!(end.status, RunStatus::Cancelled | RunStatus::Completed), "seed {seed}: {end:?}");
        assert!(!done.contains(&Step::Cancel) && !done.contains(&Step::Start), "seed {seed}: {done:?}");
        w.assert_counts_add_up(run.id).await?;
        let last = w.item(&run.items[2]).await?.status;
        let expected = if done.contains(&Step::Submit) { ItemStatus::Passed } else { ItemStatus::Skipped };
        assert_eq!(last, expected, "seed {seed}: a result counts if and only if it was accepted");
        let results = w.count("SELECT count(*) FROM test_run_results WHERE test_run_id = $1", run.id).await?;
        assert_eq!(results, 2 + i64::from(last == ItemStatus::Passed), "seed {seed}");
        let mut events = w.events(run.id).await?;
        assert_eq!(events.iter().filter(|event| *event == "item.finished").count(), 3, "seed {seed}: {events:?}");
        assert_eq!(events.last(), Some(&format!("run.{}", end.status)), "seed {seed}: {events:?}");
        events.retain(|event| event.starts_with("run.") && event != "run.progress");
        assert_eq!(events[..2], ["run.created", "run.started"]);
        assert_eq!(events[2..], [format!("run.{}", end.status)], "seed {seed}: it ended once");
        let mut rung = w.jobs("finalise_run").await?;
        rung.dedup();
        assert_eq!(rung, [json!({"run_id": run.id})], "seed {seed}: for its end, and for results counted after it");
        w.lose_jobs().await?;
        ends.push(end.status);
    }
    assert!(ends.contains(&RunStatus::Cancelled), "no seed let the stop win: {ends:?}");
    Ok(())
}

#[tokio::test]
async fn a_stop_and_a_result_that_waited_for_the_same_refresh_do_not_lock_each_other_out() -> anyhow::Result<()> {
    let w = World::new().await?;
    for _ in 0..6 {
        let run = w.started(2).await?;
        let mut refresh = w.db.begin().await?;
        let pid = backend(&mut refresh).await?;
        db::test_runs::close_gate(&mut *refresh, run.id).await?;
        db::test_runs::lock_against_results(&mut *refresh, run.id).await?;
        sqlx::query("UPDATE test_runs SET updated_at = now() WHERE id = $1")
            .bind(run.id)
            .execute(&mut *refresh)
            .await?;
        let (stopped, submitted, ()) = tokio::join!(
            async { anyhow::Ok(stop(&w.db, &w.tenant.caller, run.id).await?) },
            async {
                until_blocked_by(&w.db, pid, 1).await?;
                anyhow::Ok(w.submit(&run.items[0], json!({})).await.map(|_| ()))
            },
            async {
                let both = until_blocked_by(&w.db, pid, 2).await;
                refresh.commit().await.and(Ok(both)).expect("a commit").expect("both to wait");
            }
        );
        assert_eq!(stopped?.status, RunStatus::Cancelled);
        let expected = match submitted? {
            Ok(()) => ItemStatus::Passed,
            Err(Error::InvalidState(_)) => ItemStatus::Skipped,
            Err(error) => return Err(error.into()),
        };
        assert_eq!(w.item(&run.items[0]).await?.status, expected);
        w.assert_counts_add_up(run.id).await?;
    }
    Ok(())
}

#[tokio::test]
async fn either_the_start_or_the_cancel_of_a_pending_run_comes_first() -> anyhow::Result<()> {
    let w = World::new().await?;
    for seed in 0..12 {
        let run = w.pending(2, json!({})).await?;
        let done = race(&w, &run, &mut [Step::Start, Step::Cancel, Step::Start, Step::Cancel], seed).await?;
        assert_eq!(done.len(), 1, "seed {seed}: {done:?}");
        let expected = if done == [Step::Start] { RunStatus::Running } else { RunStatus::Cancelled };
        assert_eq!(w.run(run.id).await?.status, expected);
        assert_eq!(w.jobs("finalise_run").await?.is_empty(), expected == RunStatus::Running);
        w.assert_counts_add_up(run.id).await?;
        w.lose_jobs().await?;
    }
    Ok(())
}
