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
    // Files of secrets end with a line's end.
    let url = url.trim();
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
fn in_the_drivers_words(given: &str) -> String {
    let is_url = ["postgres://", "postgresql://"].iter().any(|start| given.starts_with(start));
    match given.rsplit_once('?') {
        Some((place, settings)) if is_url => {
            let setting = |setting: &str| match setting.split_once('=') {
                Some((key, value)) => in_its_words(key, value),
                None => setting.to_owned(),
            };
            let settings: Vec<String> = settings.split('&').map(setting).collect();
            format!("{place}?{}", settings.join("&"))
        }
        _ if is_url => given.to_owned(),
        // What cannot be taken apart is left to the driver, which says what is wrong with it.
        _ => pairs(given).map_or_else(
            || given.to_owned(),
            |pairs| pairs.iter().map(|(key, value)| in_its_words(key, value) + " ").collect(),
        ),
    }
}

/// A key with its value as the driver has them. The value may stand in quotes.
fn in_its_words(key: &str, value: &str) -> String {
    match (key, value.trim_matches('\'')) {
        ("sslmode", "verify-full" | "verify-ca") => "sslmode=require".into(),
        ("keepalives_count", _) => format!("keepalives_retries={value}"),
        _ => format!("{key}={value}"),
    }
}

/// Takes key=value pairs apart, as libpq does: there may be blanks around the sign, and a value that is empty or holds blanks stands
/// in quotes, which stay with it. Nothing, if they are none.
fn pairs(given: &str) -> Option<Vec<(&str, &str)>> {
    let (mut pairs, mut rest) = (Vec::new(), given.trim());
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let quoted = after.starts_with('\'');
        let (mut escaped, mut end) = (false, after.len());
        for (place, character) in after.char_indices().skip(usize::from(quoted)) {
            match character {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '\'' if quoted => {
                    end = place + 1;
                    break;
                }
                _ if !quoted && character.is_whitespace() => {
                    end = place;
                    break;
                }
                _ => {}
            }
        }
        let (value, next) = after.split_at(end);
        pairs.push((key.trim(), value));
        rest = next.trim_start();
    }
    Some(pairs)
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::SslMode;

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
    fn addresses_are_read_as_libpq_reads_them() {
        let pairs = r"host = h  password= 'a sslmode=verify-full \' b' sslmode ='verify-full' keepalives_count = 7 user=''";
        let pairs = read(&format!(" {pairs}\n")).unwrap();
        assert_eq!(pairs.get_password(), Some(&b"a sslmode=verify-full ' b"[..]));
        assert_eq!((pairs.get_ssl_mode(), pairs.get_keepalives_retries()), (SslMode::Require, Some(7)));
        let url =
            read("postgresql://u:sslmode=verify-full@h/d?sslmode=verify-ca&keepalives_count=7\n").unwrap();
        assert_eq!(url.get_password(), Some(&b"sslmode=verify-full"[..]));
        assert_eq!((url.get_ssl_mode(), url.get_keepalives_retries()), (SslMode::Require, Some(7)));
        assert_eq!(read("postgresql://h/d\n").unwrap().get_dbname(), Some("d"));
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
