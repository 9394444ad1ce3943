//! The registry in the hands of an owner who is no superuser: whatever is done to its tables, nobody's session ends by it, and
//! nothing of the owner's runs with the rights of whoever calls.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::time::{Duration, Instant};

use postgres::Client;
use sentiment_tests::{Database, Level, Server};

const MODELS: &str = "
    CREATE EXTENSION pg_sentiment;
    CREATE TABLE texts AS SELECT CASE WHEN n % 2 = 0 THEN 'sunny' ELSE 'rainy' END || ' day ' || n AS body,
        CASE WHEN n % 2 = 0 THEN 'positive' ELSE 'negative' END AS label FROM generate_series(1, 100) AS n;
    SELECT train_sentiment('m', 'texts', 'body', 'label', 'naive_bayes');
    SELECT learn_sentiment('m', 'foggy', 'negative');
    SELECT refresh_sentiment('m');
    SELECT learn_sentiment('m', 'misty', 'negative');
    SELECT set_sentiment_term('m', 'stellar', 1)";

/// All that reads or writes the registry.
const CALLS: [&str; 14] = [
    "SELECT sentiment('a sunny day', 'm')",
    "SELECT sentiment_at('a sunny day', 'm@1')",
    "SELECT * FROM sentiment_explain('a sunny day', 'm@2')",
    "SELECT export_sentiment('m', 1)",
    "SELECT learn_sentiment('m', 'cloudy', 'negative')",
    "SELECT set_sentiment_term('m', 'lunar', -1)",
    "SELECT refresh_sentiment('m')",
    "SELECT train_sentiment('m', 'texts', 'body', 'label', 'naive_bayes', '{\"keep_versions\": 1}', deploy => 'always')",
    "SELECT import_sentiment('m', export_sentiment('m'))",
    "SELECT deploy_sentiment('m', 1)",
    "SELECT rollback_sentiment('m')",
    "SELECT drop_sentiment('m', 1)",
    "SELECT drop_sentiment('m')",
    "SELECT count(*) FROM sentiment.cache",
];

/// What stands in the way of changing the tables, and the owner may take away.
const LOOSEN: &str = "
    DO $$ DECLARE views text[]; one text; BEGIN
        SELECT array_agg(oid::regclass) INTO views FROM pg_class
            WHERE relnamespace = 'sentiment'::regnamespace AND relkind = 'v';
        FOREACH one IN ARRAY views LOOP
            EXECUTE format('ALTER EXTENSION pg_sentiment DROP VIEW %s', one);
        END LOOP;
        FOREACH one IN ARRAY views LOOP
            EXECUTE format('DROP VIEW IF EXISTS %s CASCADE', one);
        END LOOP;
    END $$";

/// Changes that the owner can make by hand.
const SABOTAGE: [&str; 17] = [
    "UPDATE sentiment.version SET parts = '{NULL}'",
    "UPDATE sentiment.version SET parts = '{}'",
    "UPDATE sentiment.version SET parts = '{{1,2},{3,4}}'",
    "UPDATE sentiment.version SET parts = '{9223372036854775807,-1}'",
    "UPDATE sentiment.part SET payload = ''",
    "UPDATE sentiment.part SET payload = decode(repeat('00', 100), 'hex')",
    "UPDATE sentiment.part SET payload = substr(payload, 1, 100)",
    "UPDATE sentiment.part SET payload = overlay(payload PLACING '\\xffffffff' FROM 900)",
    "DELETE FROM sentiment.part",
    "UPDATE sentiment.model SET current_version = -1, last_version = 2147483647",
    "UPDATE sentiment.model SET keep_versions = -5",
    "ALTER TABLE sentiment.part DROP CONSTRAINT part_pkey; ALTER TABLE sentiment.part ADD PRIMARY KEY (payload, id)",
    "ALTER TABLE sentiment.version DROP CONSTRAINT version_pkey; ALTER TABLE sentiment.version ADD PRIMARY KEY (number, model)",
    "ALTER EXTENSION pg_sentiment DROP TABLE sentiment.model; ALTER TABLE sentiment.model RENAME TO was;
     CREATE VIEW sentiment.model AS SELECT * FROM sentiment.was; ALTER EXTENSION pg_sentiment ADD VIEW sentiment.model",
    "ALTER EXTENSION pg_sentiment DROP TABLE sentiment.part; ALTER TABLE sentiment.part RENAME TO was;
     CREATE TABLE sentiment.part (LIKE sentiment.was INCLUDING ALL) PARTITION BY HASH (id);
     ALTER EXTENSION pg_sentiment ADD TABLE sentiment.part",
    "ALTER EXTENSION pg_sentiment DROP TABLE sentiment.version; ALTER TABLE sentiment.version RENAME TO was;
     CREATE MATERIALIZED VIEW sentiment.version AS SELECT * FROM sentiment.was;
     ALTER EXTENSION pg_sentiment ADD MATERIALIZED VIEW sentiment.version",
    "ALTER TABLE sentiment.feedback RENAME TO gone",
];

/// The owner's session, and a superuser's, of a database with models.
fn owned(owner: &str) -> Database<'static> {
    let mut setup = Server::shared().connect("postgres", "postgres");
    setup.batch_execute(&format!("CREATE ROLE {owner} LOGIN")).unwrap();
    let database = Database::owned_by(owner);
    let mut session = database.connect(owner);
    setup = database.connect("postgres");
    setup.batch_execute(&format!("ALTER SCHEMA public OWNER TO {owner}")).unwrap();
    session.batch_execute(MODELS).unwrap();
    database
}

fn leave(database: Database<'_>, owner: &str) {
    drop(database);
    Server::shared().connect("postgres", "postgres").batch_execute(&format!("DROP ROLE {owner}")).unwrap();
}

/// Each column of each table of another type, without a value, or gone.
fn changes_of_columns(database: &mut Database<'_>) -> Vec<String> {
    let columns = database.rows(
        "SELECT 'sentiment.' || quote_ident(relname), quote_ident(attname) FROM pg_attribute JOIN pg_class AS c ON c.oid = attrelid
         WHERE relnamespace = 'sentiment'::regnamespace AND relkind = 'r' AND attnum > 0 ORDER BY 1, 2",
    );
    let change = |row: &postgres::Row| {
        let (table, column): (String, String) = (row.get(0), row.get(1));
        let key = format!(
            "DO $$ BEGIN EXECUTE (SELECT format('ALTER TABLE {table} DROP CONSTRAINT %I', conname) FROM pg_constraint
                WHERE conrelid = '{table}'::regclass AND contype = 'p'); END $$;
             ALTER TABLE {table} ALTER {column} DROP DEFAULT; ALTER TABLE {table} ALTER {column} DROP NOT NULL;"
        );
        [
            format!("{key} ALTER TABLE {table} ALTER {column} TYPE int8 USING 4096"),
            format!("{key} ALTER TABLE {table} ALTER {column} TYPE text USING 'text'"),
            format!("{key} UPDATE {table} SET {column} = NULL"),
            format!("ALTER TABLE {table} DROP COLUMN {column} CASCADE"),
        ]
    };
    columns.iter().flat_map(change).collect()
}

/// Runs all calls in a session of its own, in a transaction in which the tables were changed before.
fn calls_after(database: &Database<'_>, change: &str, owner: &str) {
    let mut session = database.connect("postgres");
    let begin =
        format!("BEGIN; SET SESSION AUTHORIZATION {owner}; {LOOSEN}; {change}; RESET SESSION AUTHORIZATION");
    if let Err(error) = session.batch_execute(&begin) {
        // The numbers of a table belong to the extension: without their column it is gone as a whole.
        assert!(change.contains("DROP COLUMN id"), "{change}: {error:?}");
        return;
    }
    for call in CALLS {
        session.batch_execute("SAVEPOINT call").unwrap();
        if let Err(error) = session.batch_execute(call) {
            let state = error.code().unwrap_or_else(|| panic!("{change}\n{call}: {error}")).code();
            assert_ne!(state, "XX000", "{change}\n{call}: {error:?}");
        }
        session.batch_execute("ROLLBACK TO call").unwrap_or_else(|error| panic!("{change}\n{call}: {error}"));
    }
}

#[test]
fn changed_tables_end_nobodys_session() {
    let owner = "registry_vandal";
    let mut database = owned(owner);
    let columns = changes_of_columns(&mut database);
    assert!(columns.len() > 100, "{} changes", columns.len());
    for change in columns.iter().map(String::as_str).chain(SABOTAGE) {
        calls_after(&database, change, owner);
    }
    database.ask_errors_so_far();
    let mut owner_session = database.connect(owner);
    let label = owner_session.query_one("SELECT sentiment('a sunny day', 'm')", &[]).unwrap();
    assert_eq!(label.get::<_, String>(0), "positive");
    leave(database, owner);
}

/// What runs where: the role that a trigger ran as, by a function that anybody may have run.
const SPIES: &str = "
    CREATE TABLE spied (who name);
    GRANT INSERT ON spied TO PUBLIC;
    CREATE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO public.spied VALUES (current_user);
        RETURN coalesce(new, old);
    END $$;";

fn spied(session: &mut Client) -> Vec<String> {
    let rows = session.query("SELECT DISTINCT who::text FROM public.spied ORDER BY 1", &[]).unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// What the owner has put on the tables runs as the owner, and not at the end of the caller's transaction.
#[test]
fn the_owners_triggers_run_as_the_owner() {
    let owner = "registry_spy";
    let mut database = owned(owner);
    let mut session = database.connect(owner);
    session.batch_execute(SPIES).unwrap();
    let tables = ["model", "part", "version", "deployment", "feedback", "unlearned", "term"];
    for table in tables {
        let triggers = format!(
            "CREATE TRIGGER spy BEFORE INSERT OR UPDATE OR DELETE ON sentiment.{table} FOR EACH ROW EXECUTE FUNCTION spy();
             CREATE TRIGGER spy_too AFTER INSERT OR UPDATE OR DELETE ON sentiment.{table} FOR EACH ROW EXECUTE FUNCTION spy();
             CREATE CONSTRAINT TRIGGER spy_later AFTER INSERT OR UPDATE OR DELETE ON sentiment.{table}
                 DEFERRABLE FOR EACH ROW EXECUTE FUNCTION spy()"
        );
        session.batch_execute(&triggers).unwrap();
    }
    let calls = &CALLS[4..13];
    for call in calls {
        // As a superuser; drop_sentiment(m, 1) may find that version deployed.
        let called = database.client().batch_execute(call);
        assert!(called.is_ok() || call.contains("m', 1"), "{call}: {called:?}");
    }
    assert_eq!(spied(&mut session), [owner]);

    // Those that would run when the caller's transaction ends are refused.
    session
        .batch_execute(
            MODELS
                .split_once("SELECT train")
                .map(|(_, rest)| rest)
                .map(|rest| format!("SELECT train{rest}"))
                .unwrap()
                .as_str(),
        )
        .unwrap();
    for deferred in ["SET CONSTRAINTS ALL DEFERRED", ""] {
        for call in calls {
            let error = database.client().batch_execute(&format!("BEGIN; {deferred}; {call}")).err();
            database.client().batch_execute("ROLLBACK").unwrap();
            let state = error.as_ref().and_then(|error| error.code()).map(|code| code.code().to_owned());
            let refused = state.as_deref() == Some("42501");
            assert!(refused || deferred.is_empty() || call.contains("m', 1"), "{call}: {error:?}");
        }
        session
            .batch_execute(
                "DROP TRIGGER spy_later ON sentiment.model;
                 CREATE CONSTRAINT TRIGGER spy_later AFTER INSERT OR UPDATE OR DELETE ON sentiment.model
                     DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION spy()",
            )
            .unwrap();
    }
    let refresh = "SELECT learn_sentiment('m', 'cloudy', 'negative'); SELECT refresh_sentiment('m')";
    assert_eq!(database.failure(refresh).state, "42501");
    assert_eq!(spied(&mut session), [owner]);
    database.ask_errors_so_far();
    leave(database, owner);
}

/// The background worker is a superuser's process: it lends an owner nothing either.
#[test]
fn the_worker_lends_no_rights() {
    let server =
        Server::start(&["shared_preload_libraries=pg_sentiment", "sentiment.refresh_interval=100ms"]);
    let mut superuser = server.connect("postgres", "postgres");
    superuser.batch_execute("CREATE ROLE worker_spy LOGIN").unwrap();
    superuser.batch_execute("CREATE DATABASE test_owner TEMPLATE template0 OWNER worker_spy").unwrap();
    server
        .connect("test_owner", "postgres")
        .batch_execute("ALTER SCHEMA public OWNER TO worker_spy")
        .unwrap();
    let mut owner = server.connect("test_owner", "worker_spy");
    owner.batch_execute(SPIES).unwrap();
    owner.batch_execute(MODELS).unwrap();
    owner
        .batch_execute(
            "CREATE TRIGGER spy AFTER UPDATE ON sentiment.model FOR EACH ROW EXECUTE FUNCTION spy();
             CREATE CONSTRAINT TRIGGER spy_later AFTER INSERT ON sentiment.deployment
                 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION spy()",
        )
        .unwrap();
    // The worker meets both triggers when it deploys what it has learned; it says that it was refused.
    superuser.batch_execute("ALTER SYSTEM SET sentiment.refresh_databases = test_owner").unwrap();
    superuser.batch_execute("SELECT pg_reload_conf()").unwrap();
    let begin = Instant::now();
    let refused = |entry: &sentiment_tests::Entry| {
        entry.level == Some(Level::Warning)
            && entry.state == "42501"
            && entry.text.contains("refreshing model")
    };
    while !server.log().iter().any(refused) {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "the worker has not tried: {:?}",
            server.log().last()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    owner.batch_execute("DROP TRIGGER spy_later ON sentiment.deployment").unwrap();
    assert!(spied(&mut owner).iter().all(|who| who == "worker_spy"), "{:?}", spied(&mut owner));
}
