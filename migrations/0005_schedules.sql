-- Schedules and what came of each due time (scheduling rules; columns and indexes are the specification's).

CREATE TABLE schedules (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),

    project_id UUID NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    created_by UUID NOT NULL REFERENCES users (id),

    schedule_name VARCHAR(255) NOT NULL,
    suite_path TEXT[],
    suite_name VARCHAR(255),
    test_case_ids UUID[],

    -- Wall-clock digits in `timezone`, kept as if they were UTC and never compared with now().
    scheduled_datetime TIMESTAMP WITH TIME ZONE NOT NULL,
    timezone VARCHAR(50) NOT NULL DEFAULT 'UTC',

    repeat_type VARCHAR(50) NOT NULL DEFAULT 'none'
        CONSTRAINT schedules_repeat_type_check
        CHECK (repeat_type IN ('none', 'hourly', 'daily', 'weekly', 'monthly', 'custom')),
    repeat_interval INTEGER CONSTRAINT schedules_repeat_interval_check CHECK (repeat_interval >= 1),
    repeat_days_of_week INTEGER[]
        CONSTRAINT schedules_days_of_week_check CHECK (repeat_days_of_week <@ ARRAY[0, 1, 2, 3, 4, 5, 6, 7]),
    repeat_day_of_month INTEGER CONSTRAINT schedules_day_of_month_check CHECK (repeat_day_of_month BETWEEN 1 AND 31),
    repeat_end_date TIMESTAMP WITH TIME ZONE,
    max_occurrences INTEGER CONSTRAINT schedules_max_occurrences_check CHECK (max_occurrences >= 1),

    status VARCHAR(50) NOT NULL DEFAULT 'active'
        CONSTRAINT schedules_status_check CHECK (status IN ('active', 'paused', 'completed', 'cancelled')),
    is_enabled BOOLEAN NOT NULL DEFAULT TRUE,

    parallel_enabled BOOLEAN NOT NULL DEFAULT FALSE,
    parallel_count INTEGER NOT NULL DEFAULT 1
        CONSTRAINT schedules_parallel_count_check CHECK (parallel_count BETWEEN 1 AND 10),
    retry_on_failure BOOLEAN NOT NULL DEFAULT FALSE,
    retry_count INTEGER NOT NULL DEFAULT 0 CONSTRAINT schedules_retry_count_check CHECK (retry_count BETWEEN 0 AND 10),

    notify_on_completion BOOLEAN NOT NULL DEFAULT TRUE,
    notify_on_failure BOOLEAN NOT NULL DEFAULT TRUE,
    notification_emails TEXT[],

    execution_count INTEGER NOT NULL DEFAULT 0 CONSTRAINT schedules_execution_count_check CHECK (execution_count >= 0),
    last_executed_at TIMESTAMP WITH TIME ZONE,
    last_execution_status VARCHAR(50)
        CONSTRAINT schedules_last_status_check
        CHECK (last_execution_status IN ('pending', 'running', 'completed', 'failed', 'missed', 'cancelled')),
    next_execution_at TIMESTAMP WITH TIME ZONE,

    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,

    -- Beyond the specification's table: what scheduling asks for.
    repeat_interval_unit VARCHAR(10)
        CONSTRAINT schedules_repeat_interval_unit_check CHECK (repeat_interval_unit IN ('hours', 'days')),
    cron_expression VARCHAR(255),
    catchup_window_seconds INTEGER CONSTRAINT schedules_catchup_window_check CHECK (catchup_window_seconds >= 0),
    overlap_policy VARCHAR(10) NOT NULL DEFAULT 'allow'
        CONSTRAINT schedules_overlap_policy_check CHECK (overlap_policy IN ('allow', 'skip')),
    -- How often in a row the due time could not be fired; the third failure is recorded and the schedule moves on.
    fire_failures INTEGER NOT NULL DEFAULT 0,
    deleted_at TIMESTAMP WITH TIME ZONE,

    CONSTRAINT schedules_next_check CHECK (next_execution_at IS NULL OR status IN ('active', 'paused'))
);

CREATE INDEX idx_schedules_project ON schedules (project_id);
CREATE INDEX idx_schedules_next_exec ON schedules (next_execution_at) WHERE status = 'active';
CREATE INDEX idx_schedules_status ON schedules (status);

CREATE TABLE schedule_executions (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),

    schedule_id UUID NOT NULL REFERENCES schedules (id) ON DELETE CASCADE,
    test_run_id UUID REFERENCES test_runs (id) ON DELETE SET NULL,

    scheduled_for TIMESTAMP WITH TIME ZONE NOT NULL,
    executed_at TIMESTAMP WITH TIME ZONE,

    status VARCHAR(50) NOT NULL
        CONSTRAINT schedule_executions_status_check
        CHECK (status IN ('pending', 'running', 'completed', 'failed', 'missed', 'cancelled')),

    total_tests INTEGER NOT NULL DEFAULT 0,
    passed_tests INTEGER NOT NULL DEFAULT 0,
    failed_tests INTEGER NOT NULL DEFAULT 0,
    duration_ms BIGINT NOT NULL DEFAULT 0,

    error_message TEXT,

    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,

    -- Beyond the specification: when the doorbell for this row was rung last.
    rung_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT schedule_executions_occurrence_key UNIQUE (schedule_id, scheduled_for),
    CONSTRAINT schedule_executions_test_run_key UNIQUE (test_run_id)
);

CREATE INDEX idx_schedule_exec_schedule ON schedule_executions (schedule_id);
CREATE INDEX idx_schedule_exec_status ON schedule_executions (status);
CREATE INDEX idx_schedule_exec_date ON schedule_executions (scheduled_for DESC);
