-- Mails about a webhook that was disabled since its receiver is gone or failed for long, beside those about ended runs.

ALTER TABLE notifications
    ALTER COLUMN test_run_id DROP NOT NULL,
    ADD COLUMN webhook_id UUID REFERENCES webhooks (id) ON DELETE CASCADE,
    -- Which time it was: a webhook that was enabled again may be disabled again, and that is another mail.
    ADD COLUMN webhook_disabled_at TIMESTAMP WITH TIME ZONE,
    DROP CONSTRAINT notifications_kind_check,
    ADD CONSTRAINT notifications_kind_check CHECK (kind IN ('completion', 'failure', 'webhook_disabled')),
    ADD CONSTRAINT notifications_subject_check CHECK (
        (test_run_id IS NULL) = (kind = 'webhook_disabled') AND (webhook_id IS NULL) = (test_run_id IS NOT NULL)
        AND (webhook_disabled_at IS NULL) = (webhook_id IS NULL)
    ),
    ADD CONSTRAINT notifications_webhook_key UNIQUE (webhook_id, webhook_disabled_at, recipient);
