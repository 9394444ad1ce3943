-- stale_sentiment() and rescore_sentiment()
CREATE TABLE messages (id int GENERATED ALWAYS AS IDENTITY, body text);
SELECT enable_sentiment('messages', 'body');
INSERT INTO messages (body) SELECT CASE i % 3 WHEN 0 THEN 'I hate it, awful' WHEN 1 THEN 'I love it, wonderful' END FROM generate_series(1, 300) AS i;
SELECT stale_sentiment('messages');

-- rows that another version scored, or none, are stale; rows with nothing to score are not for long
UPDATE messages SET sentiment_version = 'english@0', sentiment = NULL WHERE id <= 100;
SELECT stale_sentiment('messages');
SET client_min_messages = warning;
CALL rescore_sentiment('messages');
RESET client_min_messages;
SELECT stale_sentiment('messages'), count(*) FILTER (WHERE sentiment IS DISTINCT FROM sentiment(body)) AS wrong FROM messages;

-- only stale rows are written, in batches that commit
UPDATE messages SET sentiment_version = NULL WHERE id <= 10;
CREATE TEMP TABLE places AS SELECT id, ctid AS place FROM messages;
SET client_min_messages = warning;
CALL rescore_sentiment('messages', batch => 3);
RESET client_min_messages;
SELECT count(*) AS moved FROM messages JOIN places USING (id) WHERE messages.ctid <> place;
CALL rescore_sentiment('messages');

-- it says how far it is
CREATE TABLE brief (body text);
SELECT enable_sentiment('brief', 'body');
INSERT INTO brief SELECT 'so happy' FROM generate_series(1, 8);
UPDATE brief SET sentiment_version = NULL;
CALL rescore_sentiment('brief', batch => 3);

-- refusals
CREATE TABLE plain (body text);
CREATE VIEW messages_view AS SELECT * FROM messages;
CREATE TABLE unversioned (body text);
SELECT enable_sentiment('unversioned', 'body', version_column => NULL);
SELECT stale_sentiment('plain');
CALL rescore_sentiment('plain');
SELECT stale_sentiment('unversioned');
CALL rescore_sentiment('unversioned');
CALL rescore_sentiment('messages_view');
CALL rescore_sentiment('messages', 0);
CALL rescore_sentiment('messages', -5);
CALL rescore_sentiment(NULL);
SELECT stale_sentiment(NULL);
BEGIN;
UPDATE messages SET sentiment_version = NULL WHERE id <= 10;
CALL rescore_sentiment('messages');
ROLLBACK;

-- rows that a trigger's WHEN leaves out are not for others to score
CREATE TABLE tongues (lang text, body text, sentiment text, sentiment_version text);
CREATE TRIGGER english BEFORE INSERT OR UPDATE OF body ON tongues FOR EACH ROW WHEN (NEW.lang = 'en') EXECUTE FUNCTION sentiment_trigger('body');
INSERT INTO tongues VALUES ('en', 'I love it'), ('de', 'ich liebe es');
SELECT stale_sentiment('tongues');
CALL rescore_sentiment('tongues');
UPDATE tongues SET body = body;
SELECT lang, sentiment, sentiment_version FROM tongues ORDER BY lang;

-- a rule that rewrites updates is told of before anything is done, also where it is a partition's; but not one of the whole table, which
-- is not what is updated
CREATE TABLE ruled (id int, body text) PARTITION BY RANGE (id);
CREATE TABLE ruled_1 PARTITION OF ruled FOR VALUES FROM (1) TO (100);
CREATE TABLE ruled_2 PARTITION OF ruled FOR VALUES FROM (100) TO (200);
SELECT enable_sentiment('ruled', 'body');
INSERT INTO ruled SELECT n, 'so happy' FROM generate_series(90, 110) AS n;
UPDATE ruled SET sentiment_version = NULL;
CREATE TABLE ruled_log (id int);
CREATE RULE whole AS ON UPDATE TO ruled DO INSTEAD NOTHING;
CREATE RULE logged AS ON UPDATE TO ruled_2 DO ALSO INSERT INTO ruled_log VALUES (new.id);
CALL rescore_sentiment('ruled');
SELECT stale_sentiment('ruled');
DROP RULE logged ON ruled_2;
CREATE RULE frozen AS ON UPDATE TO ruled_2 DO INSTEAD NOTHING;
CALL rescore_sentiment('ruled');
ALTER TABLE ruled_2 ENABLE REPLICA RULE frozen;
CALL rescore_sentiment('ruled');
SELECT stale_sentiment('ruled');

-- who drops a model is told what it scored
CREATE TABLE texts AS SELECT CASE WHEN n % 2 = 0 THEN 'sunny' ELSE 'rainy' END || ' day ' || n AS body,
    CASE WHEN n % 2 = 0 THEN 'positive' ELSE 'negative' END AS label FROM generate_series(1, 100) AS n;
SELECT model_version FROM train_sentiment('mood', 'texts', 'body', 'label', 'naive_bayes');
CREATE SCHEMA "other one";
CREATE TABLE "other one".moody (body text);
SELECT enable_sentiment('"other one".moody', 'body', 'mood'), enable_sentiment('texts', 'body', 'mood', backfill => false);
SELECT drop_sentiment('mood');
SELECT stale_sentiment('texts');
INSERT INTO texts (body) VALUES ('sunny');
SELECT model_version FROM train_sentiment('lonely', 'texts', 'body', 'label', 'naive_bayes');
SELECT drop_sentiment('lonely');
