-- Jobs that are due and that no worker has taken yet.
SELECT count(*) FROM apalis.jobs j WHERE status = 'Pending' AND run_at <= now()
    AND NOT EXISTS (SELECT 1 FROM paused_queues p WHERE p.queue = j.job_type)
