-- What make demo shows: messages copied into a table carry their sentiment, and plain SQL sums it up.
\set ON_ERROR_STOP on
\set QUIET on
\pset footer off
\pset null '-'
SET client_min_messages = warning;

CREATE EXTENSION pg_sentiment;

CREATE TABLE messages (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source  text NOT NULL,
    author  text NOT NULL,
    body    text NOT NULL,
    sent_at timestamptz NOT NULL
);

-- Adds the columns sentiment, sentiment_score and sentiment_version, and this trigger:
SELECT enable_sentiment('messages', 'body') \gset
\echo
\echo 'Every row is scored as it arrives, by a trigger that enable_sentiment(''messages'', ''body'') made:'
\pset tuples_only on
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'messages'::regclass AND NOT tgisinternal;
\pset tuples_only off

\timing on
\copy messages (sent_at, source, author, body) FROM 'demo/messages.tsv'
\timing off
\echo
\echo 'The latest of the sample messages (yesterday''s, whenever you look):'
SELECT to_char(sent_at, 'HH24:MI') AS at, source, left(body, 60) AS body, sentiment, round(sentiment_score::numeric, 2) AS score
FROM messages
ORDER BY sent_at DESC, id
LIMIT 12;

\echo 'By label:'
SELECT coalesce(sentiment, '(nothing to score)') AS sentiment, count(*) AS messages,
       count(*) FILTER (WHERE source = 'tweet') AS tweets, count(*) FILTER (WHERE source = 'sms') AS sms,
       round(avg(sentiment_score)::numeric, 2) AS mean_score
FROM messages
GROUP BY messages.sentiment
ORDER BY messages DESC;

\echo 'By hour:'
SELECT to_char(date_trunc('hour', sent_at), 'HH24:MI') AS hour, count(*) AS messages,
       count(*) FILTER (WHERE sentiment = 'positive') AS positive,
       count(*) FILTER (WHERE sentiment = 'neutral') AS neutral,
       count(*) FILTER (WHERE sentiment = 'negative') AS negative,
       round(avg(sentiment_score)::numeric, 2) AS mean_score
FROM messages
GROUP BY date_trunc('hour', sent_at)
ORDER BY date_trunc('hour', sent_at);

\echo 'Why is this one what it is?  SELECT * FROM sentiment_explain(body, top_k => 8)'
SELECT body AS explained FROM messages WHERE body LIKE 'Not bad at all%' \gset
\echo :explained
SELECT term, start_pos, round(weight::numeric, 3) AS weight, toward FROM sentiment_explain(:'explained', top_k => 8);
