//! The schema says what the specification and the types say, and refuses what can never be.

use std::collections::BTreeSet;

use sqlx::postgres::Postgres;
use sqlx::{Acquire as _, AssertSqlSafe, Encode, Executor as _, PgConnection, PgPool, Type};
use test_support::Database;
use testrun_shared::domain::checkpoint_result::{CheckpointStatus, CheckpointType};
use testrun_shared::domain::console_log::LogLevel;
use testrun_shared::domain::event::EventType;
use testrun_shared::domain::identity::Role;
use testrun_shared::domain::notification::{NotificationKind, NotificationStatus};
use testrun_shared::domain::recurrence::{IntervalUnit, RepeatType};
use testrun_shared::domain::schedule::{OverlapPolicy, ScheduleStatus};
use testrun_shared::domain::schedule_execution::ExecutionStatus;
use testrun_shared::domain::script_result::ScriptType;
use testrun_shared::domain::test_run::RunStatus;
use testrun_shared::domain::test_run_item::ItemStatus;
use testrun_shared::domain::test_run_result::ResultStatus;
use testrun_shared::domain::webhook::{DeliveryStatus, DisabledReason};

/// Each enum with the CHECKs that list its values.
macro_rules! each_enum {
    ($call:ident, $db:expr $(, $extra:expr)*) => {
        $call($db, Role::ALL, Role::as_str, &["project_members_role_check", "api_tokens_role_check"] $(, $extra)*).await?;
        $call($db, ScriptType::ALL, ScriptType::as_str, &["test_scripts_script_type_check", "script_results_type_check"] $(, $extra)*).await?;
        $call($db, RunStatus::ALL, RunStatus::as_str, &["test_runs_status_check"] $(, $extra)*).await?;
        $call($db, ItemStatus::ALL, ItemStatus::as_str, &["test_run_items_status_check"] $(, $extra)*).await?;
        $call($db, ResultStatus::ALL, ResultStatus::as_str, &[
            "test_run_results_status_check", "test_step_results_status_check", "script_results_status_check",
            "test_execution_history_status_check",
        ] $(, $extra)*).await?;
        $call($db, CheckpointStatus::ALL, CheckpointStatus::as_str, &["checkpoint_results_status_check"] $(, $extra)*).await?;
        $call($db, CheckpointType::ALL, CheckpointType::as_str, &["checkpoint_results_type_check"] $(, $extra)*).await?;
        $call($db, LogLevel::ALL, LogLevel::as_str, &["console_logs_level_check"] $(, $extra)*).await?;
        $call($db, RepeatType::ALL, RepeatType::as_str, &["schedules_repeat_type_check"] $(, $extra)*).await?;
        $call($db, IntervalUnit::ALL, IntervalUnit::as_str, &["schedules_repeat_interval_unit_check"] $(, $extra)*).await?;
        $call($db, ScheduleStatus::ALL, ScheduleStatus::as_str, &["schedules_status_check"] $(, $extra)*).await?;
        $call($db, OverlapPolicy::ALL, OverlapPolicy::as_str, &["schedules_overlap_policy_check"] $(, $extra)*).await?;
        $call($db, ExecutionStatus::ALL, ExecutionStatus::as_str, &[
            "schedules_last_status_check", "schedule_executions_status_check",
        ] $(, $extra)*).await?;
        $call($db, NotificationKind::ALL, NotificationKind::as_str, &["notifications_kind_check"] $(, $extra)*).await?;
        $call($db, NotificationStatus::ALL, NotificationStatus::as_str, &["notifications_status_check"] $(, $extra)*).await?;
        $call($db, DeliveryStatus::ALL, DeliveryStatus::as_str, &["webhook_deliveries_status_check"] $(, $extra)*).await?;
        $call($db, DisabledReason::ALL, DisabledReason::as_str, &["webhooks_disabled_reason_check"] $(, $extra)*).await?;
        $call($db, EventType::ALL, EventType::as_str, &[] $(, $extra)*).await?;
    };
}

#[tokio::test]
async fn the_values_of_every_enum_are_those_of_its_check() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let mut compared: BTreeSet<String> = BTreeSet::new();
    each_enum!(compare, &database.pool, &mut compared);

    let lists: BTreeSet<String> = sqlx::query_scalar(
        "SELECT conname::text FROM pg_constraint
         WHERE contype = 'c' AND connamespace = 'public'::regnamespace AND cardinality(conkey) = 1
             AND pg_get_constraintdef(oid) LIKE '%::text = ANY%'",
    )
    .fetch_all(&database.pool)
    .await?
    .into_iter()
    .collect();
    assert_eq!(lists, compared, "a CHECK that lists values has no enum here, or the other way round");
    Ok(())
}

async fn compare<T: Copy>(
    db: &PgPool,
    all: &[T],
    text: fn(T) -> &'static str,
    checks: &[&str],
    compared: &mut BTreeSet<String>,
) -> anyhow::Result<()> {
    let expected: BTreeSet<&str> = all.iter().map(|value| text(*value)).collect();
    for check in checks {
        let definition: String =
            sqlx::query_scalar("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = $1")
                .bind(check)
                .fetch_one(db)
                .await?;
        // CHECK (… ARRAY['pending'::character varying, 'queued'::character varying] …)
        let values: BTreeSet<&str> = definition.split('\'').skip(1).step_by(2).collect();
        assert_eq!(values, expected, "{check}: {definition}");
        compared.insert((*check).to_owned());
    }
    Ok(())
}

#[tokio::test]
async fn sql_json_and_messages_spell_every_value_alike() -> anyhow::Result<()> {
    let database = Database::new().await?;
    each_enum!(round_trip, &database.pool);
    Ok(())
}

async fn round_trip<T>(db: &PgPool, all: &[T], text: fn(T) -> &'static str, _: &[&str]) -> anyhow::Result<()>
where
    T: Copy + std::fmt::Debug + PartialEq + std::fmt::Display + serde::Serialize + serde::de::DeserializeOwned,
    T: Type<Postgres>
        + for<'q> Encode<'q, Postgres>
        + for<'r> sqlx::Decode<'r, Postgres>
        + Send
        + Sync
        + Unpin
        + 'static,
{
    for value in all {
        let (stored, read): (String, T) =
            sqlx::query_as("SELECT $1::varchar::text, $1::varchar").bind(*value).fetch_one(db).await?;
        assert_eq!((stored.as_str(), read), (text(*value), *value));
        assert_eq!(value.to_string(), stored);
        let json = serde_json::to_value(value)?;
        assert_eq!(json, stored.as_str());
        assert_eq!(serde_json::from_value::<T>(json)?, *value);
    }
    Ok(())
}

/// The specification's own statements, run in a schema beside ours, so that PostgreSQL itself reads both.
async fn with_specification(database: &Database) -> anyhow::Result<()> {
    let mut conn = database.pool.acquire().await?;
    conn.execute("CREATE SCHEMA spec; SET search_path = spec, public;").await?;
    conn.execute(include_str!("spec_tables.sql")).await?;
    conn.execute("RESET search_path").await?;
    Ok(())
}

/// What `sql` finds in the specification's schema and not in ours: nothing, if all goes well.
async fn missing(database: &Database, sql: &'static str) -> sqlx::Result<Vec<String>> {
    let both = format!(
        "WITH facts AS ({sql}) SELECT fact FROM facts WHERE in_spec EXCEPT SELECT fact FROM facts WHERE NOT in_spec"
    );
    sqlx::query_scalar(AssertSqlSafe(both)).fetch_all(&database.pool).await
}

#[tokio::test]
async fn the_specifications_tables_have_its_columns_types_and_defaults() -> anyhow::Result<()> {
    let database = Database::new().await?;
    with_specification(&database).await?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'spec'")
        .fetch_one(&database.pool)
        .await?;
    assert_eq!(tables, 11);
    const COLUMNS: &str = "SELECT table_schema = 'spec' AS in_spec,
            concat_ws(' ', table_name, column_name, udt_name, character_maximum_length, numeric_precision, numeric_scale,
                'default', column_default) AS fact
        FROM information_schema.columns WHERE table_schema IN ('spec', 'public')";
    assert_eq!(missing(&database, COLUMNS).await?, Vec::<String>::new());
    // A column that the specification gives a default is NOT NULL here; otherwise what is NOT NULL there is so here.
    const NOT_NULL: &str = "SELECT table_schema = 'spec' AS in_spec, concat_ws(' ', table_name, column_name) AS fact
        FROM information_schema.columns
        WHERE table_schema IN ('spec', 'public')
            AND (is_nullable = 'NO' OR (table_schema = 'spec' AND column_default IS NOT NULL))";
    assert_eq!(missing(&database, NOT_NULL).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn the_specifications_keys_and_indexes_are_there_under_their_names() -> anyhow::Result<()> {
    let database = Database::new().await?;
    with_specification(&database).await?;
    let indexes: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_indexes WHERE schemaname = 'spec' AND indexname LIKE 'idx%'")
            .fetch_one(&database.pool)
            .await?;
    assert_eq!(indexes, 36);
    // Ours may be unique where the specification's is not (`idx_run_items_order`), and a case's history is in order, too.
    const INDEXES: &str = r"SELECT schemaname = 'spec' AS in_spec, replace(replace(
            regexp_replace(indexdef, '\m(spec|public)\.', ''), 'UNIQUE ', ''), ', executed_at DESC, id DESC)', ')') AS fact
        FROM pg_indexes WHERE schemaname IN ('spec', 'public') AND indexname LIKE 'idx%'";
    assert_eq!(missing(&database, INDEXES).await?, Vec::<String>::new());
    const KEYS: &str = r"SELECT connamespace = 'spec'::regnamespace AS in_spec,
            concat_ws(' ', relname, regexp_replace(pg_get_constraintdef(c.oid), '\m(spec|public)\.', '')) AS fact
        FROM pg_constraint c JOIN pg_class t ON t.oid = conrelid
        WHERE contype IN ('p', 'u', 'f') AND connamespace IN ('spec'::regnamespace, 'public'::regnamespace)";
    assert_eq!(missing(&database, KEYS).await?, Vec::<String>::new());
    Ok(())
}

/// A project, a user, a case, a pending run with an item, a result, a step, a schedule, a notification.
const ONE_OF_EACH: &str = "
    INSERT INTO projects (id, name) VALUES ('00000000-0000-0000-0000-000000000001', 'P');
    INSERT INTO users (id, email, display_name) VALUES ('00000000-0000-0000-0000-000000000002', 'a@example.com', 'A');
    INSERT INTO test_cases (id, project_id, name, external_key)
        VALUES ('00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-000000000001', 'C', 'key');
    INSERT INTO test_runs (id, run_name, run_number, project_id, created_by) VALUES (
        '00000000-0000-0000-0000-000000000004', 'R', 1,
        '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002');
    INSERT INTO test_run_items (id, test_run_id, test_case_id, execution_order) VALUES (
        '00000000-0000-0000-0000-000000000005', '00000000-0000-0000-0000-000000000004',
        '00000000-0000-0000-0000-000000000003', 1);
    INSERT INTO test_run_results (id, test_run_id, test_run_item_id, test_case_id, status) VALUES (
        '00000000-0000-0000-0000-000000000006', '00000000-0000-0000-0000-000000000004',
        '00000000-0000-0000-0000-000000000005', '00000000-0000-0000-0000-000000000003', 'passed');
    INSERT INTO test_step_results (test_run_result_id, step_number, action, status)
        VALUES ('00000000-0000-0000-0000-000000000006', 1, 'click', 'passed');
    INSERT INTO schedules (id, project_id, created_by, schedule_name, scheduled_datetime) VALUES (
        '00000000-0000-0000-0000-000000000007', '00000000-0000-0000-0000-000000000001',
        '00000000-0000-0000-0000-000000000002', 'S', now());
    INSERT INTO notifications (id, test_run_id, kind, recipient) VALUES (
        '00000000-0000-0000-0000-000000000008', '00000000-0000-0000-0000-000000000004', 'failure', 'a@example.com');
    INSERT INTO project_members (project_id, user_id, role) VALUES (
        '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002', 'viewer');
    INSERT INTO api_tokens (project_id, user_id, name, role, token_hash, token_hint)
        SELECT project_id, user_id, 'T', 'viewer', 'h', 't' FROM project_members;
    INSERT INTO idempotency_keys (token_id, key, request_hash) SELECT id, 'k', 'h' FROM api_tokens;
    INSERT INTO webhooks (id, project_id, url, secret, created_by)
        SELECT gen_random_uuid(), project_id, 'https://example.com', 's', user_id FROM project_members;
    INSERT INTO events (id, project_id, type, data) SELECT gen_random_uuid(), id, 'run.created', '{}' FROM projects;
    INSERT INTO webhook_deliveries (id, webhook_id, event_id) SELECT gen_random_uuid(), w.id, e.id FROM webhooks w, events e;";

/// Statements that describe what can never be, and what refuses them.
const ILLEGAL: &[(&str, &str)] = &[
    ("UPDATE test_runs SET status = 'completed', started_at = now()", "test_runs_lifecycle_check"),
    ("UPDATE test_runs SET status = 'cancelled'", "test_runs_lifecycle_check"),
    ("UPDATE test_runs SET completed_at = now()", "test_runs_lifecycle_check"),
    ("UPDATE test_runs SET status = 'running'", "test_runs_lifecycle_check"),
    ("UPDATE test_runs SET status = 'completed', completed_at = now()", "test_runs_lifecycle_check"),
    ("UPDATE test_runs SET finalised_at = now()", "test_runs_lifecycle_check"),
    ("UPDATE test_runs SET status = 'done'", "test_runs_status_check"),
    ("UPDATE test_runs SET passed_tests = -1", "test_runs_counts_check"),
    (
        "UPDATE test_runs SET total_tests = 2, passed_tests = 1, failed_tests = 1, no_run_tests = 1",
        "test_runs_counts_check",
    ),
    ("UPDATE test_runs SET pass_rate = 100.01", "test_runs_pass_rate_check"),
    ("UPDATE test_runs SET parallel_count = 11", "test_runs_parallel_count_check"),
    ("UPDATE test_runs SET retry_count = -1", "test_runs_retry_count_check"),
    ("UPDATE test_runs SET viewport_width = 0", "test_runs_viewport_check"),
    (
        "INSERT INTO test_runs (run_name, run_number, project_id, created_by)
         SELECT run_name, run_number, project_id, created_by FROM test_runs",
        "test_runs_run_number_key",
    ),
    ("UPDATE test_run_items SET execution_order = 0", "test_run_items_order_check"),
    ("UPDATE test_run_items SET total_steps = 1, passed_steps = 1, failed_steps = 1", "test_run_items_counts_check"),
    ("UPDATE test_run_items SET passed_iterations = -1", "test_run_items_counts_check"),
    (
        "INSERT INTO test_run_items (test_run_id, test_case_id, execution_order)
         SELECT test_run_id, test_case_id, 2 FROM test_run_items",
        "test_run_items_test_case_key",
    ),
    (
        "INSERT INTO test_run_results (test_run_id, test_run_item_id, test_case_id, status)
         SELECT test_run_id, test_run_item_id, test_case_id, 'failed' FROM test_run_results",
        "test_run_results_attempt_key",
    ),
    ("UPDATE test_run_results SET iteration_number = 0", "test_run_results_iteration_check"),
    ("UPDATE test_run_results SET retry_attempt = -1", "test_run_results_attempt_check"),
    ("UPDATE test_run_results SET duration_ms = -1", "test_run_results_duration_check"),
    ("UPDATE test_run_results SET total_checkpoints = 1, failed_checkpoints = 2", "test_run_results_counts_check"),
    ("UPDATE test_run_results SET checkpoint_pass_rate = -0.01", "test_run_results_rates_check"),
    ("UPDATE test_step_results SET step_number = 0", "test_step_results_step_number_check"),
    (
        "INSERT INTO test_step_results (test_run_result_id, step_number, action, status)
         SELECT test_run_result_id, step_number, action, status FROM test_step_results",
        "idx_step_results_number",
    ),
    (
        "INSERT INTO test_cases (project_id, name, external_key) SELECT project_id, name, external_key FROM test_cases",
        "test_cases_external_key_key",
    ),
    ("UPDATE schedules SET status = 'completed', next_execution_at = now()", "schedules_next_check"),
    ("UPDATE schedules SET repeat_days_of_week = '{8}'", "schedules_days_of_week_check"),
    ("UPDATE schedules SET repeat_day_of_month = 32", "schedules_day_of_month_check"),
    ("UPDATE schedules SET max_occurrences = 0", "schedules_max_occurrences_check"),
    (
        "INSERT INTO schedule_executions (schedule_id, scheduled_for, status)
         SELECT id, now(), 'pending' FROM schedules UNION ALL SELECT id, now(), 'missed' FROM schedules",
        "schedule_executions_occurrence_key",
    ),
    ("UPDATE notifications SET status = 'sent'", "notifications_sent_check"),
    ("UPDATE notifications SET status = 'sending'", "notifications_lease_check"),
    ("UPDATE notifications SET lease_until = now()", "notifications_lease_check"),
    (
        "INSERT INTO notifications (id, test_run_id, kind, recipient)
         SELECT gen_random_uuid(), test_run_id, kind, recipient FROM notifications",
        "notifications_recipient_key",
    ),
    ("INSERT INTO users (email, display_name) VALUES ('A@Example.com', 'Another')", "users_email_key"),
    ("UPDATE api_tokens SET role = 'owner'", "api_tokens_role_check"),
    (
        "INSERT INTO api_tokens (project_id, user_id, name, role, token_hash, token_hint) \
      SELECT project_id, user_id, name, role, token_hash, token_hint FROM api_tokens",
        "api_tokens_token_hash_key",
    ),
    ("UPDATE idempotency_keys SET response_status = 201", "idempotency_keys_response_check"),
    ("UPDATE webhooks SET is_enabled = FALSE", "webhooks_disabled_check"),
    ("UPDATE webhooks SET disabled_reason = 'gone'", "webhooks_disabled_check"),
    ("UPDATE webhooks SET previous_secret = 'old'", "webhooks_previous_secret_check"),
    (
        "INSERT INTO webhook_deliveries (id, webhook_id, event_id) SELECT gen_random_uuid(), webhook_id, event_id FROM webhook_deliveries",
        "webhook_deliveries_event_key",
    ),
    ("UPDATE webhook_deliveries SET status = 'delivered'", "webhook_deliveries_delivered_check"),
    ("UPDATE webhook_deliveries SET status = 'sending'", "webhook_deliveries_lease_check"),
];

#[tokio::test]
async fn rows_that_can_never_be_are_refused_by_name() -> anyhow::Result<()> {
    let database = Database::new().await?;
    let mut conn = database.pool.acquire().await?;
    conn.execute(ONE_OF_EACH).await?;
    for (statement, constraint) in ILLEGAL {
        assert_eq!(refusal(&mut conn, statement).await?.as_deref(), Some(*constraint), "{statement}");
    }
    Ok(())
}

/// The constraint that a statement breaks, if any. Nothing stays of the statement.
async fn refusal(conn: &mut PgConnection, statement: &'static str) -> anyhow::Result<Option<String>> {
    let mut tx = conn.begin().await?;
    let Err(error) = tx.execute(statement).await else { return Ok(None) };
    let constraint = error.as_database_error().and_then(|error| error.constraint().map(str::to_owned));
    tx.rollback().await?;
    Ok(constraint)
}
