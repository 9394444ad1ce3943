//! Settings: each is a flag and an environment variable. The README's table has them all, and a test compares the two.

mod kafka;
mod limits;

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::Resettable;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::database::Failure;
pub use kafka::{Kafka, KafkaFormat, KafkaName};
pub use limits::Limits;
use limits::{some_time, statement_time};

/// Messages stream in, sentiment streams out: the gateway of pg_sentiment.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Settings {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub database: Database,
    #[command(flatten)]
    pub logging: Logging,
}

impl Settings {
    /// Those of the command line and of the environment; what is wrong with them is said, and the process ends.
    pub fn read() -> Settings {
        let matches = without_empty_variables(Settings::command()).get_matches();
        Settings::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// The command where an empty variable is as none: so files of Compose and charts leave settings out.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let command = command.mut_args(|argument| match argument.get_env().is_some_and(is_empty) {
        true => argument.env(Resettable::Reset),
        false => argument,
    });
    command.mut_subcommands(without_empty_variables)
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API, the page and the streams, until SIGTERM or SIGINT
    Serve(Box<Serve>),
    /// Make or upgrade the schema messages, and its partitions
    Migrate(Retention),
    /// Create, revoke or list API keys
    #[command(subcommand)]
    Key(Key),
    /// Store messages from a file or from standard input
    Load(Load),
}

/// Where the database is.
#[derive(Debug, Args)]
pub struct Database {
    /// postgresql://user:password@host:port/database, or key=value pairs
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        global = true,
        default_value = "postgresql:///postgres"
    )]
    pub database_url: String,
    /// PEM file of the authorities that the database's certificate is checked against; without it those of the system
    #[arg(long, env = "SENTIMENT_DATABASE_CA", global = true)]
    pub database_ca: Option<PathBuf>,
    /// The most connections to the database for requests and tasks; up to three more listen: for streams, for Kafka, for X
    #[arg(long, env = "SENTIMENT_DATABASE_CONNECTIONS", global = true, default_value_t = 16, value_parser = clap::value_parser!(u16).range(4..))]
    pub database_connections: u16,
    /// How long a statement may take, training apart; 0s for any time
    #[arg(long, env = "SENTIMENT_STATEMENT_TIMEOUT", global = true, default_value = "30s", value_parser = statement_time)]
    pub statement_timeout: Duration,
}

/// What is logged, to standard error.
#[derive(Debug, Args)]
pub struct Logging {
    /// error, warn, info, debug or trace, of all or of modules
    #[arg(long, env = "SENTIMENT_LOG", global = true, default_value = "info", value_parser = log_filter)]
    pub log: String,
    /// One line of text or of JSON an event
    #[arg(long, env = "SENTIMENT_LOG_FORMAT", global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Levels, of all or of modules. A word that is no level would be taken for a module, and all else be silent.
fn log_filter(given: &str) -> Result<String, String> {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let is_level = |word: &str| levels.iter().any(|level| word.trim().eq_ignore_ascii_case(level));
    let is_good = |part: &str| match part.split_once('=') {
        Some((module, level)) => !module.trim().is_empty() && is_level(level),
        None => is_level(part),
    };
    match given.split(',').all(is_good) {
        true => Ok(given.to_owned()),
        false => Err(format!("expected one of {}, or MODULE=LEVEL, separated by commas", levels.join(", "))),
    }
}

/// How long messages are kept.
#[derive(Clone, Debug, Args)]
pub struct Retention {
    /// Messages received longer ago than this are dropped, by whole days; without it nothing is
    #[arg(long, env = "SENTIMENT_RETENTION", value_parser = humantime::parse_duration)]
    pub retention: Option<Duration>,
}

/// The server's settings.
#[derive(Debug, Args)]
pub struct Serve {
    /// Address and port of the HTTP server
    #[arg(long, env = "SENTIMENT_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Another address and port, for /healthz, /readyz and /metrics alone: clients that take all connections do not keep probes waiting
    #[arg(long, env = "SENTIMENT_HEALTH_LISTEN")]
    pub health_listen: Option<SocketAddr>,
    #[command(flatten)]
    pub retention: Retention,
    #[command(flatten)]
    pub access: Access,
    #[command(flatten)]
    pub limits: Limits,
    #[command(flatten)]
    pub sms: Sms,
    #[command(flatten)]
    pub kafka: Kafka,
    #[command(flatten)]
    pub x: X,
}

/// Who may do what.
#[derive(Debug, Args)]
pub struct Access {
    /// What anyone may do without a key: read, write or admin, separated by commas
    #[arg(long, env = "SENTIMENT_PUBLIC_SCOPES", value_enum, value_delimiter = ',')]
    pub public_scopes: Vec<Scope>,
    /// Origins whose pages may call the API from a browser, separated by commas, or * for any; none by default
    #[arg(long, env = "SENTIMENT_CORS_ORIGINS", value_delimiter = ',')]
    pub cors_origins: Vec<String>,
}

/// What a key lets its holder do; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Scope {
    /// Score texts and read messages
    Read,
    /// Store messages and feedback
    Write,
    /// Train and deploy models
    Admin,
}

impl Scope {
    /// As the database has it.
    pub fn name(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Write => "write",
            Scope::Admin => "admin",
        }
    }
}

/// Text messages from Twilio.
#[derive(Clone, Debug, Args)]
pub struct Sms {
    /// The account's auth token, with which its webhooks are signed; without it there is no webhook
    #[arg(long, env = "SENTIMENT_SMS_AUTH_TOKEN", hide_env_values = true, requires = "public_url")]
    pub sms_auth_token: Option<String>,
    /// How the world reaches this server, as https://example.org: webhooks are signed with it
    #[arg(long, env = "SENTIMENT_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// What a text message is answered with; without it, nothing
    #[arg(long, env = "SENTIMENT_SMS_REPLY")]
    pub sms_reply: Option<String>,
}

impl Sms {
    /// The settings without the white space around them, as files of secrets end with. A token that is empty is refused: anyone
    /// could sign with it. So is a URL that no webhook comes to: none would have a good signature.
    pub fn checked(self) -> Result<Sms, Failure> {
        let sms_auth_token = self.sms_auth_token.map(|token| token.trim().to_owned());
        if sms_auth_token.as_ref().is_some_and(String::is_empty) {
            let reason =
                "SENTIMENT_SMS_AUTH_TOKEN is empty, so that anyone could sign: set it, or leave it out";
            return Err(Failure::Other(reason.into()));
        }
        let public_url = self.public_url.map(|url| url.trim().to_owned());
        let is_url = |url: &String| ["http://", "https://"].iter().any(|start| url.starts_with(start));
        if sms_auth_token.is_some() && !public_url.as_ref().is_some_and(is_url) {
            let reason =
                "SENTIMENT_PUBLIC_URL is no URL, as https://example.org: no text message could be checked";
            return Err(Failure::Other(reason.into()));
        }
        Ok(Sms { sms_auth_token, public_url, ..self })
    }
}

/// Posts from X.
#[derive(Clone, Debug, Args)]
pub struct X {
    /// The bearer token of an app of X, whose filtered stream is stored; without it there is none
    #[arg(long, env = "SENTIMENT_X_TOKEN", hide_env_values = true, conflicts_with = "x_token_file")]
    pub x_token: Option<String>,
    /// A file that holds the token; it is read again for each connection
    #[arg(long, env = "SENTIMENT_X_TOKEN_FILE")]
    pub x_token_file: Option<PathBuf>,
    /// The rules of the stream, one a line; without any, all that the app's own rules bring is stored
    #[arg(long, env = "SENTIMENT_X_RULES", value_delimiter = '\n', allow_hyphen_values = true)]
    pub x_rules: Vec<String>,
    /// Minutes, up to 5, of which X sends again what a connection missed; not all of X's plans have it
    #[arg(long, env = "SENTIMENT_X_BACKFILL_MINUTES", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=5))]
    pub x_backfill_minutes: u8,
    /// Where X's API is
    #[arg(long, env = "SENTIMENT_X_URL", default_value = "https://api.x.com")]
    pub x_url: String,
    /// How long the stream may be silent; X sends an empty line every 20 seconds
    #[arg(long, env = "SENTIMENT_X_SILENCE", default_value = "25s", value_parser = some_time)]
    pub x_silence: Duration,
    /// What the times between attempts are multiplied by: for tests, whose X is their own
    #[arg(long, hide = true, default_value = "1", value_parser = share)]
    pub x_back_off: f64,
}

/// A number from 0 to 1.
fn share(given: &str) -> Result<f64, String> {
    let share = given.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a number from 0 to 1".into())
}

impl X {
    /// Whether there is a stream to follow.
    pub fn is_on(&self) -> bool {
        self.x_token.as_ref().is_some_and(|token| !token.trim().is_empty()) || self.x_token_file.is_some()
    }

    /// The rules, each once.
    pub fn rules(&self) -> Vec<String> {
        let mut rules: Vec<String> = Vec::new();
        for rule in self.x_rules.iter().map(|rule| rule.trim()).filter(|rule| !rule.is_empty()) {
            if !rules.iter().any(|known| known == rule) {
                rules.push(rule.to_owned());
            }
        }
        rules
    }
}

/// API keys.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Make a key and print it, once
    Create {
        /// What it is for
        #[arg(value_parser = key_name)]
        name: String,
        /// read, write or admin; each includes those before it
        #[arg(long, value_enum, value_delimiter = ',', default_value = "read")]
        scopes: Vec<Scope>,
        /// How long it is valid, as 90d; without it, until it is revoked
        #[arg(long, value_parser = some_time)]
        expires_in: Option<Duration>,
    },
    /// End a key's life, at once and everywhere
    Revoke {
        /// Its number, from list
        id: i64,
    },
    /// Print all keys, without their secrets
    List,
}

/// The name of a key: one that stands in a line of the list.
fn key_name(given: &str) -> Result<String, String> {
    if given.trim().is_empty() || given.contains(char::is_control) {
        return Err("expected what it is for, in one line".into());
    }
    Ok(given.to_owned())
}

/// What is loaded, and how.
#[derive(Debug, Args)]
pub struct Load {
    /// A file of CSV with a header, or of JSON lines; - is standard input
    pub file: PathBuf,
    /// What the file is; without it, its name says so
    #[arg(long, value_enum)]
    pub format: Option<LoadFormat>,
    /// The source of messages that name none
    #[arg(long, default_value = "load")]
    pub source: String,
    /// Name messages without an external id by file, line and content, so that a second run stores none twice
    #[arg(long)]
    pub number: bool,
    /// Go on after messages that cannot be stored
    #[arg(long)]
    pub skip_bad: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LoadFormat {
    Csv,
    Jsonl,
}

/// What a list holds, without the blanks between them and the end of the line that files of secrets have. An empty variable is
/// none.
pub fn listed(list: &[String]) -> impl Iterator<Item = &str> {
    list.iter().map(|name| name.trim()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_may_have_blanks_and_end_with_a_line() {
        let list = ["a", " b", "", "c\n"].map(str::to_owned);
        assert_eq!(listed(&list).collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn keys_have_a_name_and_a_life() {
        let create = |rest: &[&str]| Settings::try_parse_from([&["gateway", "key", "create"], rest].concat());
        for good in [["web shop", "--expires-in=90d"], ["Bücher", "--expires-in=1s"]] {
            assert!(create(&good).is_ok(), "{good:?}");
        }
        for bad in [
            ["", "--scopes=read"],
            [" ", "--scopes=read"],
            ["a\nb", "--scopes=read"],
            ["a", "--expires-in=0s"],
        ] {
            assert!(create(&bad).is_err(), "{bad:?}");
        }
    }

    /// Each flag that has a variable stands in the README with its default.
    #[test]
    fn readme_has_every_setting() {
        let readme = include_str!("../../README.md");
        let command = Settings::command();
        let serve = command.find_subcommand("serve").unwrap();
        let mut settings = 0;
        for argument in command.get_arguments().chain(serve.get_arguments()) {
            let (Some(flag), Some(variable)) = (argument.get_long(), argument.get_env()) else { continue };
            let default: Vec<_> =
                argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
            let default =
                if default.is_empty() { String::new() } else { format!(" `{}`", default.join(",")) };
            let row = format!("| `--{flag}` | `{}` |{default} |", variable.to_string_lossy());
            assert!(readme.contains(&row), "the README has no row: {row}");
            settings += 1;
        }
        assert!(settings > 15, "{settings}");
    }

    #[test]
    fn what_signatures_are_checked_with_is_not_empty() {
        let sms = |token: &str, url: &str| {
            Sms { sms_auth_token: Some(token.into()), public_url: Some(url.into()), sms_reply: None }
                .checked()
        };
        let checked = sms("12345\r\n", "https://example.org\n").unwrap();
        assert_eq!(checked.sms_auth_token.as_deref(), Some("12345"));
        assert_eq!(checked.public_url.as_deref(), Some("https://example.org"));
        for (token, url) in [
            ("", "https://example.org"),
            (" \n", "https://example.org"),
            ("12345", ""),
            ("12345", "example.org"),
        ] {
            assert!(sms(token, url).is_err(), "{token:?} {url:?}");
        }
        let none = Sms { sms_auth_token: None, public_url: Some(String::new()), sms_reply: None };
        assert!(none.checked().is_ok(), "without a token nothing is signed");
    }

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for good in ["warn", "INFO", "off", "info,sentiment_gateway::kafka=debug", "warn, hyper=error"] {
            assert!(log_filter(good).is_ok(), "{good}");
        }
        for bad in ["", "warning", "information,warn", "hyper=loud", "=warn", "warn,"] {
            assert!(log_filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn arguments_do_not_contradict_each_other() {
        Settings::command().debug_assert();
    }
}
