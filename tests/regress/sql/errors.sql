-- what happens around an error: it undoes its statement and nothing else, and leaves no trace in the session
CREATE TABLE messages (body text);
SELECT enable_sentiment('messages', 'body');
BEGIN;
INSERT INTO messages VALUES ('so happy, great');
SAVEPOINT before;
SELECT sentiment('good', 'no_such_model');
ROLLBACK TO before;
SELECT sentiment('so happy, great');
COMMIT;
SELECT count(sentiment) FROM messages;

-- an error in the middle of a set
SELECT i, sentiment('so happy', CASE i WHEN 3 THEN 'no_such_model' END) FROM generate_series(1, 4) AS i;
SELECT i, ord, label FROM generate_series(1, 4) AS i, sentiment_batch(ARRAY['so happy'], CASE i WHEN 3 THEN 'no_such_model' END);
SELECT sentiment('so happy, great');

-- a set that is not read to its end
SELECT ord FROM sentiment_tokens(repeat('good ', 100)) LIMIT 2;
SELECT sentiment_batch(ARRAY['so happy', 'so sad']) IS NOT NULL AS in_the_select_list LIMIT 1;

-- enable_sentiment() is undone as a whole
CREATE TABLE undone (body text);
BEGIN;
SELECT enable_sentiment('undone', 'body');
ROLLBACK;
\d undone

-- a warning is not an error in a transaction
CREATE TABLE broken (body text, sentiment text);
CREATE TRIGGER scored BEFORE INSERT ON broken FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('body', 'model=no_such_model', 'label=sentiment');
BEGIN;
INSERT INTO broken VALUES ('one ocelotquux'), ('two ocelotquux');
COMMIT;
SELECT count(*), count(sentiment) FROM broken;

-- an error message is bounded, and holds a long or strange name harmlessly
SELECT sentiment('good', repeat('x', 1000));
SELECT sentiment('good', E'bad\nname\twith "quotes" and 😀');
SELECT sentiment_probability('good', repeat('long label ', 100));
