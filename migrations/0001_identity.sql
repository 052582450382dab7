-- Projects, people and the tokens that bind the two (decisions: tenancy and identity).

CREATE TABLE projects (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    name VARCHAR(255) NOT NULL CONSTRAINT projects_name_key UNIQUE,
    description TEXT,
    -- The number given last: taken under this row's lock, so run numbers have no gaps and no doubles.
    last_run_number INTEGER NOT NULL DEFAULT 0 CONSTRAINT projects_last_run_number_check CHECK (last_run_number >= 0),
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE users (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    email VARCHAR(320) NOT NULL,
    display_name VARCHAR(255) NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE UNIQUE INDEX users_email_key ON users (lower(email));

CREATE TABLE project_members (
    project_id UUID NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role VARCHAR(20) NOT NULL CONSTRAINT project_members_role_check CHECK (role IN ('viewer', 'member', 'admin')),
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT project_members_pkey PRIMARY KEY (project_id, user_id)
);

CREATE INDEX idx_project_members_user ON project_members (user_id);

-- Only the SHA-256 of a token is stored. A token carries 190 random bits, so the hash needs no salt and no work factor.
CREATE TABLE api_tokens (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    project_id UUID NOT NULL,
    user_id UUID NOT NULL,
    name VARCHAR(255) NOT NULL,
    role VARCHAR(20) NOT NULL CONSTRAINT api_tokens_role_check CHECK (role IN ('viewer', 'member', 'admin')),
    token_hash BYTEA NOT NULL CONSTRAINT api_tokens_token_hash_key UNIQUE,
    -- What a list may show, so that people can tell their tokens apart.
    token_hint VARCHAR(20) NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    last_used_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    -- A token lives no longer than its user's membership.
    CONSTRAINT api_tokens_member_fkey FOREIGN KEY (project_id, user_id)
        REFERENCES project_members (project_id, user_id) ON DELETE CASCADE
);

CREATE INDEX idx_api_tokens_member ON api_tokens (project_id, user_id);
