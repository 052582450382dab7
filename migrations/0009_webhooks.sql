-- What webhooks need beyond being delivered to: secrets that are rotated, an end to receivers that are gone, and a record of
-- every attempt.

ALTER TABLE webhooks
    ADD COLUMN description TEXT,
    -- The key before the last rotation, which signs beside the present one until then.
    ADD COLUMN previous_secret BYTEA,
    ADD COLUMN previous_secret_expires_at TIMESTAMP WITH TIME ZONE,
    -- The first failed attempt since the last one that was accepted.
    ADD COLUMN failing_since TIMESTAMP WITH TIME ZONE,
    ADD COLUMN disabled_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN disabled_reason VARCHAR(20)
        CONSTRAINT webhooks_disabled_reason_check CHECK (disabled_reason IN ('manual', 'gone', 'failing'));

UPDATE webhooks SET disabled_at = updated_at, disabled_reason = 'manual' WHERE NOT is_enabled;

ALTER TABLE webhooks
    ADD CONSTRAINT webhooks_previous_secret_check
        CHECK ((previous_secret IS NULL) = (previous_secret_expires_at IS NULL)),
    ADD CONSTRAINT webhooks_disabled_check
        CHECK ((disabled_at IS NULL) = is_enabled AND (disabled_reason IS NULL) = is_enabled);

ALTER TABLE webhook_deliveries
    -- Seconds between the attempts. Stored, so that a release with another plan does not change what is under way.
    ADD COLUMN retry_plan INTEGER[] NOT NULL DEFAULT '{5,300,1800,7200,18000,36000,50400,72000,86400}',
    -- Attempts before the plan began: none, or those before somebody asked for it to be delivered again.
    ADD COLUMN attempts_before_plan INTEGER NOT NULL DEFAULT 0;

CREATE INDEX idx_webhook_deliveries_webhook ON webhook_deliveries (webhook_id, created_at DESC);

-- What each attempt sent back. An attempt whose process died has no row.
CREATE TABLE webhook_delivery_attempts (
    delivery_id UUID NOT NULL REFERENCES webhook_deliveries (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    duration_ms BIGINT NOT NULL,
    response_status INTEGER,
    -- The beginning of it.
    response_body VARCHAR(1000),
    error TEXT,
    CONSTRAINT webhook_delivery_attempts_pkey PRIMARY KEY (delivery_id, attempt)
);
