//! How often a client may ask.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::problem::Problem;

/// Who asks: the holder of a key, whoever needs none, or whoever has shown nothing good. The last have a rate of their own:
/// behind a proxy, strangers share an address with all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    Key(i64),
    Visitor(Network),
    Stranger(Network),
}

/// What one client has of the addresses: one of IPv4, and 64 bits' worth of IPv6, which are given to each household.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl Network {
    pub fn of(address: IpAddr) -> Network {
        Network(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
            address => address,
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_household_are_one_client() {
        let network = |address: &str| Network::of(address.parse().unwrap());
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::7"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("::ffff:192.0.2.1"), network("192.0.2.2"));
    }
}
