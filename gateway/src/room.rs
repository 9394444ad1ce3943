//! How many bytes of requests' bodies the gateway holds at once, whoever sends them.

use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// Room for so many bytes.
#[derive(Clone, Debug)]
pub struct Room(Arc<Semaphore>);

impl Room {
    pub fn new(bytes: usize) -> Room {
        Room(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
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
        let more = self.room.0.clone().try_acquire_many_owned(bytes).map_err(|_| full())?;
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
