-- What the event stream needs.

-- Whether the event item.finished was written. The worker writes it when it counts the run (design, rule 5): submitting a
-- result writes no events.
ALTER TABLE test_run_items ADD COLUMN is_announced BOOLEAN NOT NULL DEFAULT FALSE;

CREATE INDEX idx_run_items_unannounced ON test_run_items (test_run_id)
    WHERE NOT is_announced AND status IN ('passed', 'failed', 'skipped', 'no_run');
