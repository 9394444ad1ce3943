-- What the gateway stores, in schema messages. The search path holds the schema of pg_sentiment.

-- A message and what the model made of it. Partitions are days of received_at: they are made ahead, and retention drops
-- them whole. sent_at is the sender's word and may be any time.
CREATE SEQUENCE messages.message_id;

CREATE TABLE messages.message (
    id            bigint NOT NULL DEFAULT nextval('messages.message_id'),
    received_at   timestamptz NOT NULL DEFAULT now(),
    sent_at       timestamptz NOT NULL DEFAULT now(),
    source        text NOT NULL,
    external_id   text,
    author        text,
    body          text NOT NULL,
    label         text,
    score         float8,
    model_version text,
    PRIMARY KEY (id, received_at)
) PARTITION BY RANGE (received_at);
ALTER SEQUENCE messages.message_id OWNED BY messages.message.id;
CREATE INDEX ON messages.message (sent_at, id);
COMMENT ON TABLE messages.message IS 'messages with their sentiment';

-- Takes what no other partition does: no row is refused where maintain() was late.
CREATE TABLE messages.message_default PARTITION OF messages.message DEFAULT;

CREATE TRIGGER score BEFORE INSERT OR UPDATE OF body ON messages.message FOR EACH ROW
    EXECUTE FUNCTION sentiment_trigger('body', 'label=label', 'score=score', 'version=model_version');

-- Exactly once: a unique key of a partitioned table has to hold the partition key, so (source, external_id) has a table
-- of its own, written in the transaction that stores the message.
CREATE TABLE messages.external_id (
    source      text NOT NULL,
    external_id text NOT NULL,
    id          bigint NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (source, external_id)
);
CREATE INDEX ON messages.external_id USING brin (received_at);
COMMENT ON TABLE messages.external_id IS 'which message has this external id of this source';

-- The order of commits. An id is drawn before its transaction commits, so a reader who remembers the highest id misses
-- those that commit late. Each INSERT files its ids here, and once they are committed they are given a position, one
-- transaction at a time: whoever has seen all up to a position has missed nothing.
CREATE TABLE messages.batch (
    number         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ids            int8multirange NOT NULL,
    first_received timestamptz NOT NULL,
    last_received  timestamptz NOT NULL,
    position       bigint UNIQUE
);
CREATE INDEX ON messages.batch (number) WHERE position IS NULL;
CREATE INDEX ON messages.batch USING brin (last_received);
COMMENT ON TABLE messages.batch IS 'what was stored by one statement, in the order of commits';

-- Plans of these functions are made once a session, perhaps while the tables are empty: they have to go by the index.
CREATE FUNCTION messages.file_batch() RETURNS trigger LANGUAGE plpgsql
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
    INSERT INTO messages.batch (ids, first_received, last_received)
        SELECT range_agg(int8range(n.id, n.id, '[]')), min(n.received_at), max(n.received_at)
        FROM stored AS n
        HAVING count(*) > 0;
    PERFORM pg_notify('sentiment_messages', '');
    RETURN NULL;
END $$;

CREATE TRIGGER file_batch AFTER INSERT ON messages.message REFERENCING NEW TABLE AS stored
    FOR EACH STATEMENT EXECUTE FUNCTION messages.file_batch();

-- Gives a position to what has committed since the last time; returns the highest position, 0 if there is none.
CREATE FUNCTION messages.number_batches() RETURNS bigint LANGUAGE plpgsql
    SET search_path = pg_catalog SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (SELECT FROM messages.batch WHERE position IS NULL) THEN
        -- Held until the commit: positions become visible in their order.
        PERFORM pg_advisory_xact_lock(hashtextextended('messages.number_batches', 0));
        UPDATE messages.batch AS b
            SET position = n.position
            FROM (SELECT number, row_number() OVER (ORDER BY number)
                         + (SELECT coalesce(max(position), 0) FROM messages.batch) AS position
                  FROM messages.batch WHERE position IS NULL) AS n
            WHERE b.number = n.number;
    END IF;
    RETURN (SELECT coalesce(max(position), 0) FROM messages.batch);
END $$;

-- Makes the partitions of today and the next seven days, and drops what is older than keep (NULL: nothing is). What was
-- committed in which order is kept for a week at most. Days are those of UTC. Returns how many partitions were made and
-- dropped. Gives up rather than to wait long for a lock behind which all others would wait: there is time until next week.
CREATE FUNCTION messages.maintain(keep interval, OUT made int, OUT dropped int) LANGUAGE plpgsql
    SET search_path = pg_catalog SET timezone = 'UTC' SET lock_timeout = '3s' AS $$
DECLARE
    day date;
    part text;
    horizon timestamptz := now() - keep;
BEGIN
    made := 0;
    dropped := 0;
    PERFORM pg_advisory_xact_lock(hashtextextended('messages.maintain', 0));
    FOR day IN SELECT d::date FROM generate_series(current_date, current_date + 7, interval '1 day') AS d LOOP
        part := 'message_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass('messages.' || part) IS NOT NULL;
        EXECUTE format('CREATE TABLE messages.%I (LIKE messages.message INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)', part);
        -- What the default partition took for this day moves over, so that the day can be attached.
        LOCK TABLE messages.message IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('WITH moved AS (DELETE FROM messages.message_default WHERE received_at >= %2$L AND received_at < %3$L
                                       RETURNING *)
                        INSERT INTO messages.%1$I SELECT * FROM moved', part, day, day + 1);
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
        DELETE FROM messages.message_default WHERE received_at < horizon;
        DELETE FROM messages.external_id AS e WHERE e.received_at < date_trunc('day', horizon);
    END IF;
    -- The last position stays, for the next one to follow it.
    DELETE FROM messages.batch WHERE last_received < date_trunc('day', greatest(horizon, now() - interval '7 days'))
        AND position < (SELECT max(position) FROM messages.batch);
END $$;

-- Keys of the API. Only a hash is kept: a key has 256 random bits, so a fast hash is as good as a slow one.
CREATE TABLE messages.api_key (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL,
    hash       bytea NOT NULL UNIQUE,
    scopes     text[] NOT NULL CHECK (scopes <@ ARRAY['read', 'write', 'admin']),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
);
COMMENT ON TABLE messages.api_key IS 'who may call the gateway';

CREATE FUNCTION messages.tell_keys() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM pg_notify('sentiment_keys', '');
    RETURN NULL;
END $$;

CREATE TRIGGER tell_keys AFTER INSERT OR UPDATE OR DELETE ON messages.api_key
    FOR EACH STATEMENT EXECUTE FUNCTION messages.tell_keys();
