//! The API's description: complete, readable, and true.

use std::process::Command;

use sentiment_tests::{Database, repository, skip};
use serde_json::json;

use crate::harness::{Gateway, agent};

#[test]
fn it_describes_every_endpoint_and_can_be_read() {
    let database = Database::new();
    let gateway = Gateway::with(&database, &["--sms-auth-token", "a", "--public-url", "https://example.org"]);
    let document = gateway.get("/openapi.json").ok();
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    for path in &paths {
        // The table of endpoints has the operations of a model in one row.
        let (_, name) = path.rsplit_once('/').unwrap();
        assert!(readme.contains(&format!("{path}`")) || readme.contains(&format!("`/{name}`")), "{path}");
    }
    assert!(paths.len() >= 15, "{paths:?}");
    let page = agent().get(format!("{}/docs/", gateway.url)).call().unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    gateway.get("/docs/none").refused(404);
}

/// Clients are made from these words: what they say of values is what the gateway takes and answers.
#[test]
fn what_it_says_of_values_holds() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    database.run(
        "CREATE TABLE stars AS SELECT (ARRAY['awful', 'so so', 'great'])[n % 3 + 1] || ' ' || md5(n::text) AS body,
             (ARRAY['1', '3', '5'])[n % 3 + 1] AS label FROM generate_series(1, 300) AS n",
    );
    let document = gateway.get("/openapi.json").ok();
    let schema =
        |name: &str, field: &str| document["components"]["schemas"][name]["properties"][field].clone();
    let says = |name: &str, field: &str| schema(name, field)["description"].as_str().unwrap().to_owned();
    let train = |test_fraction: f64| {
        let options = json!({"label_scores": {"1": 1, "3": 3, "5": 5}});
        let training = json!({"source": "stars", "text_column": "body", "label_column": "label", "deploy": "never",
            "options": options, "test_fraction": test_fraction});
        gateway.post("/v1/models/stars/train", &training)
    };
    let fraction = schema("Training", "test_fraction");
    assert_eq!((&fraction["exclusiveMinimum"], &fraction["exclusiveMaximum"]), (&json!(0), &json!(1)));
    for bad in [0.0, 1.0] {
        train(bad).refused(422);
    }
    database.ask_errors_so_far();
    train(0.95).ok();
    let models = gateway.get("/v1/models").ok();
    let stars = models.as_array().unwrap().iter().find(|model| model["model"] == "stars").unwrap();
    assert_eq!((&stars["model_version"], &stars["rows_train"].is_null()), (&json!(null), &false));
    assert!(says("Model", "model_version").contains("null if none does"));
    let blank = gateway.post("/v1/sentiment", &json!({"text": " "})).ok();
    assert!(blank.as_object().unwrap().values().all(serde_json::Value::is_null), "{blank}");
    assert!(says("Sentiment", "label").contains("null, as all else,"));
    let great = gateway.post("/v1/sentiment", &json!({"text": "great", "model": "stars@1"})).ok();
    assert!(great["score"].as_f64().unwrap() > 1.0, "{great}");
    assert!(says("Sentiment", "score").contains("where the labels are positive, neutral and negative"));
    let explained = gateway.post("/v1/explain", &json!({"text": "GREAT!!!", "top_k": 100})).ok();
    let terms = explained["terms"].as_array().unwrap();
    assert!(terms.iter().any(|term| term["term"] == "(shouting)" && term["start"].is_null()), "{explained}");
    assert!(says("Term", "start").contains("the text as a whole"));
}

#[test]
fn it_is_true() {
    if std::env::var_os("SCHEMATHESIS").is_none() {
        return skip("the check of the OpenAPI document (make test-gateway)");
    }
    let mut database = Database::new();
    let gateway = Gateway::with(&database, &["--rate-limit", "0"]);
    database
        .run("INSERT INTO messages.message (source, body) SELECT 'a', 'good' FROM generate_series(1, 300)");
    let mut check = Command::new(repository().join("gateway/tests/schemathesis"));
    let output = check.args([&gateway.url, &gateway.key]).output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}\n{}", String::from_utf8_lossy(&output.stderr));
    database.ask_errors_so_far();
}
