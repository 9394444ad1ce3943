//! Rescoring takes many transactions, and anything may happen between two of them.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sentiment_tests::{Database, Level};

/// A table that another version has scored, and a trigger of the user's that waits for lock 1 where row 150 is written.
const SCENE: &str = "
    CREATE TABLE texts AS
    SELECT CASE WHEN n % 2 = 0 THEN 'sunny' ELSE 'rainy' END || ' day ' || md5(n::text) AS body,
           CASE WHEN n % 2 = 0 THEN 'positive' ELSE 'negative' END AS label
    FROM generate_series(1, 100) AS n;
    SELECT train_sentiment('m', 'texts', 'body', 'label', 'naive_bayes', deploy => 'always') FROM generate_series(1, 3);
    SELECT deploy_sentiment('m', 1);
    CREATE TABLE messages (id int GENERATED ALWAYS AS IDENTITY, body text);
    INSERT INTO messages (body) SELECT 'sunny ' || n FROM generate_series(1, 1000) AS n;
    SELECT enable_sentiment('messages', 'body', 'm');
    SELECT deploy_sentiment('m', 2);
    CREATE FUNCTION waits() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM pg_advisory_xact_lock_shared(1);
        RETURN new;
    END $$;
    CREATE TRIGGER waits BEFORE UPDATE ON messages FOR EACH ROW WHEN (new.id = 150) EXECUTE FUNCTION waits()";

const VERSIONS: &str = "SELECT string_agg(DISTINCT sentiment_version, ' ') FROM";

/// Waits until so many sessions wait for a lock.
fn waiting(database: &mut Database<'_>, sessions: i64) {
    let end = Instant::now() + Duration::from_secs(60);
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    while database.value::<i64>(waits) < sessions {
        assert!(Instant::now() < end, "nobody waits");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Runs `meanwhile` while the second batch of a rescoring waits, and what it returns besides, and ends both.
fn rescored_while<'d>(
    database: &mut Database<'d>,
    meanwhile: impl FnOnce(&mut Database<'d>) -> Option<thread::JoinHandle<()>>,
) {
    database.run("SELECT pg_advisory_lock(1)");
    let mut session = database.connect("postgres");
    session.batch_execute("SET statement_timeout = '60s'; SET client_min_messages = warning").unwrap();
    let rescoring = thread::spawn(move || session.batch_execute("CALL rescore_sentiment('messages', 100)"));
    waiting(database, 1);
    let other = meanwhile(database);
    database.run("SELECT pg_advisory_unlock(1)");
    rescoring.join().unwrap().unwrap();
    other.into_iter().for_each(|other| other.join().unwrap());
}

#[test]
fn it_follows_a_deployment() {
    let mut database = Database::new();
    database.run(SCENE);
    rescored_while(&mut database, |database| {
        database.run("SELECT deploy_sentiment('m', 3); INSERT INTO messages (body) VALUES ('rainy')");
        None
    });
    assert_eq!(database.value::<String>(&format!("{VERSIONS} messages")), "m@3");
    assert_eq!(database.value::<i64>("SELECT stale_sentiment('messages')"), 0);
}

/// Another table that has taken the name is another table.
#[test]
fn it_follows_the_table() {
    let mut database = Database::new();
    database.run(SCENE);
    database.run("CREATE TABLE fresh (id int, body text, sentiment text, sentiment_score float8, sentiment_version text)");
    database.run("INSERT INTO fresh SELECT n, 'sunny', 'own', 7, 'own' FROM generate_series(1, 1000) AS n");
    rescored_while(&mut database, |database| {
        let mut swapping = database.connect("postgres");
        let swap = "BEGIN; ALTER TABLE messages RENAME TO old; ALTER TABLE fresh RENAME TO messages; COMMIT";
        let swapping = thread::spawn(move || swapping.batch_execute(swap).unwrap());
        waiting(database, 2);
        Some(swapping)
    });
    assert_eq!(database.value::<String>(&format!("{VERSIONS} messages")), "own");
    assert_eq!(database.value::<String>(&format!("{VERSIONS} old")), "m@2");
}

/// What is detached meanwhile is a table by itself, which nobody asked for: it may be on its way to an archive.
#[test]
fn it_leaves_what_is_detached() {
    let mut database = Database::new();
    database.run(SCENE);
    database.run(
        "ALTER TABLE messages RENAME TO old;
         CREATE TABLE messages (id int, body text) PARTITION BY RANGE (id);
         CREATE TABLE first PARTITION OF messages FOR VALUES FROM (1) TO (1000);
         CREATE TABLE second PARTITION OF messages FOR VALUES FROM (1000) TO (2000);
         SELECT enable_sentiment('messages', 'body', 'm');
         CREATE TRIGGER waits BEFORE UPDATE ON first FOR EACH ROW WHEN (new.id = 150) EXECUTE FUNCTION waits();
         INSERT INTO messages SELECT n, 'sunny' FROM generate_series(1, 1999) AS n;
         SELECT deploy_sentiment('m', 3)",
    );
    rescored_while(&mut database, |database| {
        let mut detaching = database.connect("postgres");
        let detach =
            "ALTER TABLE messages DETACH PARTITION second; ALTER TABLE second DROP COLUMN sentiment_score";
        let detaching = thread::spawn(move || detaching.batch_execute(detach).unwrap());
        waiting(database, 2);
        Some(detaching)
    });
    assert_eq!(database.value::<String>(&format!("{VERSIONS} messages")), "m@3");
    assert_eq!(database.value::<String>(&format!("{VERSIONS} second")), "m@2");
}

/// A model may be refreshed more often than a pass takes: it is followed, but not for ever.
#[test]
fn it_ends_where_versions_come_and_go() {
    let mut database = Database::new();
    database.run(SCENE);
    database.run("DROP TRIGGER waits ON messages; INSERT INTO messages (body) SELECT 'rainy ' || n FROM generate_series(1, 20000) AS n");
    database.run(
        "SELECT deploy_sentiment('m', 3); SET statement_timeout = '60s'; SET client_min_messages = warning",
    );
    let (ended, mut deploying) = (Arc::new(AtomicBool::new(false)), database.connect("postgres"));
    let done = ended.clone();
    let deploying = thread::spawn(move || {
        while !done.load(Ordering::Relaxed) {
            deploying.batch_execute("SELECT deploy_sentiment('m', 2)").unwrap();
            deploying.batch_execute("SELECT deploy_sentiment('m', 3)").unwrap();
        }
    });
    database.run("CALL rescore_sentiment('messages', 20)");
    ended.store(true, Ordering::Relaxed);
    deploying.join().unwrap();
    database.run("CALL rescore_sentiment('messages')");
    assert_eq!(database.value::<i64>("SELECT stale_sentiment('messages')"), 0);
}

#[test]
fn it_ends_with_an_error_where_trigger_or_table_are_gone() {
    for (change, state) in
        [("SELECT disable_sentiment('messages', true)", "55000"), ("DROP TABLE messages", "42P01")]
    {
        let mut database = Database::new();
        database.run(SCENE);
        database.run("SELECT pg_advisory_lock(1)");
        let mut session = database.connect("postgres");
        session.batch_execute("SET statement_timeout = '60s'").unwrap();
        let rescoring =
            thread::spawn(move || session.batch_execute("CALL rescore_sentiment('messages', 100)"));
        waiting(&mut database, 1);
        let mut other = database.connect("postgres");
        let changing = thread::spawn(move || other.batch_execute(change));
        waiting(&mut database, 2);
        database.run("SELECT pg_advisory_unlock(1)");
        let failed = rescoring.join().unwrap().unwrap_err();
        assert_eq!(failed.code().unwrap().code(), state, "{failed:?}");
        changing.join().unwrap().unwrap();
        database.ask_errors_so_far();
    }
}

/// The server reads temporary tables of other sessions no more than this does.
#[test]
fn it_passes_over_temporary_tables_of_others() {
    let mut database = Database::new();
    database.run("CREATE TABLE messages (body text); SELECT enable_sentiment('messages', 'body')");
    database.run("INSERT INTO messages VALUES ('so happy'); UPDATE messages SET sentiment_version = NULL");
    let mut other = database.connect("postgres");
    let others = "CREATE TEMP TABLE passing () INHERITS (messages); INSERT INTO passing VALUES ('so sad')";
    other.batch_execute(others).unwrap();
    database.run("CALL rescore_sentiment('messages')");
    assert_eq!(database.value::<i64>("SELECT stale_sentiment('messages')"), 0);
    other.batch_execute("CALL rescore_sentiment('messages')").unwrap();
    assert_eq!(other.query_one("SELECT stale_sentiment('messages')", &[]).unwrap().get::<_, i64>(0), 0);
}

/// A row that somebody changes meanwhile ends no batch, whatever transactions begin with here; and they go on beginning with it.
#[test]
fn it_goes_on_beside_others_whatever_the_isolation() {
    for isolation in ["repeatable read", "serializable"] {
        let mut database = Database::new();
        database.run(SCENE);
        let name = database.name().to_owned();
        database.run(&format!("ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'"));
        rescored_while(&mut database, |database| {
            database.run(
                "UPDATE messages SET body = 'rainy' WHERE id = 180; DELETE FROM messages WHERE id = 181",
            );
            None
        });
        assert_eq!(database.value::<i64>("SELECT stale_sentiment('messages')"), 0);
        let mut session = database.connect("postgres");
        let after = "DO $$ BEGIN CALL rescore_sentiment('messages');
            RAISE EXCEPTION USING MESSAGE = current_setting('transaction_isolation'); END $$";
        let said = session.batch_execute(after).unwrap_err();
        assert_eq!(said.as_db_error().unwrap().message(), isolation);
        database.ask(Level::Error, "P0001");
    }
}

/// Triggers of the user's have the last word, and rescoring an end.
#[test]
fn it_ends_where_a_trigger_undoes_it() {
    for undo in ["'none'", "NULL", "old.sentiment_version", "'m@' || (random() * 1e6)::int"] {
        let mut database = Database::new();
        database.run(SCENE);
        database.run(&format!(
            "CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.sentiment_version = {undo}; RETURN new; END $$;
             CREATE TRIGGER undo BEFORE UPDATE ON messages FOR EACH ROW EXECUTE FUNCTION undo()"
        ));
        database.run("SET statement_timeout = '60s'; SET client_min_messages = warning");
        database.run("CALL rescore_sentiment('messages', 100)");
        let pages = "SELECT (pg_relation_size('messages') / 8192)::int";
        assert!(database.value::<i32>(pages) < 200, "{undo}");
    }
}

/// A trigger that was made by hand fires for its own column too, and writes what it is told: nothing else counts as stale.
#[test]
fn it_ends_where_the_trigger_fires_for_all_columns() {
    let mut database = Database::new();
    database.run(SCENE);
    database.run(
        "SELECT disable_sentiment('messages');
         CREATE TRIGGER by_hand BEFORE INSERT OR UPDATE ON messages FOR EACH ROW
             EXECUTE FUNCTION sentiment_trigger('body', 'label=sentiment', 'version=sentiment_version', 'model=m')",
    );
    rescored_while(&mut database, |database| {
        database.run("SELECT deploy_sentiment('m', 3)");
        None
    });
    assert_eq!(database.value::<String>(&format!("{VERSIONS} messages")), "m@3");
}
