//! Texts that are made to break things: the statement finishes, whichever way the text comes in.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::io::Write;

use sentiment_tests::{CANARY, Database};

/// Longer than any of them takes, on a slow machine too.
const LIMIT: &str = "SET statement_timeout = '60s'";

/// Every function that takes a text, asked for one value.
const CALLS: [&str; 8] = [
    "SELECT length(sentiment($1))::int8",
    "SELECT sentiment_score($1)::int8",
    "SELECT sentiment_probability($1, 'positive')::int8",
    "SELECT (sentiment_detail($1)).coverage::int8",
    "SELECT length(sentiment_json($1)::text)::int8",
    "SELECT count(*) FROM sentiment_batch(ARRAY[$1, $1])",
    "SELECT count(*) FROM sentiment_explain($1)",
    "SELECT count(*) FROM sentiment_tokens($1)",
];

/// Name, text, and whether there is anything in it to score.
fn texts() -> Vec<(&'static str, String, bool)> {
    let overrides = "\u{202e}evah I\u{202c} \u{2066}good\u{2069} \u{200f}\u{200e}\u{61c}".repeat(1000);
    vec![
        ("empty", String::new(), false),
        ("blank", " \t\r\n\u{a0}\u{2003}\u{3000}".repeat(1000), false),
        ("controls", "\u{1}\u{2}\u{7f}\u{85}\u{9f}".repeat(1000), false),
        ("one byte", "x".into(), true),
        ("punctuation", "!?".into(), true),
        ("emoji", "😀".repeat(100_000), true),
        ("joined emoji", "👩\u{200d}".repeat(100_000), true),
        ("flags", "🇫🇷".repeat(50_000), true),
        ("combining marks", format!("a{}", "\u{301}".repeat(100_000)), true),
        ("combining marks of many classes", "\u{301}\u{323}\u{345}\u{1dfa}".repeat(50_000) + "x", true),
        ("right-to-left overrides", overrides, true),
        ("escaped lone surrogates", r"good \ud83d \ude00 &#xD83D; &#55357; %ED%A0%80".repeat(100), true),
        ("one word of 1 MB", "abcdefghij".repeat(100_000), true),
        ("one letter, 1 MB", "o".repeat(1_000_000), true),
        ("one hashtag of 1 MB", format!("#{}", "BestDay2".repeat(125_000)), true),
        ("mentions", "@a".repeat(100_000), true),
        ("entities", "&amp;".repeat(100_000), false),
        ("entities within entities", "&amp;amp;#38;lt;".repeat(50_000), true),
        ("links", "http://a.b/".repeat(50_000), true),
        ("nearly emoticons", ":-".repeat(100_000), true),
        ("apostrophes", "t".to_string() + &"'".repeat(100_000), true),
        ("decompositions", "\u{fdfa}".repeat(50_000), true),
        ("Hangul parts", "\u{1112}\u{1161}\u{11ab}".repeat(50_000), true),
        ("noncharacters", "\u{fffe}\u{ffff}\u{10ffff}\u{fdd0} good".repeat(1000), true),
        ("negations", "not ".repeat(100_000), true),
    ]
}

#[test]
fn direct_call() {
    let mut database = Database::new();
    database.run(LIMIT);
    for (name, text, scored) in texts() {
        for call in CALLS {
            let row = database.client().query_one(call, &[&text]);
            row.unwrap_or_else(|error| panic!("{name}: {call}: {error}"));
        }
        let row = database.client().query_one(
            "SELECT sentiment($1) IS NOT NULL, sentiment($1) IS NOT DISTINCT FROM sentiment_at($1, 'english@2'),
                    (sentiment_score($1) BETWEEN -1 AND 1) IS NOT false",
            &[&text],
        );
        let row = row.unwrap();
        assert_eq!(row.get::<_, bool>(0), scored, "{name}: is there anything to score");
        assert!(row.get::<_, bool>(1), "{name}: the same answer twice");
        assert!(row.get::<_, bool>(2), "{name}: the score is between -1 and 1");
    }
}

#[test]
fn insert_and_copy() {
    let mut database = Database::new();
    database.run(LIMIT);
    database.run(
        "CREATE TABLE messages (way text, name text, body text); SELECT enable_sentiment('messages', 'body')",
    );
    let mut copied = String::new();
    for (name, text, _) in texts() {
        let text = format!("{CANARY} {text}");
        let insert = "INSERT INTO messages VALUES ('insert', $1, $2)";
        database.client().execute(insert, &[&name, &text]).unwrap();
        let escaped =
            text.replace('\\', r"\\").replace('\t', r"\t").replace('\r', r"\r").replace('\n', r"\n");
        copied.push_str(&format!("copy\t{name}\t{escaped}\n"));
    }
    let mut writer = database.client().copy_in("COPY messages (way, name, body) FROM STDIN").unwrap();
    writer.write_all(copied.as_bytes()).unwrap();
    writer.finish().unwrap();
    let different = database.rows(
        "SELECT way || ': ', name FROM messages
         WHERE sentiment IS DISTINCT FROM sentiment(body) OR sentiment IS NULL OR sentiment_version <> 'english@2'",
    );
    let different: Vec<String> = different.iter().map(|row| row.get::<_, String>(0) + row.get(1)).collect();
    assert!(different.is_empty(), "{different:?}");
    let pairs: i64 = database.value(
        "SELECT count(*) FROM messages AS i JOIN messages AS c USING (name, body, sentiment, sentiment_score)
         WHERE i.way = 'insert' AND c.way = 'copy'",
    );
    assert_eq!(usize::try_from(pairs).unwrap(), texts().len());
}

/// The most that PostgreSQL lets a text have is ten times this; the work on it is bounded, and that is said.
#[test]
fn hundred_megabytes() {
    let mut database = Database::new();
    database.run(LIMIT);
    database.run("CREATE TABLE messages (body text); SELECT enable_sentiment('messages', 'body')");
    for text in ["repeat('good ', 20000000)", "repeat('o', 100000000)", "repeat('😀', 25000000)"] {
        database.run(&format!("INSERT INTO messages VALUES ({text})"));
        assert!(database.value::<bool>(&format!("SELECT truncated FROM sentiment_detail({text})")), "{text}");
    }
    let mut writer = database.client().copy_in("COPY messages (body) FROM STDIN").unwrap();
    for _ in 0..100 {
        writer.write_all("so terrible ".repeat(80_000).as_bytes()).unwrap();
    }
    writer.finish().unwrap();
    let labels: Vec<Option<String>> =
        database.rows("SELECT sentiment FROM messages").iter().map(|row| row.get(0)).collect();
    assert_eq!(labels.len(), 4);
    assert_eq!(labels[0].as_deref(), Some("positive"));
    assert_eq!(labels[3].as_deref(), Some("negative"));
}

/// What is counted in a text is bounded, so that a long one means what its beginning means.
#[test]
fn repetition_keeps_the_label() {
    let mut database = Database::new();
    for (text, label) in [
        ("I hate it! ", "negative"),
        ("so bad ", "negative"),
        ("so good ", "positive"),
        ("I love it! ", "positive"),
    ] {
        for times in [1, 10, 100, 1_000, 10_000, 100_000] {
            let found: Option<String> =
                database.value(&format!("SELECT sentiment(repeat('{text}', {times}))"));
            assert_eq!(found.as_deref(), Some(label), "{text:?} {times} times");
        }
    }
}

/// A text that is stored compressed or out of line is fetched whole.
#[test]
fn toasted() {
    let mut database = Database::new();
    database.run(
        "CREATE TABLE messages (storage text, body text);
         CREATE TABLE external (LIKE messages);
         ALTER TABLE external ALTER body SET STORAGE EXTERNAL;
         INSERT INTO messages SELECT 'compressed', repeat('so happy ', 400);
         INSERT INTO external SELECT 'external', repeat('so happy ', 400)",
    );
    let same = "SELECT bool_and(sentiment_score(body) = sentiment_score(repeat('so happy ', 400)))
                FROM (TABLE messages UNION ALL TABLE external) AS all_of_them";
    assert!(database.value::<bool>(same));
}

/// Long work ends when it is told to.
#[test]
fn cancelled() {
    let mut database = Database::new();
    database.run("CREATE TABLE messages (body text)");
    database.run(
        "INSERT INTO messages SELECT n || repeat(' so happy and proud', 1000) FROM generate_series(1, 20000) AS n",
    );
    database.run("SET statement_timeout = '200ms'");
    for statement in [
        "SELECT count(sentiment(body)) FROM messages",
        "SELECT count(*) FROM sentiment_batch((SELECT array_agg(body) FROM messages))",
        "SELECT enable_sentiment('messages', 'body')",
    ] {
        let begin = std::time::Instant::now();
        assert_eq!(database.failure(statement).state, "57014", "{statement}");
        assert!(begin.elapsed().as_secs() < 10, "{statement} took {:?} to end", begin.elapsed());
    }
    assert_eq!(database.value::<String>("SELECT sentiment('so happy')"), "positive");
}
