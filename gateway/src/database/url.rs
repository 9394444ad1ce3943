//! The address of the database: libpq's words, as the driver reads them, and what holds where they say nothing.

use std::time::Duration;

use tokio_postgres::Config;

use super::{Failure, WAIT};

/// How long the server's machine may leave unacknowledged what was sent. The system itself would go on for a quarter of an
/// hour, though another server may have taken over meanwhile.
const UNACKNOWLEDGED: Duration = Duration::from_secs(15);
/// When a connection that is at rest is tried, how soon again, and how often before it is given up.
const IDLE: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u32 = 3;

/// Reads an address.
pub(super) fn read(url: &str) -> Result<Config, Failure> {
    let mut config: Config =
        in_the_drivers_words(url).parse().map_err(|error| Failure::Address(unreadable(&error)))?;
    config.application_name("sentiment-gateway");
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(WAIT);
    }
    // Only a local address makes sense without one.
    if config.get_hosts().is_empty() {
        config.host("/var/run/postgresql");
    }
    match config.get_tcp_user_timeout().copied() {
        // In milliseconds; the driver takes them for seconds.
        Some(given) => config.tcp_user_timeout(Duration::from_millis(given.as_secs())),
        // 0 leaves it to the system.
        None if url.contains("tcp_user_timeout") => &mut config,
        None => config.tcp_user_timeout(UNACKNOWLEDGED),
    };
    if !url.contains("keepalives_idle") {
        config.keepalives_idle(IDLE);
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_interval(INTERVAL);
    }
    if config.get_keepalives_retries().is_none() {
        config.keepalives_retries(RETRIES);
    }
    Ok(config)
}

/// What libpq knows and the driver does not.
const UNKNOWN: [&str; 25] = [
    "client_encoding",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "krbsrvname",
    "max_protocol_version",
    "min_protocol_version",
    "passfile",
    "replication",
    "require_auth",
    "requirepeer",
    "requiressl",
    "service",
    "servicefile",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslrootcert",
    "sslsni",
];

/// Why an address cannot be read. The parser's own words may quote the password, and so may a key that nobody knows: it
/// may be what follows a blank in one.
pub(super) fn unreadable(error: &tokio_postgres::Error) -> String {
    let said = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let key = |start: &str| Some(said.strip_prefix(start)?.strip_suffix('`')?.to_owned());
    if let Some(key) = key("invalid value for option `") {
        return match key.as_str() {
            "sslmode" => "sslmode is disable, prefer, require, verify-ca or verify-full".into(),
            key => format!("the value of {key} is not one that it can have"),
        };
    }
    match key("unknown option `") {
        Some(key) if key == "sslrootcert" => {
            format!("{key} is not known here: --database-ca names that file")
        }
        Some(key) if UNKNOWN.contains(&key.as_str()) => format!("{key} is not known here"),
        Some(_) => "a key in it is not known".into(),
        None => "not a URL, nor key=value pairs".into(),
    }
}

/// libpq knows more modes of TLS than the driver: all that check the certificate are one here, for it is always checked. And
/// one of its keys has another name there.
fn in_the_drivers_words(url: &str) -> String {
    [
        ("sslmode=verify-full", "sslmode=require"),
        ("sslmode=verify-ca", "sslmode=require"),
        ("keepalives_count=", "keepalives_retries="),
    ]
    .iter()
    .fold(url.to_owned(), |url, (libpqs, drivers)| url.replace(libpqs, drivers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_server_is_noticed_soon_unless_the_address_says_otherwise() {
        let seconds = Duration::from_secs;
        let shown = |config: Config| {
            let (tcp, idle) = (config.get_tcp_user_timeout().copied(), config.get_keepalives_idle());
            (tcp, idle, config.get_keepalives_interval(), config.get_keepalives_retries())
        };
        let plain = shown(read("postgresql://h/d").unwrap());
        assert_eq!(plain, (Some(seconds(15)), seconds(30), Some(seconds(5)), Some(3)));
        let said = "postgresql://h/d?tcp_user_timeout=40000&keepalives_idle=7&keepalives_interval=8&keepalives_count=9";
        assert_eq!(shown(read(said).unwrap()), (Some(seconds(40)), seconds(7), Some(seconds(8)), Some(9)));
        assert_eq!(shown(read("host=h tcp_user_timeout=0").unwrap()).0, None);
    }

    #[test]
    fn what_is_wrong_with_an_address_is_named_and_no_value_with_it() {
        let refused = |url: &str| {
            let error = url.parse::<Config>().unwrap_err();
            let said = unreadable(&error);
            assert!(!said.contains("ocelotquux"), "{said}");
            said
        };
        assert!(refused("postgresql://a:ocelotquux@h/d?sslrootcert=/ocelotquux").contains("--database-ca"));
        assert!(refused("host=h sslcert=ocelotquux").starts_with("sslcert is not known"));
        assert!(refused("host=h sslmode=allow password=ocelotquux").contains("verify-full"));
        assert!(refused("host=h port=ocelotquux").contains("the value of port"));
        // The end of a password that should have stood in quotes.
        assert_eq!(refused("password=my ocelotquux=7"), "a key in it is not known");
        assert!(refused("ocelotquux").contains("nor key=value pairs"));
    }
}
