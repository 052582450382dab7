-- Jobs that are due and that no worker has taken yet.
SELECT count(*) FROM apalis.jobs WHERE status = 'Pending' AND run_at <= now()
