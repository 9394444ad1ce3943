//! What goes out live: messages in the order in which they were committed, none left out.
//!
//! Commits are numbered by `messages.number_batches()`: a reader who has seen all up to a position has missed nothing. One
//! task listens, numbers what is new, reads it once and hands it to all readers. A reader who comes back with a position
//! first reads from the table what came after it.

mod reader;
mod readers;

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use deadpool_postgres::Pool;
use futures_util::{FutureExt, TryStreamExt};
use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio_postgres::Row;
use utoipa::ToSchema;

use crate::database::{Address, Failure};
use crate::keys::{Keys, Lease};
use crate::message::Instant;
use crate::problem::Problem;

pub use reader::{Filter, Reader};
use readers::Readers;

/// The most messages that are read at once, and about the most bytes of them.
const PAGE: usize = 200;
const BYTES: usize = 1 << 20;
/// The most pages that wait for a reader before it counts as slow.
const BACKLOG: usize = 16;
/// How often it is looked for messages without being told: a connection may have been lost unnoticed.
const LOOK: Duration = Duration::from_secs(2);

/// A message as it is shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Shown {
    pub id: i64,
    /// When it was stored
    #[serde(with = "time::serde::rfc3339")]
    pub received_at: OffsetDateTime,
    /// When it was written, as its sender says
    #[serde(with = "time::serde::rfc3339")]
    pub sent_at: OffsetDateTime,
    pub source: String,
    #[schema(required)]
    pub external_id: Option<String>,
    #[schema(required)]
    pub author: Option<String>,
    pub body: String,
    #[schema(required)]
    pub label: Option<String>,
    #[schema(required)]
    pub score: Option<f64>,
    #[schema(required)]
    pub model_version: Option<String>,
}

impl Shown {
    /// The columns that [`Shown::new`] reads, of `messages.message AS m`.
    pub const COLUMNS: &str = "m.id, m.received_at, m.sent_at, m.source, m.external_id, m.author, m.body, m.label, m.score, m.model_version";

    pub fn new(row: &Row) -> Result<Shown, tokio_postgres::Error> {
        let time = |column: usize| row.try_get(column).map(|Instant(time)| time);
        Ok(Shown {
            id: row.try_get(0)?,
            received_at: time(1)?,
            sent_at: time(2)?,
            source: row.try_get(3)?,
            external_id: row.try_get(4)?,
            author: row.try_get(5)?,
            body: row.try_get(6)?,
            label: row.try_get(7)?,
            score: row.try_get(8)?,
            model_version: row.try_get(9)?,
        })
    }
}

/// Up to where somebody has seen everything: a position, and within it a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    pub position: i64,
    pub id: i64,
}

impl Cursor {
    /// All that has this position.
    pub fn after(position: i64) -> Cursor {
        Cursor { position, id: i64::MAX }
    }

    /// Reads what [`Display`](std::fmt::Display) writes.
    pub fn parse(text: &str) -> Option<Cursor> {
        let (position, id) = text.split_once('-')?;
        let number = |text: &str| text.parse().ok().filter(|number: &i64| *number >= 0);
        Some(match (number(position)?, number(id)?) {
            (position @ 1.., 0) => Cursor::after(position - 1),
            (position, id) => Cursor { position, id },
        })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // All of a position is none of the next.
        match self.id {
            i64::MAX => write!(out, "{}-0", self.position.saturating_add(1)),
            id => write!(out, "{}-{id}", self.position),
        }
    }
}

/// A message on its way out.
#[derive(Debug)]
pub struct Event {
    pub cursor: Cursor,
    pub message: Shown,
    /// As server-sent events have it.
    frame: Bytes,
    /// Where in it the message's JSON begins.
    json: usize,
}

impl Event {
    fn new(row: &Row) -> Result<Event, tokio_postgres::Error> {
        let message = Shown::new(row)?;
        let cursor = Cursor { position: row.try_get(10)?, id: message.id };
        let mut frame = format!("id: {cursor}\nevent: message\ndata: ");
        let json = frame.len();
        frame.push_str(&serde_json::to_string(&message).unwrap_or_default());
        frame.push_str("\n\n");
        Ok(Event { cursor, message, frame: frame.into(), json })
    }

    /// The message as JSON.
    pub fn json(&self) -> &[u8] {
        self.frame[self.json..].trim_ascii_end()
    }
}

/// Messages that are read at once.
#[derive(Debug)]
pub struct Page {
    pub events: Vec<Event>,
    /// Whether there were no more.
    pub is_last: bool,
}

/// The live feed of one process.
#[derive(Clone, Debug)]
pub struct Feed {
    pool: Pool,
    pages: broadcast::Sender<Arc<Page>>,
    readers: Readers,
    /// Up to where what was committed is handed to readers: new ones begin after it.
    seen: watch::Sender<Cursor>,
    /// Whether it hears of what is committed.
    hears: Arc<AtomicBool>,
    /// The position that it went back to when last the database had lost what readers had seen.
    back: watch::Sender<i64>,
    ending: watch::Receiver<bool>,
}

impl Feed {
    /// Starts to listen, until `ending`; also returns the task that does.
    pub async fn start(
        address: Address,
        pool: Pool,
        keys: Keys,
        most_readers: usize,
        ending: watch::Receiver<bool>,
    ) -> Result<(Feed, JoinHandle<()>), Problem> {
        // From here on nothing is passed over, also if the first reader is there before the first look.
        let head = Cursor::after(number(&pool).await?);
        let (pages, _) = broadcast::channel(BACKLOG);
        let (readers, hears) = (Readers::new(most_readers), Arc::new(AtomicBool::new(true)));
        let (seen, back) = (watch::Sender::new(head), watch::Sender::new(i64::MAX));
        let feed = Feed { pool, pages, readers, seen, hears, back, ending };
        let listening = tokio::spawn(listen(address, feed.clone(), keys, head));
        Ok((feed, listening))
    }

    /// Whether readers hear of what is committed: not while listening has failed and has not begun again.
    pub fn hears(&self) -> bool {
        self.hears.load(Ordering::Relaxed)
    }

    /// A reader of what comes from now on, or of what came after a cursor, for as long as its lease.
    pub fn read(&self, filter: Filter, after: Option<Cursor>, lease: Lease) -> Result<Reader, Problem> {
        let seat = self.readers.seat(lease.key())?;
        Ok(Reader::new(self.clone(), filter, after, lease, seat))
    }
}

/// Messages after a cursor in the order of commits, at most so many, and no more once their JSON is so many bytes.
pub async fn after(pool: &Pool, cursor: Cursor, most: usize, bytes: usize) -> Result<Page, Problem> {
    let read = format!(
        "SELECT {}, b.position
         FROM messages.batch AS b
         CROSS JOIN LATERAL pg_catalog.unnest(b.ids) AS r
         JOIN messages.message AS m ON m.id >= lower(r) AND m.id < upper(r)
             AND m.id > CASE WHEN b.position = $1 THEN $2 ELSE lower(r) - 1 END
             AND m.received_at >= b.first_received AND m.received_at <= b.last_received
         WHERE b.position >= $1
         ORDER BY b.position, m.id
         LIMIT $3",
        Shown::COLUMNS
    );
    let client = pool.get().await?;
    let read = client.prepare_cached(&read).await?;
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    let mut rows = pin!(client.query_raw(&read, [cursor.position, cursor.id, limit]).await?);
    let (mut events, mut read) = (Vec::new(), 0);
    let mut is_last = true;
    while let Some(row) = rows.try_next().await? {
        let event = Event::new(&row)?;
        read += event.json().len();
        events.push(event);
        if events.len() >= most || read >= bytes {
            is_last = false;
            break;
        }
    }
    Ok(Page { events, is_last })
}

/// A page for readers.
async fn page(pool: &Pool, cursor: Cursor) -> Result<Page, Problem> {
    after(pool, cursor, PAGE, BYTES).await
}

/// Numbers what has committed; returns the highest position.
pub async fn number(pool: &Pool) -> Result<i64, Problem> {
    let client = pool.get().await?;
    let number = client.prepare_cached("SELECT messages.number_batches()").await?;
    Ok(client.query_one(&number, &[]).await?.get(0))
}

/// The highest position, without numbering anything.
async fn highest(pool: &Pool) -> Result<i64, Problem> {
    let client = pool.get().await?;
    let highest = client.prepare_cached("SELECT coalesce(max(position), 0) FROM messages.batch").await?;
    Ok(client.query_one(&highest, &[]).await?.try_get(0)?)
}

/// Listens until the gateway ends, over lost connections: what was missed meanwhile is read afterwards.
async fn listen(address: Address, feed: Feed, keys: Keys, mut cursor: Cursor) {
    let mut ending = feed.ending.clone();
    loop {
        if let Err(failure) = outlived(hear(&address, &feed, &keys, &mut cursor)).await {
            feed.hears.store(false, Ordering::Relaxed);
            tracing::warn!("not listening: {failure}");
        }
        // While nothing is heard, a revoked key may be remembered.
        keys.forget();
        let rest = tokio::time::timeout(Duration::from_secs(1), ending.wait_for(|ending| *ending));
        if rest.await.is_ok() {
            return;
        }
    }
}

/// What came of work, also if it panicked: whoever does it goes on.
async fn outlived(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(done) => done,
        Err(_) => Err(Failure::Other("it broke off; the log says where".into())),
    }
}

/// Listens until the connection is lost, or the gateway ends: then no statement is left half done.
async fn hear(address: &Address, feed: &Feed, keys: &Keys, seen: &mut Cursor) -> Result<(), Failure> {
    let mut ending = feed.ending.clone();
    let (_client, mut notices) = tokio::select! {
        listening = address.listen(&["sentiment_messages", "sentiment_keys"]) => listening?,
        _ = ending.wait_for(|ending| *ending) => return Ok(()),
    };
    // Another server may be there now. Once that has numbered more, what it lacks could not be told.
    go_back(feed, seen, highest(&feed.pool).await?);
    loop {
        pass_on(feed, seen).await?;
        feed.hears.store(true, Ordering::Relaxed);
        let mut notice = tokio::select! {
            notice = notices.recv() => match notice {
                Some(channel) => Some(channel),
                None => return Err(Failure::Other("the connection to the database was lost".into())),
            },
            () = tokio::time::sleep(LOOK) => None,
            _ = ending.wait_for(|ending| *ending) => return Ok(()),
        };
        // All that was heard meanwhile is answered at once.
        while let Some(channel) = notice {
            if channel == "sentiment_keys" {
                keys.forget();
            }
            notice = notices.try_recv().ok();
        }
    }
}

/// Goes back to a position if more was seen than it: a server that took over without the last commits numbers others in their
/// place. All readers end, and come back with the id of an event that is there no more.
fn go_back(feed: &Feed, seen: &mut Cursor, position: i64) {
    if seen.position > position {
        tracing::warn!(
            seen = seen.position,
            position,
            "the database has lost commits that live streams have shown: all end, to begin again"
        );
        *seen = Cursor::after(position);
        feed.seen.send_replace(*seen);
        feed.back.send_replace(position);
    }
}

/// Numbers what is new and hands it to the readers; without any, only remembers how far it is.
async fn pass_on(feed: &Feed, seen: &mut Cursor) -> Result<(), Problem> {
    let head = Cursor::after(number(&feed.pool).await?);
    go_back(feed, seen, head.position);
    while *seen < head {
        let page = match feed.pages.receiver_count() {
            0 => None,
            _ => Some(page(&feed.pool, *seen).await?),
        };
        *seen = page.as_ref().and_then(|page| page.events.last()).map_or(head, |last| last.cursor);
        // First: what one reader has been handed, nobody who comes after it begins with.
        feed.seen.send_replace(*seen);
        if let Some(page) = page.filter(|page| !page.events.is_empty()) {
            let _ = feed.pages.send(Arc::new(page));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    /// A page of long texts would be as large as 200 of them.
    #[test]
    fn pages_have_an_end_in_bytes() {
        let mut database = sentiment_tests::Database::new();
        let socket = database.server().socket().to_owned();
        let url = format!("host={socket} port=5432 user=postgres dbname={}", database.name());
        let settings = crate::config::Settings::parse_from(["gateway", "migrate", "--database-url", &url]);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let crate::config::Command::Migrate(retention) = &settings.command else { panic!("not migrate") };
        runtime.block_on(crate::migrate::run(retention, &settings.database)).unwrap();
        database.run(
            "INSERT INTO messages.message (source, body) SELECT 'a', repeat('good ', 10000) FROM generate_series(1, 50)",
        );
        runtime.block_on(async {
            let address = Address::new(&settings.database).unwrap();
            let pool = address.pool(&settings.database).unwrap();
            number(&pool).await.unwrap();
            let (mut cursor, mut read) = (Cursor::after(0), 0);
            loop {
                let page = page(&pool, cursor).await.unwrap();
                assert!(page.events.len() * 50_000 <= BYTES + 50_000, "{}", page.events.len());
                read += page.events.len();
                if page.is_last {
                    break;
                }
                cursor = page.events.last().unwrap().cursor;
            }
            assert_eq!(read, 50);
            address.leave(&pool).await;
        });
    }

    #[tokio::test]
    async fn listening_outlives_a_panic() {
        let broken = std::future::ready(()).map(|()| -> Result<(), Failure> { panic!("a bug") });
        assert!(outlived(broken).await.is_err());
        assert!(outlived(async { Ok(()) }).await.is_ok());
    }

    #[test]
    fn cursors_are_read_as_written() {
        let cursor = Cursor { position: 7, id: 12 };
        assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        assert!(Cursor { position: 8, id: 1 } > cursor && Cursor::after(7) > cursor);
        assert_eq!(Cursor::after(7).to_string(), "8-0");
        assert_eq!(Cursor::parse("8-0"), Some(Cursor::after(7)));
        assert_eq!(Cursor::parse("0-0"), Some(Cursor { position: 0, id: 0 }));
        for bad in ["", "7", "7-", "-7-1", "7--1", "a-b", "1-99999999999999999999"] {
            assert_eq!(Cursor::parse(bad), None, "{bad}");
        }
    }
}
