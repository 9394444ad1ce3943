//! `make demo-gateway`'s script: the page is there, messages flow, and nothing is left of it.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use sentiment_tests::{repository, run_clean};
use serde_json::Value;

use crate::harness::{PATIENCE, agent};

#[test]
fn messages_flow_until_it_is_ended() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dir = format!("{}/demo-gateway-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    // Whoever runs the tests in the background ignores SIGINT, and what he runs inherits that.
    let mut demo = Command::new("env");
    demo.arg("--default-signal=INT").arg(repository().join("demo/gateway"));
    demo.arg(&dir).env("GATEWAY", env!("CARGO_BIN_EXE_sentiment-gateway")).env("PAUSE", "0");
    demo.env("LISTEN", format!("127.0.0.1:{port}")).env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    // A group of its own, as a terminal makes one: Ctrl-C is sent to all of it.
    let mut demo = demo.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0).spawn().unwrap();
    let lines = BufReader::new(demo.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said: Vec<String> = lines.take_while(|line| !line.starts_with("Messages flow")).collect();
    assert!(said.iter().any(|line| line.contains(&format!("http://127.0.0.1:{port}/"))), "{said:?}");
    let started = std::time::Instant::now();
    loop {
        let mut page = agent().get(format!("http://127.0.0.1:{port}/v1/messages")).call().unwrap();
        let page: Value = serde_json::from_str(&page.body_mut().read_to_string().unwrap()).unwrap();
        let messages = page["messages"].as_array().unwrap();
        if messages.len() > 3 {
            assert!(messages.iter().all(|message| message["label"].is_string()), "{page}");
            break;
        }
        assert!(started.elapsed() < PATIENCE, "no message comes");
    }
    // Another one stays away from the first one's address and server.
    let second = Command::new(repository().join("demo/gateway"))
        .arg(&dir)
        .env("LISTEN", format!("127.0.0.1:{port}"))
        .output()
        .unwrap();
    let reason = format!("something listens on 127.0.0.1:{port} already");
    assert!(
        !second.status.success() && String::from_utf8_lossy(&second.stderr).contains(&reason),
        "{second:?}"
    );
    agent().get(format!("http://127.0.0.1:{port}/readyz")).call().unwrap();
    run_clean(Command::new("kill").args(["-INT", "--", &format!("-{}", demo.id())]));
    assert!(demo.wait().unwrap().success());
    let started = std::time::Instant::now();
    while std::path::Path::new(&dir).exists() {
        assert!(started.elapsed() < PATIENCE, "{dir} is still there");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
