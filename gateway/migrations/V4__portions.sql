-- A statement that stores many rows is filed in portions: a page of them is read by sorting one portion, not all that is left of
-- the statement. And what is forgotten has a transaction of its own.

CREATE OR REPLACE FUNCTION messages.file_batch() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
BEGIN
    -- What store took before has this id already; for all others, a second message of the same name is an error.
    INSERT INTO messages.external_id (source, external_id, id, received_at)
        SELECT n.source, n.external_id, n.id, n.received_at
        FROM stored AS n
        WHERE n.external_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM messages.external_id AS e
            WHERE e.source = n.source AND e.external_id = n.external_id AND e.id = n.id)
        ORDER BY n.source, n.external_id;
    -- Numbered in the order of their ids, as readers go through them.
    INSERT INTO messages.batch (ids, first_received, last_received)
        SELECT range_agg(int8range(n.id, n.id, '[]')), min(n.received_at), max(n.received_at)
        FROM (SELECT id, received_at, (row_number() OVER (ORDER BY id) - 1) / 2000 AS portion FROM stored) AS n
        GROUP BY n.portion
        ORDER BY n.portion;
    PERFORM pg_notify('sentiment_messages', '');
    RETURN NULL;
END $$;
COMMENT ON TABLE messages.batch IS 'what was stored by one statement, or 2,000 rows of that, in the order of commits';

-- Makes the partitions of today and the next seven days, and drops what is older than keep (NULL: nothing is). Days are those of
-- UTC. Returns how many partitions were made and dropped. Gives up rather than to wait long for a lock behind which all others
-- would wait: there is time until next week. What else is old is left to forget(), for all that waits for the locks that are
-- taken here.
CREATE OR REPLACE FUNCTION messages.maintain(keep interval, OUT made int, OUT dropped int) LANGUAGE plpgsql
    SET search_path = pg_catalog SET timezone = 'UTC' SET lock_timeout = '3s' AS $$
DECLARE
    day date;
    part text;
    columns text;
    horizon timestamptz := now() - keep;
BEGIN
    made := 0;
    dropped := 0;
    PERFORM pg_advisory_xact_lock(hashtextextended('messages.maintain', 0));
    FOR day IN SELECT d::date FROM generate_series(current_date, current_date + 7, interval '1 day') AS d LOOP
        part := 'message_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass('messages.' || part) IS NOT NULL;
        LOCK TABLE messages.message IN ACCESS EXCLUSIVE MODE;
        -- With what an operator may have added: columns that are generated, say.
        EXECUTE format('CREATE TABLE messages.%I (LIKE messages.message INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING STORAGE
                            INCLUDING COMPRESSION INCLUDING CONSTRAINTS INCLUDING INDEXES)', part);
        SELECT string_agg(quote_ident(attname), ', ') INTO columns FROM pg_attribute
            WHERE attrelid = 'messages.message'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
        -- What the default partition took for this day moves over, so that the day can be attached.
        EXECUTE format('WITH moved AS (DELETE FROM messages.message_default WHERE received_at >= %2$L AND received_at < %3$L
                                       RETURNING %4$s)
                        INSERT INTO messages.%1$I (%4$s) SELECT %4$s FROM moved', part, day, day + 1, columns);
        EXECUTE format('ALTER TABLE messages.message ATTACH PARTITION messages.%I FOR VALUES FROM (%L) TO (%L)',
                       part, day, day + 1);
        made := made + 1;
    END LOOP;
    IF keep IS NOT NULL THEN
        FOR part IN
            SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'messages.message'::regclass AND c.relname ~ '^message_[0-9]{8}$'
                AND to_date(right(c.relname, 8), 'YYYYMMDD') + 1 <= horizon
        LOOP
            EXECUTE format('DROP TABLE messages.%I', part);
            dropped := dropped + 1;
        END LOOP;
    END IF;
END $$;

-- Deletes what is older than keep (NULL: nothing is) and has no partitions of its own, once maintain() has dropped those: a day's
-- names may take minutes. What was committed in which order is kept for a week at most. Does nothing while another session does it.
CREATE OR REPLACE FUNCTION messages.forget(keep interval) RETURNS void LANGUAGE plpgsql
    SET search_path = pg_catalog SET timezone = 'UTC' AS $$
DECLARE
    horizon timestamptz := now() - keep;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('messages.forget', 0)) THEN
        RETURN;
    END IF;
    IF keep IS NOT NULL THEN
        DELETE FROM messages.external_id AS e WHERE e.received_at < date_trunc('day', horizon);
        DELETE FROM messages.kafka_rejected WHERE rejected_at < horizon;
    END IF;
    -- The last position stays, for the next one to follow it.
    DELETE FROM messages.batch WHERE last_received < date_trunc('day', greatest(horizon, now() - interval '7 days'))
        AND position < (SELECT max(position) FROM messages.batch);
    -- Last, for maintain() waits for its lock; and not without need, for it may have to be waited for.
    IF keep IS NOT NULL THEN
        DELETE FROM messages.message_default WHERE received_at < horizon;
    END IF;
END $$;
