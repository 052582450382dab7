//! `/schedules`: pausing, changing, deleting

use serde_json::{Value, json};

use crate::app::{App, column, has, none_wrong};
use crate::world::{self, id, with};

const SCHEDULES: &str = "/api/v1/schedules";

/// Creates a schedule of everything with these fields; its path, and itself.
async fn create(app: &App, fields: &Value) -> anyhow::Result<(String, Value)> {
    let body = json!({"schedule_name": "Daily", "suite_path": [], "scheduled_datetime": "2050-06-01T09:30:00Z"});
    let schedule = app.client.post(SCHEDULES, &with(body, fields)).await?.expect(201)?;
    Ok((format!("{SCHEDULES}/{}", id(&schedule["id"])?), schedule))
}

async fn pending(app: &App) -> anyhow::Result<Vec<String>> {
    let list = app.client.get(&format!("{SCHEDULES}/pending")).await?.expect(200)?;
    assert_eq!(list["total"], json!(list["items"].as_array().map(Vec::len)));
    column(&list, "id").into_iter().map(id).collect()
}

async fn post(app: &App, path: &str, verb: &str) -> anyhow::Result<Value> {
    app.client.post(&format!("{path}/{verb}"), &Value::Null).await?.expect(200)
}

#[tokio::test]
async fn pausing_and_resuming_twice_changes_nothing_the_second_time() -> anyhow::Result<()> {
    let app = App::start().await?;
    let (path, created) = create(&app, &json!({"repeat_type": "daily"})).await?;
    let before = app.contents().await?;
    assert_eq!(post(&app, &path, "resume").await?, created, "it is active");
    assert_eq!(app.contents().await?, before);
    let paused = post(&app, &path, "pause").await?;
    assert_eq!(paused["status"], "paused");
    let before = app.contents().await?;
    assert_eq!(post(&app, &path, "pause").await?, paused);
    assert_eq!(app.contents().await?, before);
    assert_eq!(app.client.get(&path).await?.expect(200)?, paused);
    let resumed = post(&app, &path, "resume").await?;
    has(&resumed, &json!({"status": "active", "next_execution_at": "2050-06-01T09:30:00Z"}));
    Ok(())
}

#[tokio::test]
async fn what_is_due_is_pending_unless_it_is_paused_disabled_or_deleted() -> anyhow::Result<()> {
    let app = App::start().await?;
    let (late, _) = create(&app, &json!({"scheduled_datetime": "2021-01-01T00:00:00Z"})).await?;
    let (later, second) = create(&app, &json!({"scheduled_datetime": "2021-01-02T00:00:00Z"})).await?;
    create(&app, &json!({"repeat_type": "daily"})).await?;
    let (first, second) = (late.rsplit('/').next().unwrap_or_default().to_owned(), id(&second["id"])?);
    assert_eq!(pending(&app).await?, [first.clone(), second.clone()], "by due time");
    assert!(pending(&App::start().await?).await?.is_empty());

    post(&app, &late, "pause").await?;
    assert_eq!(pending(&app).await?, std::slice::from_ref(&second));
    let resumed = post(&app, &late, "resume").await?;
    assert_eq!(resumed["next_execution_at"], "2021-01-01T00:00:00Z", "a one-time schedule fires however late");
    assert_eq!(pending(&app).await?, [first.clone(), second]);
    app.put(&later, &json!({"is_enabled": false})).await?.expect(200)?;
    assert_eq!(pending(&app).await?, [first]);
    app.delete(&late).await?.expect(204)?;
    assert!(pending(&app).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_change_of_timing_plans_anew_and_another_one_does_not() -> anyhow::Result<()> {
    let app = App::start().await?;
    let (path, _) = create(&app, &json!({"repeat_type": "daily"})).await?;
    let mut wrong = Vec::new();
    for (change, next) in [
        (json!({"schedule_name": "Renamed", "parallel_count": 3}), "2050-06-01T09:30:00Z"),
        (json!({"timezone": "Europe/Berlin"}), "2050-06-01T07:30:00Z"),
        (json!({"scheduled_datetime": "2050-01-31T09:30:00Z"}), "2050-01-31T08:30:00Z"),
        (json!({"repeat_type": "weekly", "repeat_days_of_week": [7]}), "2050-02-06T08:30:00Z"),
        (
            json!({"repeat_type": "monthly", "repeat_days_of_week": null, "repeat_day_of_month": 30}),
            "2050-02-28T08:30:00Z",
        ),
        (json!({"scheduled_datetime": "2050-03-01T12:00:00+01:00"}), "2050-03-30T10:00:00Z"),
        (json!({"repeat_type": "hourly", "repeat_day_of_month": null}), "2050-03-01T11:00:00Z"),
        (json!({"repeat_type": "custom", "cron_expression": "30 4 1 1 *"}), "2051-01-01T03:30:00Z"),
        (
            json!({"cron_expression": null, "repeat_interval": 2, "repeat_interval_unit": "days"}),
            "2050-03-01T11:00:00Z",
        ),
        (json!({"is_enabled": false}), "2050-03-01T11:00:00Z"),
        (json!({"is_enabled": true}), "2050-03-01T11:00:00Z"),
    ] {
        let changed = app.put(&path, &change).await?;
        if changed.status != 200 || changed.body["next_execution_at"] != next {
            wrong.push(format!("{change}: {} {}", changed.status, changed.body));
        }
        wrong.extend(
            (app.client.get(&path).await?.body != changed.body).then(|| format!("{change}: reads differently")),
        );
    }
    none_wrong(&wrong);
    Ok(())
}

#[tokio::test]
async fn changes_that_make_no_sense_together_are_refused_and_change_nothing() -> anyhow::Result<()> {
    let app = App::start().await?;
    let case = world::case(&app.client, "Case").await?;
    let (path, _) = create(&app, &json!({"repeat_type": "weekly", "repeat_days_of_week": [1]})).await?;
    let before = app.contents().await?;
    let mut wrong = Vec::new();
    for (change, fields) in [
        (json!({"test_case_ids": [case]}), &["suite_path"][..]),
        (json!({"suite_path": null}), &["suite_path"]),
        (json!({"suite_path": null, "test_case_ids": [uuid::Uuid::new_v4()]}), &["test_case_ids[0]"]),
        (json!({"repeat_type": "daily"}), &["repeat_days_of_week"]),
        (json!({"repeat_interval": 2}), &["repeat_interval"]),
        (json!({"cron_expression": "0 0 * * *"}), &["cron_expression"]),
        (json!({"repeat_days_of_week": []}), &["repeat_days_of_week"]),
        (json!({"repeat_days_of_week": [8]}), &["repeat_days_of_week"]),
        (json!({"timezone": "Mars/Olympus"}), &["timezone"]),
        (json!({"timezone": "europe/berlin"}), &["timezone"]),
        (json!({"scheduled_datetime": "soon", "repeat_end_date": "late"}), &["scheduled_datetime", "repeat_end_date"]),
        (json!({"repeat_end_date": "2050-05-01T00:00:00Z"}), &["repeat_end_date"]),
        (json!({"max_occurrences": 0}), &["max_occurrences"]),
        (json!({"repeat_type": null}), &["repeat_type"]),
        (json!({"schedule_name": "", "retry_count": 11}), &["schedule_name", "retry_count"]),
    ] {
        let answer = app.send("PUT", &path, change.to_string()).await?;
        wrong.extend(answer.not_invalid(fields).map(|what| format!("{change}: {what}")));
    }
    none_wrong(&wrong);
    assert_eq!(app.contents().await?, before);
    let switched = app.put(&path, &json!({"suite_path": null, "test_case_ids": [case]})).await?.expect(200)?;
    assert_eq!((&switched["suite_path"], &switched["test_case_ids"]), (&json!(null), &json!([case])));
    Ok(())
}

#[tokio::test]
async fn a_plan_that_has_nothing_left_is_completed() -> anyhow::Result<()> {
    let app = App::start().await?;
    let (path, _) = create(&app, &json!({"repeat_type": "daily"})).await?;
    let over = json!({"scheduled_datetime": "2020-01-01T00:00:00Z", "repeat_end_date": "2020-01-05T00:00:00Z"});
    let completed = app.put(&path, &over).await?.expect(200)?;
    has(&completed, &json!({"status": "completed", "next_execution_at": null, "is_enabled": true}));
    assert!(pending(&app).await?.is_empty());
    let preview = app.client.get(&format!("{path}/preview")).await?.expect(200)?;
    assert_eq!(preview, json!({"fires": []}));
    Ok(())
}

#[tokio::test]
async fn a_deleted_schedule_is_nowhere() -> anyhow::Result<()> {
    let app = App::start().await?;
    let (path, created) = create(&app, &json!({"repeat_type": "daily"})).await?;
    app.delete(&path).await?.expect(204)?;
    let detail = format!("Schedule not found: {}", id(&created["id"])?);
    let mut wrong = Vec::new();
    for (method, below, body) in [
        ("GET", "", ""),
        ("PUT", "", "{}"),
        ("DELETE", "", ""),
        ("POST", "/pause", ""),
        ("POST", "/resume", ""),
        ("POST", "/run-now", ""),
        ("GET", "/history", ""),
        ("GET", "/preview", ""),
    ] {
        wrong.extend(app.not_refused((method, &format!("{path}{below}"), body), (404, &detail)).await?);
    }
    none_wrong(&wrong);
    assert_eq!(app.client.get(SCHEDULES).await?.expect(200)?["total"], 0);
    let status: String = sqlx::query_scalar("SELECT status FROM schedules").fetch_one(&app.db.pool).await?;
    assert_eq!(status, "cancelled");
    Ok(())
}

#[tokio::test]
async fn previews_list_one_to_fifty_fires_whatever_the_status() -> anyhow::Result<()> {
    let app = App::start().await?;
    let (path, _) = create(&app, &json!({"repeat_type": "daily", "timezone": "America/New_York"})).await?;
    post(&app, &path, "pause").await?;
    let fires = async |query: &str| {
        let preview = app.client.get(&format!("{path}/preview{query}")).await?.expect(200)?;
        anyhow::Ok(preview["fires"].as_array().cloned().unwrap_or_default())
    };
    let first = json!({"utc": "2050-06-01T13:30:00Z", "local": "2050-06-01T09:30:00-04:00"});
    let ten = fires("").await?;
    assert_eq!((ten.len(), &ten[0]), (10, &first));
    assert_eq!(fires("?count=50").await?[..10], ten);
    assert_eq!(fires("?count=1").await?, [first]);
    for count in ["0", "51", "-1", "x", "1.5", "99999999999999999999"] {
        let answer = app.send("GET", &format!("{path}/preview?count={count}"), "").await?;
        assert_eq!(answer.not_invalid(&["count"]), None, "{count}");
    }
    Ok(())
}
