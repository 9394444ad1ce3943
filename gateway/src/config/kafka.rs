//! Kafka: where the brokers are, what is read, and what is written.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Database, listed};
use crate::database::Failure;

/// Messages from Kafka and to it.
#[derive(Clone, Debug, Args)]
pub struct Kafka {
    /// Brokers to begin with, as host:port, separated by commas; without them there is no Kafka
    #[arg(long, env = "SENTIMENT_KAFKA_BROKERS", value_delimiter = ',')]
    pub kafka_brokers: Vec<String>,
    /// Topics that messages are read from, separated by commas; ^ begins a pattern of names
    #[arg(long, env = "SENTIMENT_KAFKA_TOPICS", value_delimiter = ',', requires = "kafka_brokers")]
    pub kafka_topics: Vec<String>,
    /// The consumer group: gateways of the same group share the partitions
    #[arg(long, env = "SENTIMENT_KAFKA_GROUP", default_value = "sentiment-gateway")]
    pub kafka_group: String,
    /// What a record's value is: a message as JSON, or a text alone
    #[arg(long, env = "SENTIMENT_KAFKA_FORMAT", value_enum, default_value_t = KafkaFormat::Json)]
    pub kafka_format: KafkaFormat,
    /// What a record is called that does not say so itself: topic/partition/offset, or its key where it has one
    #[arg(long, env = "SENTIMENT_KAFKA_NAME", value_enum, default_value_t = KafkaName::Offset)]
    pub kafka_name: KafkaName,
    /// The topic for records that cannot be stored; without it, the table messages.kafka_rejected
    #[arg(long, env = "SENTIMENT_KAFKA_DEAD_LETTERS", requires = "kafka_brokers")]
    pub kafka_dead_letters: Option<String>,
    /// How many members of the group this gateway is; each stores by a connection of its own, at most half of them
    #[arg(long, env = "SENTIMENT_KAFKA_CONSUMERS", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub kafka_consumers: u16,
    /// The topic that scored messages are written to, all that are stored from its first use on
    #[arg(long, env = "SENTIMENT_KAFKA_OUT_TOPIC", requires = "kafka_brokers")]
    pub kafka_out_topic: Option<String>,
    /// Further properties of librdkafka, as security.protocol=ssl, separated by commas
    #[arg(long, env = "SENTIMENT_KAFKA_PROPERTIES", hide_env_values = true, value_delimiter = ',')]
    pub kafka_properties: Vec<String>,
    /// A file of such properties, one a line; for what holds commas, and for secrets
    #[arg(long, env = "SENTIMENT_KAFKA_PROPERTIES_FILE")]
    pub kafka_properties_file: Option<PathBuf>,
}

/// What a record's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KafkaFormat {
    Json,
    Text,
}

/// What a record is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KafkaName {
    Offset,
    Key,
}

/// What the gateway's promises rest on, so that nobody else may set it.
const OURS: [&str; 5] =
    ["bootstrap.servers", "group.id", "enable.auto.commit", "enable.auto.offset.store", "enable.idempotence"];

impl Kafka {
    /// Whether there are topics to read.
    pub fn reads(&self) -> bool {
        let given = |list: &[String]| listed(list).next().is_some();
        given(&self.kafka_brokers) && given(&self.kafka_topics)
    }

    /// The settings, where consumers leave connections to others: each may hold one for as long as the database is slow.
    pub fn checked(self, database: &Database) -> Result<Kafka, Failure> {
        if self.reads() && self.kafka_consumers > database.database_connections / 2 {
            let reason = "over half of --database-connections would be those of --kafka-consumers";
            return Err(Failure::Other(reason.into()));
        }
        Ok(self)
    }

    /// The properties of the file, and then those of the command line or the environment, which win.
    pub fn properties(&self) -> Result<Vec<(String, String)>, Failure> {
        let mut properties = Vec::new();
        if let Some(file) = &self.kafka_properties_file {
            let text = std::fs::read_to_string(file).map_err(|error| {
                Failure::Other(format!("the file of Kafka's properties cannot be read: {error}"))
            })?;
            for (number, line) in text.lines().enumerate() {
                let line = line.trim();
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                let at =
                    |reason| Failure::Other(format!("Kafka's properties, line {}: {reason}", number + 1));
                properties.push(property(line).map_err(at)?);
            }
        }
        for (place, given) in listed(&self.kafka_properties).enumerate() {
            let at = |reason| Failure::Other(format!("Kafka's properties, number {}: {reason}", place + 1));
            properties.push(property(given).map_err(at)?);
        }
        if let Some((name, _)) = properties.iter().find(|(name, _)| OURS.contains(&name.as_str())) {
            return Err(Failure::Other(format!("the gateway itself sets Kafka's property {name}")));
        }
        Ok(properties)
    }
}

/// Reads NAME=VALUE. Not left to clap, for an error must repeat neither: a value may be a password.
fn property(given: &str) -> Result<(String, String), &'static str> {
    let (name, value) = given.split_once('=').ok_or("expected NAME=VALUE")?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || given.contains('\0') {
        return Err("expected NAME=VALUE");
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_pairs() {
        assert_eq!(property("sasl.password = a=b "), Ok(("sasl.password".into(), "a=b".into())));
        for bad in ["", "x", "=x", "a=\0"] {
            assert!(property(bad).is_err(), "{bad:?}");
        }
    }
}
