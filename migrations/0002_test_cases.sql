-- What can be run: test cases and the scripts around them.

CREATE TABLE test_cases (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    project_id UUID NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name VARCHAR(255) NOT NULL,
    suite_path TEXT[] NOT NULL DEFAULT '{}',
    external_key VARCHAR(500),
    description TEXT,
    tags TEXT[] NOT NULL DEFAULT '{}',
    has_recording BOOLEAN NOT NULL DEFAULT TRUE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT test_cases_external_key_key UNIQUE (project_id, external_key)
);

CREATE INDEX idx_test_cases_project ON test_cases (project_id, created_at DESC, id);

CREATE TABLE test_scripts (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    project_id UUID NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name VARCHAR(255) NOT NULL,
    script_type VARCHAR(50) NOT NULL
        CONSTRAINT test_scripts_script_type_check CHECK (script_type IN ('pre_execution', 'post_execution', 'on_demand')),
    script_language VARCHAR(50),
    body TEXT NOT NULL DEFAULT '',
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX idx_test_scripts_project ON test_scripts (project_id, created_at DESC, id);
