-- Runs and their items. Columns, types and indexes are the specification's; a column with a default is NOT NULL here.

CREATE TABLE test_runs (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),

    run_name VARCHAR(255) NOT NULL,
    run_number INTEGER NOT NULL,

    project_id UUID NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    created_by UUID NOT NULL REFERENCES users (id),

    suite_path TEXT[],
    suite_name VARCHAR(255),

    status VARCHAR(50) NOT NULL DEFAULT 'pending'
        CONSTRAINT test_runs_status_check
        CHECK (status IN ('pending', 'queued', 'running', 'completed', 'cancelled', 'failed')),

    scheduled_at TIMESTAMP WITH TIME ZONE,
    started_at TIMESTAMP WITH TIME ZONE,
    completed_at TIMESTAMP WITH TIME ZONE,
    duration_ms BIGINT NOT NULL DEFAULT 0,

    total_tests INTEGER NOT NULL DEFAULT 0,
    passed_tests INTEGER NOT NULL DEFAULT 0,
    failed_tests INTEGER NOT NULL DEFAULT 0,
    skipped_tests INTEGER NOT NULL DEFAULT 0,
    no_run_tests INTEGER NOT NULL DEFAULT 0,
    pass_rate DECIMAL(5,2) NOT NULL DEFAULT 0.00,

    parallel_enabled BOOLEAN NOT NULL DEFAULT FALSE,
    parallel_count INTEGER NOT NULL DEFAULT 1
        CONSTRAINT test_runs_parallel_count_check CHECK (parallel_count BETWEEN 1 AND 10),
    retry_count INTEGER NOT NULL DEFAULT 0
        CONSTRAINT test_runs_retry_count_check CHECK (retry_count BETWEEN 0 AND 10),
    retry_on_failure BOOLEAN NOT NULL DEFAULT FALSE,

    browser_name VARCHAR(50),
    browser_version VARCHAR(50),
    os_name VARCHAR(100),
    os_version VARCHAR(50),
    viewport_width INTEGER,
    viewport_height INTEGER,

    results_folder VARCHAR(500),
    report_path VARCHAR(500),

    tags TEXT[],
    notes TEXT,

    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,

    -- Beyond the specification: why an infrastructure failure ended the run, when the client was last heard,
    -- when the counts were last refreshed, when the run's books were written, when it was deleted.
    failure_reason TEXT,
    last_activity_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    refreshed_at TIMESTAMP WITH TIME ZONE,
    finalised_at TIMESTAMP WITH TIME ZONE,
    finalise_rung_at TIMESTAMP WITH TIME ZONE,
    deleted_at TIMESTAMP WITH TIME ZONE,

    CONSTRAINT test_runs_run_number_key UNIQUE (project_id, run_number),
    CONSTRAINT test_runs_counts_check CHECK (
        passed_tests >= 0 AND failed_tests >= 0 AND skipped_tests >= 0 AND no_run_tests >= 0
        AND passed_tests + failed_tests + skipped_tests + no_run_tests <= total_tests
    ),
    CONSTRAINT test_runs_pass_rate_check CHECK (pass_rate BETWEEN 0 AND 100),
    CONSTRAINT test_runs_viewport_check CHECK (viewport_width > 0 AND viewport_height > 0),
    CONSTRAINT test_runs_lifecycle_check CHECK (
        (completed_at IS NOT NULL) = (status IN ('completed', 'cancelled', 'failed'))
        AND (status NOT IN ('running', 'completed') OR started_at IS NOT NULL)
        AND (finalised_at IS NULL OR completed_at IS NOT NULL)
    )
);

CREATE INDEX idx_test_runs_project ON test_runs (project_id);
CREATE INDEX idx_test_runs_status ON test_runs (status);
CREATE INDEX idx_test_runs_created_at ON test_runs (created_at DESC);
CREATE INDEX idx_test_runs_created_by ON test_runs (created_by);
CREATE INDEX idx_test_runs_project_created_at ON test_runs (project_id, created_at DESC, id) WHERE deleted_at IS NULL;
-- The sweep's and the stale-run scan's way in: few rows at any time.
CREATE INDEX idx_test_runs_unfinalised ON test_runs (completed_at) WHERE completed_at IS NOT NULL AND finalised_at IS NULL;
CREATE INDEX idx_test_runs_live ON test_runs (last_activity_at) WHERE status IN ('queued', 'running') AND deleted_at IS NULL;

CREATE TABLE test_run_items (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),

    test_run_id UUID NOT NULL REFERENCES test_runs (id) ON DELETE CASCADE,
    test_case_id UUID NOT NULL REFERENCES test_cases (id) ON DELETE CASCADE,

    execution_order INTEGER NOT NULL,

    status VARCHAR(50) NOT NULL DEFAULT 'pending'
        CONSTRAINT test_run_items_status_check
        CHECK (status IN ('pending', 'queued', 'running', 'passed', 'failed', 'skipped', 'no_run')),

    started_at TIMESTAMP WITH TIME ZONE,
    completed_at TIMESTAMP WITH TIME ZONE,
    duration_ms BIGINT NOT NULL DEFAULT 0,

    total_steps INTEGER NOT NULL DEFAULT 0,
    passed_steps INTEGER NOT NULL DEFAULT 0,
    failed_steps INTEGER NOT NULL DEFAULT 0,
    skipped_steps INTEGER NOT NULL DEFAULT 0,

    total_checkpoints INTEGER NOT NULL DEFAULT 0,
    passed_checkpoints INTEGER NOT NULL DEFAULT 0,
    failed_checkpoints INTEGER NOT NULL DEFAULT 0,

    is_data_driven BOOLEAN NOT NULL DEFAULT FALSE,
    total_iterations INTEGER NOT NULL DEFAULT 0,
    passed_iterations INTEGER NOT NULL DEFAULT 0,
    failed_iterations INTEGER NOT NULL DEFAULT 0,

    retry_attempt INTEGER NOT NULL DEFAULT 0,
    max_retries_exhausted BOOLEAN NOT NULL DEFAULT FALSE,

    error_message TEXT,
    error_screenshot_path VARCHAR(500),

    results_folder VARCHAR(500),

    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT test_run_items_test_case_key UNIQUE (test_run_id, test_case_id),
    -- The specification's index, made a constraint: 1..n without doubles. Deferred, so that a reorder is one statement.
    CONSTRAINT idx_run_items_order UNIQUE (test_run_id, execution_order) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT test_run_items_order_check CHECK (execution_order >= 1),
    CONSTRAINT test_run_items_counts_check CHECK (
        passed_steps >= 0 AND failed_steps >= 0 AND skipped_steps >= 0
        AND passed_steps + failed_steps + skipped_steps <= total_steps
        AND passed_checkpoints >= 0 AND failed_checkpoints >= 0
        AND passed_checkpoints + failed_checkpoints <= total_checkpoints
        AND passed_iterations >= 0 AND failed_iterations >= 0 AND total_iterations >= 0
    )
);

CREATE INDEX idx_run_items_test_run ON test_run_items (test_run_id);
CREATE INDEX idx_run_items_test_case ON test_run_items (test_case_id);
CREATE INDEX idx_run_items_status ON test_run_items (status);

-- One row while a run waits for its counts to be recomputed. Inserted after the result in the result's transaction;
-- whoever inserts it rings the doorbell, everybody else rides along (design, rule 5).
CREATE TABLE run_refreshes (
    run_id UUID PRIMARY KEY REFERENCES test_runs (id) ON DELETE CASCADE,
    rung_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP
);
