//! The trigger on the kinds of table there are, and on tables that change under it.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::io::Write;

use sentiment_tests::{CANARY, Database, Level};

const HAPPY: &str = "so happy, great";
const SAD: &str = "so sad, terrible";

/// Inserts a good and a bad message, and says how they are labelled.
fn labels(database: &mut Database<'_>, table: &str) -> (Option<String>, Option<String>) {
    let insert = format!("INSERT INTO {table} (body) VALUES ($1) RETURNING sentiment");
    let mut label = |text: &str| database.client().query_one(&insert, &[&text]).unwrap().get(0);
    (label(HAPPY), label(SAD))
}

fn assert_scored(database: &mut Database<'_>, table: &str) {
    let expected = (Some("positive".to_string()), Some("negative".to_string()));
    assert_eq!(labels(database, table), expected, "{table}");
}

#[test]
fn partitioned_table() {
    let mut database = Database::new();
    database.run(
        "CREATE TABLE messages (day date DEFAULT '2026-01-15', body text) PARTITION BY RANGE (day);
         CREATE TABLE january PARTITION OF messages FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
         -- a partition whose columns are at other places
         CREATE TABLE february (gone int, body text, day date);
         ALTER TABLE february DROP COLUMN gone;
         ALTER TABLE messages ATTACH PARTITION february FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
         INSERT INTO messages VALUES ('2026-01-10', 'so happy, great'), ('2026-02-10', 'so sad, terrible')",
    );
    assert_eq!(database.value::<i64>("SELECT enable_sentiment('messages', 'body')"), 2);
    assert_scored(&mut database, "messages");
    assert_scored(&mut database, "january");
    // one that comes later is scored too, and a row that moves keeps its label
    database.run(
        "CREATE TABLE march PARTITION OF messages FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
         INSERT INTO messages VALUES ('2026-03-10', 'so happy, great');
         UPDATE messages SET day = '2026-03-11' WHERE day = '2026-02-10';
         UPDATE march SET sentiment_version = NULL",
    );
    assert_eq!(database.value::<i64>("SELECT stale_sentiment('messages')"), 2);
    database.run("CALL rescore_sentiment('messages')");
    assert_eq!(database.value::<i64>("SELECT stale_sentiment('messages')"), 0);
    let wrong = "SELECT count(*) FROM messages WHERE sentiment IS DISTINCT FROM sentiment(body)";
    assert_eq!(database.value::<i64>(wrong), 0);
    database.run("SELECT disable_sentiment('messages', drop_columns => true)");
    assert_eq!(
        database.value::<i64>(
            "SELECT count(*) FROM pg_trigger WHERE tgfoid = 'sentiment_trigger()'::regprocedure"
        ),
        0
    );
}

#[test]
fn inherited_temporary_and_unlogged_tables() {
    let mut database = Database::new();
    database.run(
        "CREATE TABLE parent (body text); CREATE TABLE child (extra int) INHERITS (parent);
         CREATE TEMP TABLE temporary (body text);
         CREATE UNLOGGED TABLE unlogged (body text)",
    );
    for table in ["parent", "temporary", "unlogged"] {
        database.run(&format!("SELECT enable_sentiment('{table}', 'body')"));
        assert_scored(&mut database, table);
        assert_eq!(database.value::<i64>(&format!("SELECT stale_sentiment('{table}')")), 0);
        database.run(&format!("CALL rescore_sentiment('{table}')"));
    }
}

/// A foreign table has the local trigger; the scores go to the remote table with the row.
#[test]
fn foreign_table() {
    let mut database = Database::new();
    let (socket, name) = (database.server().socket().to_string(), database.name().to_string());
    database.run(&format!(
        "CREATE EXTENSION postgres_fdw;
         CREATE SERVER loopback FOREIGN DATA WRAPPER postgres_fdw
             OPTIONS (host '{socket}', port '5432', dbname '{name}', extensions 'pg_sentiment');
         CREATE USER MAPPING FOR postgres SERVER loopback OPTIONS (user 'postgres');
         CREATE TABLE remote (body text, sentiment text, sentiment_score float8, sentiment_version text);
         CREATE FOREIGN TABLE messages (body text, sentiment text, sentiment_score float8, sentiment_version text)
             SERVER loopback OPTIONS (table_name 'remote');
         CREATE FOREIGN TABLE bare (body text) SERVER loopback OPTIONS (table_name 'remote')"
    ));
    database.run("SELECT enable_sentiment('messages', 'body')");
    assert_scored(&mut database, "messages");
    assert_eq!(database.value::<i64>("SELECT count(*) FROM remote WHERE sentiment = sentiment(body)"), 2);
    database.refuses("0A000", "SELECT enable_sentiment('bare', 'body')");
    // the frozen form is shipped to the remote server, the other is not
    for (function, shipped) in [("sentiment_at(body, 'english@1')", true), ("sentiment(body)", false)] {
        let plan =
            format!("EXPLAIN (VERBOSE, COSTS OFF) SELECT body FROM messages WHERE {function} = 'negative'");
        let plan: Vec<String> = database.rows(&plan).iter().map(|row| row.get(0)).collect();
        let remote = plan.iter().find(|line| line.contains("Remote SQL")).unwrap();
        assert_eq!(remote.contains("sentiment_at("), shipped, "{plan:?}");
        let count = format!("SELECT count(*) FROM messages WHERE {function} = 'negative'");
        assert_eq!(database.value::<i64>(&count), 1);
    }
}

/// Versions are compared by their bytes, whatever the collation of the column that says them.
#[test]
fn versions_of_any_collation() {
    let mut database = Database::new();
    if !database.value::<bool>("SELECT EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i')") {
        eprintln!("skipped: this PostgreSQL was built without ICU");
        return;
    }
    database.run(
        "CREATE COLLATION anyhow (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         CREATE TABLE collated (body text, sentiment text, sentiment_version text COLLATE anyhow);
         INSERT INTO collated VALUES ('love it', 'positive', 'english@1')",
    );
    assert_eq!(database.value::<i64>("SELECT enable_sentiment('collated', 'body')"), 1);
    assert_scored(&mut database, "collated");
}

#[test]
fn table_that_changes_in_mid_session() {
    let mut database = Database::new();
    database
        .run("CREATE TABLE messages (a int, body text, b int); SELECT enable_sentiment('messages', 'body')");
    assert_scored(&mut database, "messages");
    for change in [
        "DROP COLUMN a",
        "ADD COLUMN c text DEFAULT 'c'",
        "ALTER COLUMN sentiment TYPE varchar(20)",
        "DROP COLUMN sentiment_score, ADD COLUMN sentiment_score float8",
        "ADD CONSTRAINT short CHECK (length(body) < 1000)",
    ] {
        database.run(&format!("ALTER TABLE messages {change}"));
        assert_scored(&mut database, "messages");
    }
    // a trigger's arguments are text: a rename leaves it pointing nowhere, and that is said
    database.run("ALTER TABLE messages RENAME COLUMN sentiment TO mood");
    database.refuses("42703", "INSERT INTO messages (body) VALUES ('so happy')");
    database.run("ALTER TABLE messages RENAME COLUMN mood TO sentiment");
    assert_scored(&mut database, "messages");
    database.run("ALTER TABLE messages ALTER COLUMN sentiment TYPE int USING 0");
    database.refuses("42804", "INSERT INTO messages (body) VALUES ('so happy')");
    // another session's change reaches this one
    database
        .connect("postgres")
        .batch_execute("ALTER TABLE messages ALTER COLUMN sentiment TYPE text")
        .unwrap();
    assert_scored(&mut database, "messages");
}

#[test]
fn beside_other_triggers_and_upsert() {
    let mut database = Database::new();
    database.run(
        "CREATE TABLE messages (id int PRIMARY KEY, body text);
         SELECT enable_sentiment('messages', 'body');
         -- before ours by name: what it writes is what is scored
         CREATE FUNCTION soften() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN NEW.body := replace(NEW.body, 'hate', 'love'); RETURN NEW; END $$;
         CREATE TRIGGER a_soften BEFORE INSERT OR UPDATE ON messages FOR EACH ROW EXECUTE FUNCTION soften();
         INSERT INTO messages VALUES (1, 'I hate it') ON CONFLICT (id) DO UPDATE SET body = excluded.body;
         INSERT INTO messages VALUES (2, 'so happy');
         INSERT INTO messages VALUES (2, 'so sad, terrible') ON CONFLICT (id) DO UPDATE SET body = excluded.body",
    );
    let labels: Vec<String> =
        database.rows("SELECT sentiment FROM messages ORDER BY id").iter().map(|row| row.get(0)).collect();
    assert_eq!(labels, ["positive", "negative"]);
}

/// One warning a statement tells of the failure, whatever the number of rows. COPY adds the row it is at as context, which
/// may not get into the log.
#[test]
fn failure_in_a_copy_does_not_log_the_texts() {
    let mut database = Database::new();
    database.run(
        "CREATE TABLE messages (body text, sentiment text);
         CREATE TRIGGER scored BEFORE INSERT ON messages FOR EACH ROW
             EXECUTE FUNCTION sentiment_trigger('body', 'label=sentiment', 'model=no_such_model')",
    );
    let copy = |database: &mut Database<'_>| {
        let mut writer = database.client().copy_in("COPY messages (body) FROM STDIN").unwrap();
        writer.write_all(format!("good {CANARY}\n").repeat(1000).as_bytes()).unwrap();
        writer.finish()
    };
    database.ask(Level::Warning, "42704");
    assert_eq!(copy(&mut database).unwrap(), 1000);
    assert_eq!(database.logged(Level::Warning, "42704"), 1);
    assert_eq!(database.value::<i64>("SELECT count(*) - count(sentiment) FROM messages"), 1000);

    database.ask(Level::Error, "42704");
    database.run("SET sentiment.on_error = 'raise'");
    assert_eq!(copy(&mut database).unwrap_err().code().unwrap().code(), "42704");
}
