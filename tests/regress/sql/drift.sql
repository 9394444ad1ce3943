-- drift_sentiment(), sentiment.cache, sentiment.training_progress.
CREATE TABLE texts AS
    SELECT CASE WHEN n % 4 = 0 THEN 'sunny' ELSE 'rainy' END || ' day ' || md5(n::text) AS body,
           CASE WHEN n % 4 = 0 THEN 'positive' ELSE 'negative' END AS label
    FROM generate_series(1, 400) AS n;
SELECT model_version FROM train_sentiment('mood', 'texts', 'body', 'label', 'naive_bayes', test_fraction => 0.3);
SELECT measure, training IS NOT NULL AS training, round(current::numeric, 2) AS current, round(change::numeric, 2) AS change
FROM drift_sentiment('mood', 'texts', 'body');

-- Other texts: labels shift, words are unknown.
CREATE VIEW later AS
    SELECT CASE WHEN n % 4 = 0 THEN 'rainy' ELSE 'sunny' END || ' aurora borealis' AS body FROM generate_series(1, 400) AS n
    UNION ALL SELECT NULL UNION ALL SELECT ' ';
SELECT measure, round(current::numeric, 2) AS current FROM drift_sentiment('mood', 'later', 'body');
SELECT measure, round(current::numeric, 2) AS current FROM drift_sentiment('mood@1', 'later', 'body') WHERE measure LIKE 'share%';
CREATE VIEW none AS SELECT body FROM texts WHERE false;
SELECT * FROM drift_sentiment('mood', 'none', 'body') WHERE current IS NOT NULL;

-- An import keeps what its training measured.
SELECT import_sentiment('copy', export_sentiment('mood'));
SELECT count(training) FROM drift_sentiment('copy@1', 'texts', 'body');

-- What the session has open, and what the server trains.
SELECT sentiment('sunny', 'mood'), sentiment('rainy', 'copy@1'), sentiment('fine');
SELECT model_version, shipped, bytes > 0 AS bytes, texts > 0 AS texts FROM sentiment.cache ORDER BY model_version;
SELECT * FROM sentiment.training_progress;

-- Shipped models say what their answers looked like, too.
SELECT measure, training IS NOT NULL AS training, current IS NOT NULL AS current FROM drift_sentiment('english', 'texts', 'body');
SELECT count(training) FROM drift_sentiment('multilingual', 'texts', 'body');

-- Refusals.
SELECT drift_sentiment(NULL, 'texts', 'body');
SELECT drift_sentiment('nobody', 'texts', 'body');
SELECT drift_sentiment('mood', NULL, 'body');
SELECT drift_sentiment('mood', 'texts', NULL);
SELECT drift_sentiment('mood', 'texts', 'nothing');
SELECT drift_sentiment('mood', 'pg_class', 'relpages');
