-- Microseconds a row of scoring and of its peers. Needs :rows, :rounds, :texts (a file of one text a line), :vader (0 or 1)
-- and :library, the folder of VADER's Python package.
SET client_min_messages = warning;
CREATE EXTENSION pg_sentiment;

CREATE TEMP TABLE loaded (body text);
\set copy '\\copy loaded FROM ' :'texts' ' WITH (FORMAT csv, DELIMITER E''\\x01'', QUOTE E''\\x02'')'
:copy
CREATE TABLE texts AS
    SELECT body FROM loaded, generate_series(1, 1 + :rows / (SELECT count(*) FROM loaded)) LIMIT :rows;
VACUUM ANALYZE texts;
-- What takes a hundred times as long is asked a hundredth as often.
CREATE TABLE few_texts AS SELECT body FROM texts LIMIT greatest(:rows / 50, 1);
VACUUM ANALYZE few_texts;

CREATE TABLE contestants (ord int, name text, expression text, source text);
INSERT INTO contestants VALUES
    (1, 'length(body)', 'length(body)', 'texts'),
    (2, 'lower(body)', 'lower(body)', 'texts'),
    (3, 'sentiment_score(body)', 'sentiment_score(body)', 'texts'),
    (4, 'to_tsvector(''english'', body)', 'to_tsvector(''english'', body)', 'texts');

\if :vader
CREATE EXTENSION plpython3u;
SELECT set_config('bench.library', :'library', false) \gset
CREATE FUNCTION vader(body text) RETURNS float8 LANGUAGE plpython3u STABLE AS $$
if 'analyzer' not in GD:
    import sys
    sys.path.insert(0, plpy.execute("SELECT current_setting('bench.library') AS folder")[0]['folder'])
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    GD['analyzer'] = SentimentIntensityAnalyzer()
return GD['analyzer'].polarity_scores(body)['compound']
$$;
INSERT INTO contestants VALUES (5, 'VADER in PL/Python', 'vader(body)', 'few_texts');
\endif

CREATE TABLE figures (name text, round int, microseconds float8);
CREATE PROCEDURE race(rounds int) LANGUAGE plpgsql AS $$
DECLARE
    contestant record;
    started timestamptz;
    n bigint;
BEGIN
    -- Round 0 warms up and does not count.
    FOR round IN 0..rounds LOOP
        FOR contestant IN SELECT * FROM contestants ORDER BY ord LOOP
            started := clock_timestamp();
            EXECUTE format('SELECT count(%s) FROM %I', contestant.expression, contestant.source);
            INSERT INTO figures
                SELECT contestant.name, round, extract(epoch FROM clock_timestamp() - started) * 1e6
                           / (SELECT reltuples FROM pg_class WHERE oid = contestant.source::regclass)
                WHERE round > 0;
        END LOOP;
    END LOOP;
END
$$;
CALL race(:rounds);

\pset footer off
SELECT version() \gset
\echo :version
SELECT name AS "what, whole query", round(min(microseconds)::numeric, 2) AS min,
       round(percentile_cont(0.5) WITHIN GROUP (ORDER BY microseconds)::numeric, 2) AS median,
       round(max(microseconds)::numeric, 2) AS "max, us a row",
       round((percentile_cont(0.5) WITHIN GROUP (ORDER BY microseconds) / (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY microseconds) FROM figures WHERE name = 'lower(body)'))::numeric, 2) AS "x lower()"
FROM figures JOIN contestants USING (name)
GROUP BY name, ord ORDER BY ord;
SELECT count(*) AS texts, round(avg(length(body)), 0) AS "mean characters" FROM texts;
