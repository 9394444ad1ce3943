-- train_sentiment(), evaluate_sentiment(), confusion_sentiment(), learn_sentiment(), refresh_sentiment(), the registry.
CREATE TABLE texts AS
    SELECT CASE WHEN n % 2 = 0 THEN 'sunny' ELSE 'rainy' END || ' day ' || md5(n::text) AS body,
           CASE WHEN n % 2 = 0 THEN 'positive' ELSE 'negative' END AS label,
           CASE WHEN n % 2 = 0 THEN 'sunny' ELSE 'rainy' END AS weather
    FROM generate_series(1, 200) AS n;
INSERT INTO texts VALUES (NULL, 'positive'), ('sunny', NULL), (' ', 'negative');

-- Each algorithm.
SELECT model_version, rows_train, rows_test, rows_skipped, accuracy, macro_f1, deployed, previous_macro_f1
FROM train_sentiment('nb', 'texts', 'body', 'label', 'naive_bayes');
SELECT model_version, rows_train, rows_test, rows_skipped, accuracy, macro_f1, deployed, previous_macro_f1
FROM train_sentiment('lr', 'texts', 'body', 'label');
SELECT model_version, rows_train, rows_test, rows_skipped, accuracy, macro_f1, deployed, previous_macro_f1
FROM train_sentiment('forest', 'texts', 'body', 'label', 'random_forest', '{"trees": 10}', 0.5, 7, 'always');
SELECT m, sentiment('a sunny morning', m), sentiment('rainy again', m), sentiment_score('sunny', m) > 0 AS positive
FROM unnest(ARRAY['nb', 'lr', 'forest', 'nb@1']) AS m;
SELECT * FROM evaluate_sentiment('nb', 'texts', 'body', 'label');
SELECT * FROM confusion_sentiment('nb', 'texts', 'body', 'label');
-- Of no rows nothing is said.
CREATE VIEW nothing AS SELECT body, label FROM texts WHERE body IS NULL;
SELECT * FROM evaluate_sentiment('nb', 'nothing', 'body', 'label');

-- The same again is no better, and the same bytes.
SELECT model_version, deployed, previous_macro_f1 FROM train_sentiment('nb', 'texts', 'body', 'label', 'naive_bayes');
SELECT export_sentiment('nb', 1) = export_sentiment('nb', 2) AS same;

-- Learning.
SELECT count(learn_sentiment('nb', 'foggy again', 'negative')) FROM generate_series(1, 10);
SELECT model_version, rows_used FROM refresh_sentiment('nb');
SELECT model_version, rows_used FROM refresh_sentiment('nb');
SELECT sentiment('foggy', 'nb');
SELECT set_sentiment_term('nb', 'stellar', 1);
SELECT model_version FROM refresh_sentiment('nb');
SELECT sentiment('stellar', 'nb'), sentiment_score('stellar', 'nb') - sentiment_score('stellar', 'nb@3') > 0.5 AS moved;
SELECT refresh_sentiment('forest');

-- Spellings that are read alike are one term.
SELECT set_sentiment_term('nb', 'zork', 1), set_sentiment_term('nb', 'ZORK', -1), set_sentiment_term('nb', '#ZorkDay', 1);
SELECT term, score FROM sentiment.term WHERE model = 'nb' ORDER BY term COLLATE "C";
SELECT set_sentiment_term('nb', 'Zork', NULL), set_sentiment_term('nb', '#zorkday', NULL);
SELECT set_sentiment_term('nb', 'Zork', NULL);
-- so are those that 0.1.0 stored, without a key
INSERT INTO sentiment.term (model, term, score) VALUES ('nb', 'zork', 1);
SELECT set_sentiment_term('nb', 'ZORK', -1);
SELECT term, score FROM sentiment.term WHERE term ILIKE 'zork';
SELECT set_sentiment_term('nb', 'Zork', NULL);
SELECT term, score FROM sentiment.term WHERE model = 'nb';

-- What is misspelt is refused when it is filed.
SELECT learn_sentiment('nbb', 'foggy', 'negative');
SELECT learn_sentiment('nb', 'foggy', 'negativ');
SELECT learn_sentiment('foggy again and again', 'nb', 'negative');
SELECT learn_sentiment('nb', 'negative', 'foggy again and again');
SELECT set_sentiment_term('nbb', 'lit', 1);
SELECT set_sentiment_term('forest', 'lit', 1);
SELECT set_sentiment_term('forest', 'lit', NULL);
SELECT count(*) FROM train_sentiment('weather', 'texts', 'body', 'weather', 'naive_bayes');
SELECT set_sentiment_term('weather', 'lit', 1);
SELECT import_sentiment('network', export_sentiment('english'));
SELECT set_sentiment_term('network', 'lit', 1);
SELECT drop_sentiment('network');

-- The rows say which labels there are: feedback of others is left out.
SELECT learn_sentiment('weather', 'foggy', 'rainy'), learn_sentiment('weather', 'misty', 'sunny');
SELECT model_version, rows_skipped FROM train_sentiment('weather', 'texts', 'body', 'label', 'naive_bayes', deploy => 'always');
SELECT labels FROM sentiment.models WHERE model = 'weather';
SELECT learn_sentiment('weather', 'foggy', 'negative');
-- And wait for a version that has their label.
SELECT deploy_sentiment('weather', 1);
SELECT model_version, rows_used FROM refresh_sentiment('weather');
SELECT sentiment('foggy', 'weather'), sentiment('misty', 'weather');
SELECT label, count(*) FROM sentiment.unlearned JOIN sentiment.feedback ON id = feedback GROUP BY 1 ORDER BY 1;
SELECT deploy_sentiment('weather', 2);
SELECT model_version, rows_used FROM refresh_sentiment('weather');
SELECT drop_sentiment('weather');

-- A blank label is none, wherever it comes from.
CREATE VIEW blanks AS
    SELECT body, label FROM texts UNION ALL
    SELECT 'foggy day ' || n, CASE n % 3 WHEN 0 THEN '' WHEN 1 THEN E' \t\n' ELSE U&'\00A0' END FROM generate_series(1, 30) AS n;
SELECT model_version, rows_skipped FROM train_sentiment('blank', 'blanks', 'body', 'label', 'naive_bayes');
SELECT labels FROM sentiment.models WHERE model = 'blank';
SELECT class, support FROM evaluate_sentiment('blank', 'blanks', 'body', 'label');
SELECT actual, sum(n) FROM confusion_sentiment('blank', 'blanks', 'body', 'label') GROUP BY 1 ORDER BY 1;
SELECT learn_sentiment('blank', 'foggy', '');
SELECT train_sentiment('blank', 'blanks', 'body', 'label', 'naive_bayes', '{"label_scores": {"positive": 1, "": 0}}');
-- also among what 0.1.0 filed for a model that had it
INSERT INTO sentiment.feedback (model, body, label, created_by) VALUES ('blank', 'foggy', '', 'ann'), ('blank', 'foggy', ' ', 'ann');
SELECT model_version, rows_skipped FROM train_sentiment('blank', 'blanks', 'body', 'label', 'naive_bayes');
SELECT drop_sentiment('blank');

-- What the deployed version has learned from is not held out: it would do better on that than it does.
CREATE VIEW chance AS
    SELECT 'word' || translate(md5(n::text), '0123456789', 'ghijklmnop') AS body, n,
           CASE WHEN md5('label' || n) < '8' THEN 'positive' ELSE 'negative' END AS label
    FROM generate_series(1, 600) AS n;
CREATE VIEW early AS SELECT * FROM chance WHERE n <= 200;
SELECT rows_train, rows_test FROM train_sentiment('chance', 'early', 'body', 'label');
SELECT count(learn_sentiment('chance', body, label)) FROM chance WHERE n > 200 AND n <= 500;
SELECT rows_used FROM refresh_sentiment('chance');
SELECT rows_train, rows_test, previous_macro_f1 > 0.6 AS by_heart FROM train_sentiment('chance', 'early', 'body', 'label', deploy => 'never');
SELECT rows_train, rows_test, previous_macro_f1 > 0.6 AS by_heart FROM train_sentiment('chance', 'chance', 'body', 'label', deploy => 'never');
-- What was filed since is.
SELECT count(learn_sentiment('chance', body, label)) FROM chance WHERE n > 500;
SELECT rows_train, rows_test FROM train_sentiment('chance', 'early', 'body', 'label', deploy => 'never');
SELECT drop_sentiment('chance');

-- The life of a model.
SELECT rollback_sentiment('nb'), rollback_sentiment('nb');
SELECT rollback_sentiment('nb');
SELECT deploy_sentiment('nb', 4);
SELECT model_version, reason, current FROM sentiment.deployments WHERE model = 'nb' ORDER BY deployed_at, model_version;
SELECT model, model_version, shipped, deployed_by FROM sentiment.models ORDER BY model;
SELECT import_sentiment('copy', export_sentiment('nb'));
SELECT sentiment('stellar', 'copy');
SELECT sentiment('stellar', 'copy@1'), deploy_sentiment('copy', 1);
-- Terms come along, and stay until one is set here.
SELECT model_version, rows_used FROM refresh_sentiment('copy');
SELECT learn_sentiment('copy', 'foggy again', 'negative');
SELECT model_version, rows_used FROM refresh_sentiment('copy');
SELECT sentiment_score('stellar', 'copy') - sentiment_score('stellar', 'nb@3') > 0.5 AS kept;
SELECT set_sentiment_term('copy', 'zork', 1);
SELECT model_version FROM refresh_sentiment('copy');
SELECT sentiment_score('stellar', 'copy') - sentiment_score('stellar', 'nb@3') > 0.5 AS kept;
SELECT drop_sentiment('copy', 3);
SELECT drop_sentiment('copy');
-- Who deploys the same version again still goes back to another.
SELECT import_sentiment('copy', export_sentiment('nb')), import_sentiment('copy', export_sentiment('nb'));
SELECT deploy_sentiment('copy', 4), deploy_sentiment('copy', 5), deploy_sentiment('copy', 5);
SELECT rollback_sentiment('copy');
-- Where that one is dropped, to what was deployed before it, if that is another.
SELECT import_sentiment('copy', export_sentiment('nb')), deploy_sentiment('copy', 5), deploy_sentiment('copy', 6);
SELECT drop_sentiment('copy', 5), rollback_sentiment('copy');
SELECT import_sentiment('copy', export_sentiment('nb')), deploy_sentiment('copy', 6), deploy_sentiment('copy', 7), deploy_sentiment('copy', 6);
SELECT drop_sentiment('copy', 7), rollback_sentiment('copy');
SELECT rollback_sentiment('copy');
-- Imports are pruned as trainings are.
SELECT count(import_sentiment('copy', export_sentiment('nb'))) FROM generate_series(1, 12);
SELECT min(number), max(number), count(*), count(*) FILTER (WHERE deployed) AS deployed FROM sentiment.versions WHERE model = 'copy';
SELECT drop_sentiment('copy');
SELECT sentiment('stellar', 'copy');
SELECT import_sentiment('copy', export_sentiment('english'));
CREATE INDEX ON texts (sentiment_at(body, 'nb@2'));
SELECT drop_sentiment('nb', 2);
SELECT drop_sentiment('nb');
SELECT drop_sentiment('nb', 99);

-- What is left when the newest version goes.
SELECT count(*) FROM train_sentiment('spare', 'texts', 'body', 'label', 'naive_bayes', deploy => 'never');
SELECT count(*) FROM train_sentiment('spare', 'texts', 'body', 'label', 'naive_bayes', deploy => 'never');
SELECT drop_sentiment('spare', 2);
SELECT sentiment('sunny', 'spare');
SELECT model, model_version, rows_train FROM sentiment.models WHERE model = 'spare';
SELECT deploy_sentiment('spare', 1);

-- Refusals.
SELECT train_sentiment('x', 'texts', 'body', 'label', 'magic');
SELECT train_sentiment('x', 'texts', 'body', 'label', 'naive_bayes', '{"trees": 3}');
SELECT train_sentiment('x', 'texts', 'body', 'label', options => '{"l2": "much"}');
SELECT train_sentiment('x', 'texts', 'body', 'label', test_fraction => 0);
SELECT train_sentiment('x', 'texts', 'body', 'label', test_fraction => 'NaN');
SELECT train_sentiment('x', 'texts', 'body', 'label', deploy => 'perhaps');
SELECT train_sentiment('x', 'texts', 'body', 'nothing');
SELECT train_sentiment('x', 'pg_class', 'relpages', 'relname');
SELECT train_sentiment('x@1', 'texts', 'body', 'label');
SELECT train_sentiment('', 'texts', 'body', 'label');
SELECT train_sentiment(repeat('x', 10000), 'texts', 'body', 'label');
SELECT train_sentiment('english', 'texts', 'body', 'label');
SELECT train_sentiment(NULL, 'texts', 'body', 'label');
SELECT train_sentiment('x', NULL, 'body', 'label');
CREATE VIEW none AS SELECT body, label FROM texts WHERE false;
SELECT train_sentiment('x', 'none', 'body', 'label');
CREATE VIEW one AS SELECT body, 'good'::text AS label FROM texts;
SELECT train_sentiment('x', 'one', 'body', 'label');
CREATE VIEW single AS SELECT DISTINCT ON (label) * FROM texts;
SELECT train_sentiment('x', 'single', 'body', 'label');
CREATE VIEW many AS SELECT body, body AS label FROM texts;
SELECT train_sentiment('x', 'many', 'body', 'label');
CREATE VIEW long AS SELECT body, repeat(label, 100000) AS label FROM texts;
SELECT train_sentiment('x', 'long', 'body', 'label');
CREATE VIEW broken AS SELECT body, CASE WHEN body LIKE '%f' THEN 1 / (length(body) - length(body)) ELSE 1 END AS label FROM texts;
SELECT train_sentiment('x', 'broken', 'body', 'label');
SET sentiment.train_memory = '20kB';
SELECT train_sentiment('x', 'texts', 'body', 'label', 'naive_bayes');
RESET sentiment.train_memory;
SELECT deploy_sentiment('x', 1);
SELECT deploy_sentiment('nb', 99);
SELECT deploy_sentiment('nb', NULL);
SELECT refresh_sentiment('nb', 0);
SELECT set_sentiment_term('nb', 'four words are one too many', 1);
SELECT set_sentiment_term('nb', 'fine', 2);
SELECT set_sentiment_term('nb', '@bob', 1);
SELECT set_sentiment_term('nb', 'see www.example.org', 1);
SELECT set_sentiment_term('nb', '42', 1);
BEGIN;
INSERT INTO sentiment.term (model, term, score, key) SELECT 'nb', 'full' || n, 1, n FROM generate_series(1, 10000) AS n;
SELECT set_sentiment_term('nb', 'brimming', 1);
ROLLBACK;
SELECT export_sentiment('auto');
SELECT * FROM drift_sentiment('auto', 'texts', 'body');
SELECT import_sentiment('x', '\x00');
SELECT import_sentiment('x', export_sentiment('nb', 4) || '\x00');
SELECT import_sentiment('x', substr(export_sentiment('nb', 1), 1, 500));
SELECT import_sentiment('x', set_byte(export_sentiment('nb', 1), 8, 9));
SELECT count(*) FROM sentiment.versions WHERE model = 'x';
