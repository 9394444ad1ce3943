//! A model's bytes: what is written once is what scoring reads, without parsing or copying the weights.
//!
//! ```text
//! offset  size  field (all numbers little-endian)
//!      0     8  magic
//!      8     4  format version
//!     12     4  tokenizer version
//!     16     8  length of the whole
//!     24     4  CRC-32 of everything but this field
//!     28     4  length of the card
//!     32     4  buckets
//!     36     4  classes
//!     40     8  length of what follows the table
//!     48     4  weights in a record of the table; 0 for one a class
//!     52     4  1 where the upper halves of the terms' hashes follow the table, else 0
//!     56     4  1 where no term is a character n-gram, so that none is looked up; else 0 (0.1.0 writes 0 and minds neither)
//!     60     4  zero
//!     64        card (bincode), zero-padded to a multiple of 64
//!               table: buckets, each zero-padded to a multiple of 16:
//!                   eight 4-byte fingerprints, 0 where the slot is free
//!                   eight records: weights (i8), then lexicon value (5 bits), shift (2) and flag (1)
//!               what follows the table: of a model that takes in what it learns, four bytes a slot, the upper half of its
//!               term's hash; then of a naive Bayes model the counts that it was made from, of a forest its trees, of a
//!               convolutional network what is not linear
//! ```
//!
//! With two or three classes a bucket is one cache line.

mod counts;
mod numbers;
mod table;
mod writer;

pub(crate) use counts::{TermCounts, count_bytes, write as write_counts};
pub(crate) use numbers::{Numbered, Numbers, number as number_terms};
pub(crate) use table::{Entry, Found, LINE, Lines, Record, Table, fetch};
pub(crate) const LARGEST_WEIGHT: i32 = table::LARGEST_WEIGHT;
pub(crate) use writer::{
    EntryDraft, Hashes, ModelWriter, TableWriter, assemble, record, restate, too_large, write,
};

use crate::shape::SHAPES;
use crate::text::TOKENIZER_VERSION;
use crate::train::{NaiveBayes, OwnTerm, Totals};
use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};

const MAGIC: [u8; 8] = *b"\x89SENTI\r\n";
/// The first format, and the one of a card with terms of its user's own that add to a word's letters. What needs no more is
/// written in the first: 0.1.0 reads it too.
pub(crate) const FORMATS: RangeInclusive<u32> = 1..=2;
const HEADER: usize = 64;
/// Where the header says whether the hashes' upper halves are there.
const HALVES: usize = 52;
/// Where it says that no term is a character n-gram.
const NO_GRAMS: usize = 56;
/// Where the checksum stands in the header.
const CHECKSUM: Range<usize> = 24..28;
/// Fewest and most classes of a model.
const CLASSES: RangeInclusive<usize> = 2..=64;
/// The most bytes that a card is decoded to: 64 labels of 4 kB and room for the rest.
const CARD_LIMIT: usize = 1 << 20;

/// The most full buckets in a row that a search may have to look through. The fullest tables, those of 0.1.0
/// with four slots in five, have some ten.
const LONGEST_RUN: usize = 1000;
/// The most rows or terms that a card may speak of: no figure of it overflows.
const MOST_COUNTED: u64 = 1 << 53;

const FOREIGN_HINT: &str = "Give the bytes that export_sentiment() returned, unchanged.";
const NEWER_HINT: &str =
    "Update the extension to the version that wrote the model, or train the model again.";

/// How a text's terms are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Counting {
    /// Each time that they occur; the sum is scaled by the text's length.
    #[default]
    Scaled,
    /// Once.
    Present,
}

/// What a refresh has to know to go on learning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) enum Learning {
    /// The model does not go on learning.
    #[default]
    No,
    /// Gradient steps at this rate.
    Logistic { rate: f64 },
    /// Counts; those of the terms follow the table.
    NaiveBayes {
        parameters: NaiveBayes,
        /// What the table's weights were divided by.
        reference: Totals,
        /// What they would be divided by now.
        totals: Totals,
        temperature: f64,
    },
}

/// How a user's own term is read that the model itself does not know. A version stays as it was made, for what was computed from
/// it is stored: so its bytes say which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OwnReading {
    /// In the place of what the letters of its word say, as 0.1.0 did.
    Instead,
    /// Added to that.
    #[default]
    Added,
}

impl OwnReading {
    /// How bytes of this format have these terms read; where there are none, it is all the same.
    pub fn of(format: u32, own_terms: &[OwnTerm]) -> Self {
        let first = format == *FORMATS.start() && !own_terms.is_empty();
        if first { Self::Instead } else { Self::Added }
    }

    /// The format of bytes that hold these terms.
    pub fn format(self, own_terms: &[OwnTerm]) -> u32 {
        let first = self == Self::Instead || own_terms.is_empty();
        if first { *FORMATS.start() } else { *FORMATS.end() }
    }
}

/// What a model says of itself, and the few weights that are not in its table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Card {
    pub name: String,
    pub version: u32,
    pub algorithm: String,
    /// BCP 47 tag.
    pub language: String,
    /// The labels in class order.
    pub labels: Vec<String>,
    /// Value of each class in the score.
    pub label_scores: Vec<Option<f64>>,
    pub rows_train: u64,
    pub terms: u64,
    /// A JSON object.
    pub metrics: String,
    /// One a class.
    pub bias: Vec<f64>,
    /// Shape features x classes.
    pub shape_weights: Vec<f64>,
    /// What one unit of a table weight is worth.
    pub weight_unit: f64,
    pub counting: Counting,
    pub learning: Learning,
    /// The user's own terms.
    pub own_terms: Vec<OwnTerm>,
    /// Whether no term is a character n-gram, so that none needs to be looked up. The header has it.
    #[serde(skip)]
    pub no_grams: bool,
}

/// A model's bytes taken apart: the card decoded, the table borrowed.
#[derive(Clone, Debug)]
pub(crate) struct Model<'a> {
    pub card: Card,
    /// How the card's own terms are read.
    pub own_reading: OwnReading,
    pub table: Table<'a>,
    /// The upper half of each slot's hash, if the model has them.
    halves: Option<&'a [[u8; 4]]>,
    /// What follows the table.
    pub tail: &'a [u8],
    /// The checksum, as the bytes have it: which model this is.
    pub checksum: u32,
    /// How many bytes there are.
    pub length: usize,
}

impl<'a> Model<'a> {
    /// Opens untrusted bytes.
    pub fn open(bytes: &'a [u8]) -> Result<Self> {
        let model = Self::open_unchecked(bytes)?;
        if checksum(bytes) != number(bytes, CHECKSUM.start) {
            return Err(damaged("its checksum does not match"));
        }
        if !is_json_object(&model.card.metrics) {
            return Err(damaged("its figures are unreadable"));
        }
        if model.table.longest_run() > LONGEST_RUN {
            return Err(damaged("its table is too full to be searched"));
        }
        Ok(model)
    }

    /// Opens bytes whose checksum is known to hold. All that a fault in them could do is a wrong score.
    pub fn open_unchecked(bytes: &'a [u8]) -> Result<Self> {
        if bytes.len() < HEADER || bytes[..8] != MAGIC {
            return Err(damaged("it does not begin as a model does"));
        }
        let format = number(bytes, 8);
        supported("format", format, &FORMATS)?;
        supported("tokenizer", number(bytes, 12), &(TOKENIZER_VERSION..=TOKENIZER_VERSION))?;
        let length = u64::from(number(bytes, 16)) | u64::from(number(bytes, 20)) << 32;
        if length != bytes.len() as u64 {
            return Err(damaged(format!("it has {} bytes where {length} are due", bytes.len())));
        }
        let (card_length, buckets, classes) = (size(bytes, 28), size(bytes, 32), size(bytes, 36));
        let weights = match size(bytes, 48) {
            0 => classes,
            weights => weights,
        };
        let tail_length = size(bytes, 40);
        let table_start =
            card_length.checked_next_multiple_of(64).and_then(|length| length.checked_add(HEADER));
        let tail_start = bytes.len().checked_sub(tail_length).filter(|_| number(bytes, 44) == 0);
        let (table, tail) = table_start
            .zip(tail_start)
            .and_then(|(table, tail)| Some((bytes.get(table..tail)?, bytes.get(tail..)?)))
            .filter(|_| CLASSES.contains(&classes) && CLASSES.contains(&weights))
            .and_then(|(table, tail)| Some((Table::new(table, buckets, weights)?, tail)))
            .ok_or_else(|| damaged("its lengths do not add up"))?;
        let mut card = decode(&bytes[HEADER..HEADER + card_length])?;
        check(&card, classes)?;
        card.no_grams = number(bytes, NO_GRAMS) != 0;
        let (halves, tail) = match number(bytes, HALVES) {
            0 => (None, tail),
            _ => {
                let halves = tail.split_at_checked(4 * table.slots());
                let (halves, tail) = halves.ok_or_else(|| damaged("its hashes are cut short"))?;
                (Some(halves.as_chunks().0), tail)
            }
        };
        let own_reading = OwnReading::of(format, &card.own_terms);
        let (checksum, length) = (number(bytes, CHECKSUM.start), bytes.len());
        Ok(Self { card, own_reading, table, halves, tail, checksum, length })
    }

    /// Every term of the table, as it would be written again; `None` if the model does not know their hashes.
    pub fn terms(&self) -> Option<Vec<EntryDraft>> {
        let draft = |(record, half): (Option<(u32, Entry<'a>)>, &[u8; 4])| {
            let (fingerprint, entry) = record?;
            let hash = u64::from(u32::from_le_bytes(*half)) << 32 | u64::from(fingerprint);
            let mut sums = vec![0; self.card.labels.len()];
            entry.add_to(&mut sums);
            let weights = sums.into_iter().map(|weight| i32::try_from(weight).unwrap_or_default()).collect();
            Some(EntryDraft { hash, weights, lexicon_value: entry.lexicon_value(), left: entry.is_left() })
        };
        Some(self.table.records().zip(self.halves?).filter_map(draft).collect())
    }
}

pub(crate) fn damaged(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Damaged, format!("these bytes are no model or were changed: {what}"), FOREIGN_HINT)
}

/// Checks a version that the bytes name: no newer one is read, and of older ones those that are known.
pub(crate) fn supported(what: &str, found: u32, known: &RangeInclusive<u32>) -> Result<()> {
    if known.contains(&found) {
        return Ok(());
    }
    let message = format!("the model has {what} version {found}, this library reads up to {}", known.end());
    Err(Error::new(ErrorKind::Unsupported, message, NEWER_HINT))
}

/// The number at `at`; the caller has checked that the header is whole.
fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn size(bytes: &[u8], at: usize) -> usize {
    usize::try_from(number(bytes, at)).unwrap_or(usize::MAX)
}

/// CRC-32 of all but the checksum itself.
fn checksum(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..CHECKSUM.start]);
    hasher.update(&bytes[CHECKSUM.end..]);
    hasher.finalize()
}

fn decode(bytes: &[u8]) -> Result<Card> {
    let config = bincode::config::standard().with_limit::<CARD_LIMIT>();
    let (card, read) =
        bincode::serde::decode_from_slice(bytes, config).map_err(|_| damaged("its card is unreadable"))?;
    if read == bytes.len() { Ok(card) } else { Err(damaged("its card is longer than it says")) }
}

/// The card's lists fit the classes and all its numbers are finite.
fn check(card: &Card, classes: usize) -> Result<()> {
    let lengths = [card.labels.len(), card.label_scores.len(), card.bias.len()];
    if lengths != [classes; 3] || card.shape_weights.len() != SHAPES * classes {
        return Err(damaged("its card does not fit its classes"));
    }
    // One of them may be empty: 0.1.0 took rows without a label for rows of that one.
    if card.labels.iter().collect::<BTreeSet<_>>().len() != classes {
        return Err(damaged("its labels are not distinct"));
    }
    if card.rows_train.max(card.terms) > MOST_COUNTED {
        return Err(damaged("its card holds numbers that are out of range"));
    }
    if !learning_fits(&card.learning, classes) {
        return Err(damaged("its card does not fit its algorithm"));
    }
    let mut words = [&card.name, &card.algorithm, &card.language].into_iter().chain(&card.labels);
    // No text of the server's can hold it.
    if words.any(|word| word.contains('\0')) {
        return Err(damaged("its card holds a zero character"));
    }
    let numbers = card.bias.iter().chain(&card.shape_weights).chain(card.label_scores.iter().flatten());
    // Sums over 65,536 tokens must stay finite: 1e9 leaves room beyond any trained weight.
    if numbers.chain([&card.weight_unit]).all(|number| number.abs() <= 1e9) {
        Ok(())
    } else {
        Err(damaged("its card holds numbers that are out of range"))
    }
}

/// Whether a text is a JSON object that the server can store: its texts hold no zero character.
fn is_json_object(json: &str) -> bool {
    fn storable(value: &Value) -> bool {
        match value {
            Value::String(text) => !text.contains('\0'),
            Value::Array(values) => values.iter().all(storable),
            Value::Object(members) => {
                members.iter().all(|(key, value)| !key.contains('\0') && storable(value))
            }
            _ => true,
        }
    }
    serde_json::from_str::<Value>(json).is_ok_and(|value| value.is_object() && storable(&value))
}

/// What a refresh goes on from is as wide as the model, and its numbers can be taken logarithms of.
fn learning_fits(learning: &Learning, classes: usize) -> bool {
    let Learning::NaiveBayes { parameters, reference, totals, temperature } = learning else {
        return true;
    };
    parameters.classes == classes
        && (1e-6..=1e6).contains(&parameters.smoothing)
        && (1e-6..=1e6).contains(temperature)
        && reference.fit(classes)
        && totals.fit(classes)
}
