-- sentiment_detail() and sentiment_json()
SELECT label, score > 0.3 AS score, confidence > 0.4 AS confidence, coverage BETWEEN 0 AND 1 AS coverage, truncated, model_version
FROM sentiment_detail('I love this phone, it is wonderful!');
SELECT (sentiment_detail('what an awful day')).label;
SELECT pg_typeof(d.label), pg_typeof(d.score), pg_typeof(d.confidence), pg_typeof(d.probabilities), pg_typeof(d.coverage),
       pg_typeof(d.truncated), pg_typeof(d.model_version)
FROM sentiment_detail('x') AS d;

-- it agrees with the single functions
SELECT d.label = sentiment(body) AS label, d.score = sentiment_score(body) AS score,
       d.confidence = sentiment_probability(body, d.label) AS confidence,
       (d.probabilities ->> 'negative')::float8 = sentiment_probability(body, 'negative') AS probability
FROM (VALUES ('great stuff'), ('rubbish'), ('the bus at noon')) AS texts (body), sentiment_detail(body) AS d;
SELECT array_agg(key ORDER BY key) AS labels, round(sum(value::float8)::numeric, 6) AS total
FROM sentiment_detail('so happy'), jsonb_each_text(probabilities);

-- coverage is the share of known tokens
SELECT (sentiment_detail('good morning')).coverage > 0.9 AS known, (sentiment_detail('xqzjwv qwxzk vvqzx')).coverage < 0.1 AS unknown;

-- the same as jsonb
SELECT array_agg(key ORDER BY key) FROM jsonb_object_keys(sentiment_json('so happy')) AS key;
SELECT sentiment_json(body) = to_jsonb(d) AS same
FROM (VALUES ('great stuff'), ('rubbish'), ('')) AS texts (body), sentiment_detail(body) AS d;
SELECT sentiment_json('so happy', 'english') ->> 'model_version';
-- with a point also where a number has no fraction
SELECT sentiment_json('good morning') -> 'coverage' AS known, sentiment_json('xqzjwv qwxzk vvqzx') -> 'coverage' AS unknown;

-- nothing in, nothing out
SELECT sentiment_detail(NULL) IS NULL AS detail, sentiment_json(NULL) IS NULL AS json;
SELECT label IS NULL AS label, score IS NULL AS score, confidence IS NULL AS confidence, truncated FROM sentiment_detail('   ');

-- a long text is cut, and that is said
SELECT truncated FROM sentiment_detail(repeat('good ', 100000));
SELECT sentiment_json(repeat('good ', 100000)) -> 'truncated' AS truncated;

-- refusals
SELECT * FROM sentiment_detail('good', 'no_such_model');
SELECT sentiment_json('good', 'english@99');
