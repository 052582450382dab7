-- Who no longer wants a schedule's mails, and the links by which they say so.

-- A row is made when the first mail about a schedule is written to an address. The token is 122 bits from PostgreSQL's
-- strong random source. It is kept as it is, since every later mail carries it, too; a signature would need a secret that
-- is as readable as this table. All that it lets anybody do is to end these mails to this address.
CREATE TABLE unsubscribe_links (
    token UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    schedule_id UUID NOT NULL REFERENCES schedules (id) ON DELETE CASCADE,
    -- In lower case: people are the same whatever the spelling of their address.
    recipient TEXT NOT NULL,
    unsubscribed_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT unsubscribe_links_recipient_key UNIQUE (schedule_id, recipient)
);
