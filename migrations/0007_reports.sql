-- Reports of ended runs, rendered once and kept in parts, so that neither writing nor reading needs a whole one in memory.

-- Orders renderings of the same run; a clock would not do, since workers have one each.
CREATE SEQUENCE test_run_renderings AS BIGINT;

-- Parts are written one by one, outside any long transaction. A rendering counts once test_run_reports names it.
CREATE TABLE test_run_report_parts (
    test_run_id UUID NOT NULL REFERENCES test_runs (id) ON DELETE CASCADE,
    rendering BIGINT NOT NULL,
    part INTEGER NOT NULL,
    html TEXT NOT NULL,
    CONSTRAINT test_run_report_parts_pkey PRIMARY KEY (test_run_id, rendering, part)
);

-- The rendering that is served, while the run is still as it was then (run_updated_at = test_runs.updated_at).
CREATE TABLE test_run_reports (
    test_run_id UUID NOT NULL REFERENCES test_runs (id) ON DELETE CASCADE,
    rendering BIGINT NOT NULL,
    run_updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    parts INTEGER NOT NULL CONSTRAINT test_run_reports_parts_check CHECK (parts > 0),
    bytes BIGINT NOT NULL,
    rendered_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT test_run_reports_pkey PRIMARY KEY (test_run_id)
);
