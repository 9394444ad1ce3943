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
        let json = json(answer)?;
        let share = Share::of(self.clone());
        share.take(json.len().min(self.bytes))?;
        Ok(share.lasting(json))
    }
}

fn json(answer: &impl Serialize) -> Result<Bytes, Problem> {
    serde_json::to_vec(answer).map(Bytes::from).map_err(|_| Problem::internal())
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

    /// An answer of JSON that keeps what its request has taken until its client has it, or is gone. For what is done already, and not
    /// to be refused: about as large as what was asked.
    pub fn answer(&self, answer: &impl Serialize) -> Result<Response, Problem> {
        json(answer).map(|json| self.clone().lasting(json))
    }

    /// An answer that keeps this as long as it lasts.
    fn lasting(self, json: Bytes) -> Response {
        let headers = [
            (header::CONTENT_TYPE, "application/json".to_owned()),
            (header::CONTENT_LENGTH, json.len().to_string()),
        ];
        // A connection that got it whole would hold it, and the room would be given back.
        let pieces = stream::unfold((json, self), async |(mut json, share)| {
            let piece = json.split_to(json.len().min(PIECE));
            (!piece.is_empty()).then_some((Ok::<_, Infallible>(piece), (json, share)))
        });
        (headers, Body::from_stream(pieces)).into_response()
    }
}

/// Gives each request a [`Share`], and takes it back with the answer, unless that keeps it.
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

    #[test]
    fn an_answer_keeps_what_its_request_has_taken() {
        let room = Room::new(10);
        let share = Share::of(room.clone());
        share.take(6).unwrap();
        let answer = share.answer(&[1, 2, 3]).unwrap();
        drop(share);
        assert_eq!(answer.headers()[header::CONTENT_LENGTH], "7");
        assert_eq!(Share::of(room.clone()).take(5).unwrap_err().status(), 503);
        drop(answer);
        Share::of(room).take(10).unwrap();
    }
}
