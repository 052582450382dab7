-- What operators need: queues that can be paused, tokens that may do so, and ways for the invariant checks and the retention
-- to find their rows without reading whole tables.

-- Queues are no project's. Only `testrun admin create-token --operator` sets this.
ALTER TABLE api_tokens ADD COLUMN is_operator BOOLEAN NOT NULL DEFAULT FALSE;

-- No job of these queues is started.
CREATE TABLE paused_queues (
    queue VARCHAR(100) NOT NULL,
    reason TEXT,
    paused_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    -- Whose token paused it; null where it was paused on the command line.
    paused_by UUID REFERENCES users (id) ON DELETE SET NULL,
    CONSTRAINT paused_queues_pkey PRIMARY KEY (queue)
);

-- What changed lately.
CREATE INDEX idx_test_runs_updated_at ON test_runs (updated_at);
-- BRIN: these tables grow at their end, and hundreds of rows come with a request, which pay nothing for it.
CREATE INDEX idx_results_created_at ON test_run_results USING brin (created_at);
CREATE INDEX idx_notifications_created_at ON notifications (created_at);

-- What is too old.
CREATE INDEX idx_test_runs_ended ON test_runs (completed_at) WHERE completed_at IS NOT NULL;
CREATE INDEX idx_test_runs_deleted ON test_runs (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX idx_console_logs_created_at ON console_logs USING brin (created_at);
CREATE INDEX idx_network_logs_created_at ON network_logs USING brin (created_at);

-- The queue's table is another library's, whose migrations run before ours. Depth, dead jobs and those in hand are few rows
-- among very many finished ones.
CREATE INDEX idx_apalis_jobs_unfinished ON apalis.jobs (job_type, status, run_at) WHERE status <> 'Done';
CREATE INDEX idx_apalis_jobs_done ON apalis.jobs (done_at) WHERE status = 'Done';
