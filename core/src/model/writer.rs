//! Writes a model's bytes.

use super::table::{BUCKET_BYTES, LEFT, SLOTS, place, record_bytes};
use super::{CHECKSUM, Card, FORMAT_VERSION, HEADER, MAGIC, checksum};
use crate::text::TOKENIZER_VERSION;
use crate::{Error, ErrorKind, Result};

/// Units of a lexicon value: -4 to 4 in steps of 1/31.
pub(super) const LEXICON_UNITS: f64 = 31.0;

/// How full the table is made: at 0.8 about one bucket in seven spills.
const LOAD: f64 = 0.8;

/// A term to be written.
#[derive(Clone, Debug, Default)]
pub(crate) struct EntryDraft {
    pub hash: u64,
    /// Weights, one a class, in the card's unit.
    pub weights: Vec<i16>,
    /// Lexicon value, about -4 to 4.
    pub lexicon_value: f64,
    /// Whether a known n-gram may begin with it.
    pub left: bool,
    /// Whether it is a word, known even if it weighs nothing.
    pub word: bool,
}

/// The model's bytes: the same terms and card give the same bytes, whatever the order of the terms.
///
/// # Errors
/// `Limit` if the model would pass 4 GiB.
pub(crate) fn write(card: &Card, mut terms: Vec<EntryDraft>) -> Result<Vec<u8>> {
    let classes = card.labels.len();
    terms.sort_unstable_by_key(|term| term.hash);
    terms.dedup_by_key(|term| term.hash);
    let buckets = buckets(terms.len());
    let encoded =
        bincode::serde::encode_to_vec(card, bincode::config::standard()).map_err(|_| too_large())?;
    let table_start = HEADER + encoded.len().next_multiple_of(64);
    let records_start = table_start + buckets * BUCKET_BYTES;
    let mut bytes = vec![0; records_start + buckets * SLOTS * record_bytes(classes)];

    let number = |value: usize| u32::try_from(value).map(u32::to_le_bytes).map_err(|_| too_large());
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes[12..16].copy_from_slice(&TOKENIZER_VERSION.to_le_bytes());
    let length = bytes.len() as u64;
    bytes[16..24].copy_from_slice(&length.to_le_bytes());
    bytes[28..32].copy_from_slice(&number(encoded.len())?);
    bytes[32..36].copy_from_slice(&number(buckets)?);
    bytes[36..40].copy_from_slice(&number(classes)?);
    bytes[HEADER..HEADER + encoded.len()].copy_from_slice(&encoded);

    let (fingerprints, records) = bytes[table_start..].split_at_mut(records_start - table_start);
    for term in &terms {
        let slot = free_slot(fingerprints, buckets, term.hash);
        write_record(&mut records[slot * record_bytes(classes)..][..record_bytes(classes)], term);
    }
    let sum = checksum(&bytes);
    bytes[CHECKSUM].copy_from_slice(&sum.to_le_bytes());
    Ok(bytes)
}

fn too_large() -> Error {
    Error::new(
        ErrorKind::Limit,
        "the model would be larger than 4 GiB",
        "Train with fewer rows, or with options that keep fewer terms.",
    )
}

/// Buckets for so many terms, one at least; the sums are small enough for exact floats.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn buckets(terms: usize) -> usize {
    (terms as f64 / (SLOTS as f64 * LOAD)).ceil() as usize + 1
}

/// Takes the first free slot for a hash and writes its fingerprint there. The table is never full.
fn free_slot(fingerprints: &mut [u8], buckets: usize, hash: u64) -> usize {
    let (bucket, fingerprint) = place(hash, buckets);
    let slots = buckets * SLOTS;
    let mut slot = bucket * SLOTS;
    while fingerprints[slot * 4..][..4] != [0; 4] {
        slot = (slot + 1) % slots;
    }
    fingerprints[slot * 4..][..4].copy_from_slice(&fingerprint.to_le_bytes());
    slot
}

#[allow(clippy::cast_possible_truncation)]
fn write_record(record: &mut [u8], term: &EntryDraft) {
    let (weights, extra) = record.split_at_mut(term.weights.len() * 2);
    for (bytes, weight) in weights.chunks_exact_mut(2).zip(&term.weights) {
        bytes.copy_from_slice(&weight.to_le_bytes());
    }
    // A float cast saturates: a value beyond the range is kept at its end.
    extra[0] = ((term.lexicon_value * LEXICON_UNITS).round() as i8).cast_unsigned();
    extra[1] = if term.left { LEFT } else { 0 };
}
