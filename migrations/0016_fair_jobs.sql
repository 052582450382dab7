-- Jobs are taken in turns, project by project, and workers look only at those that are due.

-- The table is apalis's; its migrations run before ours.
ALTER TABLE apalis.jobs
    -- Whose job it is; all zeros for nobody's.
    ADD COLUMN project_id UUID NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    -- Whether it was rung for a later time. A worker takes the mark away once that has come.
    ADD COLUMN is_scheduled BOOLEAN NOT NULL DEFAULT FALSE,
    -- The queue in which it waits, if it does. Asking for this and not for type and status leaves the planner one index:
    -- with statistics from when the queue was short, it would take another and read all that waits.
    ADD COLUMN waits_in TEXT GENERATED ALWAYS AS (CASE WHEN status = 'Pending' THEN job_type END) STORED;

-- Whose turn it is, and the oldest job of each: a step per project, however many jobs it has.
CREATE INDEX idx_apalis_jobs_turn ON apalis.jobs (waits_in, project_id, run_at)
    WHERE waits_in IS NOT NULL AND NOT is_scheduled;

-- When the next scheduled job is due.
CREATE INDEX idx_apalis_jobs_scheduled ON apalis.jobs (waits_in, run_at)
    WHERE waits_in IS NOT NULL AND is_scheduled;

-- What is in hand, among millions of finished jobs: looked through at every heartbeat.
CREATE INDEX idx_apalis_jobs_running ON apalis.jobs (lock_by)
    WHERE status = 'Running';
