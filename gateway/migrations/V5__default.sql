-- The default partition may be gone, or be called otherwise: without it no day could be made any more, and a week later no message
-- stored.

-- Makes the partitions of today and the next seven days, and drops what is older than keep (NULL: nothing is). Days are those of
-- UTC. Returns how many partitions were made and dropped. Gives up rather than to wait long for a lock behind which all others
-- would wait: there is time until next week. What else is old is left to forget(), for all that waits for the locks that are
-- taken here. The default partition is made anew where there is none.
CREATE OR REPLACE FUNCTION messages.maintain(keep interval, OUT made int, OUT dropped int) LANGUAGE plpgsql
    SET search_path = pg_catalog SET timezone = 'UTC' SET lock_timeout = '3s' AS $$
DECLARE
    day date;
    part text;
    columns text;
    horizon timestamptz := now() - keep;
    rest regclass;
BEGIN
    made := 0;
    dropped := 0;
    PERFORM pg_advisory_xact_lock(hashtextextended('messages.maintain', 0));
    -- Whatever it is called. What is kept aside under the name of old is the operator's.
    SELECT nullif(partdefid, 0) INTO rest FROM pg_partitioned_table WHERE partrelid = 'messages.message'::regclass;
    IF rest IS NULL AND to_regclass('messages.message_default') IS NULL THEN
        CREATE TABLE messages.message_default PARTITION OF messages.message DEFAULT;
        rest := 'messages.message_default';
    END IF;
    FOR day IN SELECT d::date FROM generate_series(current_date, current_date + 7, interval '1 day') AS d LOOP
        part := 'message_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass('messages.' || part) IS NOT NULL;
        LOCK TABLE messages.message IN ACCESS EXCLUSIVE MODE;
        -- With what an operator may have added: columns that are generated, say.
        EXECUTE format('CREATE TABLE messages.%I (LIKE messages.message INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING STORAGE
                            INCLUDING COMPRESSION INCLUDING CONSTRAINTS INCLUDING INDEXES)', part);
        -- What the default partition took for this day moves over, so that the day can be attached.
        IF rest IS NOT NULL THEN
            SELECT string_agg(quote_ident(attname), ', ') INTO columns FROM pg_attribute
                WHERE attrelid = 'messages.message'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
            EXECUTE format('WITH moved AS (DELETE FROM %5$s WHERE received_at >= %2$L AND received_at < %3$L
                                           RETURNING %4$s)
                            INSERT INTO messages.%1$I (%4$s) SELECT %4$s FROM moved', part, day, day + 1, columns, rest);
        END IF;
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
    rest regclass;
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
    SELECT nullif(partdefid, 0) INTO rest FROM pg_partitioned_table WHERE partrelid = 'messages.message'::regclass;
    IF keep IS NOT NULL AND rest IS NOT NULL THEN
        EXECUTE format('DELETE FROM %s WHERE received_at < $1', rest) USING horizon;
    END IF;
END $$;
