//! A message as it comes in, whichever way it comes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use tokio_postgres::types::{FromSql, Type, accepts};
use utoipa::ToSchema;

use crate::object::Object;
use crate::problem::Problem;

/// The most characters of a source, an external id or an author.
pub const NAME_LENGTH: usize = 500;
/// The most bytes of a source or an external id: both are in one entry of an index, of a third of a page.
pub const NAME_BYTES: usize = 1300;
/// The most characters of a body: no model reads on after so many bytes.
pub const BODY_LENGTH: usize = 65_536;
/// The most messages of one batch.
pub const BATCH: usize = 10_000;

/// A message to store and score.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Where it comes from: a channel, a queue, an application; at most 1,300 bytes of UTF-8
    #[schema(min_length = 1, max_length = 500, pattern = r"^[^\u0000]*$", example = "app")]
    pub source: String,
    /// Its name there, of at most 1,300 bytes too; a second message of the same source and name is not stored
    #[serde(default)]
    #[schema(min_length = 1, max_length = 500, pattern = r"^[^\u0000]*$", example = "42")]
    pub external_id: Option<String>,
    /// Who wrote it
    #[serde(default)]
    #[schema(max_length = 500, pattern = r"^[^\u0000]*$", example = "ann")]
    pub author: Option<String>,
    /// The text
    #[schema(max_length = 65536, pattern = r"^[^\u0000]*$", example = "best concert EVER")]
    pub body: String,
    /// When it was written, in RFC 3339; without it, now
    #[serde(default, deserialize_with = "instant")]
    #[schema(value_type = Option<String>, format = DateTime, example = "2026-01-31T12:00:00Z")]
    pub sent_at: Option<OffsetDateTime>,
}

/// A time in RFC 3339 from the year 1 on; the words of an error never repeat what was given.
pub fn instant<'de, D: Deserializer<'de>>(input: D) -> Result<Option<OffsetDateTime>, D::Error> {
    let given = Option::<String>::deserialize(input)?;
    given.map(|given| parse_instant(&given).ok_or_else(|| serde::de::Error::custom(NO_INSTANT))).transpose()
}

/// What a value that is no time is told.
pub const NO_INSTANT: &str = "expected a time in RFC 3339, as 2026-01-31T12:00:00Z";

/// Reads a time in RFC 3339 that PostgreSQL can hold.
pub fn parse_instant(given: &str) -> Option<OffsetDateTime> {
    let instant = OffsetDateTime::parse(given, &time::format_description::well_known::Rfc3339).ok()?;
    // A time at the edge of the calendar can leave it in another zone.
    let instant = instant.checked_to_offset(time::UtcOffset::UTC)?;
    (1..=9998).contains(&instant.year()).then_some(instant)
}

/// The times that RFC 3339 can write in any zone, in microseconds: the years 1 to 9998.
const FIRST: i128 = -62_135_596_800_000_000;
const LAST: i128 = 253_370_764_799_999_999;
/// Where PostgreSQL counts from, the year 2000.
const EPOCH: i128 = 946_684_800_000_000;

/// A time as the database has it; the nearest that can be written, for the database has more of them, and infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instant(pub OffsetDateTime);

impl<'a> FromSql<'a> for Instant {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Instant, Box<dyn std::error::Error + Sync + Send>> {
        let micros = i128::from(i64::from_be_bytes(raw.try_into()?)) + EPOCH;
        let nanos = micros.clamp(FIRST, LAST) * 1000;
        Ok(Instant(OffsetDateTime::from_unix_timestamp_nanos(nanos)?))
    }

    accepts!(TIMESTAMPTZ);
}

impl Message {
    /// Checks what the types do not say. `at` is where the message stands in the request.
    pub fn check(&self, at: &str) -> Result<(), Problem> {
        let fields = [
            ("source", Some(&self.source), true, NAME_LENGTH),
            ("external_id", self.external_id.as_ref(), true, NAME_LENGTH),
            ("author", self.author.as_ref(), false, NAME_LENGTH),
            ("body", Some(&self.body), false, BODY_LENGTH),
        ];
        for (field, value, needed, most) in fields {
            let Some(value) = value else { continue };
            let place = || format!("{at}.{field}").trim_start_matches('.').to_owned();
            if needed && value.is_empty() {
                return Err(Problem::unusable(format!("{field} must not be empty")).at(place()));
            }
            if value.chars().nth(most).is_some() {
                return Err(Problem::unusable(format!("{field} has over {most} characters")).at(place()));
            }
            if needed && value.len() > NAME_BYTES {
                return Err(Problem::unusable(format!("{field} has over {NAME_BYTES} bytes")).at(place()));
            }
            check_text(value, &place())?;
        }
        Ok(())
    }
}

/// A message as files and queues have it: what names it may be left out, and other fields may stand beside these.
#[derive(Debug, Deserialize)]
pub struct Partial {
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    external_id: Option<String>,
    #[serde(default)]
    author: Option<String>,
    body: String,
    #[serde(default, deserialize_with = "instant")]
    sent_at: Option<OffsetDateTime>,
}

impl Partial {
    /// A text alone.
    pub fn of_body(body: String) -> Partial {
        Partial { source: None, external_id: None, author: None, body, sent_at: None }
    }

    /// Reads JSON; the words of an error repeat nothing of it.
    pub fn parse(json: &[u8]) -> Result<Partial, &'static str> {
        let read = serde_json::from_slice(json).map(|Object(partial)| partial);
        read.map_err(|error| match error.classify() {
            serde_json::error::Category::Data => "no object, without a body, or with a field of a wrong type",
            _ => "no JSON",
        })
    }

    /// A short word for what it says: two that differ do not have the same.
    pub fn digest(&self) -> String {
        let sent = self.sent_at.map(|sent| sent.unix_timestamp_nanos().to_string());
        let fields = [self.source.as_deref(), self.author.as_deref(), Some(&self.body), sent.as_deref()];
        let mut hash = Sha256::new();
        for field in fields.map(Option::unwrap_or_default) {
            // With its length, for else one field might go on in the next.
            hash.update(field.len().to_be_bytes());
            hash.update(field);
        }
        URL_SAFE_NO_PAD.encode(&hash.finalize()[..16])
    }

    /// Makes a message of it, and checks it. What is empty counts as left out.
    pub fn complete(self, source: &str, external_id: Option<String>) -> Result<Message, Problem> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let message = Message {
            source: given(self.source).unwrap_or_else(|| source.to_owned()),
            external_id: given(self.external_id).or(external_id),
            author: given(self.author),
            body: self.body,
            sent_at: self.sent_at,
        };
        message.check("")?;
        Ok(message)
    }
}

/// A text to score or to learn from is one that could be stored.
pub fn check_body(text: &str, at: &str) -> Result<(), Problem> {
    if text.chars().nth(BODY_LENGTH).is_some() {
        return Err(Problem::unusable(format!("the text has over {BODY_LENGTH} characters")).at(at));
    }
    check_text(text, at)
}

/// PostgreSQL's texts hold any character but NUL.
pub fn check_text(text: &str, at: &str) -> Result<(), Problem> {
    if text.contains('\0') {
        return Err(Problem::unusable("a NUL character cannot be stored or scored").at(at));
    }
    Ok(())
}

/// A name in the database (a model, a label, a table) is such a text, and is not empty.
pub fn check_name(name: &str, at: &str) -> Result<(), Problem> {
    if name.is_empty() {
        return Err(Problem::unusable(format!("{at} must not be empty")).at(at));
    }
    check_text(name, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_rfc_3339_within_the_calendar() {
        assert!(parse_instant("2026-01-31T12:00:00Z").is_some());
        assert_eq!(parse_instant("2026-01-31T12:00:00+02:00"), parse_instant("2026-01-31T10:00:00Z"));
        for bad in
            ["", "yesterday", "2026-13-01T00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59-23:00"]
        {
            assert!(parse_instant(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn any_time_of_the_database_can_be_shown() {
        let read = |micros: i64| {
            let Instant(time) = Instant::from_sql(&Type::TIMESTAMPTZ, &micros.to_be_bytes()).unwrap();
            time.format(&time::format_description::well_known::Rfc3339).unwrap()
        };
        assert_eq!(read(-1), "1999-12-31T23:59:59.999999Z");
        assert_eq!(read(i64::MIN), "0001-01-01T00:00:00Z");
        assert_eq!(read(i64::MAX), "9998-12-31T23:59:59.999999Z");
    }

    #[test]
    fn an_array_is_no_message() {
        assert!(Partial::parse(br#"{"body": "b", "more": [1]}"#).is_ok());
        assert!(Partial::parse(br#"[null, null, null, "b", null]"#).is_err());
    }

    #[test]
    fn a_field_that_cannot_be_stored_is_named() {
        let message = |json: &str| serde_json::from_str::<Message>(json).unwrap();
        assert!(message(r#"{"source":"a","body":""}"#).check("").is_ok());
        let place = |json: &str| format!("{:?}", message(json).check("[3]").unwrap_err());
        assert!(place(r#"{"source":"","body":""}"#).contains("[3].source"));
        assert!(place(r#"{"source":"a","body":"\u0000"}"#).contains("[3].body"));
    }
}
