\echo Use "ALTER EXTENSION pg_sentiment UPDATE TO '0.2.0'" to load this file. \quit

-- What a fresh 0.2.0 has and 0.1.0 has not. tests/tests/upgrade.rs holds the two against each other, object by object.

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

GRANT EXECUTE ON FUNCTION sentiment.pinned_by(text), sentiment.is_pinned(text) TO PUBLIC;

CREATE OR REPLACE FUNCTION sentiment.is_pinned(version text) RETURNS bool
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS 'SELECT sentiment.pinned_by(version) IS NOT NULL';
COMMENT ON FUNCTION sentiment.is_pinned(text) IS
    'whether an object of this database names this version';

ALTER TABLE sentiment.version ADD COLUMN learned bigint[];
COMMENT ON COLUMN sentiment.version.learned IS 'of a version that was not deployed yet: the feedback that it was trained on';
ALTER TABLE sentiment.term ADD COLUMN key bigint;
COMMENT ON COLUMN sentiment.term.key IS 'the same for all spellings that are read alike; NULL where it was not noted';

COMMENT ON TABLE sentiment.unlearned IS 'the feedback that the deployed version has not learned from';
COMMENT ON FUNCTION @extschema@.sentiment_score(text, text) IS
    'the sentiment of a text: the sum of probability times value over the labels, for positive 1, for negative -1; NULL if there is nothing to score, or no label has a value';
COMMENT ON FUNCTION @extschema@.sentiment_score_at(text, text) IS
    'as sentiment_score(), by one frozen model version, written name@number';
COMMENT ON FUNCTION @extschema@.learn_sentiment(text, text, text) IS
    'files a text with its right label, one of the model''s, for the next refresh or training';

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
        JOIN sentiment.version AS v ON v.model = m.name AND v.number = coalesce(m.current_version,
            (SELECT max(n.number) FROM sentiment.version AS n WHERE n.model = m.name))
        LEFT JOIN sentiment.deployment AS d ON d.id = m.current_deployment) AS a
    LEFT JOIN sentiment.session_texts() AS s ON s.model = a.model;

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

-- Whoever updates may be another superuser than the extension's owner.
DO $$ BEGIN
    EXECUTE pg_catalog.format('ALTER VIEW sentiment.tables OWNER TO %I',
        (SELECT pg_catalog.pg_get_userbyid(relowner) FROM pg_catalog.pg_class
         WHERE oid OPERATOR(pg_catalog.=) 'sentiment.models'::pg_catalog.regclass));
END $$;
GRANT SELECT ON sentiment.tables TO PUBLIC;
-- The views call them with the rights of whoever reads, also where functions are closed by default.
GRANT EXECUTE ON FUNCTION sentiment.session_texts(), sentiment.scored_tables() TO PUBLIC;
-- Those that 0.1.0 had, too, where their rights are still those that the defaults gave them: what was closed by hand stays closed.
DO $$ DECLARE called regprocedure; BEGIN
    FOR called IN
        SELECT p.oid FROM pg_catalog.pg_proc AS p LEFT JOIN pg_catalog.pg_default_acl AS a ON a.defaclrole OPERATOR(pg_catalog.=) p.proowner
            AND a.defaclnamespace OPERATOR(pg_catalog.=) 0::pg_catalog.oid AND a.defaclobjtype OPERATOR(pg_catalog.=) 'f'::pg_catalog."char"
        WHERE p.oid OPERATOR(pg_catalog.=) ANY (ARRAY['sentiment.shipped_models()', 'sentiment.cached_models()',
                'sentiment.training_sessions()']::pg_catalog.regprocedure[])
            AND (p.proacl IS NULL OR p.proacl::pg_catalog.text OPERATOR(pg_catalog.=) a.defaclacl::pg_catalog.text)
    LOOP
        EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', called);
    END LOOP;
END $$;

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
    EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION sentiment.pinned_by(text), sentiment.registry_changed() TO %I',
        (SELECT pg_catalog.pg_get_userbyid(relowner) FROM pg_catalog.pg_class
         WHERE oid OPERATOR(pg_catalog.=) 'sentiment.model'::pg_catalog.regclass));
END $$;
