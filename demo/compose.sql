-- What docker compose up shows: sample messages are inserted where the gateway stores them, and carry their sentiment. Once;
-- then they are there.
\pset footer off
\pset null '-'
SELECT NOT EXISTS (SELECT FROM messages.message) AS first \gset
\if :first
CREATE TEMPORARY TABLE sample (sent_at timestamptz, source text, author text, body text);
\copy sample FROM '/demo/messages.tsv'
INSERT INTO messages.message (sent_at, source, author, body) SELECT sent_at, source, author, body FROM sample;
\endif
SELECT source, left(body, 60) AS body, label, round(score::numeric, 2) AS score
FROM messages.message ORDER BY sent_at DESC, id LIMIT 12;
SELECT coalesce(label, '(nothing to score)') AS label, count(*) AS messages FROM messages.message GROUP BY 1 ORDER BY 2 DESC;
