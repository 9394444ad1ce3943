//! Scores of texts that are not stored: those that SQL gives.

use sentiment_tests::{CANARY, Database};
use serde_json::{Value, json};

use crate::harness::Gateway;

/// Asserts that two objects hold the same, however they write numbers.
fn assert_same(sql: &Value, answer: &Value) {
    match (sql, answer) {
        (Value::Object(a), Value::Object(b)) => {
            assert!(a.keys().eq(b.keys()), "{sql} {answer}");
            a.values().zip(b.values()).for_each(|(a, b)| assert_same(a, b));
        }
        _ => assert!(
            sql == answer || sql.as_f64().is_some() && sql.as_f64() == answer.as_f64(),
            "{sql} {answer}"
        ),
    }
}

#[test]
fn one_and_many_are_what_sql_says() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    let texts =
        ["I love this phone", "worst service ever", "", "The train leaves at 7:45", "quelle horreur 😡"];
    let many = gateway.post("/v1/sentiment", &json!({"texts": texts})).ok();
    for (text, answer) in texts.iter().zip(many.as_array().unwrap()) {
        let sql: Value = database
            .client()
            .query_one("SELECT to_jsonb(d) FROM sentiment_detail($1) AS d", &[text])
            .unwrap()
            .get(0);
        assert_same(&sql, answer);
        assert_same(&sql, &gateway.post("/v1/sentiment", &json!({"text": text})).ok());
    }
    assert!(many[2]["label"].is_null(), "nothing to score is not neutral");
    let other = gateway.post("/v1/sentiment", &json!({"text": "me encanta", "model": "multilingual"})).ok();
    assert_eq!(other["model_version"], "multilingual@1");
    assert_eq!(gateway.post("/v1/sentiment", &json!({"texts": []})).ok(), json!([]));
}

/// Texts of several models that wait at once share statements by model, and each gets its own answer.
#[test]
fn many_clients_at_once_get_their_own_answers() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    let texts: Vec<(String, &str)> = (0..64)
        .map(|n| {
            (
                format!("{} {n}", ["great", "awful", "a table"][n % 3]),
                ["english", "multilingual", "no_such"][n % 3],
            )
        })
        .collect();
    let gateway = &gateway;
    let answers: Vec<_> = std::thread::scope(|scope| {
        let ask = |(text, model): &(String, &str)| {
            gateway.post("/v1/sentiment", &json!({"text": text, "model": model}))
        };
        let threads: Vec<_> = texts.iter().map(|given| scope.spawn(move || ask(given))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for ((text, model), answer) in texts.iter().zip(answers) {
        if *model == "no_such" {
            assert_eq!(answer.refused(404)["sqlstate"], "42704");
            continue;
        }
        let sql: Option<f64> =
            database.client().query_one("SELECT sentiment_score($1, $2)", &[text, model]).unwrap().get(0);
        assert_eq!(answer.ok()["score"].as_f64(), sql, "{text}");
    }
    database.ask_errors_so_far();
}

#[test]
fn an_explanation_is_what_sql_says() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    let text = "luv the camera but the battery is awful :(";
    let answer = gateway.post("/v1/explain", &json!({"text": text, "top_k": 3})).ok();
    let sql: Value = database
        .client()
        .query_one(
            "SELECT jsonb_agg(jsonb_build_object('term', term, 'start', start_pos, 'weight', weight, 'toward', toward))
             FROM sentiment_explain($1, top_k => 3)",
            &[&text],
        )
        .unwrap()
        .get(0);
    assert_eq!(answer["terms"], sql);
    assert_eq!(answer["sentiment"]["label"], "negative");
    gateway.post("/v1/explain", &json!({"text": text, "top_k": -1})).refused(422);
}

#[test]
fn what_cannot_be_scored_is_refused_in_words() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    let refused = |body: &Value, status| gateway.post("/v1/sentiment", body).refused(status);
    refused(&json!({}), 422);
    refused(&json!({"text": CANARY, "texts": [CANARY]}), 422);
    refused(&json!({"texts": vec!["a"; 1001]}), 422);
    assert_eq!(refused(&json!({"texts": ["a", format!("{CANARY}\0")]}), 422)["at"], "texts[1]");
    assert_eq!(refused(&json!({"text": [CANARY]}), 422)["at"], "text");
    refused(&json!({"text": "a", CANARY: 1}), 422);
    let unknown = refused(&json!({"text": CANARY, "model": "no_such"}), 404);
    assert!(unknown["detail"].as_str().unwrap().contains("no_such"), "{unknown}");
    database.ask_errors_so_far();
}

#[test]
fn a_text_that_could_not_be_stored_is_not_scored_either() {
    let database = Database::new();
    let gateway = Gateway::start(&database);
    let (longest, longer) = ("ä".repeat(65_536), "ä".repeat(65_537));
    gateway.post("/v1/sentiment", &json!({"texts": ["good", longest]})).ok();
    let at = |path: &str, body: Value| gateway.post(path, &body).refused(422)["at"].clone();
    assert_eq!(at("/v1/sentiment", json!({"text": longer})), "text");
    assert_eq!(at("/v1/sentiment", json!({"texts": ["good", longer]})), "texts[1]");
    assert_eq!(at("/v1/explain", json!({"text": longer})), "text");
    assert_eq!(at("/v1/feedback", json!({"model": "a", "text": longer, "label": "b"})), "text");
}
