//! How good trained models are, on texts that they never saw: what `train_sentiment()` makes of the data files with its
//! defaults, measured by `evaluate_sentiment()`. Floors, so that a change that makes models worse does not pass.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::io::Write;

use sentiment_tests::{Database, data_file, note, skip};

/// Copies a data file into a table of its own; `false` where the data are not there.
fn load(database: &mut Database<'_>, table: &str, path: &str) -> bool {
    let Some(file) = data_file(path) else { return false };
    database.run(&format!("CREATE TABLE {table} (label text, body text)"));
    // The files quote nothing: a quote that does not occur makes CSV take the lines as they are.
    let copy = format!(
        r"COPY {table} FROM STDIN (FORMAT csv, HEADER, DELIMITER E'\t', QUOTE E'\x01', NULL E'\x02')"
    );
    let mut writer = database.client().copy_in(&copy).unwrap();
    writer.write_all(file.as_bytes()).unwrap();
    writer.finish().unwrap();
    true
}

#[test]
fn english_tweets() {
    let mut database = Database::new();
    if !load(&mut database, "tweets_train", "en/tweets_train.tsv.gz")
        || !load(&mut database, "tweets_dev", "en/tweets_dev.tsv.gz")
    {
        return skip("english_tweets: no en/tweets_train.tsv.gz or en/tweets_dev.tsv.gz below DATA");
    }
    database.run("SET sentiment.train_memory = '256MB'");
    for (algorithm, options, least) in [
        ("naive_bayes", "{}", 0.61),
        ("logistic_regression", "{}", 0.63),
        ("logistic_regression", r#"{"lexicon": "english"}"#, 0.65),
        ("random_forest", "{}", 0.57),
    ] {
        let trained = database.rows(&format!(
            "SELECT rows_train, round(train_ms)::bigint, bytes, macro_recall FROM train_sentiment('tweets', 'tweets_train',
             'body', 'label', '{algorithm}', '{options}', deploy => 'always')"
        ));
        let recall: f64 = database.value(
            "SELECT recall FROM evaluate_sentiment('tweets', 'tweets_dev', 'body', 'label') WHERE class = 'macro avg'",
        );
        let [rows, milliseconds, bytes] = [0, 1, 2].map(|column| trained[0].get::<_, i64>(column));
        note(&format!(
            "{algorithm} {options}: AvgRec {recall:.4} on tweets_dev; {rows} rows in {milliseconds} ms, {bytes} bytes"
        ));
        assert!(recall >= least, "{algorithm} {options}: AvgRec {recall:.4} is below {least}");
    }
}

#[test]
fn eight_languages() {
    let mut database = Database::new();
    let languages = ["arabic", "english", "french", "german", "hindi", "italian", "portuguese", "spanish"];
    let mut sum = 0.0;
    for language in languages {
        for part in ["train", "dev"] {
            let table = format!("{language}_{part}");
            if !load(&mut database, &table, &format!("umsab/{table}.tsv.gz")) {
                return skip("eight_languages: no umsab/ below DATA");
            }
        }
        database.run(&format!(
            "SELECT train_sentiment('{language}_tweets', '{language}_train', 'body', 'label')"
        ));
        let f1: f64 = database.value(&format!(
            "SELECT f1 FROM evaluate_sentiment('{language}_tweets', '{language}_dev', 'body', 'label') WHERE class = 'macro avg'"
        ));
        note(&format!("{language}: macro-F1 {f1:.4}"));
        sum += f1 / 8.0;
    }
    note(&format!("eight languages: macro-F1 {sum:.4} on average"));
    assert!(sum >= 0.57, "macro-F1 {sum:.4} is below 0.57");
}
