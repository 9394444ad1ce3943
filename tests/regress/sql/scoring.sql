-- sentiment(), sentiment_score(), sentiment_probability()
SELECT sentiment('I love this phone, it is wonderful!');
SELECT sentiment('The train leaves from platform 6');
SELECT sentiment('What a terrible, awful day, I hate it');
SELECT sentiment('omg luv it sooo much 😍😍😍'), sentiment('worst service ever 😡'), sentiment('Not good at all');

SELECT sentiment_score('I love this phone, it is wonderful!') > 0.3 AS positive,
       sentiment_score('What a terrible, awful day, I hate it') < -0.3 AS negative,
       sentiment_score('so so') BETWEEN -1 AND 1 AS in_range;

-- the probabilities of the labels sum to 1, and the score is what they say
SELECT round(sum(sentiment_probability(body, label))::numeric, 6) AS total,
       bool_and(sentiment_probability(body, label) BETWEEN 0 AND 1) AS in_range,
       bool_and(abs(sentiment_score(body) - (sentiment_probability(body, 'positive') - sentiment_probability(body, 'negative'))) < 1e-9) AS score
FROM (VALUES ('great stuff'), ('rubbish'), ('the bus at noon'), ('!?'), ('今日は最高'), ('😀')) AS texts (body),
     unnest(ARRAY['positive', 'neutral', 'negative']) AS label
GROUP BY body;

-- the label is the most probable one
SELECT bool_and(sentiment_probability(body, sentiment(body)) >= sentiment_probability(body, label)) AS most_probable
FROM (VALUES ('great stuff'), ('rubbish'), ('the bus at noon'), ('meh'), ('not bad!')) AS texts (body),
     unnest(ARRAY['positive', 'neutral', 'negative']) AS label;

-- model by name, by version, by setting; named arguments
SELECT sentiment('lovely day', 'english'), sentiment('lovely day', 'english@1'), sentiment('lovely day', NULL),
       sentiment(body => 'lovely day', model => 'english');

-- NULL in, NULL out; nothing to score is unknown and not neutral
SELECT sentiment(NULL) IS NULL, sentiment_score(NULL) IS NULL, sentiment_probability(NULL, 'positive') IS NULL,
       sentiment_probability('good', NULL) IS NULL;
SELECT sentiment('') IS NULL, sentiment('   ') IS NULL, sentiment(E'\n\t\x01\x7f') IS NULL,
       sentiment_score('') IS NULL, sentiment_probability('', 'positive') IS NULL;

-- varchar, char, name and domains are texts too
CREATE DOMAIN sms AS varchar(160) CHECK (value <> 'x');
SELECT sentiment('I love it'::varchar), sentiment('I love it'::char(20)), sentiment('I love it'::sms);

-- the same text, the same answer
SELECT count(DISTINCT sentiment_score('some text or other')) FROM generate_series(1, 1000);

-- refusals
SELECT sentiment('good', 'no_such_model');
SELECT sentiment('good', 'english@99');
SELECT sentiment('good', 'english@0');
SELECT sentiment('good', 'english@');
SELECT sentiment('good', 'english@one');
SELECT sentiment('good', 'english@99999999999999999999');
SELECT sentiment('good', '');
SELECT sentiment_score('good', 'no_such_model');
SELECT sentiment_probability('good', 'no_such_label');
SELECT sentiment_probability('good', '');
SELECT sentiment_probability('good', 'positive', 'no_such_model');
-- a bad model is one whatever the text
SELECT sentiment('', 'no_such_model');
SELECT sentiment(NULL, 'no_such_model') IS NULL;
SELECT sentiment(42);
