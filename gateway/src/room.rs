//! How many bytes of requests' bodies, and of answers that are read slowly, the gateway holds at once, whoever sends and reads
//! them.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// How much of an answer is handed to its connection at once.
const PIECE: usize = 64 << 10;

/// Room for so many bytes.
#[derive(Clone, Debug)]
pub struct Room {
    places: Arc<Semaphore>,
    bytes: usize,
}

impl Room {
    pub fn new(bytes: usize) -> Room {
        let bytes = bytes.min(Semaphore::MAX_PERMITS);
        Room { places: Arc::new(Semaphore::new(bytes)), bytes }
    }

    /// An answer of JSON that takes room until its client has it, or is gone. For what may be asked for again: where there is
    /// no room, it is refused. One that is larger than the room takes all of it.
    pub fn answer(&self, answer: &impl Serialize) -> Result<Response, Problem> {
        let json = Bytes::from(serde_json::to_vec(answer).map_err(|_| Problem::internal())?);
        let share = Share::of(self.clone());
        share.take(json.len().min(self.bytes))?;
        let headers = [
            (header::CONTENT_TYPE, "application/json".to_owned()),
            (header::CONTENT_LENGTH, json.len().to_string()),
        ];
        // A connection that got it whole would hold it, and the room would be given back.
        let pieces = stream::unfold((json, share), async |(mut json, share)| {
            let piece = json.split_to(json.len().min(PIECE));
            (!piece.is_empty()).then_some((Ok::<_, Infallible>(piece), (json, share)))
        });
        Ok((headers, Body::from_stream(pieces)).into_response())
    }
}

/// What a request takes of it, until it is answered.
#[derive(Clone, Debug)]
pub struct Share {
    room: Room,
    taken: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Share {
    fn of(room: Room) -> Share {
        Share { room, taken: Arc::default() }
    }

    /// Takes room for bytes that have come. Does not wait for it: those who wait for each other's would wait for ever.
    pub fn take(&self, bytes: usize) -> Result<(), Problem> {
        let full = || {
            metrics::counter!("sentiment_gateway_bodies_refused_total").increment(1);
            Problem::unavailable("the requests in progress have too many bytes: try again")
        };
        let bytes = u32::try_from(bytes).map_err(|_| full())?;
        let more = self.room.places.clone().try_acquire_many_owned(bytes).map_err(|_| full())?;
        let mut taken = self.taken.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match taken.as_mut() {
            Some(taken) => taken.merge(more),
            None => *taken = Some(more),
        }
        Ok(())
    }
}

/// Gives each request a [`Share`], and takes it back with the answer.
pub async fn share(State(room): State<Room>, mut request: Request, next: Next) -> Response {
    let share = Share::of(room);
    request.extensions_mut().insert(share.clone());
    let response = next.run(request).await;
    drop(share);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_taken_together_and_given_back() {
        let room = Room::new(10);
        let (first, second) = (Share::of(room.clone()), Share::of(room.clone()));
        first.take(4).unwrap();
        first.take(3).unwrap();
        assert_eq!(second.take(4).unwrap_err().status(), 503);
        second.take(3).unwrap();
        drop(first);
        second.take(7).unwrap();
        assert_eq!(second.take(1).unwrap_err().status(), 503);
        drop(second);
        Share::of(room).take(10).unwrap();
    }
}
