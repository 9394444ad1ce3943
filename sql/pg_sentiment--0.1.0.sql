\echo Use "CREATE EXTENSION pg_sentiment" to load this file. \quit

-- Scoring functions live in the schema the extension is created in, the registry in a schema of its own.
-- The script runs as the bootstrap superuser even where a database owner creates the extension: it creates, and replaces
-- nothing that is there. Functions stay with that superuser, the registry goes to the extension's owner.

-- Scoring: STABLE, since the model behind a name can change between statements. COST is that of to_tsvector().

CREATE FUNCTION @extschema@.sentiment(body text, model text DEFAULT NULL) RETURNS text
    LANGUAGE C STABLE PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME', 'sentiment';
COMMENT ON FUNCTION @extschema@.sentiment(text, text) IS
    'the sentiment label of a text; NULL if there is nothing to score';

CREATE FUNCTION @extschema@.sentiment_score(body text, model text DEFAULT NULL) RETURNS float8
    LANGUAGE C STABLE PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME', 'sentiment_score';
COMMENT ON FUNCTION @extschema@.sentiment_score(text, text) IS
    'the sentiment of a text from -1 (negative) to 1 (positive); NULL if there is nothing to score';

CREATE FUNCTION @extschema@.sentiment_probability(body text, label text, model text DEFAULT NULL) RETURNS float8
    LANGUAGE C STABLE PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME', 'sentiment_probability';
COMMENT ON FUNCTION @extschema@.sentiment_probability(text, text, text) IS
    'the probability that a text has this label';

CREATE FUNCTION @extschema@.sentiment_detail(body text, model text DEFAULT NULL,
    OUT label text, OUT score float8, OUT confidence float8, OUT probabilities jsonb, OUT coverage float8,
    OUT truncated bool, OUT model_version text)
    LANGUAGE C STABLE PARALLEL SAFE COST 200 AS 'MODULE_PATHNAME', 'sentiment_detail';
COMMENT ON FUNCTION @extschema@.sentiment_detail(text, text) IS
    'label, score, confidence, probabilities, share of known words, and the model version that gave them';

CREATE FUNCTION @extschema@.sentiment_json(body text, model text DEFAULT NULL) RETURNS jsonb
    LANGUAGE C STABLE PARALLEL SAFE COST 200 AS 'MODULE_PATHNAME', 'sentiment_json';
COMMENT ON FUNCTION @extschema@.sentiment_json(text, text) IS
    'what sentiment_detail() returns, as a JSON object';

CREATE FUNCTION @extschema@.sentiment_batch(bodies text[], model text DEFAULT NULL)
    RETURNS TABLE (ord int, label text, score float8, confidence float8)
    LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 100 AS 'MODULE_PATHNAME', 'sentiment_batch';
COMMENT ON FUNCTION @extschema@.sentiment_batch(text[], text) IS
    'label, score and confidence of each text of an array';

CREATE FUNCTION @extschema@.sentiment_explain(body text, model text DEFAULT NULL, top_k int DEFAULT 10)
    RETURNS TABLE (term text, start_pos int, weight float8, toward text)
    LANGUAGE C STABLE PARALLEL SAFE COST 1000 ROWS 11 AS 'MODULE_PATHNAME', 'sentiment_explain';
COMMENT ON FUNCTION @extschema@.sentiment_explain(text, text, int) IS
    'the terms that weigh most in the label of a text, and toward which label';

CREATE FUNCTION @extschema@.sentiment_tokens(body text, model text DEFAULT NULL)
    RETURNS TABLE (ord int, token text, kind text, start_pos int, known bool)
    LANGUAGE C STABLE PARALLEL SAFE COST 1000 ROWS 20 AS 'MODULE_PATHNAME', 'sentiment_tokens';
COMMENT ON FUNCTION @extschema@.sentiment_tokens(text, text) IS
    'the tokens of a text as the tokenizer sees them, and whether the model knows them';

-- Frozen versions: IMMUTABLE, so that they can be indexed and stored in generated columns.

CREATE FUNCTION @extschema@.sentiment_at(body text, model_version text) RETURNS text
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME', 'sentiment_at';
COMMENT ON FUNCTION @extschema@.sentiment_at(text, text) IS
    'the sentiment label of a text by one frozen model version, written name@number';

CREATE FUNCTION @extschema@.sentiment_score_at(body text, model_version text) RETURNS float8
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME', 'sentiment_score_at';
COMMENT ON FUNCTION @extschema@.sentiment_score_at(text, text) IS
    'the sentiment of a text from -1 to 1 by one frozen model version, written name@number';

-- Rows as they arrive. Everything here runs with the caller's rights.

CREATE FUNCTION @extschema@.sentiment_trigger() RETURNS trigger
    LANGUAGE C AS 'MODULE_PATHNAME', 'sentiment_trigger';
COMMENT ON FUNCTION @extschema@.sentiment_trigger() IS
    'scores a row before INSERT or UPDATE; arguments: text column, then label=, score=, version=, model=, on_error=';

CREATE FUNCTION @extschema@.enable_sentiment(target regclass, text_column name, model text DEFAULT NULL,
    label_column name DEFAULT 'sentiment', score_column name DEFAULT 'sentiment_score',
    version_column name DEFAULT 'sentiment_version', backfill bool DEFAULT true) RETURNS bigint
    LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'enable_sentiment';
COMMENT ON FUNCTION @extschema@.enable_sentiment(regclass, name, text, name, name, name, bool) IS
    'adds sentiment columns and their trigger to a table and scores its rows; returns how many';

CREATE FUNCTION @extschema@.disable_sentiment(target regclass, drop_columns bool DEFAULT false) RETURNS void
    LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'disable_sentiment';
COMMENT ON FUNCTION @extschema@.disable_sentiment(regclass, bool) IS
    'drops the sentiment triggers of a table, and on request the columns they write';

CREATE FUNCTION @extschema@.stale_sentiment(target regclass) RETURNS bigint
    LANGUAGE C STABLE PARALLEL UNSAFE COST 10000 AS 'MODULE_PATHNAME', 'stale_sentiment';
COMMENT ON FUNCTION @extschema@.stale_sentiment(regclass) IS
    'the number of rows that were not scored by the current version of their model';

CREATE PROCEDURE @extschema@.rescore_sentiment(target regclass, batch int DEFAULT 10000)
    LANGUAGE C AS 'MODULE_PATHNAME', 'rescore_sentiment';
COMMENT ON PROCEDURE @extschema@.rescore_sentiment(regclass, int) IS
    'scores the rows that stale_sentiment() counts, committing after each batch; may be stopped and run again';

-- The registry.

CREATE SCHEMA sentiment;
COMMENT ON SCHEMA sentiment IS 'pg_sentiment: the registry of models';

CREATE FUNCTION sentiment.shipped_models()
    RETURNS TABLE (model text, model_version text, algorithm text, language text, labels text[], rows_train bigint,
        metrics jsonb, terms bigint, bytes bigint)
    LANGUAGE C STABLE PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'shipped_models';
COMMENT ON FUNCTION sentiment.shipped_models() IS 'the models that are part of the library';

CREATE VIEW sentiment.models AS
    SELECT model, model_version, algorithm, language, labels, true AS shipped,
        NULL::timestamptz AS deployed_at, NULL::text AS deployed_by, rows_train, metrics, terms, bytes
    FROM sentiment.shipped_models();
COMMENT ON VIEW sentiment.models IS 'the current version of each model';

ALTER SCHEMA sentiment OWNER TO @extowner@;
ALTER VIEW sentiment.models OWNER TO @extowner@;
GRANT USAGE ON SCHEMA sentiment TO PUBLIC;
GRANT SELECT ON sentiment.models TO PUBLIC;
