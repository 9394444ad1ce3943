//! What clients try: each gets a clear refusal, and nothing of it is stored or logged.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use sentiment_tests::{CANARY, Database};
use serde_json::{Value, json};

use crate::harness::{Answer, Gateway, PATIENCE, agent, run};

/// Sends bytes as they are and returns all that comes back.
fn raw(gateway: &Gateway, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(gateway.url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The gateway may refuse before it has read all.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn stored(database: &mut Database<'_>) -> i64 {
    database.value("SELECT count(*) FROM messages.message")
}

#[test]
fn bodies_that_are_no_request_are_refused() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    let post = |body: &[u8]| gateway.post_bytes("/v1/messages", "application/json", body);
    for malformed in [&b"{"[..], b"", b"nonsense", b"[] []", b"{\"source\":\"\xff\"}", b"[\"\xed\xa0\x80\"]"]
    {
        post(malformed).refused(400);
    }
    post(format!("[{}", "[".repeat(100_000)).as_bytes()).refused(422);
    for wrong in [
        json!({}),
        json!(7),
        json!({"source": 7, "body": CANARY}),
        json!({"source": "a", "body": null}),
        json!({"source": "a", "body": CANARY, "sent_at": CANARY}),
        json!({"source": "a", "body": CANARY, "id": 7}),
        json!({"source": "", "body": CANARY}),
        json!({"source": "a".repeat(501), "body": CANARY}),
        json!({"source": "a\0", "body": CANARY}),
        json!({"source": "a", "body": "a".repeat(65_537)}),
        json!([{"source": "a", "body": "a"}, CANARY]),
        json!([["a", null, null, CANARY, null]]),
    ] {
        let problem = gateway.post("/v1/messages", &wrong).refused(422);
        assert!(problem["detail"].as_str().unwrap().len() > 10, "{problem}");
    }
    gateway.post("/v1/sentiment", &json!([CANARY, null, null])).refused(422);
    // A lone surrogate has no UTF-8.
    post(br#"{"source":"a","body":"\ud800"}"#).refused(400);
    gateway.post_bytes("/v1/messages", "text/plain", b"{}").refused(415);
    assert_eq!(stored(&mut database), 0);
}

#[test]
fn sql_in_a_field_is_a_text_like_any_other() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    let sql = "'; DROP TABLE messages.message; --";
    let message = json!({"source": sql, "external_id": sql, "author": sql, "body": sql});
    gateway.post("/v1/messages", &message).ok();
    gateway.post("/v1/sentiment", &json!({"text": sql, "model": sql})).refused(404);
    for operation in ["train", "refresh", "rollback"] {
        let body = json!({"source": sql, "text_column": sql, "label_column": sql});
        let path = format!("/v1/models/%27%3B%20DROP%20TABLE%20messages.message%3B--/{operation}");
        let answer = if operation == "train" {
            gateway.post(&path, &body)
        } else {
            gateway.post_bytes(&path, "application/json", b"")
        };
        assert!((400..500).contains(&answer.status), "{operation}: {answer:?}");
    }
    let page = gateway.get("/v1/messages?source=%27%3B%20DROP%20TABLE%20messages.message%3B%20--").ok();
    assert_eq!(page["messages"][0]["author"], sql);
    database.ask_errors_so_far();
}

#[test]
fn large_bodies_are_refused_before_they_are_read() {
    let mut database = Database::new();
    let gateway = Gateway::with(&database, &["--max-body", "100000"]);
    let head = |length: &str| {
        format!(
            "POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: application/json\r\n{length}\r\n\r\n",
            gateway.bearer()
        )
    };
    let announced = raw(&gateway, head("connection: close\r\ncontent-length: 100000000").as_bytes());
    assert!(
        announced.starts_with("HTTP/1.1 413") && announced.contains("application/problem+json"),
        "{announced}"
    );
    let mut chunks = head("connection: close\r\ntransfer-encoding: chunked").into_bytes();
    for _ in 0..20 {
        chunks.extend(format!("{:x}\r\n{}\r\n", 10_000, " ".repeat(10_000)).bytes());
    }
    let unannounced = raw(&gateway, &chunks);
    assert!(unannounced.starts_with("HTTP/1.1 413"), "{unannounced}");
    assert_eq!(stored(&mut database), 0);
}

/// Most clients look for an answer once all is sent. What is sent without an end is not read on all the same.
#[test]
fn who_is_refused_while_it_sends_is_told() {
    let database = Database::new();
    let gateway = Gateway::with(&database, &["--max-body", "1000000", "--max-bodies", "8000000"]);
    let send = |authorization: &str, length: usize| {
        let mut stream = TcpStream::connect(gateway.url.strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "POST /v1/messages HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{authorization}\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(&vec![b' '; length])?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    let key = format!("authorization: {}\r\n", gateway.bearer());
    for (authorization, length, status) in [("", 7_000_000, 401), (&key, 7_000_000, 413)] {
        let answer = send(authorization, length).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    assert!(send("", 100_000_000).is_err());
}

/// Bodies that are there in part, and wait for their rest, take room from others, and give it back.
#[test]
fn all_bodies_together_have_a_limit() {
    let database = Database::new();
    let gateway = Gateway::with(&database, &["--max-body", "200000", "--max-bodies", "300000"]);
    let slow: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = TcpStream::connect(gateway.url.strip_prefix("http://").unwrap()).unwrap();
            let head = format!(
                "POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: application/json\r\n\
                 content-length: 200000\r\n\r\n",
                gateway.bearer()
            );
            stream.write_all(&[head.as_bytes(), &[b' '; 140_000]].concat()).unwrap();
            stream
        })
        .collect();
    // Else what comes beside them may get the room of the second.
    std::thread::sleep(Duration::from_millis(500));
    let body = format!(r#"{{"source": "a", "body": "good"{}}}"#, " ".repeat(100_000));
    let refused = (0..50)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(20));
            gateway.post_bytes("/v1/messages", "application/json", body.as_bytes())
        })
        .find(|answer| answer.status >= 300)
        .expect("all were taken");
    assert_eq!(refused.status, 503, "{refused:?}");
    gateway.post("/v1/sentiment", &json!({"text": "good"})).ok();
    drop(slow);
    let started = std::time::Instant::now();
    while gateway.post_bytes("/v1/messages", "application/json", body.as_bytes()).status >= 300 {
        assert!(started.elapsed() < PATIENCE, "room is not given back");
    }
}

/// So have answers that clients do not take: each could be of megabytes, and there may be a thousand.
#[test]
fn answers_that_are_not_taken_have_a_limit() {
    let mut database = Database::new();
    let gateway = Gateway::start(&database);
    database.run("INSERT INTO messages.message (source, body) VALUES ('a', repeat('good ', 10000000))");
    let page = || gateway.get("/v1/messages");
    assert_eq!(page().ok()["messages"][0]["body"].as_str().unwrap().len(), 50_000_000);
    let slow: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = TcpStream::connect(gateway.url.strip_prefix("http://").unwrap()).unwrap();
            let head = format!(
                "GET /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\n\r\n",
                gateway.bearer()
            );
            stream.write_all(head.as_bytes()).unwrap();
            let mut start = [0; 12];
            stream.read_exact(&mut start).unwrap();
            (String::from_utf8(start.to_vec()).unwrap(), stream)
        })
        .collect();
    assert_eq!([slow[0].0.as_str(), slow[1].0.as_str()], ["HTTP/1.1 200", "HTTP/1.1 503"]);
    page().refused(503);
    gateway.post("/v1/messages", &json!({"source": "a", "body": "good"})).ok();
    drop(slow);
    let started = std::time::Instant::now();
    while page().status >= 300 {
        assert!(started.elapsed() < PATIENCE, "room is not given back");
    }
}

/// What comes after one too many is not read: millions of them would take memory.
#[test]
fn an_array_is_read_to_its_limit() {
    let database = Database::new();
    let gateway = Gateway::start(&database);
    let post = |path: &str, body: String| gateway.post_bytes(path, "application/json", body.as_bytes());
    let message = r#"{"source":"a","body":""},"#;
    post("/v1/messages", format!("[{}...", message.repeat(10_001))).refused(413);
    post("/v1/messages", format!("[{}...", message.repeat(10_000))).refused(400);
    let texts = post("/v1/sentiment", format!(r#"{{"texts":[{}..."#, r#""","#.repeat(1_001))).refused(422);
    assert_eq!(texts["at"], "texts");
    let options = format!(r#"{{"options":{{"a":[{}1]}}}}"#, "1,".repeat(33_000));
    post("/v1/models/tickets/train", options).refused(413);
}

#[test]
fn packed_bodies_are_refused_as_such() {
    let database = Database::new();
    let gateway = Gateway::start(&database);
    let send = |coding: &str| {
        let request = agent().post(format!("{}/v1/sentiment", gateway.url));
        let request = request.header("authorization", gateway.bearer()).header("content-encoding", coding);
        request.content_type("application/json").send(r#"{"text":"good"}"#).unwrap()
    };
    let packed = send("gzip");
    assert_eq!(packed.headers()["accept-encoding"], "identity");
    Answer::from(packed).refused(415);
    Answer::from(send("identity")).ok();
    let other = gateway.post_bytes("/v1/sentiment", "text/plain", b"{}");
    other.refused(415);
}

/// Anyone can have these without end.
#[test]
fn what_strangers_are_refused_is_no_news() {
    let database = Database::new();
    let gateway = Gateway::with(&database, &["--rate-limit", "1"]);
    let ask = || agent().get(format!("{}/v1/models", gateway.url)).call().unwrap().status();
    let statuses = [ask(), ask()];
    assert!(statuses[0] == 401 && statuses[1] == 429, "{statuses:?}");
    for status in ["status=401", "status=429"] {
        let line = gateway.await_log(status);
        assert!(line.contains("DEBUG"), "{line}");
    }
}

#[test]
fn slow_heads_and_bodies_are_cut_off() {
    let database = Database::new();
    let gateway = Gateway::with(&database, &["--header-timeout", "1s", "--body-timeout", "1s"]);
    // Each waits for the gateway's end of the connection, however long a client would wait.
    let head = raw(&gateway, b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ");
    assert!(!head.contains("200 OK"), "{head}");
    let body = raw(
        &gateway,
        format!(
            "POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-type: application/json\r\n\
             content-length: 100\r\n\r\n{{\"source\":",
            gateway.bearer()
        )
        .as_bytes(),
    );
    assert!(body.starts_with("HTTP/1.1 408") && body.contains("application/problem+json"), "{body}");
    gateway.get("/healthz");
}

#[test]
fn connections_over_the_limit_wait_for_others_to_end() {
    let database = Database::new();
    let gateway = Gateway::with(&database, &["--max-connections", "4", "--header-timeout", "1s"]);
    let address = gateway.url.strip_prefix("http://").unwrap();
    let idle: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(address).unwrap()).collect();
    assert_eq!(gateway.get("/healthz").status, 200);
    drop(idle);
}

/// A failure is an increase only of what was counted before.
#[test]
fn what_may_go_wrong_is_counted_from_nothing() {
    let database = Database::new();
    let gateway = Gateway::start(&database);
    let figures = gateway.get("/metrics").body;
    for counter in [
        "streams_dropped_total",
        "rate_limited_total",
        "bodies_refused_total",
        r#"messages_failed_total{way="rest"}"#,
    ] {
        assert!(figures.contains(&format!("\nsentiment_gateway_{counter} 0\n")), "{counter}: {figures}");
    }
    assert!(!figures.contains(r#"way="sms""#), "{figures}");
}

#[test]
fn requests_that_come_too_fast_are_refused_with_a_time_to_wait() {
    let database = Database::new();
    let gateway = Gateway::with(&database, &["--rate-limit", "5"]);
    let agent = agent();
    let ask = || {
        let request =
            agent.get(format!("{}/v1/models", gateway.url)).header("authorization", gateway.bearer());
        request.call().unwrap()
    };
    let refused = (0..50).map(|_| ask()).find(|response| response.status() == 429).expect("a refusal");
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    Answer::from(refused).refused(429);
    std::thread::sleep(Duration::from_secs(wait));
    Answer::from(ask()).ok();
}

#[test]
fn paths_and_methods_that_are_not_there_are_refused_in_problem_json() {
    let database = Database::new();
    let gateway = Gateway::start(&database);
    gateway.get("/nothing").refused(404);
    gateway.get("/v1/models/%FF/train").refused(400);
    let response = agent().delete(format!("{}/v1/messages", gateway.url)).call().unwrap();
    let allow = response.headers()["allow"].to_str().unwrap().to_owned();
    Answer::from(response).refused(405);
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
}

#[test]
fn no_origin_is_allowed_unless_it_is_named() {
    let database = Database::new();
    let gateway = Gateway::start(&database);
    let ask = |gateway: &Gateway| {
        let request = agent().get(format!("{}/healthz", gateway.url)).header("origin", "https://example.org");
        let response = request.call().unwrap();
        let allowed = response.headers().get("access-control-allow-origin").cloned();
        if allowed.is_some() {
            assert_eq!(response.headers()["access-control-expose-headers"], "retry-after");
        }
        allowed.map(|origin| origin.to_str().unwrap().to_owned())
    };
    assert_eq!(ask(&gateway), None);
    let open = Gateway::beside(&database, &["--cors-origins", "https://example.net, https://example.org"]);
    assert_eq!(ask(&open).as_deref(), Some("https://example.org"));
    let any = Gateway::beside(&database, &["--cors-origins", "*"]);
    assert_eq!(ask(&any).as_deref(), Some("*"));
    // A page is told of what is refused before it comes to a route, too.
    let packed = agent().post(format!("{}/v1/sentiment", any.url)).header("content-encoding", "gzip");
    let packed = packed.header("origin", "https://example.org").send("{}").unwrap();
    assert_eq!(packed.status(), 415);
    assert_eq!(packed.headers()["access-control-allow-origin"], "*");
    assert_eq!(packed.headers()["x-content-type-options"], "nosniff");
    // What a browser asks first is a request too.
    let asked = agent().options(format!("{}/v1/sentiment", any.url)).header("origin", "https://example.org");
    let asked = asked.header("access-control-request-method", "POST").call().unwrap();
    assert_eq!(asked.headers()["access-control-allow-methods"], "GET,POST");
    let figures = any.get("/metrics").body;
    let counted =
        r#"sentiment_gateway_requests_total{method="OPTIONS",route="/v1/sentiment",status="200"} 1"#;
    assert!(figures.contains(counted), "{figures}");
    // Once, and once alone.
    assert!(
        figures.contains(r#"requests_total{method="POST",route="/v1/sentiment",status="415"} 1"#),
        "{figures}"
    );
    let both =
        run(&database, &["serve", "--listen", "127.0.0.1:0", "--cors-origins", "*,https://example.org"]);
    let errors = String::from_utf8_lossy(&both.stderr).into_owned();
    assert!(!both.status.success() && errors.contains("stands alone") && !errors.contains("bug"), "{errors}");
}

/// Requests in progress end well when the gateway is told to end: what was answered is stored, and what was not can be
/// sent again.
#[test]
fn ending_loses_nothing() {
    let mut database = Database::new();
    let mut gateway = Gateway::start(&database);
    let (url, bearer) = (gateway.url.clone(), gateway.bearer());
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let (url, bearer) = (url.clone(), bearer.clone());
            std::thread::spawn(move || {
                let mut stored = 0;
                for round in 0.. {
                    let message = |n: usize| json!({"source": "a", "external_id": format!("{client} {round} {n}"), "body": "good"});
                    let batch: Vec<Value> = (0..200).map(message).collect();
                    let request = agent().post(format!("{url}/v1/messages")).header("authorization", &bearer);
                    match request.content_type("application/json").send(json!(batch).to_string()) {
                        Ok(response) if response.status() == 200 => stored += i64::try_from(batch.len()).unwrap(),
                        // A request that was not taken, or not answered, has no part in the count.
                        _ => break,
                    }
                }
                stored
            })
        })
        .collect();
    while stored(&mut database) < 2000 {}
    gateway.signal("-TERM");
    assert!(gateway.ends());
    let answered: i64 = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert!(answered > 0);
    assert_eq!(stored(&mut database), answered);
}

#[test]
fn what_is_wrong_with_the_settings_is_said_at_once() {
    let database = Database::new();
    let gateway = Gateway::start(&database);
    let address = gateway.url.strip_prefix("http://").unwrap();
    let refused = |arguments: &[&str]| {
        let output = run(&database, &[&["serve"], arguments].concat());
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let taken = refused(&["--listen", address]);
    assert!(taken.contains(&format!("cannot listen on {address}: Address already in use")), "{taken}");
    let loud = refused(&["--listen", address, "--log", "warning"]);
    assert!(loud.contains("off, error, warn, info"), "{loud}");
    let url = refused(&["--listen", address, "--sms-auth-token", "12345", "--public-url", ""]);
    assert!(url.contains("SENTIMENT_PUBLIC_URL is no URL"), "{url}");
    let kafka = ["--kafka-brokers", "127.0.0.1:9", "--kafka-topics", "a", "--kafka-consumers", "9"];
    let consumers = refused(&[&["--listen", address], &kafka[..]].concat());
    assert!(consumers.contains("over half of --database-connections"), "{consumers}");
}
