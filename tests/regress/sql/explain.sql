-- sentiment_explain(): why this label
SELECT term, start_pos, toward FROM sentiment_explain('what a wonderful day', top_k => 50) WHERE term LIKE '%wonderful%' AND toward = 'positive' ORDER BY abs(weight) DESC LIMIT 1;
SELECT count(*) AS rows_for_the_bias FROM sentiment_explain('what a wonderful day') WHERE term = '(bias)' AND start_pos IS NULL;
SELECT count(*) <= 4 AS at_most, count(*) > 1 AS some FROM sentiment_explain('what a wonderful day, so happy and proud', top_k => 3);
SELECT bool_and(weight IS NOT NULL AND toward IN ('positive', 'neutral', 'negative')) AS sound FROM sentiment_explain('good and bad', 'english', 100);

-- the terms come by weight, whichever way they pull
SELECT bool_and(abs(weight) <= previous OR previous IS NULL) AS in_order
FROM (SELECT weight, lag(abs(weight)) OVER (ORDER BY n) AS previous
      FROM sentiment_explain('I love the food but I hate the rude waiter', top_k => 20) WITH ORDINALITY AS e (term, start_pos, weight, toward, n)
      WHERE start_pos IS NOT NULL) AS terms;

-- start_pos counts characters from 1, as strpos does
SELECT bool_and(start_pos BETWEEN 1 AND length('ünï 😀 awful')) AS in_text FROM sentiment_explain('ünï 😀 awful') WHERE start_pos IS NOT NULL;

-- nothing in, nothing out
SELECT count(*) FROM sentiment_explain(NULL);
SELECT count(*) FROM sentiment_explain('');

-- without a limit all terms, with none of them the bias alone
SELECT count(*) > 10 AS all_terms FROM sentiment_explain('I love the food but I hate the rude waiter', top_k => NULL);
SELECT term FROM sentiment_explain('I love the food', top_k => 0);

-- refusals
SELECT * FROM sentiment_explain('good', 'no_such_model');
SELECT * FROM sentiment_explain('good', top_k => -1);
