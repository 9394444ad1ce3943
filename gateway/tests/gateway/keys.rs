//! Keys: who may do what, for how long.

use sentiment_tests::Database;
use serde_json::json;

use crate::harness::{Answer, Gateway, PATIENCE, agent, run, run_clean};

fn get(gateway: &Gateway, path: &str, authorization: Option<&str>) -> Answer {
    let mut request = agent().get(format!("{}{path}", gateway.url));
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    Answer::from(request.call().unwrap())
}

fn post(gateway: &Gateway, path: &str, key: &str) -> Answer {
    let request =
        agent().post(format!("{}{path}", gateway.url)).header("authorization", format!("Bearer {key}"));
    let body = json!({"source": "a", "body": "b", "version": 1});
    Answer::from(request.content_type("application/json").send(body.to_string()).unwrap())
}

#[test]
fn a_key_is_needed_and_has_to_be_good() {
    let database = Database::new();
    let gateway = Gateway::start(&database);
    for bad in [None, Some("Bearer sgk_no"), Some("Bearer "), Some("Basic YTpi"), Some("\u{7f}")] {
        if bad.is_none_or(|bad| !bad.contains('\u{7f}')) {
            get(&gateway, "/v1/models", bad).refused(401);
        }
    }
    get(&gateway, "/v1/models", Some(&format!("bearer {}", gateway.key))).ok();
    for open in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(get(&gateway, open, None).status, 200, "{open}");
    }
}

#[test]
fn scopes_include_those_before_them() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    let key =
        |scope: &str| run_clean(&database, &["key", "create", "a", "--scopes", scope]).trim().to_owned();
    let (read, write) = (key("read"), key("write"));
    for key in [&read, &write] {
        get(&gateway, "/v1/models", Some(&format!("Bearer {key}"))).ok();
    }
    post(&gateway, "/v1/messages", &read).refused(403);
    // It gets as far as to be refused for its body.
    post(&gateway, "/v1/messages", &write).refused(422);
    post(&gateway, "/v1/models/english/deploy", &write).refused(403);
    post(&gateway, "/v1/models/english/deploy", &gateway.key).refused(422);
    let hashes = "SELECT count(*) FROM messages.api_key WHERE length(hash) = 32 AND NOT to_jsonb(api_key)::text ~ 'sgk_'";
    assert_eq!(database.value::<i64>(hashes), 3, "keys are kept as hashes");
}

#[test]
fn a_revoked_key_ends_at_once_and_an_expired_one_in_time() {
    let database = Database::new();
    let gateway = Gateway::start(&database);
    let key = run_clean(&database, &["key", "create", "short", "--expires-in", "3s"]);
    let bearer = format!("Bearer {}", key.trim());
    get(&gateway, "/v1/models", Some(&bearer)).ok();
    std::thread::sleep(std::time::Duration::from_secs(3));
    let problem = get(&gateway, "/v1/models", Some(&bearer)).refused(401);
    assert_eq!(problem["detail"], "this key has expired");
    let key = run_clean(&database, &["key", "create", "lost"]);
    let bearer = format!("Bearer {}", key.trim());
    get(&gateway, "/v1/models", Some(&bearer)).ok();
    let list = run_clean(&database, &["key", "list"]);
    let id =
        list.lines().find(|line| line.contains("\tlost\t")).unwrap().split('\t').next().unwrap().to_owned();
    run_clean(&database, &["key", "revoke", &id]);
    let started = std::time::Instant::now();
    while get(&gateway, "/v1/models", Some(&bearer)).status == 200 {
        assert!(started.elapsed() < PATIENCE, "a revoked key works on");
    }
    assert!(!run(&database, &["key", "revoke", &id]).status.success(), "it cannot be revoked twice");
}

#[test]
fn what_is_public_needs_no_key() {
    let database = Database::new();
    let gateway = Gateway::with(&database, &["--public-scopes", "read"]);
    get(&gateway, "/v1/models", None).ok();
    get(&gateway, "/v1/models", Some("Bearer sgk_no")).refused(401);
    let request = agent().post(format!("{}/v1/messages", gateway.url)).content_type("application/json");
    Answer::from(request.send("{}").unwrap()).refused(401);
}
