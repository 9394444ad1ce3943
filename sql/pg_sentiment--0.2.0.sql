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
    'the sentiment of a text: the sum of probability times value over the labels, for positive 1, for negative -1; NULL if there is nothing to score, or no label has a value';

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
    'as sentiment_score(), by one frozen model version, written name@number';

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

-- Models are kept in tables, so that transactions, dumps and replication carry them. A name stays when its model is
-- dropped: a stored tweets@1 must never come to mean another version. There are no foreign keys: a parallel restore fills
-- the tables of an extension in any order, with their constraints in force.
CREATE TABLE sentiment.model (
    name text COLLATE "C" PRIMARY KEY,
    last_version int NOT NULL DEFAULT 0,
    current_version int,
    current_deployment bigint,
    keep_versions int NOT NULL DEFAULT 10,
    terms_changed bool NOT NULL DEFAULT false
);
COMMENT ON TABLE sentiment.model IS 'names of models, and which version of each is deployed';

CREATE TABLE sentiment.part (id bigserial PRIMARY KEY, payload bytea NOT NULL);
ALTER TABLE sentiment.part ALTER COLUMN payload SET STORAGE EXTERNAL;
COMMENT ON TABLE sentiment.part IS 'bytes of models: a base, or what a refresh has changed; never updated';

CREATE TABLE sentiment.version (
    model text COLLATE "C" NOT NULL,
    number int NOT NULL,
    parts bigint[] NOT NULL,
    origin text NOT NULL,
    algorithm text NOT NULL,
    language text NOT NULL,
    labels text[] NOT NULL,
    options jsonb NOT NULL,
    rows_train bigint NOT NULL,
    metrics jsonb NOT NULL,
    terms bigint NOT NULL,
    bytes bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    learned bigint[],
    PRIMARY KEY (model, number)
);
COMMENT ON TABLE sentiment.version IS 'versions of models, each made of parts, the base first';
COMMENT ON COLUMN sentiment.version.learned IS 'of a version that was not deployed yet: the feedback that it was trained on';

CREATE TABLE sentiment.deployment (
    id bigserial PRIMARY KEY,
    model text COLLATE "C" NOT NULL,
    number int NOT NULL,
    follows bigint,
    reason text NOT NULL,
    deployed_at timestamptz NOT NULL DEFAULT now(),
    deployed_by text NOT NULL
);
CREATE INDEX deployment_model ON sentiment.deployment (model);
COMMENT ON INDEX sentiment.deployment_model IS 'the history of a model, which every refresh looks through';
COMMENT ON TABLE sentiment.deployment IS 'history of deployments; follows is what a rollback goes back to';

CREATE TABLE sentiment.feedback (
    id bigserial PRIMARY KEY,
    model text COLLATE "C" NOT NULL,
    body text NOT NULL,
    label text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL
);
COMMENT ON TABLE sentiment.feedback IS 'texts with their right labels, filed by learn_sentiment()';

-- A queue of its own, so that learning from an example deletes a few bytes here and rewrites nothing there.
CREATE TABLE sentiment.unlearned (
    model text COLLATE "C",
    feedback bigint,
    PRIMARY KEY (model, feedback)
);
COMMENT ON TABLE sentiment.unlearned IS 'the feedback that the deployed version has not learned from';

CREATE TABLE sentiment.term (
    model text COLLATE "C",
    term text COLLATE "C",
    score float8 NOT NULL,
    key bigint,
    PRIMARY KEY (model, term)
);
COMMENT ON TABLE sentiment.term IS 'the users'' own terms, set by set_sentiment_term()';
COMMENT ON COLUMN sentiment.term.key IS 'the same for all spellings that are read alike; NULL where it was not noted';

COMMENT ON SEQUENCE sentiment.part_id_seq IS 'numbers of sentiment.part';
COMMENT ON SEQUENCE sentiment.deployment_id_seq IS 'numbers of sentiment.deployment';
COMMENT ON SEQUENCE sentiment.feedback_id_seq IS 'numbers of sentiment.feedback';

SELECT pg_catalog.pg_extension_config_dump('sentiment.model', '');
SELECT pg_catalog.pg_extension_config_dump('sentiment.part', '');
SELECT pg_catalog.pg_extension_config_dump('sentiment.part_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('sentiment.version', '');
SELECT pg_catalog.pg_extension_config_dump('sentiment.deployment', '');
SELECT pg_catalog.pg_extension_config_dump('sentiment.deployment_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('sentiment.feedback', '');
SELECT pg_catalog.pg_extension_config_dump('sentiment.feedback_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('sentiment.unlearned', '');
SELECT pg_catalog.pg_extension_config_dump('sentiment.term', '');

CREATE FUNCTION sentiment.registry_changed() RETURNS trigger LANGUAGE C AS 'MODULE_PATHNAME', 'registry_changed';
REVOKE ALL ON FUNCTION sentiment.registry_changed() FROM PUBLIC;
COMMENT ON FUNCTION sentiment.registry_changed() IS
    'tells every session that the models have changed, also where logical replication has changed them';
CREATE TRIGGER registry_changed AFTER INSERT OR UPDATE OR DELETE ON sentiment.model
    FOR EACH ROW EXECUTE FUNCTION sentiment.registry_changed();
CREATE TRIGGER registry_emptied AFTER TRUNCATE ON sentiment.model
    FOR EACH STATEMENT EXECUTE FUNCTION sentiment.registry_changed();
ALTER TABLE sentiment.model ENABLE ALWAYS TRIGGER registry_changed, ENABLE ALWAYS TRIGGER registry_emptied;

-- A version is looked for among the constants of stored expressions, as the server stores them: to have it write them out would lock
-- all the tables that they read. Bytes above 127 are written with a sign or without, as the processor has it.
CREATE FUNCTION sentiment.pinned_by(version text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on AS $$
    WITH ours AS (
        SELECT p.oid, p.proname FROM pg_extension AS e
        JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.classid = 'pg_proc'::regclass
        JOIN pg_proc AS p ON p.oid = d.objid AND p.pronamespace = e.extnamespace
        WHERE e.extname = 'pg_sentiment' AND d.deptype = 'e'
    ),
    -- By name, or by an operator of the user's.
    called AS (
        SELECT 'pg_proc'::regclass::oid AS class, oid FROM ours
        UNION ALL SELECT 'pg_operator'::regclass, o.oid FROM pg_operator AS o JOIN ours ON o.oprcode = ours.oid
    ),
    bytes AS (
        SELECT count(*) AS length, string_agg(CASE WHEN byte > 127 THEN format('(%s|%s)', byte, byte - 256) ELSE byte::text END,
            ' ' ORDER BY at) AS written
        FROM convert_to(version, getdatabaseencoding()) AS name, generate_series(0, length(name) - 1) AS at,
            LATERAL get_byte(name, at) AS byte
    ),
    -- As text, with the length before it; as a name, filled up with zeros; and in an array of texts, each with its length before it, four
    -- times as much where processors begin with the lowest byte.
    constant AS (
        SELECT format(':constvalue (%1$s \[ -?\d+ -?\d+ -?\d+ -?\d+ %2$s \]|64 \[ %2$s( 0)+ \]'
            || '|\d+ \[[^]]* ((%3$s|%4$s) %5$s 0 0|0 0 0 %1$s) %2$s )',
            length + 4, written, (length + 4) * 4 % 256, (length + 4) * 4 % 256 - 256, (length + 4) * 4 / 256) AS pattern FROM bytes
    ),
    -- Until PostgreSQL 15 it was a generated column itself that depended on what its expression calls.
    called_by AS (
        SELECT DISTINCT coalesce(a.tableoid, d.classid) AS classid, coalesce(a.oid, d.objid) AS objid
        FROM called JOIN pg_depend AS d ON d.refclassid = class AND d.refobjid = called.oid
        LEFT JOIN pg_attrdef AS a ON d.classid = 'pg_class'::regclass AND a.adrelid = d.objid AND a.adnum = d.objsubid
    ),
    stored AS (
        SELECT classid, objid, CASE classid
            WHEN 'pg_class'::regclass THEN coalesce(
                (SELECT concat(indexprs, indpred) FROM pg_index WHERE indexrelid = objid),
                (SELECT partexprs::text FROM pg_partitioned_table WHERE partrelid = objid))
            WHEN 'pg_constraint'::regclass THEN (SELECT conbin::text FROM pg_constraint WHERE oid = objid)
            WHEN 'pg_attrdef'::regclass THEN (SELECT adbin::text FROM pg_attrdef WHERE oid = objid)
            WHEN 'pg_rewrite'::regclass THEN (SELECT concat(ev_qual, ev_action) FROM pg_rewrite WHERE oid = objid)
            WHEN 'pg_policy'::regclass THEN (SELECT concat(polqual, polwithcheck) FROM pg_policy WHERE oid = objid)
            WHEN 'pg_trigger'::regclass THEN (SELECT tgqual::text FROM pg_trigger WHERE oid = objid)
            WHEN 'pg_statistic_ext'::regclass THEN (SELECT stxexprs::text FROM pg_statistic_ext WHERE oid = objid)
            WHEN 'pg_proc'::regclass THEN (SELECT concat(prosqlbody, proargdefaults) FROM pg_proc WHERE oid = objid)
            WHEN 'pg_type'::regclass THEN (SELECT typdefaultbin::text FROM pg_type WHERE oid = objid)
            END AS expression
        FROM called_by
    )
    SELECT coalesce(
        (SELECT pg_describe_object('pg_class'::regclass, ev_class, 0) FROM pg_rewrite
         WHERE classid = 'pg_rewrite'::regclass AND oid = objid AND rulename = '_RETURN'),
        pg_describe_object(classid, objid, 0)) FROM (
        SELECT 'pg_trigger'::regclass::oid AS classid, oid AS objid FROM pg_trigger
        WHERE tgfoid IN (SELECT oid FROM ours WHERE proname = 'sentiment_trigger')
          AND position(convert_to('model=' || version, getdatabaseencoding()) || decode('00', 'hex') IN tgargs) > 0
        UNION ALL
        SELECT classid, objid FROM stored WHERE expression ~ (SELECT pattern FROM constant)
        UNION ALL
        SELECT 'pg_proc'::regclass, oid FROM pg_proc WHERE 'sentiment.default_model=' || version = ANY (proconfig)
        UNION ALL
        SELECT CASE WHEN setrole > 0 THEN 'pg_authid'::regclass ELSE 'pg_database'::regclass END,
            CASE WHEN setrole > 0 THEN setrole WHEN setdatabase > 0 THEN setdatabase
            ELSE (SELECT oid FROM pg_database WHERE datname = current_database()) END
        FROM pg_db_role_setting
        WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
          AND 'sentiment.default_model=' || version = ANY (setconfig)
    ) AS named ORDER BY 1 LIMIT 1
$$;
COMMENT ON FUNCTION sentiment.pinned_by(text) IS
    'an object that names this version: an index, a column, a constraint, a view, a policy, a trigger, a function with an SQL body, a setting';

CREATE FUNCTION sentiment.is_pinned(version text) RETURNS bool
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS 'SELECT sentiment.pinned_by(version) IS NOT NULL';
COMMENT ON FUNCTION sentiment.is_pinned(text) IS
    'whether an object of this database names this version';

CREATE VIEW sentiment.versions AS
    SELECT v.model, v.model || '@' || v.number::pg_catalog.text AS model_version, v.number, v.origin, v.algorithm, v.language, v.labels,
        v.options, v.rows_train, v.metrics, v.terms, v.bytes, v.number IS NOT DISTINCT FROM m.current_version AS deployed,
        v.created_at, v.created_by
    FROM sentiment.version AS v JOIN sentiment.model AS m ON m.name = v.model;
COMMENT ON VIEW sentiment.versions IS 'the versions of trained models';

CREATE VIEW sentiment.deployments AS
    SELECT d.model, d.model || '@' || d.number::pg_catalog.text AS model_version, d.reason, d.deployed_at, d.deployed_by,
        d.id = m.current_deployment AS current
    FROM sentiment.deployment AS d JOIN sentiment.model AS m ON m.name = d.model;
COMMENT ON VIEW sentiment.deployments IS 'which version of a model was deployed when, by whom and why';

CREATE FUNCTION sentiment.session_texts()
    RETURNS TABLE (model text, texts bigint)
    LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 4 AS 'MODULE_PATHNAME', 'session_texts';
COMMENT ON FUNCTION sentiment.session_texts() IS
    'how many texts this session has had each model read, by whichever version';

CREATE VIEW sentiment.models AS
    SELECT a.model, a.model_version, a.algorithm, a.language, a.labels, a.shipped, a.deployed_at, a.deployed_by, a.rows_train,
        a.metrics, a.terms, a.bytes, coalesce(s.texts, 0) AS session_texts
    FROM (
        SELECT model, model_version, algorithm, language, labels, true AS shipped,
            NULL::timestamptz AS deployed_at, NULL::text AS deployed_by, rows_train, metrics, terms, bytes
        FROM sentiment.shipped_models()
        UNION ALL
        SELECT m.name, m.name || '@' || m.current_version::pg_catalog.text, v.algorithm, v.language, v.labels, false,
            d.deployed_at, d.deployed_by, v.rows_train, v.metrics, v.terms, v.bytes
        FROM sentiment.model AS m
        JOIN sentiment.version AS v ON v.model = m.name AND v.number = coalesce(m.current_version,
            (SELECT max(n.number) FROM sentiment.version AS n WHERE n.model = m.name))
        LEFT JOIN sentiment.deployment AS d ON d.id = m.current_deployment) AS a
    LEFT JOIN sentiment.session_texts() AS s ON s.model = a.model;
COMMENT ON VIEW sentiment.models IS 'the current version of each model; of one that is not deployed, its newest';

-- Which tables are scored, by which model.

CREATE FUNCTION sentiment.scored_tables()
    RETURNS TABLE (target regclass, trigger text, enabled bool, text_column text, label_column text, score_column text,
        version_column text, model text, model_version text)
    LANGUAGE C STABLE PARALLEL UNSAFE COST 1000 ROWS 10 AS 'MODULE_PATHNAME', 'scored_tables';
COMMENT ON FUNCTION sentiment.scored_tables() IS
    'the triggers that score rows, with their arguments, and the version that each scores by now';

CREATE VIEW sentiment.tables AS
    SELECT t.target, t.trigger, t.enabled, t.text_column, l.attname::text AS label_column, s.attname::text AS score_column,
        v.attname::text AS version_column, t.model, t.model_version, m.deployed_at
    FROM sentiment.scored_tables() AS t
    LEFT JOIN pg_catalog.pg_attribute AS l ON l.attrelid OPERATOR(pg_catalog.=) t.target AND l.attname = t.label_column AND NOT l.attisdropped
    LEFT JOIN pg_catalog.pg_attribute AS s ON s.attrelid OPERATOR(pg_catalog.=) t.target AND s.attname = t.score_column AND NOT s.attisdropped
    LEFT JOIN pg_catalog.pg_attribute AS v ON v.attrelid OPERATOR(pg_catalog.=) t.target AND v.attname = t.version_column AND NOT v.attisdropped
    LEFT JOIN sentiment.models AS m ON m.model = t.model;
COMMENT ON VIEW sentiment.tables IS 'the tables whose rows are scored as they arrive, and the version that scores them now';

-- What this session and this server are doing.

CREATE FUNCTION sentiment.cached_models()
    RETURNS TABLE (model_version text, shipped bool, bytes bigint, texts bigint)
    LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 4 AS 'MODULE_PATHNAME', 'cached_models';
COMMENT ON FUNCTION sentiment.cached_models() IS 'the model versions that this session has open';

CREATE VIEW sentiment.cache AS SELECT * FROM sentiment.cached_models();
COMMENT ON VIEW sentiment.cache IS
    'the model versions that this session has open: their size, and how many texts it has had each of them read';

CREATE FUNCTION sentiment.training_sessions()
    RETURNS TABLE (pid int, datid oid, model text, phase text, done bigint, total bigint, started timestamptz)
    LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 1 AS 'MODULE_PATHNAME', 'training_sessions';
COMMENT ON FUNCTION sentiment.training_sessions() IS 'the trainings that run on this server';

CREATE VIEW sentiment.training_progress AS
    SELECT t.pid, d.datname, t.model, t.phase, t.done, t.total, t.started
    FROM sentiment.training_sessions() AS t LEFT JOIN pg_catalog.pg_database AS d ON d.oid = t.datid;
COMMENT ON VIEW sentiment.training_progress IS
    'how far each training on this server has come; total is 0 where it is not known beforehand';

-- Training and the life of a model: for those to whom it is granted. What these do to the registry they do as its owner.

CREATE FUNCTION @extschema@.train_sentiment(model text, source regclass, text_column name, label_column name,
    algorithm text DEFAULT 'logistic_regression', options jsonb DEFAULT '{}', test_fraction float8 DEFAULT 0.2,
    seed bigint DEFAULT 42, deploy text DEFAULT 'if_better',
    OUT model_version text, OUT rows_train bigint, OUT rows_test bigint, OUT rows_skipped bigint, OUT accuracy float8,
    OUT macro_f1 float8, OUT macro_recall float8, OUT log_loss float8, OUT baseline_accuracy float8,
    OUT previous_macro_f1 float8, OUT deployed bool, OUT terms bigint, OUT bytes bigint, OUT train_ms float8)
    LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 AS 'MODULE_PATHNAME', 'train_sentiment';
COMMENT ON FUNCTION @extschema@.train_sentiment(text, regclass, name, name, text, jsonb, float8, bigint, text) IS
    'trains a new version of a model on labelled rows, measures it on rows held out, and deploys it if it is better';

CREATE FUNCTION @extschema@.evaluate_sentiment(model text, source regclass, text_column name, label_column name)
    RETURNS TABLE (class text, "precision" float8, recall float8, f1 float8, support bigint)
    LANGUAGE C STABLE PARALLEL UNSAFE COST 1000000 ROWS 6 AS 'MODULE_PATHNAME', 'evaluate_sentiment';
COMMENT ON FUNCTION @extschema@.evaluate_sentiment(text, regclass, name, name) IS
    'precision, recall and F1 of each class on labelled rows, then accuracy and averages';

CREATE FUNCTION @extschema@.confusion_sentiment(model text, source regclass, text_column name, label_column name)
    RETURNS TABLE (actual text, predicted text, n bigint)
    LANGUAGE C STABLE PARALLEL UNSAFE COST 1000000 ROWS 9 AS 'MODULE_PATHNAME', 'confusion_sentiment';
COMMENT ON FUNCTION @extschema@.confusion_sentiment(text, regclass, name, name) IS
    'how often rows of each label were given each label';

CREATE FUNCTION @extschema@.drift_sentiment(model text, source regclass, text_column name)
    RETURNS TABLE (measure text, training float8, current float8, change float8)
    LANGUAGE C STABLE PARALLEL UNSAFE COST 1000000 ROWS 6 AS 'MODULE_PATHNAME', 'drift_sentiment';
COMMENT ON FUNCTION @extschema@.drift_sentiment(text, regclass, name) IS
    'label mix, mean confidence and share of unknown words on these texts, beside those at training';

CREATE FUNCTION @extschema@.deploy_sentiment(model text, version int) RETURNS text
    LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'deploy_sentiment';
COMMENT ON FUNCTION @extschema@.deploy_sentiment(text, int) IS
    'makes a version the one that scores; every session follows at commit';

CREATE FUNCTION @extschema@.rollback_sentiment(model text) RETURNS text
    LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'rollback_sentiment';
COMMENT ON FUNCTION @extschema@.rollback_sentiment(text) IS
    'goes back to the version that was deployed before';

CREATE FUNCTION @extschema@.drop_sentiment(model text, version int DEFAULT NULL) RETURNS void
    LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'drop_sentiment';
COMMENT ON FUNCTION @extschema@.drop_sentiment(text, int) IS
    'drops a version that is not in use, or with NULL the whole model';

CREATE FUNCTION @extschema@.export_sentiment(model text, version int DEFAULT NULL) RETURNS bytea
    LANGUAGE C STABLE PARALLEL UNSAFE COST 10000 AS 'MODULE_PATHNAME', 'export_sentiment';
COMMENT ON FUNCTION @extschema@.export_sentiment(text, int) IS
    'the bytes of a version, for import_sentiment() in another database; NULL for the deployed one';

CREATE FUNCTION @extschema@.import_sentiment(model text, payload bytea) RETURNS text
    LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'import_sentiment';
COMMENT ON FUNCTION @extschema@.import_sentiment(text, bytea) IS
    'stores what export_sentiment() returned as a new version, without deploying it';

CREATE FUNCTION @extschema@.learn_sentiment(model text, body text, label text) RETURNS void
    LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'learn_sentiment';
COMMENT ON FUNCTION @extschema@.learn_sentiment(text, text, text) IS
    'files a text with its right label, one of the model''s, for the next refresh or training';

CREATE FUNCTION @extschema@.set_sentiment_term(model text, term text, score float8) RETURNS void
    LANGUAGE C VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'set_sentiment_term';
COMMENT ON FUNCTION @extschema@.set_sentiment_term(text, text, float8) IS
    'gives a word a score of its own from -1 to 1, or with NULL takes it back, as of the next refresh or training';

CREATE FUNCTION @extschema@.refresh_sentiment(model text, max_rows int DEFAULT 100000,
    OUT model_version text, OUT rows_used bigint, OUT refresh_ms float8)
    LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100000 AS 'MODULE_PATHNAME', 'refresh_sentiment';
COMMENT ON FUNCTION @extschema@.refresh_sentiment(text, int) IS
    'learns from what was filed since the last time, and deploys the result';

REVOKE ALL ON FUNCTION @extschema@.train_sentiment(text, regclass, name, name, text, jsonb, float8, bigint, text),
    @extschema@.deploy_sentiment(text, int), @extschema@.rollback_sentiment(text), @extschema@.drop_sentiment(text, int),
    @extschema@.export_sentiment(text, int), @extschema@.import_sentiment(text, bytea),
    @extschema@.learn_sentiment(text, text, text), @extschema@.set_sentiment_term(text, text, float8),
    @extschema@.refresh_sentiment(text, int)
    FROM PUBLIC;

ALTER SCHEMA sentiment OWNER TO @extowner@;
ALTER TABLE sentiment.model OWNER TO @extowner@;
ALTER TABLE sentiment.part OWNER TO @extowner@;
ALTER TABLE sentiment.version OWNER TO @extowner@;
ALTER TABLE sentiment.deployment OWNER TO @extowner@;
ALTER TABLE sentiment.feedback OWNER TO @extowner@;
ALTER TABLE sentiment.unlearned OWNER TO @extowner@;
ALTER TABLE sentiment.term OWNER TO @extowner@;
ALTER VIEW sentiment.models OWNER TO @extowner@;
ALTER VIEW sentiment.tables OWNER TO @extowner@;
ALTER VIEW sentiment.versions OWNER TO @extowner@;
ALTER VIEW sentiment.deployments OWNER TO @extowner@;
ALTER VIEW sentiment.cache OWNER TO @extowner@;
ALTER VIEW sentiment.training_progress OWNER TO @extowner@;
-- What these two say is in the catalogs for all to see, and who comes to own the registry later calls them too.
GRANT EXECUTE ON FUNCTION sentiment.pinned_by(text), sentiment.is_pinned(text) TO PUBLIC, @extowner@;
GRANT EXECUTE ON FUNCTION sentiment.registry_changed() TO @extowner@;
-- The views call them with the rights of whoever reads, also where functions are closed by default.
GRANT EXECUTE ON FUNCTION sentiment.shipped_models(), sentiment.session_texts(), sentiment.scored_tables(),
    sentiment.cached_models(), sentiment.training_sessions() TO PUBLIC;
GRANT USAGE ON SCHEMA sentiment TO PUBLIC;
GRANT SELECT ON sentiment.models, sentiment.tables, sentiment.versions, sentiment.deployments, sentiment.cache,
    sentiment.training_progress TO PUBLIC;

-- Granted to the owner explicitly, for the functions themselves stay with the superuser.
GRANT EXECUTE ON FUNCTION @extschema@.train_sentiment(text, regclass, name, name, text, jsonb, float8, bigint, text),
    @extschema@.deploy_sentiment(text, int), @extschema@.rollback_sentiment(text), @extschema@.drop_sentiment(text, int),
    @extschema@.export_sentiment(text, int), @extschema@.import_sentiment(text, bytea),
    @extschema@.learn_sentiment(text, text, text), @extschema@.set_sentiment_term(text, text, float8),
    @extschema@.refresh_sentiment(text, int)
    TO @extowner@ WITH GRANT OPTION;
