//! Writes a model's bytes.

use super::table::{Layout, SLOTS, place, write_record};
use super::{CHECKSUM, Card, FORMAT_VERSION, HEADER, MAGIC, checksum};
use crate::text::TOKENIZER_VERSION;
use crate::{Error, ErrorKind, Result};

/// How full the table is made: at 0.8 about one bucket of eight slots in five spills.
const LOAD: f64 = 0.8;

/// A term to be written.
#[derive(Clone, Debug, Default)]
pub(crate) struct EntryDraft {
    pub hash: u64,
    /// Weights, one a class, in the card's unit.
    pub weights: Vec<i32>,
    /// Lexicon value, about -4 to 4.
    pub lexicon_value: f64,
    /// Whether a known n-gram may begin with it.
    pub left: bool,
}

/// The model's bytes: the same terms and card give the same bytes, whatever the order of the terms. `tail` follows the
/// table; a record holds as many weights as the first term has.
///
/// # Errors
/// `Limit` if the model would pass 4 GiB.
pub(crate) fn write(card: &Card, mut terms: Vec<EntryDraft>, tail: &[u8]) -> Result<Vec<u8>> {
    let classes = card.labels.len();
    let weights = terms.first().map_or(classes, |term| term.weights.len());
    terms.sort_unstable_by_key(|term| term.hash);
    terms.dedup_by_key(|term| term.hash);
    let (table, buckets) = write_table(terms, weights);
    assemble(card, weights, (&table, buckets), tail)
}

/// The bytes of a model whose table is written; `weights` in a record of it.
///
/// # Errors
/// As [`write`].
pub(crate) fn assemble(
    card: &Card,
    weights: usize,
    (table, buckets): (&[u8], usize),
    tail: &[u8],
) -> Result<Vec<u8>> {
    let classes = card.labels.len();
    let encoded =
        bincode::serde::encode_to_vec(card, bincode::config::standard()).map_err(|_| too_large())?;
    let table_start = HEADER + encoded.len().next_multiple_of(64);
    let mut bytes = vec![0; table_start];
    bytes.extend_from_slice(table);
    bytes.extend_from_slice(tail);

    let number = |value: usize| u32::try_from(value).map(u32::to_le_bytes).map_err(|_| too_large());
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes[12..16].copy_from_slice(&TOKENIZER_VERSION.to_le_bytes());
    let length = bytes.len() as u64;
    bytes[16..24].copy_from_slice(&length.to_le_bytes());
    bytes[28..32].copy_from_slice(&number(encoded.len())?);
    bytes[32..36].copy_from_slice(&number(buckets)?);
    bytes[36..40].copy_from_slice(&number(classes)?);
    bytes[40..44].copy_from_slice(&number(tail.len())?);
    bytes[48..52].copy_from_slice(&number(if weights == classes { 0 } else { weights })?);
    bytes[HEADER..HEADER + encoded.len()].copy_from_slice(&encoded);
    let sum = checksum(&bytes);
    bytes[CHECKSUM].copy_from_slice(&sum.to_le_bytes());
    Ok(bytes)
}

/// A table on its own, and how many buckets it has.
pub(crate) fn write_table(mut terms: Vec<EntryDraft>, classes: usize) -> (Vec<u8>, usize) {
    let layout = Layout::new(classes);
    terms.sort_unstable_by_key(|term| term.hash);
    let buckets = buckets(terms.len());
    let mut bytes = vec![0; buckets * layout.bucket];
    terms.iter().for_each(|term| write_term(&mut bytes, buckets, layout, term));
    (bytes, buckets)
}

/// A record on its own.
pub(crate) fn record(term: &EntryDraft) -> Vec<u8> {
    let mut record = vec![0; Layout::new(term.weights.len()).record];
    write_record(&mut record, &term.weights, term.lexicon_value, term.left);
    record
}

pub(crate) fn too_large() -> Error {
    Error::new(
        ErrorKind::Limit,
        "the model would be larger than 4 GiB",
        "Train with fewer rows, or with options that keep fewer terms.",
    )
}

/// Buckets for so many terms, one free slot at least; the sums are small enough for exact floats.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn buckets(terms: usize) -> usize {
    (terms as f64 / (SLOTS as f64 * LOAD)).ceil() as usize + 1
}

/// Puts a term into the first free slot from its bucket on. The table is never full.
fn write_term(table: &mut [u8], buckets: usize, layout: Layout, term: &EntryDraft) {
    let (mut bucket, fingerprint) = place(term.hash, buckets);
    loop {
        let line = &mut table[bucket * layout.bucket..][..layout.bucket];
        if let Some(slot) = (0..SLOTS).find(|&slot| line[Layout::fingerprint(slot)] == [0; 4]) {
            line[Layout::fingerprint(slot)].copy_from_slice(&fingerprint.to_le_bytes());
            write_record(&mut line[layout.record(slot)], &term.weights, term.lexicon_value, term.left);
            return;
        }
        bucket = (bucket + 1) % buckets;
    }
}
