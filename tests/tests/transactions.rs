//! Models change as everything in a transaction does: in subtransactions, in transactions that are prepared, and beside others.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;
use sentiment_tests::{Database, Server, note, trouble};

/// Two versions of a model that is large enough to be shared; the second one, not deployed, takes sunny for bad.
const SCENE: &str = "
    CREATE TABLE texts AS
    SELECT CASE WHEN n % 2 = 0 THEN 'sunny ' ELSE 'rainy ' END || md5(n::text) AS body,
           CASE WHEN n % 2 = 0 THEN 'good' ELSE 'bad' END AS label,
           CASE WHEN n % 2 = 0 THEN 'bad' ELSE 'good' END AS other
    FROM generate_series(1, 4000) AS n;
    SELECT train_sentiment('m', 'texts', 'body', 'label', 'naive_bayes', '{\"min_texts\": 1, \"folds\": 2}');
    SELECT train_sentiment('m', 'texts', 'body', 'other', 'naive_bayes', '{\"min_texts\": 1, \"folds\": 2}', deploy => 'never')";

fn label(client: &mut Client) -> String {
    client.query_one("SELECT sentiment('sunny', 'm')", &[]).unwrap().get(0)
}

/// A subtransaction that aborts takes back what it deployed, trained, refreshed or dropped: in its own session at once, and
/// for others as if it had never been.
#[test]
fn a_subtransaction_that_aborts() {
    let mut database = Database::new();
    database.run(SCENE);
    let mut other = database.connect("postgres");
    let prepared = database.client().prepare("SELECT sentiment('sunny', 'm')").unwrap();
    for change in [
        "PERFORM deploy_sentiment('m', 2)",
        "PERFORM train_sentiment('m', 'texts', 'body', 'other', 'naive_bayes', deploy => 'always')",
        "PERFORM deploy_sentiment('m', 2); PERFORM drop_sentiment('m', 1)",
        "PERFORM deploy_sentiment('m', 2); PERFORM rollback_sentiment('m'); PERFORM deploy_sentiment('m', 2)",
    ] {
        database.run(&format!(
            "CREATE OR REPLACE FUNCTION tried() RETURNS text LANGUAGE plpgsql AS $$
             DECLARE inside text;
             BEGIN
                 BEGIN
                     {change};
                     inside := sentiment('sunny', 'm');
                     RAISE EXCEPTION USING ERRCODE = 'P0001';
                 EXCEPTION WHEN raise_exception THEN END;
                 RETURN inside || ', then ' || sentiment('sunny', 'm');
             END $$"
        ));
        database.run("BEGIN");
        assert_eq!(database.value::<String>("SELECT tried()"), "bad, then good", "{change}");
        assert_eq!(label(database.client()), "good", "{change}");
        let again: String = database.client().query_one(&prepared, &[]).unwrap().get(0);
        assert_eq!(again, "good", "{change}");
        database
            .run("SAVEPOINT a; SELECT deploy_sentiment('m', 2); SAVEPOINT b; SELECT rollback_sentiment('m')");
        assert_eq!(label(database.client()), "good");
        database.run("ROLLBACK TO b");
        assert_eq!(label(database.client()), "bad", "what the outer one deployed stands");
        database.run("ROLLBACK TO a");
        assert_eq!((label(database.client()), label(&mut other)), ("good".into(), "good".into()));
        database.run("COMMIT");
        assert_eq!(label(&mut other), "good", "{change}");
        assert_eq!(database.value::<i64>("SELECT count(*) FROM sentiment.versions"), 2, "{change}");
    }
}

/// A change that is prepared shows nowhere until it is committed, by whatever session; a restart between makes no difference.
/// Functions of one version are constant to the planner; the next version has the number of one that was rolled back.
#[test]
fn plans_forget_a_version_that_was_rolled_back() {
    let mut database = Database::new();
    database.run(
        "CREATE TABLE texts AS SELECT CASE WHEN n % 2 = 0 THEN 'sunny' ELSE 'rainy' END || ' day ' || n AS body,
             CASE WHEN n % 2 = 0 THEN 'good' ELSE 'bad' END AS label FROM generate_series(1, 100) AS n;
         CREATE VIEW others AS SELECT body, upper(label) AS label FROM texts;
         CREATE FUNCTION planned() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN sentiment_at('sunny', 'm@1'); END $$",
    );
    let train = |from: &str| format!("SELECT train_sentiment('m', '{from}', 'body', 'label', 'naive_bayes')");
    let (first, second) = (train("texts"), train("others"));
    database.run(&format!(
        "BEGIN; {first}; PREPARE planned AS SELECT sentiment_at('sunny', 'm@1'); EXECUTE planned; SELECT planned(); ROLLBACK"
    ));
    database.refuses("42704", "EXECUTE planned");
    database.refuses("42704", "SELECT planned()");
    database.run(&format!(
        "BEGIN; SAVEPOINT a; {first}; EXECUTE planned; SELECT planned(); ROLLBACK TO a; {second}"
    ));
    assert_eq!(database.value::<String>("EXECUTE planned"), "GOOD");
    assert_eq!(database.value::<String>("SELECT planned()"), "GOOD");
    database.run("COMMIT");
    assert_eq!(database.value::<String>("EXECUTE planned"), "GOOD");
}

#[test]
fn two_phase_commit() {
    let server = Server::start(&["max_prepared_transactions=5"]);
    let mut client = server.connect("postgres", "postgres");
    client.batch_execute("CREATE EXTENSION pg_sentiment").unwrap();
    client.batch_execute(SCENE).unwrap();
    let prepare = |change: &str| {
        let mut client = server.connect("postgres", "postgres");
        client.batch_execute(&format!("BEGIN; {change}; PREPARE TRANSACTION 'change'")).unwrap();
        assert_eq!(label(&mut client), "good", "{change}: prepared, not committed");
    };
    let mut other = server.connect("postgres", "postgres");
    assert_eq!(label(&mut other), "good");
    prepare("SELECT deploy_sentiment('m', 2)");
    assert_eq!(label(&mut other), "good");
    client.batch_execute("ROLLBACK PREPARED 'change'").unwrap();
    assert_eq!(label(&mut other), "good");
    for crash in [false, true] {
        prepare("SELECT deploy_sentiment('m', 2)");
        if crash {
            drop((client, other));
            server.crash();
            client = server.connect("postgres", "postgres");
            other = server.connect("postgres", "postgres");
        }
        assert_eq!((label(&mut other), label(&mut client)), ("good".into(), "good".into()));
        client.batch_execute("COMMIT PREPARED 'change'").unwrap();
        assert_eq!(
            (label(&mut other), label(&mut client)),
            ("bad".into(), "bad".into()),
            "after a crash: {crash}"
        );
        client.batch_execute("SELECT rollback_sentiment('m')").unwrap();
    }
    // What is dropped scores until the drop is committed, and is gone then, with its shared file when that is noticed.
    assert_eq!(label(&mut other), "good");
    prepare(
        "SELECT train_sentiment('n', 'texts', 'body', 'other', 'naive_bayes', '{\"min_texts\": 1, \"folds\": 2}'), drop_sentiment('m')",
    );
    assert_eq!(label(&mut other), "good");
    client.batch_execute("COMMIT PREPARED 'change'").unwrap();
    let gone = other.query_one("SELECT sentiment('sunny', 'm')", &[]).unwrap_err();
    assert_eq!(gone.code().unwrap().code(), "42704");
    let files = || std::fs::read_dir(server.data().join("base/pgsql_tmp")).unwrap().count();
    assert_eq!(files(), 0, "the file of the dropped model is gone");
    let label: String = other.query_one("SELECT sentiment('sunny', 'n')", &[]).unwrap().get(0);
    assert_eq!(label, "bad");
    assert_eq!(files(), 1);
    let found = trouble(&server.log(), &["42704", "57P01", "57P02", "57P03"]);
    assert!(found.is_empty(), "{found:#?}");
}

/// A transaction whose snapshot still sees a version that another has dropped does not deploy it, nor go back to it, nor take its parts
/// for used.
#[test]
fn what_another_has_dropped_stays_dropped() {
    let mut database = Database::new();
    database.run(SCENE);
    database.run("SELECT deploy_sentiment('m', 2), learn_sentiment('m', 'foggy', 'bad')");
    database.run("SELECT refresh_sentiment('m'), deploy_sentiment('m', 1)");
    database.run("SELECT train_sentiment('m', 'texts', 'body', 'label', 'naive_bayes', deploy => 'always')");
    // Two versions with one base, neither of which is the current one.
    let mut other = database.connect("postgres");
    for (drop, call) in
        [(2, "drop_sentiment('m', 3)"), (1, "deploy_sentiment('m', 1)"), (3, "rollback_sentiment('m')")]
    {
        database.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM sentiment.models");
        other.batch_execute(&format!("SELECT drop_sentiment('m', {drop})")).unwrap();
        let failure = database.failure(&format!("SELECT {call}"));
        assert_eq!(failure.state, "40001", "{call}");
        database.run("ROLLBACK");
    }
    assert_eq!(label(database.client()), "good");
    let orphans =
        "SELECT count(*) FROM sentiment.part WHERE id NOT IN (SELECT unnest(parts) FROM sentiment.version)";
    assert_eq!(database.value::<i64>(orphans), 0);
}

/// Sessions that know nothing of a model look it up while its versions come and go: they always get one that was deployed.
#[test]
fn looked_up_while_versions_go() {
    let database = Database::new();
    let mut setup = database.connect("postgres");
    setup.batch_execute(SCENE).unwrap();
    let done = AtomicBool::new(false);
    let (server, name, done) = (database.server(), database.name(), &done);
    let asked = thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let mut connections = 0_u32;
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        let mut reader = server.connect(name, "postgres");
                        for _ in 0..20 {
                            let row = reader
                                .query_one(
                                    "SELECT sentiment('sunny', 'm'), octet_length(export_sentiment('m')),
                                        (SELECT label FROM sentiment_detail('rainy', 'english'))",
                                    &[],
                                )
                                .unwrap();
                            let label: String = row.get(0);
                            assert!(["good", "bad"].contains(&label.as_str()));
                            connections += 1;
                        }
                    }
                    connections
                })
            })
            .collect();
        let end = Instant::now() + Duration::from_secs(6);
        let mut number = 2;
        while Instant::now() < end {
            // One transaction: the old version is current until it is gone.
            setup
                .batch_execute(&format!(
                    "BEGIN; SELECT import_sentiment('m', export_sentiment('m')); SELECT deploy_sentiment('m', {});
                     SELECT drop_sentiment('m', {number}); COMMIT",
                    number + 1
                ))
                .unwrap();
            number += 1;
        }
        done.store(true, Ordering::Relaxed);
        note(&format!("{} versions came and went", number - 2));
        readers.into_iter().map(|reader| reader.join().unwrap()).sum::<u32>()
    });
    note(&format!("{asked} look-ups beside them"));
}
