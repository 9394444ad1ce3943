//! X as its documentation has it: the filtered stream and its rules, over real TCP, failures included.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::PATIENCE;

/// The token that is taken.
pub const TOKEN: &str = "AAAAbearerOfTheTests";
/// How often the stream says that it is there.
const ALIVE: Duration = Duration::from_millis(50);
/// The most rules of a page.
const PAGE: usize = 2;

/// How a request for the stream is answered.
pub enum Scene {
    /// With a status, headers and a body
    Refusal(u16, Vec<(&'static str, String)>, Value),
    /// With these chunks, and then so
    Chunks(Vec<Vec<u8>>, End),
}

/// How a stream goes on after its chunks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It ends in order
    Close,
    /// Its connection is reset
    Reset,
    /// Nothing more comes
    Silence,
    /// Posts come as they are published
    Live,
}

/// A request, as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub line: String,
    pub at: f64,
}

#[derive(Default)]
struct State {
    scenes: VecDeque<Scene>,
    rules: Vec<Value>,
    /// Whether each page of rules says that it itself comes next.
    goes_round: bool,
    made: u64,
    posts: Vec<String>,
    requests: Vec<Request>,
    open: usize,
    /// How many posts were sent on live streams.
    sent: usize,
}

/// The service. It lives until the test's process ends.
#[derive(Clone)]
pub struct Service {
    state: Arc<(Mutex<State>, Condvar)>,
    pub url: String,
}

impl Service {
    pub fn start() -> Service {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = Service { state: Arc::default(), url };
        let serving = service.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let service = serving.clone();
                // However a client leaves is its own affair.
                std::thread::spawn(move || drop(service.answer(stream)));
            }
        });
        service
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state());
        self.state.1.notify_all();
        changed
    }

    fn wait(&self, what: &str, until: impl Fn(&State) -> bool) {
        let (state, waited) =
            self.state.1.wait_timeout_while(self.state(), PATIENCE, |state| !until(state)).unwrap();
        drop(state);
        assert!(!waited.timed_out(), "{what} does not come; asked for was: {:#?}", self.requests());
    }

    /// How the next requests for the stream are answered; all after them are live.
    pub fn scenes(&self, scenes: impl IntoIterator<Item = Scene>) {
        self.change(|state| state.scenes.extend(scenes));
    }

    /// A rule that is there already.
    pub fn has_rule(&self, value: &str, tag: &str) {
        self.change(|state| state.add(value, tag));
    }

    /// From now on the pages of rules have no end.
    pub fn goes_round(&self) {
        self.change(|state| state.goes_round = true);
    }

    /// The rules, as value and tag.
    pub fn rules(&self) -> Vec<(String, String)> {
        let part = |rule: &Value, name: &str| rule[name].as_str().unwrap().to_owned();
        self.state().rules.iter().map(|rule| (part(rule, "value"), part(rule, "tag"))).collect()
    }

    /// Publishes posts: whoever reads a live stream gets them; who does not, only by backfill.
    pub fn publish(&self, posts: impl IntoIterator<Item = Value>) {
        self.change(|state| state.posts.extend(posts.into_iter().map(|post| post.to_string())));
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// Those for the stream.
    pub fn streams(&self) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.line.starts_with(STREAM)).collect()
    }

    /// Waits until a live stream is open.
    pub fn await_open(&self) {
        self.wait("a stream", |state| state.open > 0);
    }

    /// Waits until so many posts were sent on live streams, those that were sent again included.
    pub fn await_sent(&self, posts: usize) {
        self.wait("a post", |state| state.sent >= posts);
    }

    fn answer(&self, mut client: TcpStream) -> std::io::Result<()> {
        let (head, body) = read(&mut client)?;
        let line = head.lines().next().unwrap_or_default().to_owned();
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        self.change(|state| state.requests.push(Request { line: line.clone(), at }));
        if !head.lines().any(|line| line.eq_ignore_ascii_case(&format!("authorization: Bearer {TOKEN}"))) {
            let refusal = json!({"title": "Unauthorized", "type": "about:blank", "status": 401, "detail": "Unauthorized"});
            return refuse(&mut client, 401, &[], &refusal);
        }
        if line.starts_with("GET /2/tweets/search/stream/rules") {
            let page = line.split("pagination_token=").nth(1).and_then(|rest| rest.split(' ').next());
            let answer = self.state().page(page.map_or(0, |page| page.parse().unwrap()));
            return refuse(&mut client, 200, &[], &answer);
        }
        if line.starts_with("POST /2/tweets/search/stream/rules") {
            let asked = serde_json::from_str(&body).unwrap();
            let (status, answer) = self.change(|state| state.set_rules(&asked));
            return refuse(&mut client, status, &[], &answer);
        }
        assert!(line.starts_with(STREAM), "{line}");
        let scene = self.change(|state| state.scenes.pop_front());
        match scene.unwrap_or(Scene::Chunks(Vec::new(), End::Live)) {
            Scene::Refusal(status, headers, body) => refuse(&mut client, status, &headers, &body),
            Scene::Chunks(chunks, end) => {
                self.stream(client, &chunks, end, line.contains("backfill_minutes="))
            }
        }
    }

    fn stream(
        &self,
        mut client: TcpStream,
        chunks: &[Vec<u8>],
        end: End,
        backfill: bool,
    ) -> std::io::Result<()> {
        // What is published from now on comes, unless somebody else has the stream.
        let next = self.change(|state| match state.open {
            _ if end != End::Live => Some(0),
            0 => {
                state.open = 1;
                Some(if backfill { 0 } else { state.posts.len() })
            }
            _ => None,
        });
        let Some(next) = next else {
            let limit = json!({"title": "ConnectionException", "connection_issue": "TooManyConnections",
                "detail": "This stream is currently at the maximum allowed connection limit.",
                "type": "https://api.twitter.com/2/problems/streaming-connection"});
            let headers = [
                ("x-rate-limit-remaining", "49".to_owned()),
                ("x-rate-limit-reset", "9999999999".to_owned()),
            ];
            return refuse(&mut client, 429, &headers, &limit);
        };
        let done = self.send_all(&mut client, chunks, end, next);
        if end == End::Live {
            self.change(|state| state.open = 0);
        }
        done
    }

    fn send_all(
        &self,
        client: &mut TcpStream,
        chunks: &[Vec<u8>],
        end: End,
        next: usize,
    ) -> std::io::Result<()> {
        client.set_nodelay(true)?;
        client.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        )?;
        chunks.iter().try_for_each(|chunk| send(client, chunk))?;
        match end {
            End::Close => client.write_all(b"0\r\n\r\n"),
            End::Reset => socket2::SockRef::from(&*client).set_linger(Some(Duration::ZERO)),
            End::Silence => client.read_to_end(&mut Vec::new()).map(drop),
            End::Live => self.live(client, next),
        }
    }

    /// Sends posts as they are published, until the client goes away.
    fn live(&self, client: &mut TcpStream, mut next: usize) -> std::io::Result<()> {
        // Its head has been read, but for this the client says nothing: what is there is its end.
        client.set_read_timeout(Some(Duration::from_millis(1)))?;
        loop {
            let state = self.state();
            let (state, _) =
                self.state.1.wait_timeout_while(state, ALIVE, |state| state.posts.len() == next).unwrap();
            let posts = state.posts[next..].to_vec();
            drop(state);
            if posts.is_empty() {
                send(client, b"\r\n")?;
                if client.read(&mut [0]).is_ok_and(|read| read == 0) {
                    return Ok(());
                }
            }
            for post in posts {
                send(client, format!("{post}\r\n").as_bytes())?;
                next += 1;
                self.change(|state| state.sent += 1);
            }
        }
    }
}

const STREAM: &str = "GET /2/tweets/search/stream?";

impl State {
    fn add(&mut self, value: &str, tag: &str) -> Value {
        self.made += 1;
        let rule = json!({"id": format!("90{}", self.made), "value": value, "tag": tag});
        self.rules.push(rule.clone());
        rule
    }

    fn page(&self, from: usize) -> Value {
        let to = self.rules.len().min(from + PAGE);
        let mut meta = json!({"sent": "2026-01-31T12:00:00.000Z", "result_count": to - from});
        if to < self.rules.len() {
            meta["next_token"] = json!(to.to_string());
        } else if self.goes_round {
            meta["next_token"] = json!(from.to_string());
        }
        // Without any rule there is no data.
        match &self.rules[from..to] {
            [] => json!({"meta": meta}),
            rules => json!({"data": rules, "meta": meta}),
        }
    }

    /// Deletes by ids, or adds all but duplicates; nothing if one is wrong.
    fn set_rules(&mut self, asked: &Value) -> (u16, Value) {
        if let Some(ids) = asked["delete"]["ids"].as_array() {
            self.rules.retain(|rule| !ids.contains(&rule["id"]));
            return (200, json!({"meta": {"summary": {"deleted": ids.len(), "not_deleted": 0}}}));
        }
        let rules = asked["add"].as_array().unwrap();
        let text = |rule: &Value, name: &str| rule[name].as_str().unwrap().to_owned();
        let wrong: Vec<Value> = rules
            .iter()
            .filter(|rule| text(rule, "value").contains("nosuch:"))
            .map(|rule| {
                json!({"value": rule["value"], "details": ["no viable alternative"], "title": "UnprocessableEntity",
                    "type": "https://api.twitter.com/2/problems/invalid-rules"})
            })
            .collect();
        if !wrong.is_empty() {
            let summary = json!({"created": 0, "not_created": rules.len(), "valid": rules.len() - wrong.len(), "invalid": wrong.len()});
            return (400, json!({"meta": {"summary": summary}, "errors": wrong}));
        }
        let (mut created, mut errors) = (Vec::new(), Vec::new());
        for rule in rules {
            match self.rules.iter().find(|known| known["value"] == rule["value"]) {
                Some(known) => errors
                    .push(json!({"value": rule["value"], "id": known["id"], "title": "DuplicateRule",
                    "type": "https://api.twitter.com/2/problems/duplicate-rules"})),
                None => created.push(self.add(&text(rule, "value"), &text(rule, "tag"))),
            }
        }
        let summary = json!({"created": created.len(), "not_created": errors.len()});
        (201, json!({"data": created, "errors": errors, "meta": {"summary": summary}}))
    }
}

/// Reads a request: its head, and as much of a body as that says.
fn read(client: &mut TcpStream) -> std::io::Result<(String, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    client.read_exact(&mut body)?;
    Ok((head, String::from_utf8(body).unwrap()))
}

fn refuse(
    client: &mut TcpStream,
    status: u16,
    headers: &[(&str, String)],
    body: &Value,
) -> std::io::Result<()> {
    let body = body.to_string();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "HTTP/1.1 {status} Any\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    client.write_all((head + &body).as_bytes())
}

fn send(client: &mut TcpStream, chunk: &[u8]) -> std::io::Result<()> {
    client.write_all(&[format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
}
