-- The eleven tables and their indexes as the specification has them, to compare ours with.

CREATE TABLE test_runs (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),

    -- Basic Info
    run_name VARCHAR(255) NOT NULL,
    run_number INTEGER NOT NULL,  -- Sequential: Run_001, Run_002

    -- Ownership
    project_id UUID NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    created_by UUID NOT NULL REFERENCES users(id),

    -- Suite/Folder Info
    suite_path TEXT[],  -- Array: ['ROOT', 'Regression', 'Smoke']
    suite_name VARCHAR(255),

    -- Execution Status
    status VARCHAR(50) NOT NULL DEFAULT 'pending',
    -- Values: pending, queued, running, completed, cancelled, failed

    -- Timing
    scheduled_at TIMESTAMP WITH TIME ZONE,  -- When scheduled to run
    started_at TIMESTAMP WITH TIME ZONE,
    completed_at TIMESTAMP WITH TIME ZONE,
    duration_ms BIGINT DEFAULT 0,

    -- Summary Statistics
    total_tests INTEGER DEFAULT 0,
    passed_tests INTEGER DEFAULT 0,
    failed_tests INTEGER DEFAULT 0,
    skipped_tests INTEGER DEFAULT 0,
    no_run_tests INTEGER DEFAULT 0,
    pass_rate DECIMAL(5,2) DEFAULT 0.00,  -- Percentage: 85.50

    -- Configuration
    parallel_enabled BOOLEAN DEFAULT FALSE,
    parallel_count INTEGER DEFAULT 1,  -- 1-10 workers
    retry_count INTEGER DEFAULT 0,  -- Number of retries on failure
    retry_on_failure BOOLEAN DEFAULT FALSE,

    -- Environment
    browser_name VARCHAR(50),  -- chromium, firefox, webkit
    browser_version VARCHAR(50),
    os_name VARCHAR(100),
    os_version VARCHAR(50),
    viewport_width INTEGER,
    viewport_height INTEGER,

    -- Results Storage
    results_folder VARCHAR(500),  -- Path to results folder
    report_path VARCHAR(500),  -- Path to HTML report

    -- Metadata
    tags TEXT[],  -- Array of tags
    notes TEXT,

    -- Timestamps
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX idx_test_runs_project ON test_runs(project_id);
CREATE INDEX idx_test_runs_status ON test_runs(status);
CREATE INDEX idx_test_runs_created_at ON test_runs(created_at DESC);
CREATE INDEX idx_test_runs_created_by ON test_runs(created_by);
CREATE TABLE test_run_items (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),

    -- Parent Reference
    test_run_id UUID NOT NULL REFERENCES test_runs(id) ON DELETE CASCADE,
    test_case_id UUID NOT NULL REFERENCES test_cases(id) ON DELETE CASCADE,

    -- Order in Run
    execution_order INTEGER NOT NULL,

    -- Status
    status VARCHAR(50) NOT NULL DEFAULT 'pending',
    -- Values: pending, queued, running, passed, failed, skipped, no_run

    -- Timing
    started_at TIMESTAMP WITH TIME ZONE,
    completed_at TIMESTAMP WITH TIME ZONE,
    duration_ms BIGINT DEFAULT 0,

    -- Quick Stats (copied for quick access)
    total_steps INTEGER DEFAULT 0,
    passed_steps INTEGER DEFAULT 0,
    failed_steps INTEGER DEFAULT 0,
    skipped_steps INTEGER DEFAULT 0,

    -- Checkpoint Stats
    total_checkpoints INTEGER DEFAULT 0,
    passed_checkpoints INTEGER DEFAULT 0,
    failed_checkpoints INTEGER DEFAULT 0,

    -- Data-Driven Info
    is_data_driven BOOLEAN DEFAULT FALSE,
    total_iterations INTEGER DEFAULT 0,
    passed_iterations INTEGER DEFAULT 0,
    failed_iterations INTEGER DEFAULT 0,

    -- Retry Info
    retry_attempt INTEGER DEFAULT 0,  -- Which attempt succeeded (0 = first try)
    max_retries_exhausted BOOLEAN DEFAULT FALSE,

    -- Error Info
    error_message TEXT,
    error_screenshot_path VARCHAR(500),

    -- Results Location
    results_folder VARCHAR(500),

    -- Timestamps
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,

    -- Unique constraint: one test case per run
    UNIQUE(test_run_id, test_case_id)
);

CREATE INDEX idx_run_items_test_run ON test_run_items(test_run_id);
CREATE INDEX idx_run_items_test_case ON test_run_items(test_case_id);
CREATE INDEX idx_run_items_status ON test_run_items(status);
CREATE INDEX idx_run_items_order ON test_run_items(test_run_id, execution_order);
CREATE TABLE test_run_results (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),

    -- Parent References
    test_run_id UUID NOT NULL REFERENCES test_runs(id) ON DELETE CASCADE,
    test_run_item_id UUID NOT NULL REFERENCES test_run_items(id) ON DELETE CASCADE,
    test_case_id UUID NOT NULL REFERENCES test_cases(id),

    -- For Data-Driven Tests
    iteration_number INTEGER,  -- NULL for non-data-driven, 1+ for iterations
    data_row_index INTEGER,  -- Excel row index
    data_row_values JSONB,  -- The actual data used: {"username": "test@example.com", "password": "xxx"}

    -- Execution Status
    status VARCHAR(50) NOT NULL,
    -- Values: passed, failed, skipped

    -- Timing
    started_at TIMESTAMP WITH TIME ZONE,
    completed_at TIMESTAMP WITH TIME ZONE,
    duration_ms BIGINT DEFAULT 0,

    -- Step Statistics
    total_steps INTEGER DEFAULT 0,
    passed_steps INTEGER DEFAULT 0,
    failed_steps INTEGER DEFAULT 0,
    skipped_steps INTEGER DEFAULT 0,
    pass_rate DECIMAL(5,2) DEFAULT 0.00,

    -- Checkpoint Statistics
    total_checkpoints INTEGER DEFAULT 0,
    passed_checkpoints INTEGER DEFAULT 0,
    failed_checkpoints INTEGER DEFAULT 0,
    checkpoint_pass_rate DECIMAL(5,2) DEFAULT 0.00,

    -- Script Statistics
    total_pre_scripts INTEGER DEFAULT 0,
    passed_pre_scripts INTEGER DEFAULT 0,
    failed_pre_scripts INTEGER DEFAULT 0,
    total_post_scripts INTEGER DEFAULT 0,
    passed_post_scripts INTEGER DEFAULT 0,
    failed_post_scripts INTEGER DEFAULT 0,
    total_on_demand_scripts INTEGER DEFAULT 0,
    passed_on_demand_scripts INTEGER DEFAULT 0,
    failed_on_demand_scripts INTEGER DEFAULT 0,
    pre_script_aborted BOOLEAN DEFAULT FALSE,  -- Critical pre-script failed

    -- Accessibility Statistics
    total_accessibility_violations INTEGER DEFAULT 0,
    accessibility_results JSONB,  -- Per-page a11y results

    -- Error Information
    error_message TEXT,
    error_step_number INTEGER,
    error_screenshot_path VARCHAR(500),

    -- URLs
    initial_url VARCHAR(2000),
    final_url VARCHAR(2000),

    -- Results Storage
    results_folder VARCHAR(500),
    report_path VARCHAR(500),

    -- Retry Information
    retry_attempt INTEGER DEFAULT 0,

    -- Racing Stats (for performance tracking)
    racing_stats JSONB,

    -- Environment (can differ per execution)
    environment_info JSONB,

    -- Downloads captured during test
    captured_downloads JSONB,
    downloads_folder VARCHAR(500),

    -- Timestamps
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX idx_results_test_run ON test_run_results(test_run_id);
CREATE INDEX idx_results_item ON test_run_results(test_run_item_id);
CREATE INDEX idx_results_test_case ON test_run_results(test_case_id);
CREATE INDEX idx_results_status ON test_run_results(status);
CREATE INDEX idx_results_iteration ON test_run_results(test_run_item_id, iteration_number);
CREATE TABLE test_step_results (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),

    -- Parent Reference
    test_run_result_id UUID NOT NULL REFERENCES test_run_results(id) ON DELETE CASCADE,

    -- Step Info
    step_number INTEGER NOT NULL,
    action VARCHAR(100) NOT NULL,  -- click, fill, navigate, wait, etc.
    description TEXT,

    -- Status
    status VARCHAR(50) NOT NULL,
    -- Values: passed, failed, skipped

    -- Timing
    started_at TIMESTAMP WITH TIME ZONE,
    completed_at TIMESTAMP WITH TIME ZONE,
    duration_ms BIGINT DEFAULT 0,

    -- Target Element
    selector VARCHAR(1000),
    element_html TEXT,  -- HTML captured on failure

    -- Input Value (for fill actions)
    input_value TEXT,

    -- Screenshot
    screenshot_path VARCHAR(500),
    screenshot_url VARCHAR(500),  -- If stored in cloud storage

    -- Error Info
    error_message TEXT,
    error_stack_trace TEXT,

    -- Generated Code
    playwright_code TEXT,  -- Generated Playwright code for this step

    -- Multi-Window Tracking
    window_id VARCHAR(100),
    window_title VARCHAR(500),

    -- Timestamps
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX idx_step_results_result ON test_step_results(test_run_result_id);
CREATE INDEX idx_step_results_number ON test_step_results(test_run_result_id, step_number);
CREATE INDEX idx_step_results_status ON test_step_results(status);
CREATE TABLE checkpoint_results (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),

    -- Parent Reference (can be at step level or result level)
    test_run_result_id UUID NOT NULL REFERENCES test_run_results(id) ON DELETE CASCADE,
    test_step_result_id UUID REFERENCES test_step_results(id) ON DELETE CASCADE,

    -- Checkpoint Info
    checkpoint_name VARCHAR(255) NOT NULL,
    checkpoint_type VARCHAR(50) NOT NULL,  -- element, screenshot, api, download

    -- Status
    status VARCHAR(50) NOT NULL,  -- passed, failed

    -- Element Info
    selector VARCHAR(1000),
    profile VARCHAR(50),  -- functional, visual, accessibility, full, custom

    -- Verification Details
    expected_properties JSONB,
    actual_properties JSONB,
    failed_properties TEXT[],  -- Array of property names that failed

    -- Property Verifications (detailed breakdown)
    property_verifications JSONB,
    /*
    [
      {
        "property_name": "text",
        "expected_value": "Submit",
        "actual_value": "Submit",
        "passed": true,
        "operator": "equals"
      }
    ]
    */

    -- Screenshot Info (for visual checkpoints)
    screenshot_index INTEGER,
    baseline_screenshot_path VARCHAR(500),
    actual_screenshot_path VARCHAR(500),
    diff_screenshot_path VARCHAR(500),
    diff_percentage DECIMAL(5,2),

    -- Error
    error_message TEXT,

    -- Timestamps
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX idx_checkpoint_result ON checkpoint_results(test_run_result_id);
CREATE INDEX idx_checkpoint_step ON checkpoint_results(test_step_result_id);
CREATE INDEX idx_checkpoint_status ON checkpoint_results(status);
CREATE TABLE script_results (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),

    -- Parent Reference
    test_run_result_id UUID NOT NULL REFERENCES test_run_results(id) ON DELETE CASCADE,
    test_script_id UUID REFERENCES test_scripts(id) ON DELETE SET NULL,

    -- Script Info
    script_name VARCHAR(255) NOT NULL,
    script_type VARCHAR(50) NOT NULL,  -- pre_execution, post_execution, on_demand
    script_language VARCHAR(50),  -- python, javascript, shell

    -- Status
    status VARCHAR(50) NOT NULL,  -- passed, failed, skipped

    -- Execution Details
    exit_code INTEGER,
    duration_ms BIGINT DEFAULT 0,

    -- Output
    stdout TEXT,
    stderr TEXT,

    -- Error
    error_message TEXT,

    -- Critical Flag
    is_critical BOOLEAN DEFAULT FALSE,  -- If critical script fails, test aborts

    -- Step Association (for on-demand scripts)
    attached_to_step INTEGER,

    -- Timestamps
    executed_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX idx_script_result_run ON script_results(test_run_result_id);
CREATE INDEX idx_script_result_type ON script_results(script_type);
CREATE TABLE console_logs (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),

    -- Parent Reference
    test_run_result_id UUID NOT NULL REFERENCES test_run_results(id) ON DELETE CASCADE,

    -- Log Info
    log_level VARCHAR(20) NOT NULL,  -- log, info, warn, error, debug
    message TEXT NOT NULL,

    -- Source
    source VARCHAR(500),  -- JavaScript file source
    line_number INTEGER,
    column_number INTEGER,

    -- Stack Trace (for errors)
    stack_trace TEXT,

    -- Association
    step_index INTEGER,  -- Which step this log occurred during

    -- Timing
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,

    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX idx_console_logs_result ON console_logs(test_run_result_id);
CREATE INDEX idx_console_logs_level ON console_logs(log_level);
CREATE INDEX idx_console_logs_timestamp ON console_logs(timestamp);
CREATE TABLE network_logs (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),

    -- Parent Reference
    test_run_result_id UUID NOT NULL REFERENCES test_run_results(id) ON DELETE CASCADE,

    -- Request Info
    url VARCHAR(2000) NOT NULL,
    method VARCHAR(10) NOT NULL,  -- GET, POST, PUT, DELETE, etc.

    -- Response Info
    status_code INTEGER,
    status_text VARCHAR(100),

    -- Headers
    request_headers JSONB,
    response_headers JSONB,

    -- Body Previews (truncated for storage)
    request_body_preview TEXT,
    response_body_preview TEXT,

    -- Content Info
    content_type VARCHAR(200),
    content_length BIGINT,
    resource_type VARCHAR(50),  -- document, script, stylesheet, image, fetch, xhr

    -- Timing
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
    duration_ms BIGINT,
    ttfb_ms BIGINT,  -- Time to first byte

    -- Error
    error_message TEXT,

    -- Association
    step_index INTEGER,

    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX idx_network_logs_result ON network_logs(test_run_result_id);
CREATE INDEX idx_network_logs_status ON network_logs(status_code);
CREATE INDEX idx_network_logs_timestamp ON network_logs(timestamp);
CREATE TABLE schedules (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),

    -- Ownership
    project_id UUID NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    created_by UUID NOT NULL REFERENCES users(id),

    -- What to Run
    schedule_name VARCHAR(255) NOT NULL,
    suite_path TEXT[],  -- Array: ['ROOT', 'Regression']
    suite_name VARCHAR(255),
    test_case_ids UUID[],  -- Specific test cases (if not entire suite)

    -- When to Run
    scheduled_datetime TIMESTAMP WITH TIME ZONE NOT NULL,
    timezone VARCHAR(50) DEFAULT 'UTC',

    -- Repeat Configuration
    repeat_type VARCHAR(50) NOT NULL DEFAULT 'none',
    -- Values: none, hourly, daily, weekly, monthly, custom
    repeat_interval INTEGER,  -- For custom: every N hours/days
    repeat_days_of_week INTEGER[],  -- For weekly: [1,3,5] = Mon,Wed,Fri
    repeat_day_of_month INTEGER,  -- For monthly
    repeat_end_date TIMESTAMP WITH TIME ZONE,  -- When to stop repeating
    max_occurrences INTEGER,  -- Max times to run

    -- Status
    status VARCHAR(50) NOT NULL DEFAULT 'active',
    -- Values: active, paused, completed, cancelled
    is_enabled BOOLEAN DEFAULT TRUE,

    -- Execution Configuration
    parallel_enabled BOOLEAN DEFAULT FALSE,
    parallel_count INTEGER DEFAULT 1,
    retry_on_failure BOOLEAN DEFAULT FALSE,
    retry_count INTEGER DEFAULT 0,

    -- Notification Settings
    notify_on_completion BOOLEAN DEFAULT TRUE,
    notify_on_failure BOOLEAN DEFAULT TRUE,
    notification_emails TEXT[],

    -- Statistics
    execution_count INTEGER DEFAULT 0,
    last_executed_at TIMESTAMP WITH TIME ZONE,
    last_execution_status VARCHAR(50),
    next_execution_at TIMESTAMP WITH TIME ZONE,

    -- Timestamps
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX idx_schedules_project ON schedules(project_id);
CREATE INDEX idx_schedules_next_exec ON schedules(next_execution_at) WHERE status = 'active';
CREATE INDEX idx_schedules_status ON schedules(status);
CREATE TABLE schedule_executions (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),

    -- Parent References
    schedule_id UUID NOT NULL REFERENCES schedules(id) ON DELETE CASCADE,
    test_run_id UUID REFERENCES test_runs(id) ON DELETE SET NULL,

    -- Execution Info
    scheduled_for TIMESTAMP WITH TIME ZONE NOT NULL,
    executed_at TIMESTAMP WITH TIME ZONE,

    -- Status
    status VARCHAR(50) NOT NULL,
    -- Values: pending, running, completed, failed, missed, cancelled

    -- Results Summary
    total_tests INTEGER DEFAULT 0,
    passed_tests INTEGER DEFAULT 0,
    failed_tests INTEGER DEFAULT 0,
    duration_ms BIGINT DEFAULT 0,

    -- Error
    error_message TEXT,

    -- Timestamps
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX idx_schedule_exec_schedule ON schedule_executions(schedule_id);
CREATE INDEX idx_schedule_exec_status ON schedule_executions(status);
CREATE INDEX idx_schedule_exec_date ON schedule_executions(scheduled_for DESC);
CREATE TABLE test_execution_history (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),

    -- References
    test_case_id UUID NOT NULL REFERENCES test_cases(id) ON DELETE CASCADE,
    test_run_id UUID REFERENCES test_runs(id) ON DELETE SET NULL,
    test_run_result_id UUID REFERENCES test_run_results(id) ON DELETE SET NULL,

    -- Quick Access Fields
    status VARCHAR(50) NOT NULL,  -- passed, failed, skipped
    executed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    duration_ms BIGINT DEFAULT 0,

    -- Summary
    total_steps INTEGER DEFAULT 0,
    passed_steps INTEGER DEFAULT 0,
    failed_steps INTEGER DEFAULT 0,
    pass_rate DECIMAL(5,2) DEFAULT 0.00,

    -- Error
    error_message TEXT,

    -- Run Context
    run_name VARCHAR(255),
    is_scheduled BOOLEAN DEFAULT FALSE,

    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX idx_exec_history_test_case ON test_execution_history(test_case_id);
CREATE INDEX idx_exec_history_date ON test_execution_history(executed_at DESC);
CREATE INDEX idx_exec_history_status ON test_execution_history(status);
