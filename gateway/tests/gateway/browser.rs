//! A headless Chromium, driven over WebDriver.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use base64::Engine;
use serde_json::{Value, json};

use crate::harness::{PATIENCE, agent};

/// A browser with one page; it ends with this.
pub struct Browser {
    driver: Child,
    session: String,
}

impl Browser {
    /// Starts one whose user likes it dark or light; none where Chromium or its driver is not installed.
    pub fn start(dark: bool) -> Option<Browser> {
        let driver =
            Command::new("chromedriver").arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut driver = driver.ok()?;
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            Some(port.trim_end_matches('.').to_owned())
        });
        let scheme = format!("--blink-settings=preferredColorScheme={}", if dark { 0 } else { 1 });
        let options = json!({"args": [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
            "--disable-component-update", "--disable-default-apps", "--disable-sync", "--no-first-run",
            "--window-size=1280,1500", scheme,
        ]});
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let mut browser = Browser { driver, session: format!("http://127.0.0.1:{}", port.unwrap()) };
        let made = browser.post("/session", &wanted);
        browser.session = format!("{}/session/{}", browser.session, made["sessionId"].as_str().unwrap());
        Some(browser)
    }

    fn post(&self, command: &str, body: &Value) -> Value {
        let request = agent().post(format!("{}{command}", self.session)).content_type("application/json");
        let mut response = request.send(body.to_string()).unwrap();
        let answer = response.body_mut().with_config().limit(1 << 28).read_to_string().unwrap();
        assert_eq!(response.status(), 200, "{command}: {answer}");
        serde_json::from_str::<Value>(&answer).unwrap()["value"].clone()
    }

    pub fn open(&self, url: &str) {
        self.post("/url", &json!({"url": url}));
    }

    /// Runs a script in each page that is opened, before its own.
    pub fn run_first(&self, script: &str) {
        let command = "Page.addScriptToEvaluateOnNewDocument";
        self.post("/goog/cdp/execute", &json!({"cmd": command, "params": {"source": script}}));
    }

    /// Runs a script in the page; returns what it returns.
    pub fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until an expression is true.
    pub fn wait(&self, expression: &str) {
        let started = std::time::Instant::now();
        while self.run(&format!("return Boolean({expression})")) != true {
            assert!(started.elapsed() < PATIENCE, "never true: {expression}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Presses keys, as WebDriver writes them, wherever the focus is.
    pub fn press(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]
            })
            .collect();
        self.post("/actions", &json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]}));
    }

    /// What the page wrote to its console since the last time, warnings and worse.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.post("/se/log", &json!({"type": "browser"}));
        let bad = log
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| ["WARNING", "SEVERE"].iter().any(|bad| entry["level"] == *bad));
        bad.map(ToString::to_string).collect()
    }

    /// A picture of the page, as PNG.
    pub fn picture(&self) -> Vec<u8> {
        let response = agent().get(format!("{}/screenshot", self.session)).call().unwrap();
        let answer = response.into_body().with_config().limit(1 << 28).read_to_string().unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        base64::engine::general_purpose::STANDARD.decode(answer["value"].as_str().unwrap()).unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = agent().delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
