-- What makes writes repeatable and carries facts to people and machines.

-- The first answer to a POST with an Idempotency-Key, kept for 24 hours. A row without an answer is in flight.
CREATE TABLE idempotency_keys (
    token_id UUID NOT NULL REFERENCES api_tokens (id) ON DELETE CASCADE,
    key VARCHAR(255) NOT NULL,
    request_hash BYTEA NOT NULL,
    response_status SMALLINT,
    response_body BYTEA,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (token_id, key),
    CONSTRAINT idempotency_keys_response_check CHECK ((response_status IS NULL) = (response_body IS NULL))
);

CREATE INDEX idx_idempotency_keys_created_at ON idempotency_keys (created_at);

-- One row per fact, committed with the fact. Readers order by (transaction_id, sequence) and stop at the oldest
-- transaction that is still open, so an event that commits late with a lower sequence is never passed over.
CREATE TABLE events (
    id UUID PRIMARY KEY,
    sequence BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY,
    transaction_id XID8 NOT NULL DEFAULT pg_current_xact_id(),
    project_id UUID NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    type VARCHAR(50) NOT NULL,
    test_run_id UUID,
    data JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX idx_events_order ON events (project_id, transaction_id, sequence);
CREATE INDEX idx_events_created_at ON events (created_at);

-- One mail to one recipient about one ended run; the unique key is what makes it one.
CREATE TABLE notifications (
    id UUID PRIMARY KEY,
    test_run_id UUID NOT NULL REFERENCES test_runs (id) ON DELETE CASCADE,
    kind VARCHAR(20) NOT NULL CONSTRAINT notifications_kind_check CHECK (kind IN ('completion', 'failure')),
    recipient VARCHAR(320) NOT NULL,
    status VARCHAR(20) NOT NULL DEFAULT 'pending'
        CONSTRAINT notifications_status_check CHECK (status IN ('pending', 'sending', 'sent', 'failed')),
    attempt INTEGER NOT NULL DEFAULT 0,
    next_attempt_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    lease_until TIMESTAMP WITH TIME ZONE,
    last_error TEXT,
    sent_at TIMESTAMP WITH TIME ZONE,
    rung_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT notifications_recipient_key UNIQUE (test_run_id, kind, recipient),
    CONSTRAINT notifications_sent_check CHECK ((sent_at IS NOT NULL) = (status = 'sent')),
    CONSTRAINT notifications_lease_check CHECK ((lease_until IS NOT NULL) = (status = 'sending'))
);

CREATE INDEX idx_notifications_unsent ON notifications (next_attempt_at) WHERE status IN ('pending', 'sending');

CREATE TABLE webhooks (
    id UUID PRIMARY KEY,
    project_id UUID NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    url VARCHAR(2000) NOT NULL,
    event_types TEXT[] NOT NULL DEFAULT '{}',
    -- The raw signing key. It has to be readable to sign with; the security page says how the database guards it.
    secret BYTEA NOT NULL,
    is_enabled BOOLEAN NOT NULL DEFAULT TRUE,
    created_by UUID NOT NULL REFERENCES users (id),
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX idx_webhooks_project ON webhooks (project_id);

CREATE TABLE webhook_deliveries (
    id UUID PRIMARY KEY,
    webhook_id UUID NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_id UUID NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    status VARCHAR(20) NOT NULL DEFAULT 'pending'
        CONSTRAINT webhook_deliveries_status_check CHECK (status IN ('pending', 'sending', 'delivered', 'failed')),
    attempt INTEGER NOT NULL DEFAULT 0,
    next_attempt_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    lease_until TIMESTAMP WITH TIME ZONE,
    response_status INTEGER,
    last_error TEXT,
    delivered_at TIMESTAMP WITH TIME ZONE,
    rung_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT webhook_deliveries_event_key UNIQUE (event_id, webhook_id),
    CONSTRAINT webhook_deliveries_delivered_check CHECK ((delivered_at IS NOT NULL) = (status = 'delivered')),
    CONSTRAINT webhook_deliveries_lease_check CHECK ((lease_until IS NOT NULL) = (status = 'sending'))
);

CREATE INDEX idx_webhook_deliveries_unsent ON webhook_deliveries (next_attempt_at) WHERE status IN ('pending', 'sending');
