//! `/schedules`

use serde_json::{Value, json};

use crate::app::{App, has, none_wrong};
use crate::world::{self, id, with};

const SCHEDULES: &str = "/api/v1/schedules";

fn daily() -> Value {
    json!({"schedule_name": "Daily", "suite_path": ["ROOT"], "scheduled_datetime": "2050-06-01T09:30:00Z"})
}

#[tokio::test]
async fn a_schedule_has_the_specifications_defaults_and_reads_as_it_was_answered() -> anyhow::Result<()> {
    let app = App::start().await?;
    let ids = json!({"id": "00000000-0000-0000-0000-000000000001", "project_id": "x", "status": "paused", "execution_count": 9});
    let schedule = app.client.post(SCHEDULES, &with(daily(), &ids)).await?.expect(201)?;
    let expected = json!({
        "timezone": "UTC", "repeat_type": "none", "status": "active", "is_enabled": true, "parallel_enabled": false,
        "parallel_count": 1, "retry_on_failure": false, "retry_count": 0, "notify_on_completion": true,
        "notify_on_failure": true, "execution_count": 0, "next_execution_at": "2050-06-01T09:30:00Z",
        "project_id": app.tenant.project_id, "created_by": app.tenant.user_id,
    });
    has(&schedule, &expected);
    assert_eq!(app.client.get(&format!("{SCHEDULES}/{}", id(&schedule["id"])?)).await?.expect(200)?, schedule);
    Ok(())
}

#[tokio::test]
async fn the_first_due_time_is_the_wall_clocks_in_the_zone() -> anyhow::Result<()> {
    let app = App::start().await?;
    let due: &[(&str, &str, &str)] = &[
        ("2050-01-18T02:00:00Z", "America/New_York", "2050-01-18T07:00:00Z"),
        ("2050-07-18T02:00:00Z", "America/New_York", "2050-07-18T06:00:00Z"),
        ("2050-01-18T02:00:00", "Asia/Kathmandu", "2050-01-17T20:15:00Z"),
        ("2050-01-18T02:00:00+00:00", "Europe/Berlin", "2050-01-18T01:00:00Z"),
        ("2050-01-18T02:00:00+05:00", "Europe/Berlin", "2050-01-17T21:00:00Z"),
    ];
    let mut wrong = Vec::new();
    for (digits, timezone, expected) in due {
        let body = with(daily(), &json!({"scheduled_datetime": digits, "timezone": timezone, "repeat_type": "daily"}));
        let schedule = app.client.post(SCHEDULES, &body).await?.expect(201)?;
        if schedule["next_execution_at"] != *expected {
            wrong.push(format!("{digits} in {timezone}: {}", schedule["next_execution_at"]));
        }
    }
    none_wrong(&wrong);
    Ok(())
}

#[tokio::test]
async fn schedules_are_listed_page_by_page() -> anyhow::Result<()> {
    let app = App::start().await?;
    for number in 1..=3 {
        let body = with(daily(), &json!({"schedule_name": format!("Schedule {number}")}));
        app.client.post(SCHEDULES, &body).await?.expect(201)?;
    }
    let mut names = std::collections::BTreeSet::new();
    for offset in 0..3 {
        let page = app.client.get(&format!("{SCHEDULES}?limit=1&offset={offset}")).await?.expect(200)?;
        assert_eq!((&page["total"], &page["limit"], &page["offset"]), (&json!(3), &json!(1), &json!(offset)));
        names.insert(page["items"][0]["schedule_name"].to_string());
    }
    assert_eq!(names.len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_schedule_of_test_cases_needs_cases_of_the_project() -> anyhow::Result<()> {
    let app = App::start().await?;
    let case = world::case(&app.client, "Known").await?;
    let unknown = uuid::Uuid::new_v4().to_string();
    let body = |ids: &[&str]| with(daily(), &json!({"suite_path": null, "test_case_ids": ids}));
    let schedule = app.client.post(SCHEDULES, &body(&[&case])).await?.expect(201)?;
    assert_eq!((&schedule["test_case_ids"], &schedule["suite_path"]), (&json!([case]), &json!(null)));
    let before = app.contents().await?;
    let refused = app.send("POST", SCHEDULES, body(&[&case, &unknown]).to_string()).await?;
    none_wrong(&Vec::from_iter(refused.not_invalid(&["test_case_ids[1]"])));
    assert_eq!(app.contents().await?, before);
    Ok(())
}

#[tokio::test]
async fn odd_but_possible_timings_are_accepted_or_refused_but_never_break() -> anyhow::Result<()> {
    let app = App::start().await?;
    let odd = [
        json!({"scheduled_datetime": "0001-01-01T00:00:00Z"}),
        json!({"scheduled_datetime": "0000-01-01T00:00:00Z"}),
        json!({"scheduled_datetime": "9999-12-31T23:59:59Z", "timezone": "Pacific/Kiritimati"}),
        json!({"scheduled_datetime": "9999-12-31T23:59:59Z", "timezone": "Etc/GMT+12", "repeat_type": "monthly"}),
        json!({"scheduled_datetime": "0001-01-01T00:00:00Z", "repeat_type": "hourly", "max_occurrences": 2_147_483_647}),
        json!({"scheduled_datetime": "0001-01-01T00:00:00Z", "repeat_type": "custom", "repeat_interval": 2_147_483_647}),
        json!({"scheduled_datetime": "1970-01-01T00:00:00Z", "repeat_type": "custom", "cron_expression": "0 0 30 2 *"}),
        json!({"scheduled_datetime": "2050-02-29T00:00:00Z"}),
        json!({"scheduled_datetime": "2052-02-29T00:00:00Z", "repeat_type": "monthly", "repeat_day_of_month": 31}),
        json!({"repeat_type": "daily", "repeat_end_date": "1999-01-01T00:00:00Z"}),
        json!({"repeat_type": "weekly", "repeat_days_of_week": vec![1; 10_000]}),
        json!({"catchup_window_seconds": 2_147_483_647}),
        json!({"scheduled_datetime": "2050-06-01T09:30:00.123456789123456789Z"}),
        json!({"scheduled_datetime": "２０５０-06-01T09:30:00Z"}),
        json!({"notification_emails": []}),
        json!({"suite_path": []}),
    ];
    let mut wrong = Vec::new();
    for fields in odd {
        let answer = app.send("POST", SCHEDULES, with(daily(), &fields).to_string()).await?;
        if ![201, 400].contains(&answer.status) {
            wrong.push(format!("{fields}: {} {}", answer.status, answer.text()));
        } else if answer.status == 201 {
            let schedule = answer.json();
            let read = app.client.get(&format!("{SCHEDULES}/{}", id(&schedule["id"])?)).await?;
            if read.status != 200 || read.body != schedule {
                wrong.push(format!("{fields}: answered {schedule}, read {}", read.body));
            }
        }
    }
    none_wrong(&wrong);
    Ok(())
}
