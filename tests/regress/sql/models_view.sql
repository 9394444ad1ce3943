-- sentiment.models: a row a model, the shipped one included
SELECT model, model_version, algorithm, language, labels, shipped, deployed_at, deployed_by FROM sentiment.models ORDER BY model;
SELECT terms > 1000 AS terms, bytes > 10000 AS bytes, rows_train > 1000 AS rows_train, jsonb_typeof(metrics) AS metrics FROM sentiment.models ORDER BY model;
SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'sentiment' AND table_name = 'models' ORDER BY ordinal_position;
SELECT sentiment('I love it', model) FROM sentiment.models ORDER BY model;
SELECT sentiment_at('I love it', model_version) FROM sentiment.models ORDER BY model;

-- refusals
INSERT INTO sentiment.models (model) VALUES ('x');
DELETE FROM sentiment.models ORDER BY model;
