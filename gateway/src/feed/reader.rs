//! One reader of the feed: a stream of server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::readers::Seat;
use super::{Cursor, Event, Feed, Page, Shown, highest, page};
use crate::keys::Lease;

/// How often a stream says that it is alive that has nothing else to say.
const ALIVE: Duration = Duration::from_secs(15);

/// Which messages a reader wants; what is not given does not matter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub label: Option<String>,
    pub source: Option<String>,
    pub model_version: Option<String>,
}

impl Filter {
    fn wants(&self, message: &Shown) -> bool {
        let is =
            |wanted: &Option<String>, value: Option<&String>| wanted.is_none() || wanted.as_ref() == value;
        is(&self.label, message.label.as_ref())
            && is(&self.source, Some(&message.source))
            && is(&self.model_version, message.model_version.as_ref())
    }
}

/// Where a reader is.
enum Stage {
    /// Has come back, and its cursor may be of a server that is no more.
    Back,
    /// Reads from the table what came after its cursor.
    CatchingUp,
    /// Gets what the feed reads.
    Live(broadcast::Receiver<Arc<Page>>),
}

/// A reader. Dropping it makes room for another.
pub struct Reader {
    feed: Feed,
    filter: Filter,
    /// Up to where it has what it wants.
    cursor: Cursor,
    lease: Lease,
    /// Is told when the feed has gone back.
    back: watch::Receiver<i64>,
    stage: Stage,
    ready: VecDeque<Bytes>,
    /// When it has to say something, were it only that it is alive: also while much comes of which it wants nothing.
    due: Instant,
    _seat: Seat,
}

impl Reader {
    pub(super) fn new(feed: Feed, filter: Filter, after: Option<Cursor>, lease: Lease, seat: Seat) -> Reader {
        metrics::gauge!("sentiment_gateway_streams").increment(1);
        // Known before it listens: what comes in between is heard, or read when it comes back.
        let cursor = after.unwrap_or_else(|| *feed.seen.borrow());
        let stage = match after {
            Some(_) => Stage::Back,
            None => Stage::Live(feed.pages.subscribe()),
        };
        // The first bytes tell the client that it is connected, how soon to come back, and from where on: it may be cut off before
        // there was an event.
        let ready = VecDeque::from([format!("retry: 1000\nid: {cursor}\n\n").into()]);
        let back = feed.back.subscribe();
        let due = Instant::now() + ALIVE;
        Reader { feed, filter, cursor, lease, back, stage, ready, due, _seat: seat }
    }

    /// The stream of events. It ends when the gateway or its lease does, when its reader falls too far behind, and when the
    /// feed goes back; the reader may come back with the id of the last event that it has.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
        futures_util::stream::unfold(self, |mut reader| async move {
            let over = reader.lease.over();
            loop {
                if over.is_cancelled() {
                    return None;
                }
                if let Some(frame) = reader.next_frame() {
                    return Some((Ok(frame), reader));
                }
                let (mut ending, mut back) = (reader.feed.ending.clone(), reader.back.clone());
                let more = tokio::select! {
                    more = reader.advance() => more,
                    _ = ending.wait_for(|ending| *ending) => false,
                    () = over.cancelled() => false,
                    _ = back.changed() => false,
                };
                if !more {
                    return None;
                }
            }
        })
    }

    /// What is to be said now, if anything.
    fn next_frame(&mut self) -> Option<Bytes> {
        let is_due = Instant::now() >= self.due;
        // With how far it is: it may have gone past much of which it wants nothing.
        let alive = || format!(": alive\nid: {}\n\n", self.cursor).into();
        let frame = self.ready.pop_front().or_else(|| is_due.then(alive))?;
        self.due = Instant::now() + ALIVE;
        Some(frame)
    }

    /// Waits for events and makes them ready, or until it is time to say something; whether there may be more.
    async fn advance(&mut self) -> bool {
        match &mut self.stage {
            Stage::Back => self.place().await,
            Stage::CatchingUp => self.catch_up().await,
            Stage::Live(pages) => match timeout_at(self.due, pages.recv()).await {
                Err(_) => true,
                Ok(Ok(page)) => {
                    self.take(&page.events);
                    true
                }
                Ok(Err(RecvError::Lagged(_))) => {
                    metrics::counter!("sentiment_gateway_streams_dropped_total").increment(1);
                    false
                }
                Ok(Err(RecvError::Closed)) => false,
            },
        }
    }

    /// Finds its place. Who has seen more than there is has seen all up to where the feed went back to, and nothing after it
    /// that is there.
    async fn place(&mut self) -> bool {
        let Ok(highest) = highest(&self.feed.pool).await else { return false };
        if self.cursor.position > highest {
            self.cursor = Cursor::after(highest.min(*self.back.borrow()));
        }
        self.stage = Stage::CatchingUp;
        true
    }

    /// Reads a page from the table. What the feed reads from before that moment on is heard too, so that nothing falls
    /// between: once a page is the last, all that is missing comes live.
    async fn catch_up(&mut self) -> bool {
        let pages = self.feed.pages.subscribe();
        let Ok(page) = page(&self.feed.pool, self.cursor).await else { return false };
        self.take(&page.events);
        if page.is_last {
            self.stage = Stage::Live(pages);
        }
        true
    }

    /// Takes what is wanted of a page and was not there yet.
    fn take(&mut self, page: &[Event]) {
        for event in page {
            if event.cursor <= self.cursor {
                continue;
            }
            self.cursor = event.cursor;
            if self.filter.wants(&event.message) {
                self.ready.push_back(event.frame.clone());
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        metrics::gauge!("sentiment_gateway_streams").decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::AtomicBool;

    use clap::Parser;
    use futures_util::{FutureExt, StreamExt};

    use super::*;
    use crate::database::Address;
    use crate::feed::Readers;

    /// A proxy would cut off a stream without a word, and one whose reader has gone would keep its place.
    #[tokio::test]
    async fn a_stream_says_that_it_is_alive_also_while_it_wants_nothing_of_what_comes() {
        let url = "host=/nowhere user=a dbname=a";
        let settings = crate::config::Settings::parse_from(["gateway", "key", "list", "--database-url", url]);
        let pool = Address::new(&settings.database).unwrap().pool(&settings.database).unwrap();
        let (pages, _) = broadcast::channel(8);
        let (_ends, ending) = watch::channel(false);
        let (readers, back) = (Readers::new(1), watch::Sender::new(i64::MAX));
        let (seen, hears) = (watch::Sender::new(Cursor::after(7)), Arc::new(AtomicBool::new(true)));
        let feed = Feed { pool, pages, readers, seen, hears, back, ending };
        let mut reader = feed.read(Filter::default(), None, Lease::for_ever()).unwrap();
        reader.ready.clear();
        reader.due = Instant::now();
        let nothing = || Arc::new(Page { events: Vec::new(), is_last: true });
        feed.pages.send(nothing()).unwrap();
        let mut stream = pin!(reader.into_stream());
        let alive = stream.next().now_or_never().expect("it is silent");
        assert_eq!(alive, Some(Ok(Bytes::from_static(b": alive\nid: 8-0\n\n"))));
        feed.pages.send(nothing()).unwrap();
        assert_eq!(stream.next().now_or_never(), None, "it says so without need");
    }
}
