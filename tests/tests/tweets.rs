//! The main job on real input: tweets copied into a table carry their sentiment.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::io::Write;

use sentiment_tests::{Database, data_file, skip};

/// The yardstick of the shipped model: mean recall over the three classes, on tweets it was not trained on.
const AVERAGE_RECALL: &str = "
    SELECT avg(recall)::float8 FROM (
        SELECT avg((label = sentiment)::int) AS recall FROM tweets GROUP BY label) AS classes";

#[test]
fn copied_tweets_are_scored() {
    let Some(file) = data_file("en/tweets_dev.tsv.gz") else {
        return skip("copied_tweets_are_scored: no en/tweets_dev.tsv.gz below DATA");
    };
    let rows = i64::try_from(file.lines().count()).unwrap() - 1;
    assert_eq!(rows, 20_470);
    let mut database = Database::new();
    database.run("CREATE TABLE tweets (label text, body text); SELECT enable_sentiment('tweets', 'body')");
    // The file quotes nothing: a quote that does not occur makes CSV take the lines as they are.
    let copy = r"COPY tweets (label, body) FROM STDIN (FORMAT csv, HEADER, DELIMITER E'\t', QUOTE E'\x01', NULL E'\x02')";
    let mut writer = database.client().copy_in(copy).unwrap();
    writer.write_all(file.as_bytes()).unwrap();
    assert_eq!(i64::try_from(writer.finish().unwrap()).unwrap(), rows);

    assert_eq!(database.value::<i64>("SELECT count(sentiment) FROM tweets"), rows, "every row is scored");
    let different = "SELECT count(*) FROM tweets WHERE sentiment IS DISTINCT FROM sentiment(body)
                     OR sentiment_score IS DISTINCT FROM sentiment_score(body)
                     OR sentiment IS DISTINCT FROM sentiment_at(body, sentiment_version)";
    assert_eq!(database.value::<i64>(different), 0, "rows that differ from sentiment(body)");
    let recall: f64 = database.value(AVERAGE_RECALL);
    assert!(recall >= 0.62, "AvgRec {recall:.3} is below 0.62");
}
