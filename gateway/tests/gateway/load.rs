//! Files and pipes.

use std::io::Write;
use std::process::Stdio;

use sentiment_tests::{CANARY, Database, Level};

use crate::harness::{program, run, run_clean};

fn file(name: &str, content: &[u8]) -> String {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_csv_is_stored_once_however_often_it_is_loaded() {
    let mut database = Database::new();
    run_clean(&database, &["migrate"]);
    let mut csv = String::from("body,sent_at,author,stars\n");
    for n in 0..4500 {
        csv.push_str(&format!("\"great, said {n}\nand again\",2026-01-01T00:00:00Z,ann,5\n"));
    }
    let path = file("reviews.csv", csv.as_bytes());
    assert_eq!(
        run_clean(&database, &["load", "--number", &path]),
        "4500 stored, 0 stored before, 0 left out\n"
    );
    assert_eq!(
        run_clean(&database, &["load", "--number", &path]),
        "0 stored, 4500 stored before, 0 left out\n"
    );
    let good: i64 = database.value(
        "SELECT count(*) FROM messages.message WHERE label = 'positive' AND source = 'load' AND author = 'ann'
             AND sent_at = '2026-01-01 00:00+00' AND body LIKE E'great, said %\\nand again'",
    );
    assert_eq!(good, 4500);
}

#[test]
fn records_that_are_not_as_the_header_says_are_bad() {
    let mut database = Database::new();
    run_clean(&database, &["migrate"]);
    let path = file("fields.csv", b"body,author\ngood,ann\nnot, good,ann\nbad\n\"good, too\",ben\n");
    let output = run(&database, &["load", &path]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("fields.csv, line 3: 3 fields, where the header has 2"), "{errors}");
    assert!(!output.status.success());
    assert_eq!(
        run_clean(&database, &["load", "--skip-bad", &path]),
        "2 stored, 0 stored before, 2 left out\n"
    );
    // A quote that is not closed takes all that follows.
    let path = file("quote.csv", format!("body\ngood\n\"awful\n{}", "good\n".repeat(1 << 20)).as_bytes());
    let output = run(&database, &["load", "--skip-bad", &path]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("line 3 begins a record of over 1048576 bytes"), "{errors}");
    assert!(!output.status.success());
    assert_eq!(database.value::<i64>("SELECT count(*) FROM messages.message"), 3);
}

/// A file of the same name, and another pipe, are not the same data.
#[test]
fn numbers_tell_other_data_from_the_same() {
    let mut database = Database::new();
    run_clean(&database, &["migrate"]);
    let load = |content: &str| {
        let path = file("daily.csv", content.as_bytes());
        run_clean(&database, &["load", "--number", &path])
    };
    assert_eq!(load("body,author\ngood,ann\ngood,ann\n"), "2 stored, 0 stored before, 0 left out\n");
    assert_eq!(load("body,author\ngood,ann\ngood,ben\nbad,ann\n"), "2 stored, 1 stored before, 0 left out\n");
    let pipe = |content: &str| {
        let mut load = program(&database, "postgres");
        load.args(["load", "-", "--format", "jsonl", "--number"]);
        let mut process = load.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        process.stdin.take().unwrap().write_all(content.as_bytes()).unwrap();
        String::from_utf8(process.wait_with_output().unwrap().stdout).unwrap()
    };
    assert_eq!(pipe(r#"{"body": "good"}"#), "1 stored, 0 stored before, 0 left out\n");
    assert_eq!(pipe(r#"{"body": "awful"}"#), "1 stored, 0 stored before, 0 left out\n");
    assert_eq!(pipe(r#"{"body": "good"}"#), "0 stored, 1 stored before, 0 left out\n");
    assert_eq!(database.value::<i64>("SELECT count(*) FROM messages.message"), 6);
}

#[test]
fn a_pipe_of_json_lines_keeps_the_names_that_it_has() {
    let mut database = Database::new();
    run_clean(&database, &["migrate"]);
    let mut load = program(&database, "postgres");
    load.args(["load", "-", "--format", "jsonl", "--source", "pipe"]);
    let mut process = load.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = process.stdin.take().unwrap();
    for n in [1, 2, 2, 3] {
        writeln!(input, r#"{{"external_id": "{n}", "body": "I hate it 😡", "more": []}}"#).unwrap();
    }
    writeln!(input, "\n{{\"source\": \"other\", \"body\": \"I love it\"}}").unwrap();
    drop(input);
    let output = process.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "4 stored, 1 stored before, 0 left out\n");
    let sources: i64 =
        database.value("SELECT count(*) FROM messages.message WHERE source = 'pipe' AND label = 'negative'");
    assert_eq!(sources, 3);
}

/// As other systems write them.
#[test]
fn a_name_may_end_in_capitals() {
    let database = Database::new();
    run_clean(&database, &["migrate"]);
    for (name, content) in [("EXPORT.CSV", "body\r\ngood\r\n"), ("Export.JsonL", r#"{"body": "good"}"#)] {
        let out = run_clean(&database, &["load", &file(name, content.as_bytes())]);
        assert_eq!(out, "1 stored, 0 stored before, 0 left out\n", "{name}");
    }
}

#[test]
fn bad_lines_are_named_and_left_out_only_if_asked() {
    let mut database = Database::new();
    run_clean(&database, &["migrate"]);
    let lines = [
        r#"{"body": "good"}"#.as_bytes(),
        CANARY.as_bytes(),
        br#"{"body": 7}"#,
        b"{\"body\": \"\xff\"}",
        br#"{"body": "a\u0000"}"#,
        br#"{"body": "good", "sent_at": "yesterday"}"#,
        &[b'"'; 2 << 20],
        br#"{"body": "good"}"#,
    ];
    let path = file("bad.jsonl", &lines.join(&b"\n"[..]));
    let output = run(&database, &["load", &path]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && errors.contains("bad.jsonl, line 2: no JSON"), "{errors}");
    assert_eq!(database.value::<i64>("SELECT count(*) FROM messages.message"), 0);
    let output = run(&database, &["load", "--skip-bad", &path]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "2 stored, 0 stored before, 6 left out\n");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    for line in 2..8 {
        assert!(errors.contains(&format!("bad.jsonl, line {line}: ")), "{line}: {errors}");
    }
    assert!(!errors.contains(CANARY), "{errors}");
    assert!(!run(&database, &["load", &file("no.csv", b"text\ngood\n")]).status.success());
}

/// What is too much for the database at once comes in fewer at once.
#[test]
fn what_takes_longer_than_a_statement_may_is_stored_in_parts() {
    let mut database = Database::new();
    run_clean(&database, &["migrate"]);
    database.run(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.02); RETURN NEW; END $$;
         CREATE TRIGGER slow BEFORE INSERT ON messages.message FOR EACH ROW EXECUTE FUNCTION slow()",
    );
    let path = file("slow.jsonl", "{\"body\": \"good\"}\n".repeat(200).as_bytes());
    let loaded = run_clean(&database, &["load", &path, "--statement-timeout", "1s"]);
    assert_eq!(loaded, "200 stored, 0 stored before, 0 left out\n");
    assert_eq!(database.value::<i64>("SELECT count(*) FROM messages.message"), 200);
    assert!(database.logged(Level::Error, "57014") >= 1);
    database.ask(Level::Error, "57014");
}

/// Whoever loads has to know how much of it is there, whatever ends it.
#[test]
fn what_is_stored_is_said_where_not_all_is() {
    let mut database = Database::new();
    run_clean(&database, &["migrate"]);
    database.run(
        "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE 'SP001'; END $$;
         CREATE TRIGGER stop BEFORE INSERT ON messages.message FOR EACH ROW WHEN (NEW.body = 'stop') EXECUTE FUNCTION stop()",
    );
    let lines = "{\"body\": \"good\"}\n".repeat(4500) + "{\"body\": \"stop\"}\n";
    let output = run(&database, &["load", &file("stopped.jsonl", lines.as_bytes())]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && errors.contains("4000 stored, 0 stored before, 0 left out"),
        "{errors}"
    );
    assert_eq!(database.value::<i64>("SELECT count(*) FROM messages.message"), 4000);
    database.ask(Level::Error, "SP001");
}

/// 2,000 of the longest texts would be half a gigabyte.
#[test]
fn a_transaction_has_an_end_in_bytes() {
    let mut database = Database::new();
    run_clean(&database, &["migrate"]);
    let line = format!("{{\"body\": \"{}\"}}\n", "😀".repeat(65_000));
    let path = file("long.jsonl", line.repeat(40).as_bytes());
    assert_eq!(run_clean(&database, &["load", &path]), "40 stored, 0 stored before, 0 left out\n");
    let transactions = "SELECT count(DISTINCT received_at) FROM messages.message";
    assert_eq!(database.value::<i64>(transactions), 2);
}
