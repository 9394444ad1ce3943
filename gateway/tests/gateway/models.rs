//! The life of a model over HTTP.

use sentiment_tests::{CANARY, Database};
use serde_json::json;

use crate::harness::{Gateway, PATIENCE, agent};

const TICKETS: &str = "CREATE TABLE tickets AS
    SELECT (ARRAY['my invoice is wrong, please refund', 'the app crashes when I log in', 'thank you, works great now'])[n % 3 + 1]
               || ' ' || md5(n::text) AS body,
           (ARRAY['billing', 'bug', 'praise'])[n % 3 + 1] AS label
    FROM generate_series(1, 300) AS n";

#[test]
fn it_is_trained_taught_deployed_and_rolled_back() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    database.run(TICKETS);
    let shipped = gateway.get("/v1/models").ok();
    assert_eq!(shipped[0]["model_version"], "english@2");
    let training = json!({
        "source": "public.tickets", "text_column": "body", "label_column": "label", "algorithm": "naive_bayes",
    });
    let train = || gateway.post("/v1/models/tickets/train", &training).ok();
    let first = train();
    assert_eq!((&first["model_version"], &first["deployed"]), (&json!("tickets@1"), &json!(true)));
    assert_eq!(train()["model_version"], "tickets@2");
    let deploy = gateway.post("/v1/models/tickets/deploy", &json!({"version": 2})).ok();
    assert_eq!(deploy["model_version"], "tickets@2");
    let back = gateway.post_bytes("/v1/models/tickets/rollback", "application/json", b"").ok();
    assert_eq!(back["model_version"], "tickets@1");
    let text = "where can I see my subscription fee?";
    let message = gateway.post("/v1/messages", &json!({"source": "a", "body": text})).ok();
    for feedback in [
        json!({"model": "tickets", "text": text, "label": "billing"}),
        json!({"model": "tickets", "message": message["id"], "label": "billing"}),
    ] {
        let answer = gateway.post("/v1/feedback", &feedback);
        assert_eq!(answer.status, 204, "{answer:?}");
    }
    let refreshed = gateway.post_bytes("/v1/models/tickets/refresh", "application/json", b"").ok();
    assert_eq!(refreshed["rows_used"], 2);
    let scored = gateway.post("/v1/sentiment", &json!({"text": "subscription fee", "model": "tickets"})).ok();
    assert_eq!((&scored["label"], &scored["score"]), (&json!("billing"), &json!(null)));
    let models = gateway.get("/v1/models").ok();
    let tickets = models.as_array().unwrap().iter().find(|model| model["model"] == "tickets").unwrap();
    assert!(tickets["metrics"]["macro_f1"].as_f64().is_some(), "{tickets}");
}

#[test]
fn what_the_database_refuses_is_told_with_its_state() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    database.run(TICKETS);
    let train = |change: &[(&str, serde_json::Value)]| {
        let mut training =
            json!({"source": "public.tickets", "text_column": "body", "label_column": "label"});
        for (field, value) in change {
            training[*field] = value.clone();
        }
        gateway.post("/v1/models/tickets/train", &training)
    };
    for (change, status, state) in [
        (("source", json!("public.no_such")), 404, "42P01"),
        (("source", json!("\"")), 422, "42602"),
        (("text_column", json!("no_such")), 422, "42703"),
        (("algorithm", json!("no_such")), 422, "22023"),
        (("options", json!({"no_such": 1})), 422, "22023"),
        (("test_fraction", json!(7)), 422, "22023"),
        (("deploy", json!("no_such")), 422, "22023"),
    ] {
        assert_eq!(train(std::slice::from_ref(&change)).refused(status)["sqlstate"], state, "{change:?}");
    }
    let feedback = |body| gateway.post("/v1/feedback", &body);
    feedback(json!({"model": "english", "text": CANARY, "label": "positive"})).refused(409);
    feedback(json!({"model": "", "text": CANARY, "label": "positive"})).refused(422);
    feedback(json!({"model": "no_such", "message": 7, "label": "positive"})).refused(404);
    feedback(json!({"model": "no_such", "label": "positive"})).refused(422);
    gateway.post_bytes("/v1/models/no_such/rollback", "application/json", b"").refused(404);
    gateway.post("/v1/models/no_such/deploy", &json!({"version": 1})).refused(404);
    database.ask_errors_so_far();
}

/// A client that goes away takes its training with it.
#[test]
fn a_training_whose_client_goes_away_is_cancelled() {
    let mut database = Database::new();
    // Long enough, and with memory enough, that only a cancel ends it in time.
    let name = database.name().to_owned();
    database.run(&format!("ALTER DATABASE {name} SET sentiment.train_memory = '8GB'"));
    let gateway = Gateway::start(&database);
    database.run(
        "CREATE TABLE many AS SELECT md5(n::text) || ' ' || md5((n * 7)::text) || ' ' || md5((n * 3)::text) AS body,
             CASE n % 2 WHEN 0 THEN 'even' ELSE 'odd' END AS label FROM generate_series(1, 200000) AS n",
    );
    let training = json!({"source": "public.many", "text_column": "body", "label_column": "label", "algorithm": "random_forest",
        "options": {"trees": 1000}});
    let running =
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%train_sentiment%'
                   AND pid <> pg_backend_pid() AND datname = current_database()";
    let (url, bearer) = (gateway.url.clone(), gateway.bearer());
    let client = std::thread::spawn(move || {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(std::time::Duration::from_secs(3)))
            .build()
            .into();
        let request = agent.post(format!("{url}/v1/models/many/train")).header("authorization", bearer);
        request.content_type("application/json").send(training.to_string()).is_err()
    });
    let started = std::time::Instant::now();
    while database.value::<i64>(running) == 0 {
        assert!(started.elapsed() < PATIENCE, "the training does not begin");
    }
    assert!(client.join().unwrap(), "the client went away");
    let started = std::time::Instant::now();
    while database.value::<i64>(running) > 0 {
        assert!(started.elapsed() < PATIENCE, "the training goes on");
    }
    database.ask_errors_so_far();
    assert_eq!(database.logged(sentiment_tests::Level::Error, "57014"), 1);
    assert_eq!(agent().get(format!("{}/readyz", gateway.url)).call().unwrap().status(), 200);
}
