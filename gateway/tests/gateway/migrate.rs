//! The schema: made by whoever owns the database, once, however many try.

use std::process::{Command, Stdio};
use std::time::Duration;

use sentiment_tests::{Database, Level};
use serde_json::json;

use crate::harness::{Gateway, PATIENCE, await_count, program, run, run_clean};

#[test]
fn an_owner_without_other_rights_makes_it_and_serves() {
    let mut any = Database::new();
    any.run("DO $$ BEGIN CREATE ROLE gateway LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$");
    let mut database = Database::owned_by("gateway");
    let output = program(&database, "gateway").arg("migrate").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stored = "INSERT INTO messages.message (source, body) VALUES ('a', 'I love it') RETURNING label";
    let label: String = database.connect("gateway").query_one(stored, &[]).unwrap().get(0);
    assert_eq!(label, "positive");
    let owner: String =
        database.value("SELECT relowner::regrole::text FROM pg_class WHERE relname = 'message_default'");
    assert_eq!(owner, "gateway");
}

#[test]
fn many_at_once_wait_for_each_other() {
    let mut database = Database::new();
    let runs: Vec<_> =
        (0..6).map(|_| program(&database, "postgres").arg("migrate").spawn().unwrap()).collect();
    for mut run in runs {
        assert!(run.wait().unwrap().success());
    }
    let applied: i64 = database.value("SELECT count(*) FROM messages.migration");
    let versions: i64 = database.value("SELECT count(DISTINCT version) FROM messages.migration");
    assert!(applied > 0 && applied == versions, "{applied} {versions}");
}

#[test]
fn nothing_is_done_without_it() {
    let database = Database::new();
    let commands: [&[&str]; 4] = [
        &["serve", "--listen", "127.0.0.1:0"],
        &["load", "--format", "csv", "/dev/null"],
        &["key", "create", "a"],
        &["key", "list"],
    ];
    for command in commands {
        let output = run(&database, command);
        assert!(!output.status.success(), "{command:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("run sentiment-gateway migrate"), "{command:?}: {said}");
    }
}

#[test]
fn a_database_in_another_encoding_is_refused() {
    let database = Database::encoded("LATIN1");
    let output = run(&database, &["migrate"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("the gateway needs UTF8"));
}

/// While a newer gateway takes the place of this one, both run.
#[test]
fn a_newer_schema_is_left_alone() {
    let mut database = Database::new();
    run_clean(&database, &["migrate"]);
    database.run(
        "INSERT INTO messages.migration SELECT version + 1, 'next', applied_on, '12345' FROM messages.migration
         ORDER BY version DESC LIMIT 1",
    );
    run_clean(&database, &["migrate"]);
    assert_eq!(Gateway::beside(&database, &[]).get("/readyz").status, 200);
}

/// A schema that somebody else has made for it is enough.
#[test]
fn a_role_that_may_make_no_schema_uses_one_that_is_there() {
    let mut database = Database::new();
    let make = "DO $$ BEGIN CREATE ROLE guest LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
        CREATE SCHEMA messages AUTHORIZATION guest; GRANT USAGE ON SCHEMA public TO guest";
    database.run(make);
    let output = program(&database, "guest").arg("migrate").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    database.run("DROP SCHEMA messages CASCADE; REVOKE ALL ON SCHEMA public FROM guest");
}

/// Functions of somebody else's, which fit better than the server's own, are not called by whoever migrates.
#[test]
fn functions_that_fit_better_are_not_taken() {
    let mut database = Database::new();
    database.run(
        "CREATE FUNCTION public.trap() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$;
         CREATE FUNCTION hashtextextended(text, int) RETURNS bigint RETURN trap();
         CREATE FUNCTION unnest(text[]) RETURNS SETOF text LANGUAGE sql AS 'SELECT trap()::text';
         CREATE FUNCTION unnest(text[], text[]) RETURNS TABLE (a text, b text) LANGUAGE sql AS 'SELECT trap()::text, NULL';
         CREATE FUNCTION generate_series(int, bigint) RETURNS SETOF bigint LANGUAGE sql AS 'SELECT trap()';
         CREATE FUNCTION nextval(text) RETURNS bigint RETURN trap();
         CREATE FUNCTION array_to_string(text[], text) RETURNS text RETURN trap();
         CREATE AGGREGATE count(float8) (SFUNC = float8mi, STYPE = float8, INITCOND = '-1');",
    );
    let gateway = Gateway::start(&database);
    gateway.post("/v1/messages", &json!({"source": "a", "external_id": "1", "body": "good"})).ok();
    gateway.post("/v1/sentiment", &json!({"text": "good"})).ok();
    assert_eq!(gateway.get("/v1/summary").ok()["buckets"][0]["count"], 1);
    run_clean(&database, &["key", "list"]);
}

/// Told to end, as where it is the first process of a container, it does.
#[test]
fn it_ends_when_it_is_told_to() {
    let mut database = Database::new();
    // Without it, load would end by itself.
    run_clean(&database, &["migrate"]);
    let mut holder = database.connect("postgres");
    holder.batch_execute("SELECT pg_advisory_lock(hashtextextended('messages.migration', 0))").unwrap();
    let waits = program(&database, "postgres").arg("migrate").spawn().unwrap();
    let mut load = program(&database, "postgres");
    let loads = load.args(["load", "-", "--format", "csv"]).stdin(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    for (mut process, signal) in [(waits, "-TERM"), (loads, "-INT")] {
        // Where a process does not listen to it, the system ends it: that is seen by its status.
        sentiment_tests::run_clean(Command::new("kill").args([signal, &process.id().to_string()]));
        assert_eq!(process.wait().unwrap().code(), Some(1), "{signal}");
    }
    database.ask(Level::Error, "57014");
}

/// Behind a lock that it waits for, all others wait: for that it may have been told to end.
#[test]
fn what_waits_for_a_lock_is_cancelled_when_it_is_told_to_end() {
    let mut database = Database::new();
    run_clean(&database, &["migrate"]);
    database.run(
        "DELETE FROM messages.migration WHERE version >= 3;
         ALTER TABLE messages.message DROP CONSTRAINT message_times",
    );
    let mut reader = database.connect("postgres");
    let mut reading = reader.transaction().unwrap();
    reading.batch_execute("SELECT FROM messages.message").unwrap();
    let mut waits = program(&database, "postgres").arg("migrate").spawn().unwrap();
    await_count(&mut database, "wait_event_type = 'Lock'", 1);
    sentiment_tests::run_clean(Command::new("kill").args(["-TERM", &waits.id().to_string()]));
    assert_eq!(waits.wait().unwrap().code(), Some(1));
    await_count(&mut database, "wait_event_type = 'Lock'", 0);
    database.run("INSERT INTO messages.message (source, body) VALUES ('a', 'good')");
    reading.rollback().unwrap();
    run_clean(&database, &["migrate"]);
    database.ask(Level::Error, "57014");
}

/// It may take minutes, which nobody waits for at the end.
#[test]
fn a_deletion_is_cancelled_when_the_gateway_ends() {
    let mut database = Database::new();
    run_clean(&database, &["migrate"]);
    database.run(
        "INSERT INTO messages.message (source, external_id, body, received_at) VALUES
             ('a', 'old', 'good', now() - interval '40 days');
         CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(300); RETURN old; END $$;
         CREATE TRIGGER wait BEFORE DELETE ON messages.external_id FOR EACH ROW EXECUTE FUNCTION wait()",
    );
    let mut gateway = Gateway::beside(&database, &["--retention", "30d"]);
    await_count(&mut database, "wait_event = 'PgSleep'", 1);
    gateway.signal("-TERM");
    assert!(gateway.ends());
    assert!(!gateway.log().contains("did not end in time"), "{}", gateway.log());
    await_count(&mut database, "wait_event = 'PgSleep'", 0);
    database.ask(Level::Error, "57014");
}

#[test]
fn what_is_in_the_way_is_told() {
    let mut database = Database::new();
    database.run("CREATE SCHEMA messages; CREATE TABLE messages.message (mine text)");
    let output = run(&database, &["migrate"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && errors.contains("42P07") && errors.contains("\"message\""),
        "{errors}"
    );
    database.ask(Level::Error, "42P07");
    database.run("DROP TABLE messages.message");
    run_clean(&database, &["migrate"]);
}

/// Times that nobody could show are refused, and mended where an older version of the schema took them.
#[test]
fn times_without_an_end_are_mended_and_refused() {
    let mut database = Database::new();
    run_clean(&database, &["migrate"]);
    database.run(
        "DELETE FROM messages.migration WHERE version >= 3;
         ALTER TABLE messages.message DROP CONSTRAINT message_times;
         INSERT INTO messages.message (source, external_id, body, sent_at, received_at) VALUES
             ('a', '1', 'good', 'infinity', now()), ('a', '2', 'good', '-infinity', now()),
             ('a', '3', 'good', now(), 'infinity'), ('a', '4', 'good', '0044-03-15 BC', '-infinity')",
    );
    run_clean(&database, &["migrate"]);
    let times: Vec<String> = database
        .rows("SELECT (sent_at AT TIME ZONE 'UTC')::text FROM messages.message ORDER BY external_id")
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(times[..2], ["9998-12-31 23:59:59.999999", "0001-01-01 00:00:00"]);
    assert_eq!(times[3], "0001-01-01 00:00:00");
    let astray: i64 = database.value(
        "SELECT count(*) FROM messages.message AS m JOIN messages.external_id AS e USING (source, external_id)
         WHERE m.received_at <> e.received_at OR NOT isfinite(m.received_at) OR NOT EXISTS (
             SELECT FROM messages.batch AS b WHERE b.ids @> m.id AND m.received_at BETWEEN b.first_received AND b.last_received)",
    );
    assert_eq!(astray, 0);
    for column in ["sent_at", "received_at"] {
        for time in ["infinity", "-infinity", "0044-03-15 BC", "10000-01-01"] {
            let insert = format!(
                "INSERT INTO messages.message (source, body, {column}) VALUES ('a', 'good', '{time}')"
            );
            assert_eq!(database.failure(&insert).state, "23514", "{column} {time}");
        }
    }
    // Also in a partition that is made from now on.
    let parts = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'messages.message'::regclass";
    let checks = "SELECT count(*) FROM pg_constraint WHERE conname = 'message_times' AND coninhcount = 1";
    database.run("DROP TABLE messages.message_default");
    database.run("CREATE TABLE messages.message_default PARTITION OF messages.message DEFAULT");
    run_clean(&database, &["migrate"]);
    assert_eq!(database.value::<i64>(parts), database.value::<i64>(checks));
}

/// Positions of a week ago are forgotten; the last one is not, for others follow it.
#[test]
fn the_order_of_commits_is_kept_for_a_week() {
    let mut database = Database::new();
    run_clean(&database, &["migrate"]);
    for days in ["20 days", "10 days", "1 day", "9 days"] {
        database.run(&format!(
            "INSERT INTO messages.message (source, body, received_at) VALUES ('a', 'good', now() - interval '{days}')"
        ));
        database.run("SELECT messages.number_batches()");
    }
    run_clean(&database, &["migrate"]);
    let left: Vec<i64> = database
        .rows("SELECT position FROM messages.batch ORDER BY 1")
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(left, [3, 4]);
    database.run("INSERT INTO messages.message (source, body) VALUES ('a', 'good')");
    assert_eq!(database.value::<i64>("SELECT messages.number_batches()"), 5);
    assert_eq!(database.value::<i64>("SELECT count(*) FROM messages.message"), 5);
}

/// Partitions are made ahead; what the default partition took meanwhile moves over; old days go, with their names.
#[test]
fn partitions_come_and_go_by_days() {
    let mut database = Database::new();
    run_clean(&database, &["migrate"]);
    let partition =
        "SELECT to_regclass('messages.message_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD'))::text";
    let today: String = database.value(partition);
    database.run(&format!("ALTER TABLE messages.message DETACH PARTITION {today}; DROP TABLE {today}"));
    database.run(
        "INSERT INTO messages.message (source, external_id, body, received_at) VALUES
             ('a', 'today', 'I love it', now()), ('a', 'old', 'I hate it', now() - interval '40 days')",
    );
    let in_default = "SELECT count(*) FROM messages.message_default";
    assert_eq!(database.value::<i64>(in_default), 2);
    run_clean(&database, &["migrate", "--retention", "30d"]);
    assert_eq!(database.value::<i64>(in_default), 0);
    let left: Vec<String> = database
        .rows("SELECT body || ' ' || label FROM messages.message")
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(left, ["I love it positive"]);
    let names: i64 = database.value("SELECT count(*) FROM messages.external_id");
    assert_eq!(names, 1);
    database.run(
        "CREATE TABLE messages.message_20200101 PARTITION OF messages.message
             FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2020-01-02 00:00+00')",
    );
    run_clean(&database, &["migrate"]);
    let old = "SELECT count(*) FROM pg_class WHERE relname = 'message_20200101'";
    assert_eq!(database.value::<i64>(old), 1, "nothing is dropped unless asked");
    run_clean(&database, &["migrate", "--retention", "30d"]);
    assert_eq!(database.value::<i64>(old), 0);
}

/// An operator may drop the default partition, or have one of another name: days are made all the same, and rows have a place.
#[test]
fn partitions_are_made_where_the_default_one_is_gone() {
    let mut database = Database::new();
    run_clean(&database, &["migrate"]);
    let day = |days: i32| {
        format!(
            "'messages.message_' || to_char(now() AT TIME ZONE 'UTC' + interval '{days} days', 'YYYYMMDD')"
        )
    };
    let today: String = database.value(&format!("SELECT {}", day(0)));
    let is_there =
        format!("SELECT to_regclass({}) IS NOT NULL AND to_regclass({}) IS NOT NULL", day(0), day(7));
    database.run(&format!("DROP TABLE messages.message_default; DROP TABLE {today}"));
    run_clean(&database, &["migrate", "--retention", "30d"]);
    assert!(database.value::<bool>(&is_there));
    database.run("INSERT INTO messages.message (source, body, received_at) VALUES ('a', 'good', now() + interval '9 days')");
    assert_eq!(database.value::<i64>("SELECT count(*) FROM messages.message_default"), 1);
    database.run(&format!(
        "ALTER TABLE messages.message_default RENAME TO rest; DROP TABLE {today};
         INSERT INTO messages.message (source, body) VALUES ('a', 'bad');
         INSERT INTO messages.message (source, body, received_at) VALUES ('a', 'bad', now() - interval '40 days')"
    ));
    run_clean(&database, &["migrate", "--retention", "30d"]);
    assert!(database.value::<bool>(&is_there));
    assert_eq!(database.value::<i64>(&format!("SELECT count(*) FROM {today}")), 1);
    assert_eq!(database.value::<i64>("SELECT count(*) FROM messages.rest"), 1);
    database.run(&format!("ALTER TABLE messages.message DETACH PARTITION messages.rest; DROP TABLE {today}"));
    database.run("ALTER TABLE messages.rest RENAME TO message_default");
    run_clean(&database, &["migrate", "--retention", "30d"]);
    assert!(database.value::<bool>(&is_there), "what is kept aside is nobody's affair");
    assert_eq!(database.value::<i64>("SELECT count(*) FROM messages.message_default"), 1);
}

/// Columns of the operator's own are in each partition as well.
#[test]
fn partitions_have_all_columns_that_the_table_has() {
    let mut database = Database::new();
    run_clean(&database, &["migrate"]);
    let partition =
        "SELECT to_regclass('messages.message_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD'))::text";
    let today: String = database.value(partition);
    database.run(&format!(
        "ALTER TABLE messages.message ADD COLUMN gone int, ADD COLUMN \"its length\" int
             GENERATED ALWAYS AS (length(body)) STORED, ADD COLUMN mine text DEFAULT 'a';
         ALTER TABLE messages.message DROP COLUMN gone;
         ALTER TABLE messages.message DETACH PARTITION {today}; DROP TABLE {today};
         INSERT INTO messages.message (source, body, mine) VALUES ('a', 'I love it', 'b')"
    ));
    run_clean(&database, &["migrate"]);
    assert_eq!(database.value::<String>(partition), today);
    let moved = format!("SELECT mine || \"its length\" || label FROM {today}");
    assert_eq!(database.value::<String>(&moved), "b9positive");
}

/// Partitions are there whatever becomes of what is old, and that takes as long as it takes.
#[test]
fn what_is_old_is_deleted_however_long_it_takes() {
    let mut database = Database::new();
    run_clean(&database, &["migrate"]);
    database.run(
        "INSERT INTO messages.message (source, external_id, body, received_at) VALUES
             ('a', 'old', 'good', now() - interval '40 days');
         CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(2); RETURN old; END $$;
         CREATE TRIGGER wait BEFORE DELETE ON messages.external_id FOR EACH ROW EXECUTE FUNCTION wait()",
    );
    let gateway = Gateway::beside(&database, &["--retention", "30d", "--statement-timeout", "1s"]);
    let left = "SELECT count(*) FROM messages.external_id";
    let started = std::time::Instant::now();
    while database.value::<i64>(left) > 0 {
        assert!(started.elapsed() < PATIENCE / 6, "it is kept: {}", gateway.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(gateway);
    let next = "SELECT to_regclass('messages.message_' || to_char(now() AT TIME ZONE 'UTC' + interval '7 days', 'YYYYMMDD'))::text";
    let partition: String = database.value(next);
    database.run(&format!(
        "ALTER TABLE messages.message DETACH PARTITION {partition}; DROP TABLE {partition};
         INSERT INTO messages.message (source, external_id, body, received_at) VALUES
             ('a', 'older', 'good', now() - interval '40 days');
         CREATE OR REPLACE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE 'ZZ001'; END $$"
    ));
    assert!(!run(&database, &["migrate", "--retention", "30d"]).status.success());
    assert_eq!(database.value::<String>(next), partition);
    database.ask(Level::Error, "ZZ001");
}

/// A gateway that comes while the table is dumped, for an hour say, is not kept from starting.
#[test]
fn partitions_that_cannot_be_made_yet_are_left_for_later() {
    let mut database = Database::new();
    run_clean(&database, &["migrate"]);
    database.run(
        "CREATE TABLE messages.message_20200101 PARTITION OF messages.message
             FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2020-01-02 00:00+00')",
    );
    let mut dump = database.connect("postgres");
    let mut dumping = dump.transaction().unwrap();
    dumping.batch_execute("LOCK TABLE messages.message IN ACCESS SHARE MODE").unwrap();
    let output = run(&database, &["migrate", "--retention", "30d"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.contains("partitions were not looked after"), "{errors}");
    dumping.rollback().unwrap();
    let old = "SELECT count(*) FROM pg_class WHERE relname = 'message_20200101'";
    assert_eq!(database.value::<i64>(old), 1);
    run_clean(&database, &["migrate", "--retention", "30d"]);
    assert_eq!(database.value::<i64>(old), 0);
    database.ask(Level::Error, "55P03");
}

/// Else it would serve, and refuse for ever to train.
#[test]
fn rights_that_are_missing_are_named() {
    let mut any = Database::new();
    any.run("DO $$ BEGIN CREATE ROLE tenant LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$");
    let mut database = Database::owned_by("tenant");
    database.run("DROP EXTENSION IF EXISTS pg_sentiment; CREATE EXTENSION pg_sentiment SCHEMA public");
    let warning = || {
        let output = program(&database, "tenant").arg("migrate").output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{errors}");
        let (_, grant) = errors.lines().find(|line| line.contains("WARN"))?.split_once("run GRANT")?;
        Some(format!("GRANT{grant}"))
    };
    let grant = warning().unwrap();
    assert!(grant.contains("public.train_sentiment") && grant.ends_with("TO tenant"), "{grant}");
    database.connect("postgres").batch_execute(&grant).unwrap();
    assert_eq!(warning(), None);
}
