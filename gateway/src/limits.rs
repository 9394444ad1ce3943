//! How often a client may ask.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::problem::Problem;

/// Who asks: the holder of a key, or an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    Key(i64),
    Address(IpAddr),
}

/// The number of requests a second that each client may make, all of a second's at once if it likes.
#[derive(Clone, Debug)]
pub struct Rate {
    limiter: Option<Arc<DefaultKeyedRateLimiter<Client>>>,
    clock: DefaultClock,
}

impl Rate {
    /// A limit of this many requests a second; 0 is none.
    pub fn new(per_second: u32) -> Rate {
        let limiter =
            NonZeroU32::new(per_second).map(|rate| Arc::new(RateLimiter::keyed(Quota::per_second(rate))));
        if let Some(limiter) = limiter.clone() {
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    limiter.retain_recent();
                }
            });
        }
        Rate { limiter, clock: DefaultClock::default() }
    }

    /// Counts a request; an error if it is one too many.
    pub fn count(&self, client: Client) -> Result<(), Problem> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check_key(&client).map_err(|refused| {
            metrics::counter!("sentiment_gateway_rate_limited_total").increment(1);
            let wait = refused.wait_time_from(self.clock.now()).as_secs() + 1;
            let status = axum::http::StatusCode::TOO_MANY_REQUESTS;
            Problem::new(status, "requests come faster than the gateway's rate limit").retry_after(wait)
        })
    }
}
