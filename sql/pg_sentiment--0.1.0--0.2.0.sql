\echo Use "ALTER EXTENSION pg_sentiment UPDATE TO '0.2.0'" to load this file. \quit

-- What a fresh 0.2.0 has and 0.1.0 has not. tests/tests/upgrade.rs holds the two against each other, object by object.

CREATE FUNCTION sentiment.registry_changed() RETURNS trigger LANGUAGE C AS 'MODULE_PATHNAME', 'registry_changed';
REVOKE ALL ON FUNCTION sentiment.registry_changed() FROM PUBLIC;
COMMENT ON FUNCTION sentiment.registry_changed() IS
    'tells every session that the models have changed, also where logical replication has changed them';
CREATE TRIGGER registry_changed AFTER INSERT OR UPDATE OR DELETE ON sentiment.model
    FOR EACH ROW EXECUTE FUNCTION sentiment.registry_changed();
CREATE TRIGGER registry_emptied AFTER TRUNCATE ON sentiment.model
    FOR EACH STATEMENT EXECUTE FUNCTION sentiment.registry_changed();
ALTER TABLE sentiment.model ENABLE ALWAYS TRIGGER registry_changed, ENABLE ALWAYS TRIGGER registry_emptied;
