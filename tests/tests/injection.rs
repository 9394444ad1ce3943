//! SQL in names, labels, options, terms and columns stays what it is: a name, a label, an option, a term, a column.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use postgres::types::ToSql;
use sentiment_tests::{Database, Server};

/// Ways out of a constant, an identifier, a dollar quote, an argument list and a template; `COPY ... PROGRAM` behind each of
/// the first ones would leave a file in the server's data directory. None is longer than a name may be.
const ATTACKS: [&str; 13] = [
    "x'; COPY valuables TO PROGRAM 'touch pwned'; --",
    "x\"; COPY valuables TO PROGRAM 'touch pwned'; --",
    "x\\'; COPY valuables TO PROGRAM 'touch pwned'; --",
    "x'); COPY valuables TO PROGRAM 'touch pwned'; --",
    "x\" text); COPY valuables TO PROGRAM 'touch pwned'; --",
    "x$$; COPY valuables TO PROGRAM 'touch pwned'; --",
    "x'; DROP TABLE valuables; --",
    "x\"; DROP TABLE valuables; --",
    "' || (SELECT max(secret) FROM valuables) || '",
    "\" FROM valuables; --",
    "%s %I %L % %% {} {0} $1 $2",
    "x\\",
    "pg_sleep(1000)",
];

/// Calls with an attack as `$1`, wherever anything of the caller's goes.
const CALLS: &[&str] = &[
    "SELECT train_sentiment($1::text, 'texts', 'body', 'label', 'naive_bayes', deploy => 'always')",
    "SELECT sentiment('a sunny day', $1::text), sentiment_at('a sunny day', $1::text || '@1')",
    "SELECT learn_sentiment($1::text, $1::text, 'positive')",
    "SELECT learn_sentiment($1::text, 'foggy', $1::text)",
    "SELECT set_sentiment_term($1::text, $1::text, 0.5)",
    "SELECT set_sentiment_term($1::text, 'foggy', 0.5)",
    "SELECT refresh_sentiment($1::text)",
    "SELECT import_sentiment($1::text, export_sentiment($1::text))",
    "SELECT * FROM evaluate_sentiment($1::text, 'texts', 'body', 'label')",
    "SELECT * FROM evaluate_sentiment($1::text, 'texts', $1::text::name, $1::text::name)",
    "SELECT * FROM drift_sentiment($1::text, 'texts', $1::text::name)",
    "SELECT deploy_sentiment($1::text, 1), rollback_sentiment($1::text)",
    "SELECT enable_sentiment(format('%I', $1::text)::regclass, $1::text::name, $1::text, ($1::text || '1')::name, ($1::text || '2')::name, ($1::text || '3')::name)",
    "SELECT stale_sentiment(format('%I', $1::text)::regclass)",
    "SELECT * FROM sentiment.tables WHERE trigger <> $1::text",
    "SELECT sentiment.is_pinned($1::text || '@1')",
    "SELECT sentiment.pinned_by($1::text || '@1')",
    "SELECT drop_sentiment($1::text, 1)",
    "SELECT disable_sentiment(format('%I', $1::text)::regclass, true)",
    "SELECT drop_sentiment($1::text)",
    "SELECT train_sentiment('t', 'texts', 'body', 'label', $1::text)",
    "SELECT train_sentiment('t', 'texts', 'body', 'label', deploy => $1::text)",
    "SELECT train_sentiment('t', 'texts', 'body', 'label', 'naive_bayes', jsonb_build_object('language', $1::text))",
    "SELECT train_sentiment('t', 'texts', 'body', 'label', 'naive_bayes', jsonb_build_object($1::text, $1::text))",
    "SELECT train_sentiment('t', 'texts', 'body', 'label', 'naive_bayes', jsonb_build_object('label_scores', jsonb_build_object($1::text, 1)))",
    "SELECT train_sentiment('labels', 'labelled', 'body', 'label', 'naive_bayes', deploy => 'always') WHERE $1::text <> ''",
    "SELECT sentiment_probability('a sunny day', $1::text, 'labels'), sentiment_json('a sunny day', 'labels')",
    "SELECT set_config('sentiment.default_model', $1::text, true)",
];

/// What an attack may at most bring about: a refusal of ours, or of the server for a name that is none of its own.
const REFUSALS: [&str; 7] = ["22023", "42602", "42622", "42704", "42703", "55000", "42P01"];

#[test]
fn sql_stays_text() {
    for strings in ["on", "off"] {
        let mut database = Database::new();
        database.run(&format!(
            "ALTER DATABASE {} SET standard_conforming_strings = {strings}",
            database.name().to_owned()
        ));
        database.run(
            "CREATE TABLE valuables AS SELECT 'stolen' AS secret;
             CREATE TABLE texts AS SELECT CASE WHEN n % 2 = 0 THEN 'sunny' ELSE 'rainy' END || ' day ' || n AS body,
                 CASE WHEN n % 2 = 0 THEN 'positive' ELSE 'negative' END AS label FROM generate_series(1, 60) AS n",
        );
        let mut session = database.connect("postgres");
        for attack in ATTACKS {
            attacked(&mut session, attack);
        }
        session.batch_execute("SET client_min_messages = error").unwrap();
        let there: i64 =
            session.query_one("SELECT count(*) FROM valuables WHERE secret = 'stolen'", &[]).unwrap().get(0);
        assert_eq!(there, 1);
        let stolen = "SELECT count(*) FROM sentiment.versions AS v WHERE v::text LIKE '%stolen%'";
        assert_eq!(session.query_one(stolen, &[]).unwrap().get::<_, i64>(0), 0);
        database.ask_all_so_far();
    }
    assert!(!Server::shared().data().join("pwned").exists(), "a program was run");
}

/// Makes a table, columns, labels and triggers that are called like the attack, and calls everything with it.
fn attacked(session: &mut postgres::Client, attack: &str) {
    let quoted = format!("\"{}\"", attack.replace('"', "\"\""));
    let table = format!(
        "CREATE TABLE {quoted} ({quoted} text); INSERT INTO {quoted} VALUES ('a sunny day');
         DROP TABLE IF EXISTS labelled; CREATE TABLE labelled (LIKE texts)"
    );
    session.batch_execute(&table).unwrap_or_else(|error| panic!("{attack}: {error:?}"));
    let labelled =
        "INSERT INTO labelled SELECT body, CASE label WHEN 'positive' THEN $1 ELSE label END FROM texts";
    session.execute(labelled, &[&attack]).unwrap();
    let parameters: [&(dyn ToSql + Sync); 1] = [&attack];
    let mut done = 0;
    for call in CALLS {
        match session.query(*call, &parameters) {
            Ok(_) => done += 1,
            Err(error) => {
                let state = error.code().unwrap_or_else(|| panic!("{attack}\n{call}: {error}")).code();
                assert!(REFUSALS.contains(&state), "{attack}\n{call}: {error:?}");
            }
        }
        if call.contains("stale_sentiment") {
            // Between enabling and disabling: the trigger scores, and rows are scored again.
            let insert = format!("INSERT INTO {quoted} VALUES ('a rainy day')");
            session.batch_execute(&insert).unwrap_or_else(|error| panic!("{insert}: {error:?}"));
            let rescore = session.execute("CALL rescore_sentiment($1::text::regclass)", &[&quoted]);
            rescore.unwrap_or_else(|error| panic!("{attack}: {error:?}"));
        }
    }
    // Whatever is a name, a label, a term or a column works as one.
    assert!(done >= 17, "{attack}: {done} calls of {} were answered", CALLS.len());
    session.batch_execute(&format!("DROP TABLE {quoted}")).unwrap();
}
