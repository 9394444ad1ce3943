//! What the command line and the environment say, taken together.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use sentiment_tests::{Database, repository};
use serde_json::json;
use ureq::http::Request;

use crate::harness::{Gateway, agent, await_count, run_clean};

/// As files of Compose and charts leave settings out.
#[test]
fn a_variable_that_is_empty_is_none() {
    let database = Database::new();
    let help = run_clean(&database, &["serve", "--help"]);
    let variables = help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next());
    let empty: Vec<(&str, &str)> =
        variables.filter(|name| *name != "DATABASE_URL").map(|name| (name, "")).collect();
    assert!(empty.len() > 15, "{empty:?}");
    run_clean(&database, &["migrate"]);
    let gateway = Gateway::among(&database, &[], &empty);
    gateway.post("/v1/messages", &json!({"source": "a", "body": "good"})).ok();
}

/// Else a service manager kills what serves as many as it may.
#[test]
fn probes_do_not_wait_behind_clients() {
    let database = Database::new();
    let gateway = Gateway::with(&database, &["--max-connections", "1", "--health-listen", "127.0.0.1:0"]);
    let line = gateway.await_log("saying how it is on ");
    let (_, health) = line.split_once("saying how it is on ").unwrap();
    let ask = |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(format!("{}{path}", health.trim()));
        agent().run(request.body(()).unwrap()).unwrap()
    };
    let _idle = TcpStream::connect(gateway.url.strip_prefix("http://").unwrap()).unwrap();
    let mut other = TcpStream::connect(gateway.url.strip_prefix("http://").unwrap()).unwrap();
    other.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    other.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(other.read(&mut [0]).is_err(), "there is a place left");
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(ask("GET", path).status(), 200, "{path}");
    }
    assert_eq!(ask("POST", "/healthz").status(), 405);
    for path in ["/", "/v1/messages", "/v1/models", "/docs/"] {
        assert_eq!(ask("GET", path).status(), 404, "{path}");
    }
}

/// An operator reckons with them: the server has so many, and a role may have fewer.
#[test]
fn connections_are_as_many_as_is_said_and_one_that_listens() {
    let mut database = Database::new();
    let gateway = Gateway::with(&database, &["--database-connections", "4"]);
    let mut locking = database.connect("postgres");
    let mut lock = locking.transaction().unwrap();
    lock.batch_execute("LOCK TABLE messages.external_id IN ACCESS EXCLUSIVE MODE").unwrap();
    let url = format!("{}/v1/messages", gateway.url);
    let posts: Vec<_> = (0..8)
        .map(|name| {
            let request =
                agent().post(&url).header("authorization", gateway.bearer()).content_type("application/json");
            let message = json!({"source": "a", "external_id": name.to_string(), "body": "good"}).to_string();
            std::thread::spawn(move || request.send(message).unwrap().status())
        })
        .collect();
    await_count(&mut database, "wait_event_type = 'Lock'", 4);
    await_count(&mut database, "true", 5);
    lock.rollback().unwrap();
    for post in posts {
        assert_eq!(post.join().unwrap(), 200);
    }
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let row = readme.lines().find(|line| line.starts_with("| `--database-connections`")).unwrap();
    assert!(row.contains("one more listens"), "{row}");
}

/// A failure is an increase only of what was counted before.
#[test]
fn what_may_go_wrong_with_kafka_and_x_is_counted_from_nothing() {
    let database = Database::new();
    let kafka = ["--kafka-brokers", "127.0.0.1:9", "--kafka-topics", "in", "--kafka-out-topic", "out"];
    let gateway = Gateway::with(
        &database,
        &[&kafka[..], &["--x-token", "a", "--x-url", "http://127.0.0.1:9"]].concat(),
    );
    let figures = gateway.get("/metrics").body;
    for counter in [
        r#"kafka_records_total{outcome="rejected"}"#,
        "kafka_sent_total",
        "kafka_too_large_total",
        "x_received_total",
        r#"x_skipped_total{reason="no text"}"#,
        r#"x_interrupted_total{reason="limited"}"#,
    ] {
        assert!(figures.contains(&format!("\nsentiment_gateway_{counter} 0\n")), "{counter}: {figures}");
    }
    let without = Gateway::beside(&database, &[]).get("/metrics").body;
    assert!(!without.contains("gateway_kafka") && !without.contains("gateway_x"), "{without}");
}
