-- What docker compose up shows: sample messages are copied into a table and carry their sentiment. Once; then they are there.
\pset footer off
\pset null '-'
SELECT to_regclass('messages') IS NULL AS first \gset
\if :first
CREATE TABLE messages (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source  text NOT NULL,
    author  text NOT NULL,
    body    text NOT NULL,
    sent_at timestamptz NOT NULL
);
SELECT enable_sentiment('messages', 'body') \gset
\copy messages (sent_at, source, author, body) FROM '/demo/messages.tsv'
\endif
SELECT source, left(body, 60) AS body, sentiment, round(sentiment_score::numeric, 2) AS score
FROM messages ORDER BY sent_at DESC, id LIMIT 12;
SELECT coalesce(sentiment, '(nothing to score)') AS sentiment, count(*) AS messages FROM messages GROUP BY 1 ORDER BY 2 DESC;
