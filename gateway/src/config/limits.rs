//! What a client may ask of the server.

use std::time::Duration;

use clap::Args;
use clap::builder::RangedU64ValueParser;

/// What a client may ask of the server.
#[derive(Clone, Debug, Args)]
pub struct Limits {
    /// The most bytes of a request's body
    #[arg(long, env = "SENTIMENT_MAX_BODY", default_value_t = 16 << 20)]
    pub max_body: usize,
    /// The most bytes of all bodies that are in work at once, or of one if that is more, and again of answers that clients have
    /// asked for and not taken yet; further requests are refused
    #[arg(long, env = "SENTIMENT_MAX_BODIES", default_value_t = 64 << 20)]
    pub max_bodies: usize,
    /// The most connections at once; further ones wait
    #[arg(long, env = "SENTIMENT_MAX_CONNECTIONS", default_value_t = 1024, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub max_connections: usize,
    /// Requests a second that a key, or an address without one, may make; 0 for any number
    #[arg(long, env = "SENTIMENT_RATE_LIMIT", default_value_t = 1000)]
    pub rate_limit: u32,
    /// How long a request's head may take to arrive, and a connection be idle before it
    #[arg(long, env = "SENTIMENT_HEADER_TIMEOUT", default_value = "10s", value_parser = some_time)]
    pub header_timeout: Duration,
    /// How long a request's body may take to arrive
    #[arg(long, env = "SENTIMENT_BODY_TIMEOUT", default_value = "30s", value_parser = some_time)]
    pub body_timeout: Duration,
    /// How long a client may leave an answer unread
    #[arg(long, env = "SENTIMENT_WRITE_TIMEOUT", default_value = "30s", value_parser = some_time)]
    pub write_timeout: Duration,
    /// The most live streams at once; a key may have a quarter of them, and those without one three quarters
    #[arg(long, env = "SENTIMENT_MAX_STREAMS", default_value_t = 256)]
    pub max_streams: usize,
    /// How long requests in progress may take to end when the server is told to
    #[arg(long, env = "SENTIMENT_SHUTDOWN_TIMEOUT", default_value = "30s", value_parser = humantime::parse_duration)]
    pub shutdown_timeout: Duration,
}

/// A time that something may take. Elsewhere 0 is any time, and here it would be none: whatever does not come at once would be cut
/// off. More than a year is as good as any time, and cannot be reckoned with.
pub(super) fn some_time(given: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
    let time = humantime::parse_duration(given).map_err(|error| error.to_string())?;
    if time.is_zero() || time > LONGEST {
        return Err("expected a time from 1ms to 365d".into());
    }
    Ok(time)
}

/// A time that a statement may take, 0 for any. The database counts in milliseconds: less than one would be 0 to it, and it has room
/// for some 24 days of them.
pub(super) fn statement_time(given: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(given).map_err(|error| error.to_string())?;
    if time.is_zero() || (1..=i32::MAX.unsigned_abs().into()).contains(&time.as_millis()) {
        return Ok(time);
    }
    Err("expected a time from 1ms to 24d, or 0s for any".into())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Settings;

    #[test]
    fn what_may_take_time_has_some() {
        let flags = ["--header-timeout", "--body-timeout", "--write-timeout", "--x-silence"];
        for flag in flags {
            let serve = |time: &str| Settings::try_parse_from(["gateway", "serve", flag, time]).is_ok();
            assert!(serve("1ms") && serve("365d") && !serve("0s") && !serve("366d") && !serve("9"), "{flag}");
        }
    }

    /// To the database half a millisecond is 0, which is any time.
    #[test]
    fn statements_have_a_time_that_the_database_can_count() {
        let serve = |time: &str| Settings::try_parse_from(["gateway", "serve", "--statement-timeout", time]);
        for good in ["0s", "1ms", "30s", "24d"] {
            assert!(serve(good).is_ok(), "{good}");
        }
        for bad in ["500us", "1ns", "25d", "9"] {
            assert!(serve(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn there_are_connections_and_they_have_an_end() {
        let serve = |most: &str| Settings::try_parse_from(["gateway", "serve", "--max-connections", most]);
        assert!(serve("1").is_ok() && serve("1000000").is_ok());
        for bad in ["0", "-1", "1000001", "18446744073709551615"] {
            assert!(serve(bad).is_err(), "{bad}");
        }
    }
}
