//! A record of Kafka, read as a message.

use rdkafka::Message as _;
use rdkafka::message::BorrowedMessage;
use time::OffsetDateTime;

use crate::config::{KafkaFormat, KafkaName};
use crate::message::{Message, Partial};

/// Reads a record; nothing if it is a tombstone, which says only that a key is gone. An error says why it is no message, and
/// repeats nothing of it.
///
/// What the record does not say itself: its source is the topic, and it was sent when the record says that it was made. It
/// always has a name, so that it is stored once however often it is read.
pub fn read(
    record: &BorrowedMessage<'_>,
    format: KafkaFormat,
    name: KafkaName,
) -> Result<Option<Message>, String> {
    let Some(value) = record.payload() else { return Ok(None) };
    let text = std::str::from_utf8(value).map_err(|_| "the value is not UTF-8")?;
    let partial = match format {
        KafkaFormat::Json => Partial::parse(text.as_bytes())?,
        KafkaFormat::Text => Partial::of_body(text.to_owned()),
    };
    let key = record.key().filter(|key| name == KafkaName::Key && !key.is_empty());
    let name = match key {
        Some(key) => std::str::from_utf8(key).map_err(|_| "the key is not UTF-8")?.to_owned(),
        None => format!("{}/{}/{}", record.topic(), record.partition(), record.offset()),
    };
    let mut message = partial.complete(record.topic(), Some(name)).map_err(|problem| problem.detail())?;
    message.sent_at = message.sent_at.or_else(|| made_at(record));
    Ok(Some(message))
}

/// When the record was made; nothing if it does not say so, or says a time that no calendar has.
fn made_at(record: &BorrowedMessage<'_>) -> Option<OffsetDateTime> {
    let nanoseconds = i128::from(record.timestamp().to_millis()?) * 1_000_000;
    let instant = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok()?;
    (1..=9998).contains(&instant.year()).then_some(instant)
}
