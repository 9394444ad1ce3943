-- sentiment_batch()
SELECT ord, label FROM sentiment_batch(ARRAY['I love it, wonderful', 'The train leaves from platform 6', 'I hate it, awful']);
SELECT b.ord, b.label = sentiment(t.body) AS label, b.score = sentiment_score(t.body) AS score,
       b.confidence = sentiment_probability(t.body, b.label) AS confidence
FROM (SELECT ARRAY['great stuff', 'rubbish', 'the bus at noon']) AS a (bodies),
     sentiment_batch(a.bodies) AS b JOIN LATERAL unnest(a.bodies) WITH ORDINALITY AS t (body, ord) USING (ord);

-- an element without anything to score keeps its place
SELECT ord, label, score IS NULL AS no_score FROM sentiment_batch(ARRAY['so happy', NULL, '', 'so sad']);
SELECT count(*), max(ord) FROM sentiment_batch(ARRAY(SELECT 'message ' || i FROM generate_series(1, 5000) AS i), 'english@1');

-- an array of more dimensions, or of other bounds, is read in order
SELECT ord, label FROM sentiment_batch(ARRAY[['so happy', 'so sad'], ['wonderful', 'awful']]);
SELECT ord, label FROM sentiment_batch('[5:6]={so happy,so sad}'::text[]);

-- nothing in, nothing out
SELECT count(*) FROM sentiment_batch(NULL);
SELECT count(*) FROM sentiment_batch('{}');

-- refusals
SELECT * FROM sentiment_batch(ARRAY['good'], 'no_such_model');
SELECT * FROM sentiment_batch('{}', 'no_such_model');
