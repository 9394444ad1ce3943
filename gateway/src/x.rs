//! Posts from X: the filtered stream of its API v2, read by one gateway at a time and stored like all else.
//!
//! A reader follows the stream, over whatever ends it, and a store takes from it what was read. Between the two is room for
//! so many bytes: while the database is away, the reader goes on until that is full, and then lets X wait.

mod api;
mod back_off;
mod lines;
mod post;
mod rules;
mod turn;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use deadpool_postgres::Pool;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::config;
use crate::database::{Address, Failure};
use crate::ingest;
use crate::message::Message;
use crate::telemetry::begin_each;

use api::{Api, Refusal};
use back_off::{BackOff, Fault};
use lines::{Line, Lines};
use post::{Read, SOURCE};

/// The most bytes of posts that were read and are not stored yet.
const ROOM: u32 = 16 << 20;
/// What a post takes beside its line.
const OVERHEAD: usize = 256;
/// The most posts of one transaction.
const TOGETHER: usize = 500;
/// How long to wait before a batch that could not be stored is tried again, and the most that this grows to.
const WAIT: Duration = Duration::from_millis(250);
const LAST_WAIT: Duration = Duration::from_secs(5);
/// X says at least this often that it is there: a connection that ends sooner did not hold.
const HELD: Duration = Duration::from_secs(20);

/// Why lines are passed over, and why there is no stream: the labels of what is counted.
const SKIPPED: [&str; 8] =
    ["too long", "malformed", "unknown", "other rule", "withheld", "no text", "unstorable", "refused"];
const INTERRUPTED: [&str; 7] =
    ["network", "stalled", "closed", "disconnected", "limited", "refused", "settings"];

/// Starts to follow the stream until `ending`, if there is a token; returns the task that does. Once it is told to end, it
/// stores what was read, for as long as `patience`.
pub fn start(
    settings: config::X,
    address: Address,
    pool: Pool,
    patience: Duration,
    ending: watch::Receiver<bool>,
) -> Result<Option<JoinHandle<()>>, Failure> {
    if !settings.is_on() {
        return Ok(None);
    }
    let api = Api::new(&settings)?;
    metrics::counter!("sentiment_gateway_x_received_total").increment(0);
    begin_each("sentiment_gateway_x_skipped_total", "reason", &SKIPPED);
    begin_each("sentiment_gateway_x_interrupted_total", "reason", &INTERRUPTED);
    Ok(Some(tokio::spawn(async move {
        let (ours, turn) = watch::channel(false);
        let turns = tokio::spawn(turn::keep(address, ours));
        let (found, waiting) = mpsc::unbounded_channel();
        let unstored = Arc::new(AtomicUsize::new(0));
        let storing = tokio::spawn(store(pool, waiting, unstored.clone()));
        let room = Arc::new(Semaphore::new(ROOM as usize));
        Reader {
            api,
            rules: settings.rules(),
            settings,
            turn,
            ending,
            found,
            room,
            unstored: unstored.clone(),
        }
        .follow()
        .await;
        let _ = turns.await;
        let abort = storing.abort_handle();
        if tokio::time::timeout(patience, storing).await.is_err() {
            abort.abort();
            let posts = unstored.load(Ordering::Relaxed);
            tracing::error!(posts, "posts of X could not be stored before the time to end was over");
        }
    })))
}

/// A post that waits to be stored, and the room that it takes.
struct Waiting {
    message: Message,
    _room: Option<OwnedSemaphorePermit>,
}

/// What follows the stream.
struct Reader {
    api: Api,
    settings: config::X,
    rules: Vec<String>,
    turn: watch::Receiver<bool>,
    ending: watch::Receiver<bool>,
    found: mpsc::UnboundedSender<Waiting>,
    room: Arc<Semaphore>,
    unstored: Arc<AtomicUsize>,
}

/// Why a stream is not read any more.
enum Stop {
    /// The gateway ends
    Ending,
    /// Another gateway's turn has come
    Turn,
    Refusal(Refusal),
}

impl Reader {
    /// Follows the stream whenever it is this gateway's turn.
    async fn follow(mut self) {
        let factor = self.settings.x_back_off;
        let mut back_off = BackOff::new(factor);
        let mut wanted = None;
        loop {
            if !*self.turn.borrow() {
                // The next turn may come with rules that were changed meanwhile.
                wanted = None;
            }
            tokio::select! {
                turn = self.turn.wait_for(|ours| *ours) => if turn.is_err() { return },
                _ = self.ending.wait_for(|ending| *ending) => return,
            }
            let stop = match self.open(&mut wanted).await {
                Err(stop) => stop,
                Ok(body) => {
                    let began = Instant::now();
                    metrics::gauge!("sentiment_gateway_x_connected").set(1);
                    let stop = self.read(body, wanted.as_ref().and_then(Option::as_ref)).await;
                    metrics::gauge!("sentiment_gateway_x_connected").set(0);
                    if began.elapsed() >= HELD.mul_f64(factor) {
                        back_off.held();
                    }
                    stop
                }
            };
            let refusal = match stop {
                Stop::Ending => return,
                Stop::Turn => {
                    tracing::info!("another gateway reads the stream of X now");
                    continue;
                }
                Stop::Refusal(refusal) => refusal,
            };
            let wait = back_off.after(refusal.fault);
            metrics::counter!("sentiment_gateway_x_interrupted_total", "reason" => refusal.reason)
                .increment(1);
            let (detail, seconds) = (refusal.detail, wait.as_secs_f64());
            match refusal.fault {
                Fault::Settings => {
                    tracing::error!(detail, seconds, "X does not give the stream: see the settings")
                }
                _ => tracing::warn!(
                    detail,
                    seconds,
                    reason = refusal.reason,
                    "no stream of X for some seconds"
                ),
            }
            if tokio::time::timeout(wait, self.ending.wait_for(|ending| *ending)).await.is_ok() {
                return;
            }
        }
    }

    /// Sees to the rules, once a turn, and begins the stream. `wanted` are the rules whose posts are stored.
    async fn open(&mut self, wanted: &mut Option<Option<HashSet<String>>>) -> Result<Incoming, Stop> {
        let asked = async {
            if wanted.is_none() {
                *wanted = Some(rules::reconcile(&self.api, &self.rules).await?);
            }
            self.api.stream().await
        };
        let response = tokio::select! {
            response = asked => response.map_err(Stop::Refusal)?,
            _ = self.ending.wait_for(|ending| *ending) => return Err(Stop::Ending),
        };
        tracing::info!("the stream of X is open");
        Ok(response.into_body())
    }

    /// Reads a stream until there is no more of it. Whatever came as a whole line is handed on.
    async fn read(&mut self, mut body: Incoming, wanted: Option<&HashSet<String>>) -> Stop {
        let mut lines = Lines::default();
        loop {
            let frame = tokio::select! {
                frame = tokio::time::timeout(self.settings.x_silence, body.frame()) => frame,
                _ = self.ending.wait_for(|ending| *ending) => return Stop::Ending,
                _ = self.turn.wait_for(|ours| !*ours) => return Stop::Turn,
            };
            let lost = |reason, detail: String| Stop::Refusal(Refusal::lost(reason, detail));
            match frame {
                Err(_) => return lost("stalled", "X fell silent".into()),
                Ok(None) => return lost("closed", "X ended the stream".into()),
                Ok(Some(Err(error))) => return lost("network", api::chain(&error)),
                Ok(Some(Ok(frame))) => lines.push(frame.data_ref().map_or(&[][..], |data| data)),
            }
            while let Some(line) = lines.next_line() {
                if let Err(refusal) = self.take(&line, wanted).await {
                    return Stop::Refusal(refusal);
                }
            }
        }
    }

    /// Takes a line: waits for room if it is a post to store.
    async fn take(&mut self, line: &Line, wanted: Option<&HashSet<String>>) -> Result<(), Refusal> {
        let (read, length) = match line {
            Line::Whole(line) if line.is_empty() => return Ok(()),
            Line::Whole(line) => (post::read(line, wanted), line.len()),
            Line::TooLong => (Read::Skipped("too long"), 0),
        };
        metrics::counter!("sentiment_gateway_x_received_total").increment(1);
        let message = match read {
            Read::Message(message) => *message,
            Read::Skipped(reason) => {
                metrics::counter!("sentiment_gateway_x_skipped_total", "reason" => reason).increment(1);
                tracing::debug!(reason, "a line of X's stream was skipped");
                return Ok(());
            }
            Read::Ended(fault, name) => return Err(Refusal { fault, reason: "disconnected", detail: name }),
        };
        let room = u32::try_from(length + OVERHEAD).unwrap_or(ROOM).min(ROOM);
        let room = tokio::select! {
            room = self.room.clone().acquire_many_owned(room) => room.ok(),
            // Nothing is read any more, and what was read is stored.
            _ = self.ending.wait_for(|ending| *ending) => None,
        };
        self.unstored.fetch_add(1, Ordering::Relaxed);
        // The store lives as long as this does.
        let _ = self.found.send(Waiting { message, _room: room });
        Ok(())
    }
}

/// Stores what was read, however long the database is away: until nobody reads any more and nothing waits. All of it, but
/// what the database refuses as it is.
async fn store(pool: Pool, mut found: mpsc::UnboundedReceiver<Waiting>, unstored: Arc<AtomicUsize>) {
    let mut batch = Vec::with_capacity(TOGETHER);
    while found.recv_many(&mut batch, TOGETHER).await > 0 {
        let (messages, room): (Vec<Message>, Vec<_>) =
            batch.drain(..).map(|waiting| (waiting.message, waiting._room)).unzip();
        let mut wait = WAIT;
        let refused = loop {
            match ingest::store_all_but_refused(&pool, SOURCE, &messages).await {
                Ok((_, refused)) => break refused,
                Err(problem) => {
                    tracing::warn!(posts = messages.len(), "posts of X are not stored yet: {problem}")
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LAST_WAIT);
        };
        for (place, problem) in refused {
            // X has the post still, by this id.
            let (post, reason) = (messages[place].external_id.as_deref(), problem.refusal());
            tracing::warn!(post, reason, "a post of X was left out");
            metrics::counter!("sentiment_gateway_x_skipped_total", "reason" => "refused").increment(1);
        }
        unstored.fetch_sub(messages.len(), Ordering::Relaxed);
        drop(room);
    }
}
