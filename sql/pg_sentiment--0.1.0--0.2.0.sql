\echo Use "ALTER EXTENSION pg_sentiment UPDATE TO '0.2.0'" to load this file. \quit

-- What a fresh 0.2.0 has and 0.1.0 has not. tests/tests/upgrade.rs holds the two against each other, object by object.

-- Its constants are read as they are meant with standard_conforming_strings off as well.
CREATE OR REPLACE FUNCTION sentiment.is_pinned(version text) RETURNS bool
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH frozen AS (
        SELECT classid, objid FROM pg_depend
        WHERE refclassid = 'pg_proc'::regclass AND refobjid IN (
            '@extschema@.sentiment_at(text,text)'::regprocedure, '@extschema@.sentiment_score_at(text,text)'::regprocedure)
    )
    SELECT EXISTS (
        SELECT FROM pg_trigger
        WHERE tgfoid = '@extschema@.sentiment_trigger()'::regprocedure
          AND position(convert_to('model=' || version, getdatabaseencoding()) || decode('00', 'hex') IN tgargs) > 0
    ) OR EXISTS (
        SELECT FROM frozen WHERE position(quote_literal(version) IN CASE classid
            WHEN 'pg_class'::regclass THEN pg_get_indexdef(objid)
            WHEN 'pg_constraint'::regclass THEN pg_get_constraintdef(objid)
            WHEN 'pg_attrdef'::regclass THEN (SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE oid = objid)
            WHEN 'pg_rewrite'::regclass THEN (SELECT pg_get_viewdef(ev_class) FROM pg_rewrite WHERE oid = objid)
            END) > 0
    )
$$;

CREATE FUNCTION sentiment.session_texts()
    RETURNS TABLE (model text, texts bigint)
    LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 4 AS 'MODULE_PATHNAME', 'session_texts';
COMMENT ON FUNCTION sentiment.session_texts() IS
    'how many texts this session has had each model read, by whichever version';

CREATE OR REPLACE VIEW sentiment.models AS
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
        JOIN sentiment.version AS v ON v.model = m.name AND v.number = coalesce(m.current_version, m.last_version)
        LEFT JOIN sentiment.deployment AS d ON d.id = m.current_deployment) AS a
    LEFT JOIN sentiment.session_texts() AS s ON s.model = a.model;

-- Which tables are scored, by which model.

CREATE FUNCTION sentiment.scored_tables()
    RETURNS TABLE (target regclass, trigger text, enabled bool, text_column text, label_column text, score_column text,
        version_column text, model text)
    LANGUAGE C STABLE PARALLEL UNSAFE COST 1000 ROWS 10 AS 'MODULE_PATHNAME', 'scored_tables';
COMMENT ON FUNCTION sentiment.scored_tables() IS 'the triggers that score rows, with their arguments';

CREATE VIEW sentiment.tables AS
    SELECT t.target, t.trigger, t.enabled, t.text_column, l.attname::text AS label_column, s.attname::text AS score_column,
        v.attname::text AS version_column, t.model,
        CASE WHEN t.model LIKE '%@%' THEN t.model ELSE m.model_version END AS model_version, m.deployed_at
    FROM sentiment.scored_tables() AS t
    LEFT JOIN pg_catalog.pg_attribute AS l ON l.attrelid = t.target AND l.attname = t.label_column AND NOT l.attisdropped
    LEFT JOIN pg_catalog.pg_attribute AS s ON s.attrelid = t.target AND s.attname = t.score_column AND NOT s.attisdropped
    LEFT JOIN pg_catalog.pg_attribute AS v ON v.attrelid = t.target AND v.attname = t.version_column AND NOT v.attisdropped
    LEFT JOIN sentiment.models AS m ON m.model = t.model;
COMMENT ON VIEW sentiment.tables IS 'the tables whose rows are scored as they arrive, and the version that scores them now';

-- Whoever updates may be another superuser than the extension's owner.
DO $$ BEGIN
    EXECUTE pg_catalog.format('ALTER VIEW sentiment.tables OWNER TO %I',
        (SELECT pg_catalog.pg_get_userbyid(relowner) FROM pg_catalog.pg_class
         WHERE oid OPERATOR(pg_catalog.=) 'sentiment.models'::pg_catalog.regclass));
END $$;
GRANT SELECT ON sentiment.tables TO PUBLIC;

CREATE FUNCTION sentiment.registry_changed() RETURNS trigger LANGUAGE C AS 'MODULE_PATHNAME', 'registry_changed';
REVOKE ALL ON FUNCTION sentiment.registry_changed() FROM PUBLIC;
COMMENT ON FUNCTION sentiment.registry_changed() IS
    'tells every session that the models have changed, also where logical replication has changed them';
CREATE TRIGGER registry_changed AFTER INSERT OR UPDATE OR DELETE ON sentiment.model
    FOR EACH ROW EXECUTE FUNCTION sentiment.registry_changed();
CREATE TRIGGER registry_emptied AFTER TRUNCATE ON sentiment.model
    FOR EACH STATEMENT EXECUTE FUNCTION sentiment.registry_changed();
ALTER TABLE sentiment.model ENABLE ALWAYS TRIGGER registry_changed, ENABLE ALWAYS TRIGGER registry_emptied;
DO $$ BEGIN
    EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION sentiment.registry_changed() TO %I',
        (SELECT pg_catalog.pg_get_userbyid(relowner) FROM pg_catalog.pg_class
         WHERE oid OPERATOR(pg_catalog.=) 'sentiment.model'::pg_catalog.regclass));
END $$;
