-- Run this once, before any service starts, on a database that is a logical copy: restored from pg_dump, or filled by logical
-- replication. (A copy of the files, with pg_basebackup or a snapshot of a volume, needs nothing of it.)
--
--     psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -f after-logical-restore.sql
--
-- Events are read in the order of the transactions that wrote them, and no further than the oldest one that is still open.
-- In a copy the transactions' ids are the old server's: mostly higher than any of the new one, so nobody would get the events,
-- and clients that resume after one of them would get no new ones either. This gives events small ids in the same order, and
-- uses up ids of this server until it is past them.
DO $$
DECLARE
    highest BIGINT;
BEGIN
    LOCK TABLE events IN EXCLUSIVE MODE;
    UPDATE events
    SET transaction_id = placed.place::text::xid8
    FROM (SELECT id, dense_rank() OVER (PARTITION BY project_id ORDER BY transaction_id) AS place FROM events) AS placed
    WHERE events.id = placed.id;
    SELECT coalesce(max(transaction_id::text::bigint), 0) INTO highest FROM events;
    COMMIT;
    WHILE pg_current_xact_id()::text::bigint <= highest LOOP
        COMMIT;
    END LOOP;
END
$$;
