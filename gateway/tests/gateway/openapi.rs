//! The API's description: complete, readable, and true.

use std::process::Command;

use sentiment_tests::{Database, repository, skip};

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
