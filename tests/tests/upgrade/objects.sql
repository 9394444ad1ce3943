-- What rests on an extension when it is updated: models of every algorithm, versions, deployments, feedback, the users' own
-- terms, a trigger, generated columns, an index, a view, a constraint.
CREATE TABLE examples AS
    SELECT CASE WHEN n % 2 = 0 THEN 'sunny' ELSE 'rainy' END || ' day ' || md5(n::text) AS body,
           CASE WHEN n % 2 = 0 THEN 'positive' ELSE 'negative' END AS label
    FROM generate_series(1, 200) AS n;
SELECT train_sentiment('mood', 'examples', 'body', 'label', 'naive_bayes');
SELECT train_sentiment('weights', 'examples', 'body', 'label', 'logistic_regression');
SELECT train_sentiment('forest', 'examples', 'body', 'label', 'random_forest', '{"trees": 5}');
SELECT set_sentiment_term('mood', 'sleet', -0.5);
SELECT learn_sentiment('mood', 'foggy', 'negative') FROM generate_series(1, 9);
SELECT refresh_sentiment('mood');
SELECT set_sentiment_term('weights', 'sunnyish', 0.5);
SELECT learn_sentiment('weights', 'misty', 'negative') FROM generate_series(1, 9);
SELECT refresh_sentiment('weights');
SELECT learn_sentiment('mood', 'hazy', 'negative');
SELECT import_sentiment('copy', export_sentiment('mood'));
CREATE TABLE messages (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    body text,
    label_at text GENERATED ALWAYS AS (sentiment_at(body, 'english@2')) STORED,
    mood_at float8 GENERATED ALWAYS AS (sentiment_score_at(body, 'mood@2')) STORED
);
SELECT enable_sentiment('messages', 'body');
CREATE TABLE days (body text, mood text, version text);
CREATE TRIGGER mood BEFORE INSERT ON days FOR EACH ROW
    EXECUTE FUNCTION sentiment_trigger('body', 'label=mood', 'version=version', 'model=mood');
INSERT INTO messages (body) VALUES ('so happy, great'), ('a foggy day, terrible'), ('the train at six'), ('sunny :)'), ('so sunnyish'), (''), (NULL);
INSERT INTO days VALUES ('foggy'), ('sunny');
CREATE INDEX messages_score ON messages (sentiment_score_at(body, 'english@2'));
ALTER TABLE messages ADD CONSTRAINT scored CHECK (sentiment_score_at(body, 'mood@2') BETWEEN -1 AND 1);
CREATE VIEW current_labels AS SELECT id, sentiment(body) AS label, sentiment(body, 'mood') AS mood FROM messages;
