//! Databases in other encodings, and bytes that are no text in any.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use sentiment_tests::{CANARY, Database};

/// The same message in a UTF-8 database and in another is the same message.
fn same_as_in_utf8(encoding: &str, texts: &[&str]) {
    let mut utf8 = Database::new();
    let mut other = Database::encoded(encoding);
    assert_eq!(other.value::<String>("SHOW server_encoding"), encoding);
    for text in texts {
        for (sql, what) in [
            ("SELECT coalesce(sentiment($1), '-')", "label"),
            ("SELECT coalesce(sentiment_score($1)::text, '-')", "score"),
            (
                "SELECT coalesce(string_agg(token || ':' || kind || ':' || start_pos, ' ' ORDER BY ord), '-') FROM sentiment_tokens($1)",
                "tokens",
            ),
            (
                "SELECT coalesce(string_agg(term || ':' || weight, ' '), '-') FROM sentiment_explain($1)",
                "terms",
            ),
        ] {
            let [in_utf8, in_other] = [&mut utf8, &mut other]
                .map(|database| database.client().query_one(sql, &[text]).unwrap().get::<_, String>(0));
            assert_eq!(in_utf8, in_other, "{what} of {text} in {encoding}");
        }
    }
}

#[test]
fn latin1() {
    same_as_in_utf8(
        "LATIN1",
        &[
            "I love it",
            "C'est très bien, j'adore ça",
            "Schöner Tag über alles, süß!",
            "  ",
            "¡qué alegría! ½ ©",
        ],
    );
}

#[test]
fn euc_jp() {
    same_as_in_utf8("EUC_JP", &["I love it", "今日は最高でした", "電車がまた遅れている、最悪だ", "ﾊﾝｶｸ :)"]);
}

/// A term with a character that the database's encoding lacks must not fail the statement that would show it.
#[test]
fn what_the_encoding_lacks() {
    let mut database = Database::encoded("LATIN1");
    for text in [
        "&#128512; &hearts; &euro;",
        "so happy &#x1F600;&#x1F600; &trade;",
        "&#x4eca;&#x65e5;",
        "caf\u{e9} \u{aa}\u{ba}\u{b2}",
    ] {
        for sql in [
            "SELECT count(token) FROM sentiment_tokens($1)",
            "SELECT count(term) FROM sentiment_explain($1, top_k => 100)",
            "SELECT count(*) FROM sentiment_detail($1)",
            "SELECT count(sentiment_json($1))",
        ] {
            let row = database.client().query_one(sql, &[&text]);
            row.unwrap_or_else(|error| panic!("{sql} of {text:?}: {error}"));
        }
    }
}

/// In SQL_ASCII nothing is checked, so that any bytes but zero can be in a text.
#[test]
fn any_bytes() {
    let mut database = Database::encoded("SQL_ASCII");
    database.run(
        "CREATE TABLE messages (id int GENERATED ALWAYS AS IDENTITY, body text);
         SELECT enable_sentiment('messages', 'body');
         CREATE FUNCTION bytes(code text) RETURNS text LANGUAGE plpgsql AS
             $$ DECLARE body text; BEGIN EXECUTE 'SELECT E''' || code || '''' INTO body; RETURN body; END $$",
    );
    // every byte, alone and in company
    database.run(
        r"INSERT INTO messages (body)
          SELECT bytes(replace(pattern, '?', '\x' || lpad(to_hex(code), 2, '0')))
          FROM generate_series(1, 255) AS code, unnest(ARRAY['?', 'I love it ?', '??good', 'so?sad', '? ? ? ?']) AS pattern",
    );
    // cut, overlong, surrogate and out of range sequences
    for code in [
        r"\xf0\x9f\x98",
        r"\xc0\xaf good",
        r"\xed\xa0\x80\xed\xb0\x80",
        r"\xf4\x90\x80\x80 bad",
        r"\xe2\x28\xa1",
        r"\xfe\xff",
    ] {
        database.run(&format!("INSERT INTO messages (body) VALUES (E'{code} {CANARY}')"));
    }
    let sound = "SELECT bool_and(sentiment IS NOT DISTINCT FROM sentiment(body) AND (sentiment_score BETWEEN -1 AND 1) IS NOT false)";
    assert!(database.value::<bool>(&format!("{sound} FROM messages")));
    assert_eq!(
        database.value::<i64>(
            "SELECT count(*) FROM messages WHERE sentiment IS NULL AND (body LIKE '%good%' OR body LIKE '%love%')"
        ),
        0,
        "the words among the bytes count"
    );
    for function in [
        "sentiment_tokens(body)",
        "sentiment_explain(body)",
        "sentiment_detail(body)",
        "sentiment_json(body)",
    ] {
        assert!(
            database.value::<i64>(&format!(
                "SELECT count(*) FROM messages, LATERAL (SELECT * FROM {function}) AS f"
            )) >= 1000,
            "{function}"
        );
    }
    assert_eq!(database.value::<String>(r"SELECT sentiment(E'I love it, wonderful \xff\xfe')"), "positive");
}

/// A label may hold any character, and what JSON would let be escaped is no exception: SQL_ASCII knows no escapes beyond ASCII.
#[test]
fn labels_of_control_characters() {
    for encoding in ["SQL_ASCII", "LATIN1", "UTF8"] {
        let mut database = Database::encoded(encoding);
        let beyond = if encoding == "LATIN1" { r"\x85" } else { r"\xc2\x85" };
        database.run(&format!(
            r#"CREATE TABLE labelled AS
                   SELECT (ARRAY['the sun is out ', 'the rain is back '])[1 + n % 2] || n AS body,
                          (ARRAY[E's{beyond}', E'r\x01"\\'])[1 + n % 2] AS label
                   FROM generate_series(1, 100) AS n"#
        ));
        database.run(
            "SELECT train_sentiment('weather', 'labelled', 'body', 'label', 'naive_bayes',
                 jsonb_build_object('label_scores', jsonb_object_agg(label, 1))) FROM (SELECT DISTINCT label FROM labelled) AS l",
        );
        for (label, what) in [
            ("sentiment(body, 'weather')", "label"),
            ("(sentiment_detail(body, 'weather')).label", "record"),
            ("sentiment_json(body, 'weather') ->> 'label'", "JSON"),
            (
                "(SELECT key FROM jsonb_each_text(sentiment_json(body, 'weather') -> 'probabilities') ORDER BY value::float8 DESC LIMIT 1)",
                "probabilities",
            ),
        ] {
            let right = format!("SELECT bool_and({label} = label) FROM labelled");
            assert!(database.value::<bool>(&right), "{what} in {encoding}");
        }
        let listed =
            "SELECT labels @> (SELECT array_agg(DISTINCT label) FROM labelled) FROM sentiment.versions";
        assert!(database.value::<bool>(listed), "{encoding}");
    }
}

/// Where the server checks the encoding, it refuses such bytes before we see them.
#[test]
fn broken_utf8_is_refused_by_the_server() {
    let mut database = Database::new();
    for code in [r"\xff", r"\xed\xa0\x80", r"\xc0\xaf", r"a\x00b"] {
        assert_eq!(database.failure(&format!("SELECT sentiment(E'{code}')")).state, "22021");
    }
    assert_eq!(database.failure(r"SELECT sentiment('x' || chr(0))").state, "54000");
}

/// What has a name beyond ASCII is called by it in messages, whatever the encoding: `?` had stood for its letters.
#[test]
fn names_in_messages() {
    for encoding in ["LATIN1", "EUC_JP", "SQL_ASCII", "UTF8"] {
        let mut database = Database::encoded(encoding);
        let table = if encoding == "EUC_JP" { "感想" } else { "größe" };
        let mut config = database.server().config(database.name(), "postgres");
        let (told, notices) = std::sync::mpsc::channel();
        config.notice_callback(move |notice| told.send(notice.message().to_owned()).unwrap());
        let mut client = config.connect(postgres::NoTls).unwrap();
        client
            .batch_execute(&format!(
                r#"CREATE TABLE "{table}" (body text, "{table}2" text);
                   SELECT enable_sentiment('"{table}"', 'body', label_column => '{table}2');
                   SELECT enable_sentiment('"{table}"', 'body');
                   INSERT INTO "{table}" VALUES ('{CANARY}');
                   UPDATE "{table}" SET sentiment_version = NULL"#
            ))
            .unwrap();
        client.batch_execute(&format!(r#"CALL rescore_sentiment('"{table}"')"#)).unwrap();
        let notices: Vec<String> = notices.try_iter().collect();
        let lost = format!("column \"{table}2\" is not written any more: its trigger was replaced");
        assert_eq!(notices.first(), Some(&lost), "{encoding}: {notices:?}");
        let rescored = format!("of public.\"{table}\", page 1 of 1");
        assert!(notices.iter().any(|notice| notice.ends_with(&rescored)), "{encoding}: {notices:?}");
        let missing = database.failure(&format!(r#"SELECT enable_sentiment('"{table}"', '{table}3')"#));
        assert_eq!(missing.state, "42703");
        assert_eq!(missing.message, format!("column \"{table}3\" of relation \"{table}\" does not exist"));
        // The hint holds a name too.
        database.run(&format!(
            r#"CREATE TRIGGER "{table}" BEFORE INSERT ON "{table}" FOR EACH ROW EXECUTE FUNCTION sentiment_trigger('none')"#
        ));
        let hint = database.failure(&format!(r#"INSERT INTO "{table}" VALUES ('{CANARY}')"#)).hint;
        assert!(hint.starts_with(&format!("Trigger \"{table}\" names it:")), "{encoding}: {hint}");
    }
}

/// An error of the server's own that ends a call keeps its SQLSTATE: where its message was no UTF-8, the client had been sent another.
#[test]
fn errors_of_the_server() {
    for encoding in ["LATIN1", "EUC_JP", "UTF8"] {
        let mut database = Database::encoded(encoding);
        database.run(
            r#"CREATE TABLE "größe" (body text);
               SELECT enable_sentiment('"größe"', 'body');
               CREATE VIEW "süß" AS SELECT sentiment_version FROM "größe""#,
        );
        let failure = database.failure(r#"SELECT disable_sentiment('"größe"', true)"#);
        assert_eq!(failure.state, "2BP01", "{encoding}");
        assert_eq!(failure.hint, "Use DROP ... CASCADE to drop the dependent objects too.");
        let told = if encoding == "UTF8" { "größe" } else { "gr" };
        let begins = format!("cannot drop column sentiment_version of table \"{told}");
        assert!(
            failure.message.starts_with(&begins) && !failure.message.contains('\u{fffd}'),
            "{encoding}: {failure:?}"
        );
    }
}
