-- What an old server has: models, what refers to them, and what they have still to learn.
CREATE EXTENSION pg_sentiment;
CREATE TABLE texts AS
    SELECT CASE WHEN n % 2 = 0 THEN 'sunny ' ELSE 'rainy ' END || md5(n::text) AS body,
           CASE WHEN n % 2 = 0 THEN 'positive' ELSE 'negative' END AS label
    FROM generate_series(1, 4000) AS n;
SELECT train_sentiment('mood', 'texts', 'body', 'label', 'naive_bayes', '{"min_texts": 1, "folds": 2}');
SELECT count(learn_sentiment('mood', 'foggy ' || n, 'negative')) FROM generate_series(1, 50) AS n;
SELECT refresh_sentiment('mood');
SELECT train_sentiment('logistic', 'texts', 'body', 'label', 'logistic_regression', '{"folds": 2}');
SELECT train_sentiment('forest', 'texts', 'body', 'label', 'random_forest', '{"trees": 5}', deploy => 'never');
SELECT set_sentiment_term('mood', 'stellar', 1);
SELECT learn_sentiment('mood', 'misty', 'negative') FROM generate_series(1, 20);
CREATE TABLE messages (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    body text,
    generated float8 GENERATED ALWAYS AS (sentiment_score_at(body, 'english@2')) STORED
);
SELECT enable_sentiment('messages', 'body', 'mood');
CREATE TABLE pinned (body text, label text);
CREATE TRIGGER pinned BEFORE INSERT ON pinned FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('body', 'label=label', 'model=mood@1');
INSERT INTO messages (body) SELECT body FROM texts LIMIT 500;
INSERT INTO pinned VALUES ('foggy sunny');
CREATE INDEX by_label ON messages (sentiment_at(body, 'mood@2'));
CREATE MATERIALIZED VIEW labels AS SELECT sentiment_at(body, 'mood@2') AS label, count(*) FROM messages GROUP BY 1;
CREATE ROLE trainer;
GRANT EXECUTE ON FUNCTION learn_sentiment, refresh_sentiment TO trainer;
