-- Times have years that RFC 3339 can write, and end: who inserts into the table by SQL might give infinity, which no reader
-- of messages could show.

-- What is odd already is mended first, found along indexes: it becomes the nearest time that may be. That of received_at is
-- in the default partition, before and after. Nothing odd can come in between.
LOCK TABLE messages.message IN ACCESS EXCLUSIVE MODE;
UPDATE messages.message
    SET sent_at = greatest('0001-01-01 00:00+00', least('9998-12-31 23:59:59.999999+00', sent_at))
    WHERE sent_at < '0001-01-01 00:00+00' OR sent_at >= '9999-01-01 00:00+00';
UPDATE messages.message_default
    SET received_at = greatest('0001-01-01 00:00+00', least('9998-12-31 23:59:59.999999+00', received_at))
    WHERE received_at < '0001-01-01 00:00+00' OR received_at >= '9999-01-01 00:00+00';
-- What goes by received_at goes with it.
UPDATE messages.external_id
    SET received_at = greatest('0001-01-01 00:00+00', least('9998-12-31 23:59:59.999999+00', received_at))
    WHERE received_at < '0001-01-01 00:00+00' OR received_at >= '9999-01-01 00:00+00';
UPDATE messages.batch
    SET first_received = greatest('0001-01-01 00:00+00', least('9998-12-31 23:59:59.999999+00', first_received)),
        last_received = greatest('0001-01-01 00:00+00', least('9998-12-31 23:59:59.999999+00', last_received))
    WHERE first_received < '0001-01-01 00:00+00' OR last_received >= '9999-01-01 00:00+00';

-- NOT VALID spares a pass over all that is stored, for it holds there already.
ALTER TABLE messages.message
    ADD CONSTRAINT message_times CHECK (
        sent_at >= '0001-01-01 00:00+00' AND sent_at < '9999-01-01 00:00+00'
        AND received_at >= '0001-01-01 00:00+00' AND received_at < '9999-01-01 00:00+00') NOT VALID;
