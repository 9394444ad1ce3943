//! A gateway of a test's own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use sentiment_tests::{CANARY, Database};
use serde_json::Value;
use ureq::Agent;
use ureq::http::Response;

/// How long anything may take before a test gives it up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The program, aimed at a database.
pub fn program(database: &Database<'_>, user: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_sentiment-gateway"));
    let url = format!("host={} port=5432 user={user} dbname={}", database.server().socket(), database.name());
    program.env("DATABASE_URL", url).stdin(Stdio::null());
    program
}

/// Runs a command of the program to its end.
pub fn run(database: &Database<'_>, arguments: &[&str]) -> Output {
    program(database, "postgres").args(arguments).output().unwrap()
}

/// Runs a command that has to succeed; returns its standard output.
pub fn run_clean(database: &Database<'_>, arguments: &[&str]) -> String {
    let output = run(database, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a process has logged so far, and whether it has stopped logging.
#[derive(Default)]
struct Log {
    text: Mutex<(String, bool)>,
    grown: Condvar,
}

/// A gateway that serves. Dropping it ends it as a service manager does, and fails the test if it does not end well or has
/// logged a text.
pub struct Gateway {
    process: Child,
    log: Arc<Log>,
    /// `http://127.0.0.1:PORT`
    pub url: String,
    /// A key for everything.
    pub key: String,
}

impl Gateway {
    /// A gateway on a database with its schema, made for it.
    pub fn start(database: &Database<'_>) -> Gateway {
        Gateway::with(database, &[])
    }

    /// The same, with further arguments.
    pub fn with(database: &Database<'_>, arguments: &[&str]) -> Gateway {
        run_clean(database, &["migrate"]);
        Gateway::beside(database, arguments)
    }

    /// A gateway on a database that has the schema.
    pub fn beside(database: &Database<'_>, arguments: &[&str]) -> Gateway {
        Gateway::among(database, arguments, &[])
    }

    /// The same, with further variables.
    pub fn among(database: &Database<'_>, arguments: &[&str], variables: &[(&str, &str)]) -> Gateway {
        let key = run_clean(database, &["key", "create", "test", "--scopes", "admin"]).trim().to_owned();
        let mut serve = program(database, "postgres");
        serve.args(["serve", "--listen", "127.0.0.1:0", "--log", "debug"]).args(arguments);
        serve.envs(variables.iter().copied());
        let mut process = serve.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Log::default());
        let (errors, reader) = (process.stderr.take().unwrap(), log.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                reader.text.lock().unwrap().0.extend([&line, "\n"]);
                reader.grown.notify_all();
            }
            reader.text.lock().unwrap().1 = true;
            reader.grown.notify_all();
        });
        let mut gateway = Gateway { process, log, url: String::new(), key };
        let line = gateway.await_log("listening on ");
        let (_, url) = line.split_once("listening on ").unwrap();
        gateway.url = url.trim().to_owned();
        gateway
    }

    /// Waits until a line with these words is logged, and returns the first such line.
    pub fn await_log(&self, words: &str) -> String {
        let found = |text: &str| text.lines().find(|line| line.contains(words)).map(str::to_owned);
        let log = self.log.text.lock().unwrap();
        let waiting = |log: &mut (String, bool)| found(&log.0).is_none() && !log.1;
        let (log, _) = self.log.grown.wait_timeout_while(log, PATIENCE, waiting).unwrap();
        found(&log.0).unwrap_or_else(|| panic!("{words:?} is not in the gateway's log:\n{}", log.0))
    }

    /// All that was logged so far.
    pub fn log(&self) -> String {
        self.log.text.lock().unwrap().0.clone()
    }

    /// The gateway's process number.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: &str) {
        sentiment_tests::run_clean(Command::new("kill").args([signal, &self.pid().to_string()]));
    }

    /// Waits for the process to end; whether it ended well.
    pub fn ends(&mut self) -> bool {
        self.process.wait().unwrap().success()
    }

    /// GET with the key.
    pub fn get(&self, path: &str) -> Answer {
        let request = agent().get(format!("{}{path}", self.url)).header("authorization", &self.bearer());
        Answer::from(request.call().unwrap())
    }

    /// POST of JSON with the key.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_bytes(path, "application/json", body.to_string().as_bytes())
    }

    /// POST of anything with the key.
    pub fn post_bytes(&self, path: &str, kind: &str, body: &[u8]) -> Answer {
        let request = agent().post(format!("{}{path}", self.url)).header("authorization", &self.bearer());
        Answer::from(request.content_type(kind).send(body).unwrap())
    }

    /// What the header Authorization holds.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.key)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.process.kill();
            let _ = self.process.wait();
            sentiment_tests::note(&format!("the gateway's log, where a test failed:\n{}", self.log()));
            return;
        }
        if self.process.try_wait().unwrap().is_none() {
            self.signal("-TERM");
            assert!(self.ends(), "the gateway does not end well:\n{}", self.log());
        }
        let log = self.log();
        assert!(!log.contains(CANARY), "a text is in the gateway's log:\n{log}");
        assert!(!log.contains("bug of the gateway"), "{log}");
    }
}

/// A client that takes statuses as they come, and connections of its own.
pub fn agent() -> Agent {
    Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build().into()
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub kind: String,
    pub body: String,
}

impl From<Response<ureq::Body>> for Answer {
    fn from(mut response: Response<ureq::Body>) -> Answer {
        let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        let body = response.body_mut().with_config().limit(1 << 30).read_to_string().unwrap();
        Answer { status: response.status().as_u16(), kind: kind.unwrap_or_default(), body }
    }
}

impl Answer {
    /// The JSON of a success.
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }

    /// Asserts that this is a refusal in problem+json that repeats no text; returns it.
    pub fn refused(&self, status: u16) -> Value {
        assert_eq!((self.status, self.kind.as_str()), (status, "application/problem+json"), "{self:?}");
        assert!(!self.body.contains(CANARY), "{self:?}");
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["status"], status, "{self:?}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{self:?}");
        problem
    }
}

/// Waits until so many of the gateway's sessions are in a state: for less than a statement may take, which would end it too, and for more
/// than the server takes to see that nobody is there.
pub fn await_count(database: &mut Database<'_>, state: &str, count: i64) {
    let sessions = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE application_name = 'sentiment-gateway' AND datname = current_database() AND {state}"
    );
    let started = Instant::now();
    while database.value::<i64>(&sessions) != count {
        assert!(started.elapsed() < PATIENCE / 3, "never {count} where {state}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
