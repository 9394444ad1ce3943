-- enable_sentiment() and disable_sentiment()
CREATE TABLE messages (id int GENERATED ALWAYS AS IDENTITY, body text);
INSERT INTO messages (body) VALUES ('I love it, wonderful'), ('I hate it, awful'), (NULL);
SELECT enable_sentiment('messages', 'body');
\d messages
SELECT id, sentiment, sentiment_score = sentiment_score(body) AS score, sentiment_version FROM messages ORDER BY id;
INSERT INTO messages (body) VALUES ('so happy, great') RETURNING sentiment, sentiment_version;

-- a second time it scores all rows again, and there is still one trigger
SELECT enable_sentiment('messages', 'body');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'messages'::regclass;

-- and it takes new settings
SELECT enable_sentiment('messages', 'body', model => 'english@1');
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'messages'::regclass;

-- off again; the columns stay until they are asked for
SELECT disable_sentiment('messages');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'messages'::regclass;
INSERT INTO messages (body) VALUES ('so happy') RETURNING sentiment;
SELECT enable_sentiment('messages', 'body');
SELECT disable_sentiment('messages', drop_columns => true);
\d messages

-- other columns, without backfill
SELECT enable_sentiment('messages', 'body', label_column => 'mood', score_column => 'Mood score', version_column => NULL, backfill => false);
\d messages
SELECT count(mood) FROM messages;
INSERT INTO messages (body) VALUES ('so happy, great') RETURNING mood;

-- with columns of another name; what is not written any more is told
SELECT enable_sentiment('messages', 'body', label_column => 'mood_now', score_column => 'Mood score', version_column => NULL);

-- columns that are there already are used as they are
CREATE TABLE prepared (body varchar(160), sentiment varchar(10), sentiment_score real);
SELECT enable_sentiment('prepared', 'body');
INSERT INTO prepared (body) VALUES ('so happy, great') RETURNING sentiment;

-- rows that they refuse are told of
CREATE TABLE required (body text, sentiment text NOT NULL, sentiment_score float8, sentiment_version text NOT NULL);
SELECT enable_sentiment('required', 'body');
INSERT INTO required (body) VALUES ('so happy, great') RETURNING sentiment;
INSERT INTO required (body) VALUES ('');

-- what a trigger made by hand says of errors stays said
CREATE TABLE strict (body text, sentiment text);
CREATE TRIGGER strict BEFORE INSERT ON strict FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('body', 'on_error=raise');
SELECT enable_sentiment('strict', 'body', label_column => 'mood', score_column => NULL, version_column => NULL);
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'strict'::regclass;

-- what somebody else has written there is not overwritten, unless it says which version it is from
CREATE TABLE labelled (id int, body text, sentiment text);
INSERT INTO labelled VALUES (1, 'meh', 'sarcastic'), (2, 'great, another Monday', 'negative');
SELECT enable_sentiment('labelled', 'body');
SELECT enable_sentiment('labelled', 'body', version_column => NULL);
SELECT enable_sentiment('labelled', 'body', backfill => false);
TABLE labelled ORDER BY id;
SELECT disable_sentiment('labelled');
SELECT enable_sentiment('labelled', 'body');
UPDATE labelled SET sentiment = NULL;
SELECT enable_sentiment('labelled', 'body');
SELECT disable_sentiment('labelled');
SELECT enable_sentiment('labelled', 'body');

-- a column called as versions are is somebody's own where it names none; slips are told first
CREATE TABLE phones (id int, body text, model text);
INSERT INTO phones VALUES (1, 'love it', 'iphone');
SELECT enable_sentiment('phones', 'body', version_column => 'model');
SELECT enable_sentiment('phones', 'body', label_column => 'id');
SELECT enable_sentiment('phones', 'no_such', label_column => 'model');
TABLE phones;

-- also where it is in a table that inherits from this one: the two columns become one
CREATE TABLE parents (body text);
CREATE TABLE children (sentiment text) INHERITS (parents);
INSERT INTO children VALUES ('great, another Monday', 'sarcastic');
SET client_min_messages = warning;
SELECT enable_sentiment('parents', 'body');
SELECT enable_sentiment('parents', 'body', label_column => 'mood');
RESET client_min_messages;
SELECT sentiment, mood, sentiment_version FROM children;

-- another text column
CREATE TABLE posts (title text, body text);
SELECT enable_sentiment('posts', 'title');
SELECT enable_sentiment('posts', 'body');

-- somebody else's trigger has the name
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TABLE named (body text);
CREATE TRIGGER pg_sentiment BEFORE INSERT ON named FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT enable_sentiment('named', 'body');
SELECT enable_sentiment('named', 'body');
SELECT tgname FROM pg_trigger WHERE tgrelid = 'named'::regclass ORDER BY 1;

-- a version speaks for the columns of the trigger that wrote it, or for one that was renamed, and for no other
CREATE TABLE signed (author text, body text);
INSERT INTO signed VALUES ('ann', 'so happy');
SELECT enable_sentiment('signed', 'body');
SELECT enable_sentiment('signed', 'body', label_column => 'author');
SELECT enable_sentiment('signed', 'body', label_column => 'author', backfill => false);
SELECT author, sentiment FROM signed;
SELECT enable_sentiment('signed', 'body', label_column => NULL);
SELECT enable_sentiment('signed', 'body', label_column => 'author');
CREATE TABLE renamed_since (body text);
INSERT INTO renamed_since VALUES ('so happy');
SELECT enable_sentiment('renamed_since', 'body');
ALTER TABLE renamed_since RENAME COLUMN sentiment TO mood;
SELECT enable_sentiment('renamed_since', 'body', label_column => 'mood');

-- a trigger cannot move rows between partitions
CREATE TABLE parted (body text, sentiment text, sentiment_score float8, sentiment_version text) PARTITION BY LIST (sentiment);
SELECT enable_sentiment('parted', 'body');
SELECT enable_sentiment('parted', 'body', label_column => 'mood');
CREATE TABLE by_expression (body text, sentiment text) PARTITION BY LIST (lower(sentiment));
SELECT enable_sentiment('by_expression', 'body');
CREATE TABLE twice (id int, body text) PARTITION BY RANGE (id);
CREATE TABLE once (mood text, body text, id int) PARTITION BY LIST (mood);
ALTER TABLE twice ADD COLUMN mood text;
ALTER TABLE twice ATTACH PARTITION once FOR VALUES FROM (1) TO (2);
SELECT enable_sentiment('twice', 'body', label_column => 'mood');
CREATE TABLE angry PARTITION OF once FOR VALUES IN ('angry');
SELECT enable_sentiment('angry', 'body', label_column => 'mood', score_column => NULL, version_column => NULL);
SELECT enable_sentiment('twice', 'body');

-- nor is a column dropped by which a table is partitioned, though a trigger made by hand writes to it
CREATE TRIGGER by_hand BEFORE INSERT OR UPDATE OF body ON by_expression FOR EACH ROW
    EXECUTE FUNCTION sentiment_trigger('body', 'label=sentiment');
CREATE TABLE keyed (id int, body text, mood text) PARTITION BY RANGE (id);
CREATE TABLE keyed_1 PARTITION OF keyed FOR VALUES FROM (1) TO (2) PARTITION BY LIST (mood);
CREATE TRIGGER by_hand BEFORE INSERT OR UPDATE OF body ON keyed FOR EACH ROW
    EXECUTE FUNCTION sentiment_trigger('body', 'label=mood');
SELECT disable_sentiment('by_expression', true);
SELECT disable_sentiment('keyed', true);
SELECT disable_sentiment('by_expression'), disable_sentiment('keyed');

-- what a partition has from its partitioned table stays with it until it is detached
CREATE TABLE days (day date, body text, title text) PARTITION BY RANGE (day);
CREATE TABLE monday PARTITION OF days FOR VALUES FROM ('2026-11-23') TO ('2026-11-24');
SELECT enable_sentiment('days', 'body');
SELECT disable_sentiment('monday');
SELECT enable_sentiment('monday', 'title');
SELECT enable_sentiment('monday', 'body');
ALTER TABLE days DETACH PARTITION monday;
SELECT enable_sentiment('monday', 'body');
SELECT disable_sentiment('monday');
SELECT disable_sentiment('days');

-- a rule that may leave rows out of updates would leave them unscored; one that does something besides does it
CREATE TABLE ruled (body text, kept bool);
INSERT INTO ruled VALUES ('so happy', true), ('so sad', false);
CREATE RULE frozen AS ON UPDATE TO ruled DO INSTEAD NOTHING;
SELECT enable_sentiment('ruled', 'body');
SELECT enable_sentiment('ruled', 'body', backfill => false);
DROP RULE frozen ON ruled;
CREATE RULE "Kept ones" AS ON UPDATE TO ruled WHERE old.kept DO INSTEAD NOTHING;
SELECT enable_sentiment('ruled', 'body');
ALTER TABLE ruled DISABLE RULE "Kept ones";
CREATE TABLE ruled_log (body text);
CREATE RULE logged AS ON UPDATE TO ruled DO ALSO INSERT INTO ruled_log VALUES (old.body);
CREATE RULE unkept AS ON DELETE TO ruled DO INSTEAD NOTHING;
SELECT enable_sentiment('ruled', 'body');
SELECT body, sentiment, (SELECT count(*) FROM ruled_log AS l WHERE l.body = r.body) AS logged FROM ruled AS r ORDER BY body;

-- so does where it fires; a WHEN is told of, for the new trigger has none
CREATE TABLE picked (body text, sentiment text);
CREATE TRIGGER picked BEFORE INSERT ON picked FOR EACH ROW WHEN (NEW.body <> '') EXECUTE FUNCTION sentiment_trigger('body');
ALTER TABLE picked ENABLE ALWAYS TRIGGER picked;
SELECT enable_sentiment('picked', 'body');
SELECT pg_get_triggerdef(oid), tgenabled FROM pg_trigger WHERE tgrelid = 'picked'::regclass;
-- but one that was disabled is enabled
ALTER TABLE picked DISABLE TRIGGER pg_sentiment;
SELECT enable_sentiment('picked', 'body');
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'picked'::regclass;

-- a column that a trigger names is gone
ALTER TABLE strict RENAME body TO message;
INSERT INTO strict (message) VALUES ('so happy');
SELECT stale_sentiment('strict');
CALL rescore_sentiment('strict');
SELECT trigger, enabled FROM sentiment.tables WHERE target = 'strict'::regclass;
SELECT enable_sentiment('strict', 'message', label_column => 'mood', score_column => NULL, version_column => NULL);
SELECT trigger, enabled FROM sentiment.tables WHERE target = 'strict'::regclass;
INSERT INTO strict (message) VALUES ('so happy') RETURNING mood;
ALTER TABLE strict DROP mood;
SELECT trigger, enabled FROM sentiment.tables WHERE target = 'strict'::regclass;
DROP TABLE strict;

-- names that need quoting
CREATE SCHEMA "Odd schema";
CREATE TABLE "Odd schema"."Odd ""table""" ("The Body" text);
INSERT INTO "Odd schema"."Odd ""table""" VALUES ('so happy, great');
SELECT enable_sentiment('"Odd schema"."Odd ""table"""', 'The Body', label_column => 'a "label"');
SELECT "a ""label""" FROM "Odd schema"."Odd ""table""";
SELECT disable_sentiment('"Odd schema"."Odd ""table"""', drop_columns => true);

-- what has its columns from elsewhere gets none here, and loses none
CREATE TYPE message AS (id int, body text);
CREATE TABLE typed OF message;
SELECT enable_sentiment('typed', 'body');
ALTER TYPE message ADD ATTRIBUTE sentiment text CASCADE;
SELECT enable_sentiment('typed', 'body', score_column => NULL, version_column => NULL);
SELECT disable_sentiment('typed', drop_columns => true);
SELECT disable_sentiment('typed');
CREATE TABLE whole (id int, body text) PARTITION BY LIST (id);
CREATE TABLE part PARTITION OF whole FOR VALUES IN (1);
SELECT enable_sentiment('part', 'body');
ALTER TABLE whole ADD COLUMN sentiment text;
SELECT enable_sentiment('part', 'body', score_column => NULL, version_column => NULL);
SELECT disable_sentiment('part', drop_columns => true);
INSERT INTO whole VALUES (1, 'so happy') RETURNING sentiment;
SELECT disable_sentiment('part');

-- refusals
CREATE VIEW messages_view AS SELECT body FROM messages;
CREATE MATERIALIZED VIEW messages_matview AS SELECT body FROM messages;
CREATE SEQUENCE messages_sequence;
CREATE TABLE numbers (body int, label int);
SELECT enable_sentiment('messages_view', 'body');
SELECT enable_sentiment('messages_matview', 'body');
SELECT enable_sentiment('messages_sequence', 'body');
SELECT enable_sentiment('messages', 'no_such_column');
SELECT enable_sentiment('messages', 'ctid');
SELECT enable_sentiment('numbers', 'body');
SELECT enable_sentiment('prepared', 'body', label_column => 'body');
SELECT enable_sentiment('prepared', 'body', label_column => 'one', score_column => 'one');
SELECT enable_sentiment('prepared', 'body', score_column => 'sentiment');
SELECT enable_sentiment('prepared', 'body', NULL, NULL, NULL, NULL);
SELECT enable_sentiment('prepared', 'body', score_column => '');
SELECT enable_sentiment('prepared', 'body', model => 'no_such_model');
SELECT enable_sentiment('prepared', 'body', model => 'english@99');
SELECT enable_sentiment('no_such_table', 'body');
SELECT enable_sentiment(NULL, 'body');
SELECT enable_sentiment('prepared', NULL);
SELECT enable_sentiment(0, 'body');
SELECT enable_sentiment('pg_class', 'relname');
SELECT enable_sentiment('sentiment.feedback', 'body');
SELECT disable_sentiment('numbers');
SELECT disable_sentiment('messages_view');
SELECT disable_sentiment(NULL);
