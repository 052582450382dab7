-- What an execution left behind. Columns, types and indexes are the specification's; a column with a default is NOT NULL here.

CREATE TABLE test_run_results (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),

    test_run_id UUID NOT NULL REFERENCES test_runs (id) ON DELETE CASCADE,
    test_run_item_id UUID NOT NULL REFERENCES test_run_items (id) ON DELETE CASCADE,
    test_case_id UUID NOT NULL REFERENCES test_cases (id),

    iteration_number INTEGER CONSTRAINT test_run_results_iteration_check CHECK (iteration_number >= 1),
    data_row_index INTEGER,
    data_row_values JSONB,

    status VARCHAR(50) NOT NULL
        CONSTRAINT test_run_results_status_check CHECK (status IN ('passed', 'failed', 'skipped')),

    started_at TIMESTAMP WITH TIME ZONE,
    completed_at TIMESTAMP WITH TIME ZONE,
    duration_ms BIGINT NOT NULL DEFAULT 0 CONSTRAINT test_run_results_duration_check CHECK (duration_ms >= 0),

    total_steps INTEGER NOT NULL DEFAULT 0,
    passed_steps INTEGER NOT NULL DEFAULT 0,
    failed_steps INTEGER NOT NULL DEFAULT 0,
    skipped_steps INTEGER NOT NULL DEFAULT 0,
    pass_rate DECIMAL(5,2) NOT NULL DEFAULT 0.00,

    total_checkpoints INTEGER NOT NULL DEFAULT 0,
    passed_checkpoints INTEGER NOT NULL DEFAULT 0,
    failed_checkpoints INTEGER NOT NULL DEFAULT 0,
    checkpoint_pass_rate DECIMAL(5,2) NOT NULL DEFAULT 0.00,

    total_pre_scripts INTEGER NOT NULL DEFAULT 0,
    passed_pre_scripts INTEGER NOT NULL DEFAULT 0,
    failed_pre_scripts INTEGER NOT NULL DEFAULT 0,
    total_post_scripts INTEGER NOT NULL DEFAULT 0,
    passed_post_scripts INTEGER NOT NULL DEFAULT 0,
    failed_post_scripts INTEGER NOT NULL DEFAULT 0,
    total_on_demand_scripts INTEGER NOT NULL DEFAULT 0,
    passed_on_demand_scripts INTEGER NOT NULL DEFAULT 0,
    failed_on_demand_scripts INTEGER NOT NULL DEFAULT 0,
    pre_script_aborted BOOLEAN NOT NULL DEFAULT FALSE,

    total_accessibility_violations INTEGER NOT NULL DEFAULT 0,
    accessibility_results JSONB,

    error_message TEXT,
    error_step_number INTEGER,
    error_screenshot_path VARCHAR(500),

    initial_url VARCHAR(2000),
    final_url VARCHAR(2000),

    results_folder VARCHAR(500),
    report_path VARCHAR(500),

    retry_attempt INTEGER NOT NULL DEFAULT 0 CONSTRAINT test_run_results_attempt_check CHECK (retry_attempt >= 0),

    racing_stats JSONB,
    environment_info JSONB,

    captured_downloads JSONB,
    downloads_folder VARCHAR(500),

    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,

    -- Beyond the specification: the counts that the client stated itself, by column. The others follow the rows.
    stated_counts JSONB,

    -- One result per (item, iteration, attempt), "no iteration" being one value among them.
    CONSTRAINT test_run_results_attempt_key UNIQUE NULLS NOT DISTINCT (test_run_item_id, iteration_number, retry_attempt),
    CONSTRAINT test_run_results_counts_check CHECK (
        passed_steps >= 0 AND failed_steps >= 0 AND skipped_steps >= 0
        AND passed_steps + failed_steps + skipped_steps <= total_steps
        AND passed_checkpoints >= 0 AND failed_checkpoints >= 0
        AND passed_checkpoints + failed_checkpoints <= total_checkpoints
    ),
    CONSTRAINT test_run_results_rates_check CHECK (pass_rate BETWEEN 0 AND 100 AND checkpoint_pass_rate BETWEEN 0 AND 100)
);

CREATE INDEX idx_results_test_run ON test_run_results (test_run_id);
CREATE INDEX idx_results_item ON test_run_results (test_run_item_id);
CREATE INDEX idx_results_test_case ON test_run_results (test_case_id);
CREATE INDEX idx_results_status ON test_run_results (status);
CREATE INDEX idx_results_iteration ON test_run_results (test_run_item_id, iteration_number);

CREATE TABLE test_step_results (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),

    test_run_result_id UUID NOT NULL REFERENCES test_run_results (id) ON DELETE CASCADE,

    step_number INTEGER NOT NULL CONSTRAINT test_step_results_step_number_check CHECK (step_number >= 1),
    action VARCHAR(100) NOT NULL,
    description TEXT,

    status VARCHAR(50) NOT NULL
        CONSTRAINT test_step_results_status_check CHECK (status IN ('passed', 'failed', 'skipped')),

    started_at TIMESTAMP WITH TIME ZONE,
    completed_at TIMESTAMP WITH TIME ZONE,
    duration_ms BIGINT NOT NULL DEFAULT 0 CONSTRAINT test_step_results_duration_check CHECK (duration_ms >= 0),

    selector VARCHAR(1000),
    element_html TEXT,

    input_value TEXT,

    screenshot_path VARCHAR(500),
    screenshot_url VARCHAR(500),

    error_message TEXT,
    error_stack_trace TEXT,

    playwright_code TEXT,

    window_id VARCHAR(100),
    window_title VARCHAR(500),

    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT test_step_results_step_number_key UNIQUE (test_run_result_id, step_number)
);

CREATE INDEX idx_step_results_result ON test_step_results (test_run_result_id);
CREATE INDEX idx_step_results_number ON test_step_results (test_run_result_id, step_number);
CREATE INDEX idx_step_results_status ON test_step_results (status);

CREATE TABLE checkpoint_results (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),

    test_run_result_id UUID NOT NULL REFERENCES test_run_results (id) ON DELETE CASCADE,
    test_step_result_id UUID REFERENCES test_step_results (id) ON DELETE CASCADE,

    checkpoint_name VARCHAR(255) NOT NULL,
    checkpoint_type VARCHAR(50) NOT NULL
        CONSTRAINT checkpoint_results_type_check CHECK (checkpoint_type IN ('element', 'screenshot', 'api', 'download')),

    status VARCHAR(50) NOT NULL
        CONSTRAINT checkpoint_results_status_check CHECK (status IN ('passed', 'failed')),

    selector VARCHAR(1000),
    profile VARCHAR(50),

    expected_properties JSONB,
    actual_properties JSONB,
    failed_properties TEXT[],

    property_verifications JSONB,

    screenshot_index INTEGER,
    baseline_screenshot_path VARCHAR(500),
    actual_screenshot_path VARCHAR(500),
    diff_screenshot_path VARCHAR(500),
    diff_percentage DECIMAL(5,2)
        CONSTRAINT checkpoint_results_diff_percentage_check CHECK (diff_percentage BETWEEN 0 AND 100),

    error_message TEXT,

    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX idx_checkpoint_result ON checkpoint_results (test_run_result_id);
CREATE INDEX idx_checkpoint_step ON checkpoint_results (test_step_result_id);
CREATE INDEX idx_checkpoint_status ON checkpoint_results (status);

CREATE TABLE script_results (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),

    test_run_result_id UUID NOT NULL REFERENCES test_run_results (id) ON DELETE CASCADE,
    test_script_id UUID REFERENCES test_scripts (id) ON DELETE SET NULL,

    script_name VARCHAR(255) NOT NULL,
    script_type VARCHAR(50) NOT NULL
        CONSTRAINT script_results_type_check CHECK (script_type IN ('pre_execution', 'post_execution', 'on_demand')),
    script_language VARCHAR(50),

    status VARCHAR(50) NOT NULL
        CONSTRAINT script_results_status_check CHECK (status IN ('passed', 'failed', 'skipped')),

    exit_code INTEGER,
    duration_ms BIGINT NOT NULL DEFAULT 0 CONSTRAINT script_results_duration_check CHECK (duration_ms >= 0),

    stdout TEXT,
    stderr TEXT,

    error_message TEXT,

    is_critical BOOLEAN NOT NULL DEFAULT FALSE,

    attached_to_step INTEGER,

    executed_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX idx_script_result_run ON script_results (test_run_result_id);
CREATE INDEX idx_script_result_type ON script_results (script_type);

CREATE TABLE console_logs (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),

    test_run_result_id UUID NOT NULL REFERENCES test_run_results (id) ON DELETE CASCADE,

    log_level VARCHAR(20) NOT NULL
        CONSTRAINT console_logs_level_check CHECK (log_level IN ('log', 'info', 'warn', 'error', 'debug')),
    message TEXT NOT NULL,

    source VARCHAR(500),
    line_number INTEGER,
    column_number INTEGER,

    stack_trace TEXT,

    step_index INTEGER,

    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,

    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX idx_console_logs_result ON console_logs (test_run_result_id);
CREATE INDEX idx_console_logs_level ON console_logs (log_level);
CREATE INDEX idx_console_logs_timestamp ON console_logs (timestamp);

CREATE TABLE network_logs (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),

    test_run_result_id UUID NOT NULL REFERENCES test_run_results (id) ON DELETE CASCADE,

    url VARCHAR(2000) NOT NULL,
    method VARCHAR(10) NOT NULL,

    status_code INTEGER CONSTRAINT network_logs_status_code_check CHECK (status_code BETWEEN 0 AND 999),
    status_text VARCHAR(100),

    request_headers JSONB,
    response_headers JSONB,

    request_body_preview TEXT,
    response_body_preview TEXT,

    content_type VARCHAR(200),
    content_length BIGINT,
    resource_type VARCHAR(50),

    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
    duration_ms BIGINT,
    ttfb_ms BIGINT,

    error_message TEXT,

    step_index INTEGER,

    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX idx_network_logs_result ON network_logs (test_run_result_id);
CREATE INDEX idx_network_logs_status ON network_logs (status_code);
CREATE INDEX idx_network_logs_timestamp ON network_logs (timestamp);

CREATE TABLE test_execution_history (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),

    test_case_id UUID NOT NULL REFERENCES test_cases (id) ON DELETE CASCADE,
    test_run_id UUID REFERENCES test_runs (id) ON DELETE SET NULL,
    test_run_result_id UUID REFERENCES test_run_results (id) ON DELETE SET NULL,

    status VARCHAR(50) NOT NULL
        CONSTRAINT test_execution_history_status_check CHECK (status IN ('passed', 'failed', 'skipped')),
    executed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    duration_ms BIGINT NOT NULL DEFAULT 0,

    total_steps INTEGER NOT NULL DEFAULT 0,
    passed_steps INTEGER NOT NULL DEFAULT 0,
    failed_steps INTEGER NOT NULL DEFAULT 0,
    pass_rate DECIMAL(5,2) NOT NULL DEFAULT 0.00
        CONSTRAINT test_execution_history_pass_rate_check CHECK (pass_rate BETWEEN 0 AND 100),

    error_message TEXT,

    run_name VARCHAR(255),
    is_scheduled BOOLEAN NOT NULL DEFAULT FALSE,

    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,

    -- One row per execution: a repeated write of the same result's row changes nothing.
    CONSTRAINT test_execution_history_result_key UNIQUE (test_run_result_id)
);

CREATE INDEX idx_exec_history_test_case ON test_execution_history (test_case_id);
CREATE INDEX idx_exec_history_date ON test_execution_history (executed_at DESC);
CREATE INDEX idx_exec_history_status ON test_execution_history (status);
CREATE INDEX idx_exec_history_test_run ON test_execution_history (test_run_id);
