//! Training as other sessions see it: progress, cancelling, two at once, row security, rows that change meanwhile.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;
use sentiment_tests::{Database, Level, note, skip};

/// Made-up texts of two labels, enough of them that training takes a few seconds.
const MANY: &str = "
    CREATE TABLE many AS
    SELECT CASE WHEN n % 2 = 0 THEN 'sunny ' ELSE 'rainy ' END
               || (SELECT string_agg(md5((n * 31 + w)::text), ' ') FROM generate_series(1, 12) AS w) AS body,
           CASE WHEN (n + n / 7) % 2 = 0 THEN 'positive' ELSE 'negative' END AS label
    FROM generate_series(1, 6000) AS n";

/// The trainings on this database; the server has those of other tests too.
const TRAININGS: &str = "SELECT count(*) FROM sentiment.training_progress WHERE datname = current_database()";

const TRAIN: &str = "SELECT train_sentiment('slow', 'many', 'body', 'label', deploy => 'always')";

/// Waits until `ready` says so.
fn wait(what: &str, mut ready: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !ready() {
        assert!(Instant::now() < end, "{what} did not come");
        thread::sleep(Duration::from_millis(10));
    }
}

fn count(client: &mut Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).unwrap().get(0)
}

#[test]
fn progress_is_seen_and_gone_when_it_is_over() {
    let mut database = Database::new();
    database.run(MANY);
    database.run("CREATE ROLE progress_nobody LOGIN; CREATE ROLE progress_monitor LOGIN; GRANT pg_read_all_stats TO progress_monitor");
    let mut watcher = database.connect("postgres");
    let mut nobody = database.connect("progress_nobody");
    let mut monitor = database.connect("progress_monitor");
    let mut trainer = database.connect("postgres");
    let pid: i32 = trainer.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    assert_eq!(count(&mut watcher, TRAININGS), 0);
    let training = thread::spawn(move || {
        trainer
            .batch_execute(&format!("SET sentiment.train_memory = '1GB'; {TRAIN}; SELECT 1"))
            .map(|()| trainer)
    });
    let mut phases = std::collections::BTreeSet::new();
    wait("the phase fitting", || {
        let query = "SELECT pid, datname::text, model, phase, done, total, started <= clock_timestamp() FROM sentiment.training_progress
                     WHERE datname = current_database()";
        for row in watcher.query(query, &[]).unwrap() {
            let seen = (row.get::<_, i32>(0), row.get::<_, String>(1), row.get::<_, String>(2));
            assert_eq!(seen, (pid, database.name().to_owned(), "slow".into()));
            let (done, total): (i64, i64) = (row.get(4), row.get(5));
            assert!(done >= 0 && (total == 0 || done <= total), "{done} of {total}");
            assert!(row.get::<_, bool>(6));
            phases.insert(row.get::<_, String>(3));
        }
        phases.contains("fitting")
    });
    let shown = |client: &mut Client| -> (i32, Option<String>, Option<i64>) {
        let row = client
            .query_one(
                "SELECT pid, model, done FROM sentiment.training_progress WHERE datname = current_database()",
                &[],
            )
            .unwrap();
        (row.get(0), row.get(1), row.get(2))
    };
    assert_eq!(shown(&mut nobody), (pid, None, None), "as in pg_stat_activity, others see that there is one");
    assert_eq!(shown(&mut monitor).1.as_deref(), Some("slow"));
    assert_eq!(
        count(&mut watcher, "SELECT count(*) FROM pg_stat_progress_copy"),
        0,
        "not in the server's own views"
    );
    database.run(&format!("SELECT pg_cancel_backend({pid})"));
    let error = training.join().unwrap().err().unwrap();
    assert_eq!(error.code().unwrap().code(), "57014");
    wait("the end", || count(&mut watcher, TRAININGS) == 0);
    database.ask(Level::Error, "57014");
    database.run("DROP ROLE progress_nobody; REVOKE pg_read_all_stats FROM progress_monitor; DROP ROLE progress_monitor");
}

#[test]
fn notices_come_no_more_often_than_asked_for() {
    let mut database = Database::new();
    database.run(MANY);
    let quick = "SELECT train_sentiment('quick', 'many', 'body', 'label', 'naive_bayes', deploy => 'always')";
    let psql = |interval: &str| {
        let mut psql = database.server().program("psql", database.name(), "postgres");
        psql.args([
            "-X",
            "-c",
            &format!("SET sentiment.progress_interval = {interval}"),
            "-c",
            "SET sentiment.train_memory = '1GB'",
            "-c",
            quick,
        ]);
        let output = psql.output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let told = psql("0");
    assert!(told.contains("NOTICE:  training model \"quick\" for 0 s: reading rows"), "{told}");
    assert!(told.contains("counting terms"), "{told}");
    assert_eq!(psql("-1"), "");
    assert_eq!(psql("60000"), "");
}

/// A training that is cancelled at any moment ends soon and leaves nothing behind.
#[test]
fn cancelled_at_any_moment() {
    let mut database = Database::new();
    database.run(MANY);
    database.run("SET sentiment.train_memory = '1GB'");
    let algorithms = ["naive_bayes", "logistic_regression", "random_forest"];
    let pid = database.value::<i32>("SELECT pg_backend_pid()");
    let mut slowest = Duration::ZERO;
    for (number, algorithm) in (0..24).zip(algorithms.iter().cycle()) {
        let delay = Duration::from_millis(7 + 61 * number);
        let mut canceller = database.connect("postgres");
        // Not by a cancel request, which may arrive long after it was sent and end a later statement: when this returns,
        // the signal is with the process, and one that waits for its next statement ignores it.
        let cancelling = thread::spawn(move || {
            thread::sleep(delay);
            let asked = Instant::now();
            canceller.batch_execute(&format!("SELECT pg_cancel_backend({pid})")).unwrap();
            asked
        });
        let train = format!("SELECT train_sentiment('c', 'many', 'body', 'label', '{algorithm}')");
        let outcome = database.client().batch_execute(&train);
        let ended = Instant::now();
        let asked = cancelling.join().unwrap();
        match outcome {
            Ok(()) => database.run("SELECT drop_sentiment('c')"),
            Err(error) => {
                assert_eq!(error.code().unwrap().code(), "57014");
                slowest = slowest.max(ended.saturating_duration_since(asked));
            }
        }
        let left = "SELECT (SELECT count(*) FROM sentiment.version) + (SELECT count(*) FROM sentiment.part)
                    + (SELECT count(*) FROM sentiment.training_progress WHERE datname = current_database()) + (SELECT count(*) FROM sentiment.deployment)";
        assert_eq!(database.value::<i64>(left), 0, "{algorithm} after {delay:?}");
    }
    note(&format!("trainings ended at most {slowest:?} after they were cancelled"));
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    database.ask(Level::Error, "57014");
}

/// Trains with so many workers allowed to maintenance; the bytes of the model, and the most threads that the session had.
#[cfg(target_os = "linux")]
fn train_with_workers(database: &mut Database, workers: usize) -> (String, usize) {
    let mut trainer = database.connect("postgres");
    let pid: i32 = trainer.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    let training = thread::spawn(move || {
        trainer
            .batch_execute(&format!(
                "SET max_parallel_maintenance_workers = {workers}; SET sentiment.train_memory = '1GB'; {TRAIN}"
            ))
            .unwrap();
        // All threads have ended when the statement has, and the session still hears of a cancel.
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().count();
        assert_eq!(threads, 1);
        let error = trainer.batch_execute("SET statement_timeout = 50; SELECT pg_sleep(60)").unwrap_err();
        assert_eq!(error.code().unwrap().code(), "57014");
    });
    let mut most = 1;
    while !training.is_finished() {
        if let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) {
            most = most.max(threads.count());
        }
        thread::sleep(Duration::from_millis(1));
    }
    training.join().unwrap();
    database.ask(Level::Error, "57014");
    let model = "SELECT md5(payload) FROM sentiment.part ORDER BY id DESC LIMIT 1";
    (database.value(model), most)
}

/// Threads help where the server lets maintenance have workers and there are processors; the model is the same without.
#[cfg(target_os = "linux")]
#[test]
fn helpers_change_nothing_and_are_gone_afterwards() {
    let mut database = Database::new();
    database.run(MANY);
    let (alone, threads) = train_with_workers(&mut database, 0);
    assert_eq!(threads, 1);
    if thread::available_parallelism().unwrap().get() == 1 {
        skip("helpers of a training, for there is one processor");
    }
    for workers in [1, 2] {
        let helpers = workers.min(thread::available_parallelism().unwrap().get() - 1);
        let (helped, threads) = train_with_workers(&mut database, workers);
        assert_eq!((helped, threads), (alone.clone(), 1 + helpers), "{workers} workers");
    }
}

#[test]
fn two_at_once_are_numbered_in_the_order_of_their_commits() {
    let mut database = Database::new();
    database.run("CREATE TABLE texts AS SELECT 'day ' || n AS body, (n % 2)::text AS label FROM generate_series(1, 40) AS n");
    let train = "SELECT model_version FROM train_sentiment('both', 'texts', 'body', 'label', 'naive_bayes', deploy => 'always')";
    let mut first = database.connect("postgres");
    first.batch_execute("BEGIN").unwrap();
    assert_eq!(first.query_one(train, &[]).unwrap().get::<_, String>(0), "both@1");
    let mut second = database.connect("postgres");
    let waiting = thread::spawn(move || second.query_one(train, &[]).unwrap().get::<_, String>(0));
    wait("the second one's lock", || {
        database.value::<i64>("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0
    });
    first.batch_execute("COMMIT").unwrap();
    assert_eq!(waiting.join().unwrap(), "both@2");
    // One that is rolled back gives its number to the next.
    database.run("BEGIN");
    assert_eq!(database.value::<String>(train), "both@3");
    database.run("ROLLBACK");
    assert_eq!(database.value::<String>(train), "both@3");
    assert_eq!(
        database.value::<String>("SELECT model_version FROM sentiment.models WHERE model = 'both'"),
        "both@3"
    );
}

/// A version is compared with the one whose place it would take, also where that was deployed while it was trained.
#[test]
fn two_at_once_are_compared_with_each_other() {
    let mut database = Database::new();
    database.run("CREATE TABLE texts AS SELECT 'day ' || chr(97 + n % 20) AS body, (n % 2)::text AS label FROM generate_series(1, 80) AS n");
    let train = "SELECT macro_f1, previous_macro_f1, deployed FROM train_sentiment('both', 'texts', 'body', 'label', 'naive_bayes')";
    let figures =
        |row: postgres::Row| (row.get::<_, f64>(0), row.get::<_, Option<f64>>(1), row.get::<_, bool>(2));
    let mut first = database.connect("postgres");
    first.batch_execute("BEGIN").unwrap();
    let (macro_f1, previous, deployed) = figures(first.query_one(train, &[]).unwrap());
    assert_eq!((previous, deployed), (None, true));
    let mut second = database.connect("postgres");
    let waiting = thread::spawn(move || second.query_one(train, &[]).unwrap());
    wait("the second one's lock", || {
        database.value::<i64>("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0
    });
    first.batch_execute("COMMIT").unwrap();
    assert_eq!(
        figures(waiting.join().unwrap()),
        (macro_f1, Some(macro_f1), false),
        "it is no better than itself"
    );
}

/// Training reads what its statement's snapshot sees: no more, no less.
#[test]
fn rows_that_change_meanwhile() {
    let mut database = Database::new();
    database.run(MANY);
    database.run("SET sentiment.train_memory = '1GB'");
    let mut writer = database.connect("postgres");
    let changing = thread::spawn(move || {
        for round in 0..20 {
            writer
                .batch_execute(&format!(
                    "
                DELETE FROM many WHERE body LIKE '%{round}f';
                INSERT INTO many SELECT 'new ' || {round} || n, 'late' FROM generate_series(1, 10) AS n;
                UPDATE many SET label = 'positive' WHERE body LIKE '%{round}a%'"
                ))
                .unwrap();
        }
    });
    let row = database.rows(
        "
        SELECT rows_train + rows_test + rows_skipped, (SELECT count(*) FROM many), model_version
        FROM train_sentiment('changing', 'many', 'body', 'label', 'naive_bayes', deploy => 'always')",
    );
    assert_eq!(row[0].get::<_, i64>(0), row[0].get::<_, i64>(1));
    changing.join().unwrap();
}

#[test]
fn row_security_hides_rows_from_training() {
    let mut database = Database::new();
    database.run("
        CREATE ROLE secure_reader LOGIN;
        CREATE TABLE secured (owner text, body text, label text);
        INSERT INTO secured SELECT CASE WHEN n % 2 = 0 THEN 'secure_reader' ELSE 'other' END,
            CASE WHEN n % 4 < 2 THEN 'sunny' ELSE 'rainy' END || ' day ' || n, CASE WHEN n % 4 < 2 THEN 'good' ELSE 'bad' END
        FROM generate_series(1, 200) AS n;
        ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
        CREATE POLICY own ON secured USING (owner = current_user);
        GRANT SELECT ON secured TO secure_reader;
        GRANT EXECUTE ON FUNCTION train_sentiment, drift_sentiment TO secure_reader");
    let mut reader = database.connect("secure_reader");
    let trained = reader.query_one(
        "SELECT rows_train + rows_test FROM train_sentiment('secured', 'secured', 'body', 'label', 'naive_bayes')",
        &[],
    );
    assert_eq!(trained.unwrap().get::<_, i64>(0), 100, "the caller's rows");
    let support = "SELECT support FROM evaluate_sentiment('secured', 'secured', 'body', 'label') WHERE class = 'accuracy'";
    assert_eq!(reader.query_one(support, &[]).unwrap().get::<_, i64>(0), 100);
    assert_eq!(database.value::<i64>(support), 200, "a superuser sees all");
    let drifted = "SELECT count(*) FROM drift_sentiment('secured', 'secured', 'body')";
    assert_eq!(count(&mut reader, drifted), 5);
    reader.batch_execute("SET row_security = off").unwrap();
    let error =
        reader.batch_execute("SELECT train_sentiment('secured', 'secured', 'body', 'label')").unwrap_err();
    assert_eq!(error.code().unwrap().code(), "42501");
    database.ask(Level::Error, "42501");
    database.run("DROP OWNED BY secure_reader; DROP ROLE secure_reader");
}

/// What a training may use it stays within, by the server process's own peak.
#[test]
fn memory_stays_within_the_setting() {
    let mut database = Database::new();
    database.run(MANY);
    for (memory, algorithm) in [
        (8, "logistic_regression"),
        (40, "naive_bayes"),
        (300, "logistic_regression"),
        (300, "random_forest"),
    ] {
        let mut trainer = database.connect("postgres");
        let (before, _) = memory_of(&mut trainer);
        trainer.batch_execute(&format!("SET sentiment.train_memory = '{memory}MB'")).unwrap();
        let outcome = trainer.batch_execute(&format!(
            "SELECT train_sentiment('m', 'many', 'body', 'label', '{algorithm}', deploy => 'always')"
        ));
        if let Err(error) = outcome {
            assert_eq!(error.code().unwrap().code(), "53200");
            assert!(memory < 100, "{algorithm} needs more than {memory} MB");
            database.ask(Level::Error, "53200");
        }
        let grown = memory_of(&mut trainer).1.saturating_sub(before);
        note(&format!("{algorithm} within {memory} MB: {grown} kB at its peak"));
        assert!(grown < memory * 1024 + 16 * 1024, "{algorithm}: {grown} kB of {memory} MB");
    }
}

/// A model that has learned from a stream for long has far more feedback than rows.
#[test]
fn feedback_stays_within_the_setting_too() {
    let mut database = Database::new();
    database.run(MANY);
    database.run("SELECT train_sentiment('m', 'many', 'body', 'label', 'naive_bayes')");
    database.run(
        "INSERT INTO sentiment.feedback (model, body, label, created_by)
         SELECT 'm', repeat('a message of ordinary length ', 5) || n % 100, label, 'somebody'
         FROM (SELECT label FROM many LIMIT 1) AS one, generate_series(1, 400000) AS n",
    );
    let mut trainer = database.connect("postgres");
    let (before, _) = memory_of(&mut trainer);
    trainer.batch_execute("SET sentiment.train_memory = '8MB'").unwrap();
    let train = "SELECT train_sentiment('m', 'few', 'body', 'label', 'naive_bayes')";
    trainer.batch_execute("CREATE TEMP TABLE few AS SELECT * FROM many LIMIT 200").unwrap();
    let error = trainer.batch_execute(train).unwrap_err();
    assert_eq!(error.code().unwrap().code(), "53200");
    database.ask(Level::Error, "53200");
    let grown = memory_of(&mut trainer).1.saturating_sub(before);
    assert!(grown < (8 + 16) * 1024, "{grown} kB");
}

/// A view may make its texts when it is read, and they may be long: no thousand of them is held.
#[test]
fn long_texts_of_a_view_are_not_held() {
    let mut database = Database::new();
    database.run(
        "CREATE VIEW long AS SELECT repeat('so good ', 100000 + n) AS body FROM generate_series(1, 400) AS n",
    );
    let mut reader = database.connect("postgres");
    reader.batch_execute("SELECT sentiment('good')").unwrap();
    let (before, _) = memory_of(&mut reader);
    reader.batch_execute("SELECT drift_sentiment('english', 'long', 'body')").unwrap();
    let grown = memory_of(&mut reader).1.saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} kB");
}

/// The memory of its own that a session's process has, and the most that it has had, in kB.
fn memory_of(client: &mut Client) -> (u64, u64) {
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let number = |name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (number("RssAnon:"), number("VmHWM:") - number("RssShmem:") - number("RssFile:"))
}

/// The same rows, options and seed make the same bytes: in any session, whatever the order of the heap.
#[test]
fn the_same_bytes_everywhere() {
    let mut database = Database::new();
    database.run(&format!("{MANY}; CREATE TABLE sorted AS SELECT * FROM many WHERE length(body) % 3 > 0 ORDER BY body LIMIT 1500;
        CREATE TABLE shuffled AS SELECT * FROM sorted ORDER BY md5(body)"));
    let mut other = database.connect("postgres");
    for algorithm in ["naive_bayes", "logistic_regression", "random_forest"] {
        let train = |model: &str, table: &str| {
            format!(
                "SET sentiment.train_memory = '256MB'; SELECT train_sentiment('{model}', '{table}', 'body', 'label', '{algorithm}', deploy => 'always')"
            )
        };
        database.run(&train("one", "sorted"));
        other.batch_execute(&train("two", "shuffled")).unwrap();
        let same = "SELECT export_sentiment('one') = export_sentiment('two')";
        assert!(database.value::<bool>(same), "{algorithm}");
    }
}
