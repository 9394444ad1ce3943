-- sentiment_at() and sentiment_score_at(): frozen versions, so IMMUTABLE
SELECT sentiment_at('I love it', 'english@1'), sentiment_at('I hate it', 'english@1');
SELECT sentiment_score_at('I love it', 'english@1') = sentiment_score('I love it', 'english@1') AS same;
SELECT sentiment_at(NULL, 'english@1') IS NULL, sentiment_at('', 'english@1') IS NULL, sentiment_score_at('x', NULL) IS NULL;

-- the default model does not matter here
SET sentiment.default_model = 'no_such_model';
SELECT sentiment_at('I love it', 'english@1');
RESET sentiment.default_model;

-- an index on it is used
CREATE TABLE messages (id int GENERATED ALWAYS AS IDENTITY, body text);
INSERT INTO messages (body) SELECT CASE i % 10 WHEN 0 THEN 'I hate it, awful ' ELSE 'I love it, wonderful ' END || i FROM generate_series(1, 1000) AS i;
CREATE INDEX messages_sentiment ON messages (sentiment_at(body, 'english@1'));
ANALYZE messages;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM messages WHERE sentiment_at(body, 'english@1') = 'negative';
SELECT count(*) FROM messages WHERE sentiment_at(body, 'english@1') = 'negative';

-- a STABLE function is refused there by the server
CREATE INDEX ON messages (sentiment(body));
ALTER TABLE messages ADD COLUMN s text GENERATED ALWAYS AS (sentiment(body)) STORED;

-- refusals
SELECT sentiment_at('good', 'english');
SELECT sentiment_at('good', 'english@');
SELECT sentiment_at('good', '@1');
SELECT sentiment_at('good', 'english@1@1');
SELECT sentiment_at('good', 'english@99');
SELECT sentiment_at('good', 'no_such_model@1');
SELECT sentiment_at('good', '');
SELECT sentiment_score_at('good', 'english');
SELECT sentiment_score_at('good', 'english@99');
