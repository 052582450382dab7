//! The golden cases of schedules, asked over HTTP.

use serde_json::{Value, json};

use crate::app::{App, none_wrong};
use crate::world::{id, with};

const CASES: &str = include_str!("../../../tests/data/schedule-cases.json");
const PREVIEW: &str = "/api/v1/schedules/preview";

fn cases() -> anyhow::Result<Vec<Value>> {
    let cases: Vec<Value> = serde_json::from_str(CASES)?;
    assert!(cases.len() > 20, "only {} cases", cases.len());
    Ok(cases)
}

fn instants(preview: &Value) -> Vec<&Value> {
    preview["fires"].as_array().into_iter().flatten().map(|fire| &fire["utc"]).collect()
}

#[tokio::test]
async fn every_golden_case_is_previewed_exactly_as_listed() -> anyhow::Result<()> {
    let app = App::start().await?;
    let before = app.contents().await?;
    let mut wrong = Vec::new();
    for case in cases()? {
        let (schedule, next) = (&case["schedule"], case["next"].as_array().cloned().unwrap_or_default());
        let ask = with(schedule.clone(), &json!({"from": case["now"], "count": 50}));
        let preview = app.client.post(PREVIEW, &ask).await?.expect(200)?;
        let fires = instants(&preview);
        let ends = schedule["repeat_type"] == "none"
            || ["repeat_end_date", "max_occurrences"].iter().any(|end| schedule.get(end).is_some());
        let good = if ends { fires.len() == next.len() } else { fires.len() == 50 };
        if !good || next.iter().ne(fires.iter().copied().take(next.len())) {
            wrong.push(format!("case {}, {}: {fires:?} instead of {next:?}", case["no"], case["name"]));
        }
        for fire in preview["fires"].as_array().into_iter().flatten() {
            let at =
                |name: &str| fire[name].as_str().unwrap_or_default().parse::<chrono::DateTime<chrono::FixedOffset>>();
            if at("utc")? != at("local")? {
                wrong.push(format!("case {}: {fire} is two instants", case["no"]));
            }
        }
        let few = with(schedule.clone(), &json!({"from": case["now"], "count": 1}));
        let few = app.client.post(PREVIEW, &few).await?.expect(200)?;
        if instants(&few) != fires[..fires.len().min(1)] {
            wrong.push(format!("case {}: the first alone is {few}", case["no"]));
        }
    }
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    Ok(())
}

/// The cases' dates may have passed, and nobody can tell the server what time it is: a schedule that is created now goes on
/// from now. A one-time one is due when the case says, however long ago.
#[tokio::test]
async fn every_golden_case_is_created_with_the_first_fire_after_its_creation() -> anyhow::Result<()> {
    let app = App::start().await?;
    let mut wrong = Vec::new();
    let mut expressed = 0;
    for case in cases()? {
        let what = json!({"schedule_name": case["name"], "suite_path": []});
        let body = with(case["schedule"].clone(), &what);
        let created = app.client.post("/api/v1/schedules", &body).await?.expect(201)?;
        let ask = with(case["schedule"].clone(), &json!({"from": created["created_at"], "count": 50}));
        let preview = app.client.post(PREVIEW, &ask).await?.expect(200)?;
        let expected = if body["repeat_type"] == "none" {
            expressed += 1;
            case["next"][0].clone()
        } else {
            preview["fires"][0]["utc"].clone()
        };
        let status = if expected.is_null() { "completed" } else { "active" };
        if created["next_execution_at"] != expected || created["status"] != status {
            wrong.push(format!(
                "case {}: {} {} instead of {expected}",
                case["no"], created["status"], created["next_execution_at"]
            ));
        }
        let path = format!("/api/v1/schedules/{}", id(&created["id"])?);
        let read = app.client.get(&path).await?.expect(200)?;
        wrong.extend((read != created).then(|| format!("case {}: reads as {read}", case["no"])));
        let stored = app.client.get(&format!("{path}/preview?count=50")).await?.expect(200)?;
        let (stored, preview) = (instants(&stored), instants(&preview));
        // A fire may have become due between the two.
        let same = stored == preview || stored.iter().zip(preview.iter().skip(1)).all(|(one, other)| one == other);
        wrong.extend((!same).then(|| format!("case {}: stored it is previewed as {stored:?}", case["no"])));
    }
    none_wrong(&wrong);
    assert!(expressed > 2, "only {expressed} one-time cases");
    Ok(())
}
