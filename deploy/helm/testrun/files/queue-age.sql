-- Seconds that the oldest job which is due has waited for a worker.
SELECT coalesce(extract(epoch FROM now() - min(run_at)), 0)::float8
FROM apalis.jobs j
WHERE status = 'Pending' AND run_at <= now()
    AND NOT EXISTS (SELECT 1 FROM paused_queues p WHERE p.queue = j.job_type)
